"""A bundle's segmentation models as folders that nnunetv2 runs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.errors import RequestError
from pipeline.bundle import Bundle

if TYPE_CHECKING:
    import torch

    from ctcore.nnunet.exported import ExportedModel

HEAD = "head."
"""Begins the names of a multi-task network's weights that nnU-Net's network does not have."""


def export_nnunet(bundle: Bundle, output: Path) -> tuple[str, ...]:
    """Writes `stage1` and `stage2` of a bundle as nnU-Net's trained model folders; all of it appears, or nothing.

    Args:
        bundle: a verified bundle.
        output: the folder to make.

    Returns:
        What is not in them, or is otherwise in nnU-Net: one line each.

    Raises:
        RequestError: `output` exists, or nnU-Net does not have an architecture.
        BundleError: weights do not fit their model.
    """
    from ctcore.nnunet.exported import load_model
    from ctcore.nnunet.folders.write import write_trained_folder
    from stage1_localizer.model import LocalizerModel
    from stage2_multitask.model import MultiTaskModel

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RequestError(f"'{output}' exists and is not an empty folder; choose another --output")
    first = load_model(bundle.stage1, LocalizerModel)
    second = load_model(bundle.stage2, MultiTaskModel)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=output.parent, prefix=".partial-"))
    try:
        for number, (name, folder, model) in enumerate(
            (("stage1", bundle.stage1, first), ("stage2", bundle.stage2, second)), start=1
        ):
            states = {fold: _state(model, folder, fold) for fold in model.folds}
            title = "".join(c if c.isalnum() else "_" for c in bundle.manifest.name)
            write_trained_folder(partial / "new" / name, model, states, f"Dataset{number:03}_{title}_{name}")
        if output.exists():
            output.rmdir()
        (partial / "new").rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _differences(first, second)


def _state(model: ExportedModel, folder: Path, fold: str) -> dict[str, torch.Tensor]:
    """Returns a fold's U-Net weights under all names that nnU-Net's network has them under."""
    from ctcore.nnunet.exported import load_weights
    from ctcore.nnunet.networks import build_unet
    from stage2_multitask.model import MultiTaskModel
    from stage2_multitask.network import exported_network

    network = (
        exported_network(model)
        if isinstance(model, MultiTaskModel)
        else build_unet(model.architecture, 1, model.output_channels)
    )
    load_weights(network, folder, fold)
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(HEAD)}


def _differences(*models: ExportedModel) -> tuple[str, ...]:
    from stage2_multitask.model import MultiTaskModel

    told = []
    if any(isinstance(model, MultiTaskModel) and model.head is not None for model in models):
        told.append("the classification head is left out: nnU-Net segments alone")
    if any(model.processing is None for model in models):
        told.append(
            "nnU-Net resamples with splines, this project linearly, and does not turn images to LPS:"
            " results differ a little"
        )
    return tuple(told)
