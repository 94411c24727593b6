"""Every curve is on exactly one panel, and called what it is."""

from __future__ import annotations

from ctcore.nnunet.training.panels import panels_of

FIGURES = {
    "loss/train": ("Loss", "training loss"),
    "loss/validation": ("Loss", "validation loss"),
    "loss/train_segmentation": ("Parts of the loss", "training, segmentation"),
    "loss/validation_classification": ("Parts of the loss", "validation, classes"),
    "loss/train_more": ("Parts of the loss", "train more"),
    "dice/mean": ("Dice of validation patches", "mean of the labels"),
    "dice/pancreatic_duct": ("Dice of validation patches", "pancreatic duct"),
    "patch_auroc": ("AUROC", "classifier, on validation patches"),
    "auroc": ("AUROC", "score"),
    "auroc_map": ("AUROC", "maximum of the detection map"),
    "ap": ("Average precision", "lesions (detection map)"),
    "ap_class": ("Average precision", "classes (score)"),
    "macro_f1": ("Classes of whole validation cases", "macro f1"),
    "balanced_accuracy_class": ("Classes of whole validation cases", "balanced accuracy class"),
    "dice_lesion": ("Dice of whole validation cases", "lesion"),
    "iou_lesion": ("IoU of whole validation cases", "lesion"),
    "learning_rate": ("Learning rate", "learning rate"),
    "seconds_an_epoch": ("Time", "seconds an epoch"),
    "never_seen": ("Others", "never seen"),
    "": ("Others", ""),
}


def test_panels() -> None:
    shown = [(name, (panel.title, panel.words(name))) for panel, names in panels_of(FIGURES) for name in names]
    assert len(shown) == len(FIGURES)
    assert dict(shown) == FIGURES


def test_nothing() -> None:
    assert panels_of([]) == []
