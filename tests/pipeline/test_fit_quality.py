"""Fitting a quality reference: what the new bundle holds, what it keeps, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ctcore.errors import BundleError, DatasetError
from ctcore.files import write
from ctcore.volume import Volume
from pipeline.bundle import FEATURES, Bundle, load_bundle
from pipeline.bundle_files import MANIFEST
from pipeline.cli import app
from pipeline.create_bundle import remade
from pipeline.fit_quality import fit_quality
from pipeline.stages import Stages
from tests.pipeline.conftest import FakePrediction
from tests.pipeline.test_quality import GEOMETRY, Locator, Predictor, ct

CASES = 24


@dataclass
class Described(Predictor):
    """A predictor with features of its own making."""

    seen: int = 0

    def predict(self, roi: Volume, /) -> FakePrediction:
        self.seen += 1
        features = np.random.default_rng(self.seen).normal(size=6).astype(np.float32)
        return replace(super().predict(roi), features=features)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of CTs with noise of 3 to 26 HU."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(CASES):
        tissue = np.random.default_rng(number).normal(40, 3 + number, GEOMETRY.shape).round()
        array = np.where(ct().array > 0, ct().array, tissue).astype(np.int16)
        array[0, 0, 0] = -100  # fat
        write(Volume(array, GEOMETRY), folder / f"case{number:02d}_0000.nii.gz")
    return folder


def test_what_a_fit_adds(bundle: Bundle, scans: Path, tmp_path: Path) -> None:
    stages = Stages(Locator(), Described())
    seen: list[tuple[int, int]] = []
    made = fit_quality(
        bundle, scans, tmp_path / "fitted", fitted_on="made up", load=lambda: stages, progress=lambda *a: seen.append(a)
    )
    quality = made.manifest.quality
    assert quality is not None
    assert (quality.cases, quality.fitted_on, quality.features) == (CASES, "made up", 6)
    spacing = quality.limits["slice_spacing_mm"]
    assert spacing.low == pytest.approx(2, rel=2e-3)
    assert spacing.high == pytest.approx(2, rel=2e-3)
    noise = quality.limits["noise_hu"]
    assert noise.low is not None
    assert noise.high is not None
    assert 2 < noise.low < 5
    assert 20 < noise.high < 32
    assert "fold_spread" not in quality.limits  # one fold
    reference = made.feature_reference()
    assert reference is not None
    assert len(reference.distances) == CASES
    assert seen[-1] == (CASES, CASES)
    for name in ("stage1/fold_all.safetensors", "stage2/fold_all.safetensors", "stage2/model.json"):
        assert made.manifest.files[name] == bundle.manifest.files[name]
    assert FEATURES in made.manifest.files
    assert made.manifest.model_copy(update={"quality": None, "files": {}}) == bundle.manifest.model_copy(
        update={"files": {}}
    )
    again = remade(made, tmp_path / "again", overwrite=False)
    assert again.manifest == made.manifest


def test_features_that_some_cases_lack_are_no_reference(bundle: Bundle, scans: Path, tmp_path: Path) -> None:
    stages = Stages(Locator(), Predictor())
    made = fit_quality(bundle, scans, tmp_path / "fitted", fitted_on="made up", load=lambda: stages)
    assert made.manifest.quality is not None
    assert made.manifest.quality.features is None
    assert made.feature_reference() is None
    assert FEATURES not in made.manifest.files


def test_few_cases_are_refused(bundle: Bundle, cohort: Path, tmp_path: Path, stages: Stages) -> None:
    with pytest.raises(DatasetError, match="holds 2 CTs; give 20 at least"):
        fit_quality(bundle, cohort, tmp_path / "fitted", fitted_on="two", load=lambda: stages)
    assert not (tmp_path / "fitted").exists()


def test_a_ct_that_cannot_be_used_is_named(bundle: Bundle, scans: Path, tmp_path: Path, stages: Stages) -> None:
    (scans / "case07_0000.nii.gz").write_bytes(b"no image")
    with pytest.raises(DatasetError, match="case 'case07' cannot be used"):
        fit_quality(bundle, scans, tmp_path / "fitted", fitted_on="made up", load=lambda: stages)


@pytest.fixture
def described(bundle: Bundle, scans: Path, tmp_path: Path) -> Bundle:
    """A bundle with features."""
    stages = Stages(Locator(), Described())
    return fit_quality(bundle, scans, tmp_path / "fitted", fitted_on="made up", load=lambda: stages)


def test_features_are_hashed_like_all_else(described: Bundle) -> None:
    path = described.folder / FEATURES
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleError, match=r"quality/features\.safetensors' has SHA-256"):
        load_bundle(described.folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["quality"].update(features=None), "need one another"),
        (lambda m: m["files"].pop(FEATURES), "does not list"),
        (lambda m: m["quality"].update(limits={"charm": {"low": 1}}), "not valid"),
        (lambda m: m["quality"]["limits"].update(noise_hu={"low": 3, "high": 1}), "hold nothing"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    described: Bundle, change: Callable[[dict[str, dict[str, object]]], object], words: str
) -> None:
    path = described.folder / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=words):
        load_bundle(described.folder)


def test_features_of_another_length_are_refused(described: Bundle) -> None:
    path = described.folder / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["quality"]["features"] = 7
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"of 6 features, the bundle's bundle\.json says 7"):
        load_bundle(described.folder).feature_reference()


def test_the_command(bundle: Bundle, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.stages.load_stages", lambda *_, **__: Stages(Locator(), Described()))
    command = ["bundle", "fit-quality", "--bundle", str(bundle.folder), "--input", str(scans), "--device", "cpu"]
    place = ["--fitted-on", "24 made up CTs", "--output", str(tmp_path / "fitted")]
    outcome = CliRunner().invoke(app, [*command, *place])
    assert outcome.exit_code == 0, outcome.output
    assert "on 24 cases (24 made up CTs)" in outcome.output
    assert "slice_spacing_mm: 2 to 2" in outcome.output
    card = (tmp_path / "fitted" / "MODEL_CARD.md").read_text()
    assert "Of 24 cases (24 made up CTs); a case outside is flagged." in card
    assert "- features of stage 2: 6" in card
    shown = CliRunner().invoke(app, ["bundle", "inspect", str(tmp_path / "fitted")])
    assert "6 features of stage 2" in shown.output
