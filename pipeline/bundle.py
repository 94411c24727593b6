"""A bundle: one directory with both stages' weights and all constants that `pipeline run` needs, each file hashed.

    bundle.json      the manifest, with the SHA-256 of every other file
    stage1/          the localizer: model.json and fold_<k>.safetensors
    stage2/          the multi-task network, the same
    quality/         where quality was fitted: stage 2's features of reference cases (features.safetensors)
    MODEL_CARD.md    what the model is, is not, and was trained on

Weights are safetensors and settings are JSON: a bundle from a stranger can be opened without running its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ctcore.errors import BundleError, RequestError, describe_validation, first_line
from ctcore.json_files import read_json
from pipeline.bundle_files import FOLDERS, MANIFEST, STAGE_FOLDERS, check_file, check_names, files_below, sha256_of
from pipeline.manifest import BUNDLE_SCHEMA_VERSION, DEMO_NOTICE, BundleManifest
from pipeline.model_card import gaps

if TYPE_CHECKING:
    from ctcore.quality.outlier import FeatureReference

MODEL_CARD = "MODEL_CARD.md"
FEATURES = "quality/features.safetensors"
"""Where a bundle keeps its reference for stage 2's features."""

DEMO_BUNDLE = Path(__file__).parent / "demo_bundle"
"""The demonstration bundle that comes with the package."""


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
    check_names(path, manifest.files)
    for name, expected in manifest.files.items():
        check_file(path, name, expected)
    for folder in FOLDERS:
        for file in files_below(path / folder):
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
