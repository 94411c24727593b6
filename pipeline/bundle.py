"""A bundle: one directory with both stages' weights and all constants that `pipeline run` needs, each file hashed.

    bundle.json      the manifest, with the SHA-256 of every other file
    stage1/          the localizer: model.json and fold_<k>.safetensors
    stage2/          the multi-task network, the same
    quality/         where quality was fitted: stage 2's features of reference cases (features.safetensors)
    MODEL_CARD.md    what the model is, is not, and was trained on

Weights are safetensors and settings are JSON: a bundle from a stranger can be opened without running its code.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ctcore.detection.calibration import Calibration
from ctcore.detection.candidates import CandidateSettings
from ctcore.detection.fusion import FusionSettings
from ctcore.errors import BundleError, RequestError, describe_validation, first_line
from ctcore.files import read_json, write_atomic, write_json, write_text
from ctcore.labels import CLASS_NAMES, lesion_classes_of
from pipeline.card_facts import CardFacts
from pipeline.efforts import MeasuredEffort
from pipeline.manifest import BUNDLE_SCHEMA_VERSION, DEMO_NOTICE, BundleManifest, Orientation
from pipeline.model_card import gaps, model_card

if TYPE_CHECKING:
    from ctcore.quality.outlier import FeatureReference
    from ctcore.quality.reference import QualityReference

MANIFEST = "bundle.json"
MODEL_CARD = "MODEL_CARD.md"
STAGE_FOLDERS = ("stage1", "stage2")
FEATURES = "quality/features.safetensors"
"""Where a bundle keeps its reference for stage 2's features."""
FOLDERS = (*STAGE_FOLDERS, "quality")
STAGE_SUFFIXES = (".json", ".safetensors")
"""What a folder of a bundle may hold; nothing that could run code when it is opened."""

DEMO_BUNDLE = Path(__file__).parent / "demo_bundle"
"""The demonstration bundle that comes with the package."""

_HASH_BLOCK = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle whose every file has been checked against its hash.

    Attributes:
        folder: where it lies.
        manifest: what its `bundle.json` says.
        digest: SHA-256 of `bundle.json`, which holds all other hashes: it names the whole bundle.
    """

    folder: Path
    manifest: BundleManifest
    digest: str

    @property
    def stage1(self) -> Path:
        """Folder of the localizer."""
        return self.folder / STAGE_FOLDERS[0]

    @property
    def stage2(self) -> Path:
        """Folder of the multi-task network."""
        return self.folder / STAGE_FOLDERS[1]

    def feature_reference(self) -> FeatureReference | None:
        """Reads what stage 2's features of reference cases look like; None where that was not fitted.

        Raises:
            BundleError: the file is damaged, or not what the manifest says.
        """
        quality = self.manifest.quality
        if quality is None or quality.features is None:
            return None
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        from ctcore.quality.outlier import FeatureReference

        path = self.folder / FEATURES
        try:
            reference = FeatureReference.from_tensors(load_file(path))
        except (SafetensorError, OSError, TypeError, ValueError) as error:
            raise BundleError(f"'{path}' cannot be used: {first_line(error)}; copy the bundle again") from error
        if len(reference.mean) != quality.features:
            raise BundleError(
                f"'{path}' is of {len(reference.mean)} features, the bundle's {MANIFEST} says {quality.features}; fit"
                " the bundle's quality again"
            )
        return reference

    @property
    def card_gaps(self) -> list[str]:
        """What its model card does not say, one entry each; empty where the card is complete."""
        card = self.folder / MODEL_CARD
        return gaps(card.read_text(encoding="utf-8")) if MODEL_CARD in self.manifest.files else [f"no {MODEL_CARD}"]

    @property
    def notice(self) -> str | None:
        """What every output must say of the model, or None."""
        return DEMO_NOTICE if self.manifest.demo else None


def load_bundle(path: Path) -> Bundle:
    """Reads a bundle and verifies every file of it.

    Raises:
        BundleError: the folder or its manifest is missing or cannot be read, the manifest is of another schema version
            or has an impossible value, a file is missing, differs from its hash, or is not listed.
    """
    if not path.is_dir():
        raise BundleError(f"bundle '{path}' is not a folder; give a folder that holds {MANIFEST}")
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise BundleError(f"bundle '{path}' has no {MANIFEST}; make one with 'pipeline bundle create'")
    manifest = _parse(manifest_path)
    _check_names(path, manifest.files)
    for name, expected in manifest.files.items():
        _check_file(path, name, expected)
    for folder in FOLDERS:
        for file in _files_below(path / folder):
            name = file.relative_to(path).as_posix()
            if name not in manifest.files:
                raise BundleError(f"bundle '{path}' holds '{name}', which its {MANIFEST} does not list; remove it")
    has_features = manifest.quality is not None and manifest.quality.features is not None
    if has_features != (FEATURES in manifest.files):
        raise BundleError(f"bundle '{path}': '{FEATURES}' and its manifest's quality need one another; create it again")
    for folder in STAGE_FOLDERS:
        if f"{folder}/model.json" not in manifest.files:
            raise BundleError(f"bundle '{path}' lists no '{folder}/model.json'; create it again")
    return Bundle(path, manifest, sha256_of(manifest_path))


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
    details = [_stage_details(folder) for folder in (stage1, stage2)]
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
            for file in _stage_files(source):
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
        hashes = {file.relative_to(new).as_posix(): sha256_of(file) for file in _files_below(new)}
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


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _parse(manifest_path: Path) -> BundleManifest:
    try:
        content = read_json(manifest_path)
    except RequestError as error:
        raise BundleError(str(error)) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != BUNDLE_SCHEMA_VERSION:
        raise BundleError(
            f"'{manifest_path}' has schema version {version!r}, this program reads {BUNDLE_SCHEMA_VERSION};"
            " create the bundle again with this version"
        )
    try:
        return BundleManifest.model_validate(content)
    except ValidationError as error:
        raise BundleError(f"'{manifest_path}' is not valid: {describe_validation(error)}; create it again") from error


def _check_names(folder: Path, names: Collection[str]) -> None:
    """Refuses names that lead out of the bundle, are one file for some systems, or could run code in a stage."""
    seen: dict[str, str] = {}
    for name in names:
        parts = PurePosixPath(name)
        plain = parts.as_posix() == name and not any(part.startswith(".") for part in parts.parts)
        if not plain or parts.is_absolute() or not name.isprintable() or set(name) & set("\\:") or name == MANIFEST:
            raise BundleError(
                f"bundle '{folder}' lists {name!r}, which is not a file inside it; do not use this bundle"
            )
        if parts.parts[0] in FOLDERS and parts.suffix not in STAGE_SUFFIXES:
            raise BundleError(
                f"bundle '{folder}' lists '{name}'; {parts.parts[0]}/ holds {' and '.join(STAGE_SUFFIXES)}"
            )
        twin = seen.setdefault(name.casefold(), name)
        if twin != name:
            raise BundleError(f"bundle '{folder}' lists '{twin}' and '{name}', one file for some systems; rename one")


def _check_file(folder: Path, name: str, expected: str) -> None:
    """Compares one listed file with its hash."""
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"bundle '{folder}': '{name}' is a link that leads out of it; copy the file instead")
    if not file.is_file():
        raise BundleError(f"bundle '{folder}' lacks '{name}'; copy or create it again")
    try:
        found = sha256_of(file)
    except OSError as error:
        raise BundleError(f"bundle '{folder}': '{name}' cannot be read ({error.strerror}); check it") from error
    if found != expected:
        raise BundleError(
            f"bundle '{folder}': '{name}' has SHA-256 {found[:12]}..., its {MANIFEST} says {expected[:12]}...;"
            " the file is damaged, copy or create the bundle again"
        )


def _stage_details(folder: Path) -> dict[str, Any]:
    """Returns a stage's `model.json` after checking that weights lie beside it."""
    if not (folder / "model.json").is_file() or not any(folder.glob("*.safetensors")):
        raise RequestError(f"'{folder}' is not an exported stage: it needs model.json and fold_<k>.safetensors")
    details = read_json(folder / "model.json")
    if not isinstance(details, dict):
        raise RequestError(f"'{folder / 'model.json'}' is not a JSON object; export the stage again")
    return details


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


def _stage_files(folder: Path) -> Iterator[Path]:
    yield from sorted(f for f in folder.iterdir() if f.is_file() and f.suffix in STAGE_SUFFIXES and f.name[0] != ".")


def _files_below(folder: Path) -> Iterator[Path]:
    """Yields every file below a folder that is not hidden, in a fixed order."""
    yield from sorted(f for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))
