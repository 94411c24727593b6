"""Making a bundle: of two exported stages, or like another but for some of its settings."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ctcore.detection.calibration import Calibration
from ctcore.detection.candidates import CandidateSettings
from ctcore.detection.fusion import FusionSettings
from ctcore.durable import write_atomic, write_text
from ctcore.errors import RequestError, describe_validation
from ctcore.json_files import write_json
from ctcore.labels import CLASS_NAMES, lesion_classes_of
from pipeline.bundle import FEATURES, MODEL_CARD, Bundle, load_bundle
from pipeline.bundle_files import MANIFEST, STAGE_FOLDERS, files_below, sha256_of, stage_details, stage_files
from pipeline.card_facts import CardFacts
from pipeline.efforts import MeasuredEffort
from pipeline.manifest import BundleManifest, Orientation
from pipeline.model_card import gaps, model_card

if TYPE_CHECKING:
    from ctcore.quality.outlier import FeatureReference
    from ctcore.quality.reference import QualityReference


def create_bundle(
    stage1: Path,
    stage2: Path,
    output: Path,
    *,
    name: str,
    description: str,
    demo: bool = False,
    version: str = "1",
    candidates: CandidateSettings | None = None,
    fusion: FusionSettings | None = None,
    lesion_classes: tuple[str, ...] = (),
    temperature: float | None = None,
    calibration: Calibration | None = None,
    efforts: Sequence[MeasuredEffort] = (),
    quality: QualityReference | None = None,
    features: FeatureReference | None = None,
    card: CardFacts | None = None,
    complete: bool = False,
    orientation: Orientation = "LPS",
    overwrite: bool = False,
) -> Bundle:
    """Packs two exported stages into a bundle; the folder appears complete or not at all.

    Args:
        stage1: exported localizer: `model.json` and `fold_<k>.safetensors`.
        stage2: exported multi-task network, the same; its `model.json` names the classes. One without a classification
            head has none: patients are then PDAC or not, by the maximum of the map.
        output: the folder to make.
        name: the bundle's name.
        description: one sentence on what it is.
        demo: whether every output must say that this is a demonstration model.
        version: version of the model.
        candidates: how lesion candidates are extracted; None for the defaults.
        fusion: how the score is made; None for the defaults.
        lesion_classes: classes that stand for a lesion; by default those with a label of their own, else PDAC and the
            three subtypes.
        temperature: divides the class logits from now on; None: what the multi-task network's `model.json` says.
        calibration: what is known of the scores from validation cases.
        efforts: what less effort costs in accuracy, measured on validation cases.
        quality: limits of the quality figures.
        features: what stage 2's features of the reference cases look like, where `quality` says that they are known.
        card: what only its maker knows, for the model card; None for the defaults.
        complete: whether a model card that says `not recorded` somewhere is refused.
        orientation: axis order that both stages were trained with.
        overwrite: whether a bundle that already lies at `output` is replaced.

    Raises:
        RequestError: a stage folder lacks its model or weights, none of its classes stands for a lesion, the network
            segments other lesion classes, the model card is to be complete and is not, or `output` exists.
    """
    details = [stage_details(folder) for folder in (stage1, stage2)]
    class_names = details[1].get("class_names")
    classifier = details[1].get("head", ...) is not None
    if not classifier:
        class_names, fusion = list(CLASS_NAMES), fusion or FusionSettings(rule="map")
    if not isinstance(class_names, list):
        raise RequestError(f"'{stage2 / 'model.json'}' names no classes ('class_names'); export the stage again")
    lesion_classes = _lesion_classes(details[1].get("lesion_labels") or {}, lesion_classes)
    if output.exists():
        empty = output.is_dir() and not any(output.iterdir())
        if not (empty or (overwrite and (output / MANIFEST).is_file())):
            raise RequestError(
                f"'{output}' exists; choose another folder, or replace an earlier bundle with --overwrite"
            )
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=output.parent, prefix=".partial-"))
    new = partial / "new"
    try:
        for folder, source in zip(STAGE_FOLDERS, (stage1, stage2), strict=True):
            (new / folder).mkdir(parents=True)
            for file in stage_files(source):
                shutil.copyfile(file, new / folder / file.name)
        if temperature is not None:
            details[1] |= {"temperature": temperature}
            write_json(new / STAGE_FOLDERS[1] / "model.json", details[1])
        if features is not None:
            from safetensors.numpy import save_file

            write_atomic(new / FEATURES, lambda partial: save_file(features.tensors, partial))
        draft = BundleManifest(
            name=name,
            version=version,
            description=description,
            demo=demo,
            orientation=orientation,
            class_names=tuple(class_names),
            classifier=classifier,
            lesion_classes=lesion_classes_of(class_names, lesion_classes),
            candidates=candidates or CandidateSettings(),
            fusion=fusion or FusionSettings(),
            calibration=calibration,
            efforts=tuple(efforts),
            quality=quality,
            card=card or CardFacts(),
            files={},
        )
        text = model_card(draft, *details)
        if complete and (missing := gaps(text)):
            raise RequestError(f"the model card is not complete: {'; '.join(missing)}; say it, or leave --complete out")
        write_text(new / MODEL_CARD, text)
        hashes = {file.relative_to(new).as_posix(): sha256_of(file) for file in files_below(new)}
        write_json(new / MANIFEST, draft.model_copy(update={"files": hashes}).model_dump(mode="json"))
        load_bundle(new)
        if output.exists():
            output.rename(partial / "replaced")
        new.rename(output)
    except ValidationError as error:
        raise RequestError(f"the bundle's settings are not valid: {describe_validation(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return load_bundle(output)


def remade(bundle: Bundle, output: Path, *, overwrite: bool, **changes: Any) -> Bundle:
    """Makes a bundle like another, but for some arguments of `create_bundle`, whose errors it raises.

    Args:
        bundle: the other.
        output: the folder to make.
        overwrite: whether a bundle that already lies there is replaced.
        changes: the arguments that differ.
    """
    manifest = bundle.manifest
    kept: dict[str, Any] = {
        "name": manifest.name,
        "description": manifest.description,
        "demo": manifest.demo,
        "version": manifest.version,
        "candidates": manifest.candidates,
        "fusion": manifest.fusion,
        "lesion_classes": manifest.lesion_classes,
        "calibration": manifest.calibration,
        "efforts": manifest.efforts,
        "quality": manifest.quality,
        "features": bundle.feature_reference(),
        "card": manifest.card,
        "orientation": manifest.orientation,
    }
    return create_bundle(bundle.stage1, bundle.stage2, output, overwrite=overwrite, **(kept | changes))


def _lesion_classes(labels: Mapping[str, str], asked: tuple[str, ...]) -> tuple[str, ...]:
    """Returns a bundle's lesion classes.

    Args:
        labels: the label of each lesion class that has its own.
        asked: the classes asked for; empty where none were.

    Returns:
        The classes, empty where they follow from their names.

    Raises:
        RequestError: the two differ.
    """
    lesion_classes = asked or tuple(labels)
    if labels and set(lesion_classes) != set(labels):
        raise RequestError(
            f"lesion classes {', '.join(lesion_classes)} are not those that the network segments one by one:"
            f" {', '.join(labels)}; name these, or none"
        )
    return lesion_classes
