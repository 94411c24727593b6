"""Bundles: what is written can be read, and whatever is wrong with one is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import BundleError, RequestError
from pipeline.bundle import Bundle, load_bundle
from pipeline.bundle_files import MANIFEST, sha256_of
from pipeline.create_bundle import create_bundle
from pipeline.manifest import DEMO_NOTICE


def edit_manifest(bundle: Bundle, **changes: Any) -> None:
    """Changes keys of a bundle's manifest."""
    path = bundle.folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_created_is_loaded(bundle: Bundle) -> None:
    loaded = load_bundle(bundle.folder)
    assert loaded == bundle
    assert sorted(loaded.manifest.files) == [
        "MODEL_CARD.md",
        "stage1/fold_all.safetensors",
        "stage1/model.json",
        "stage2/fold_all.safetensors",
        "stage2/model.json",
    ]
    assert loaded.manifest.class_names == ("non-PDAC", "PDAC")
    assert loaded.manifest.candidates.mode == "dynamic-v2"
    assert loaded.manifest.fusion.weight == 0.5
    assert loaded.notice is None


def test_sha256_is_the_published_test_vector(tmp_path: Path) -> None:
    (tmp_path / "abc").write_text("abc")  # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_demo_bundle_says_what_it_is_not(make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle(demo=True)
    assert bundle.notice == DEMO_NOTICE
    card = (bundle.folder / "MODEL_CARD.md").read_text()
    assert "not for clinical use" in card
    assert "- stage 1: parametric phantoms" in card
    assert "recipe: low" in card


def test_changed_byte_is_named(bundle: Bundle) -> None:
    weights = bundle.stage2 / "fold_all.safetensors"
    weights.write_bytes(b"X" + weights.read_bytes()[1:])
    with pytest.raises(BundleError, match=r"stage2/fold_all\.safetensors.*damaged"):
        load_bundle(bundle.folder)


def test_missing_file_is_named(bundle: Bundle) -> None:
    (bundle.stage1 / "model.json").unlink()
    with pytest.raises(BundleError, match=r"lacks 'stage1/model\.json'"):
        load_bundle(bundle.folder)


def test_unlisted_weights_are_named(bundle: Bundle) -> None:
    (bundle.stage1 / "fold_9.safetensors").write_bytes(b"smuggled")
    with pytest.raises(BundleError, match=r"fold_9\.safetensors.*does not list"):
        load_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 99}, "schema version 99"),
        ({"schema_version": None}, "schema version None"),
        ({"orientation": "sideways"}, "orientation"),
        ({"fusion": {"rule": "mean", "weight": 2}}, r"fusion\.weight"),
        ({"lesion_classes": ["cancer"]}, "cancer"),
        ({"surprise": 1}, "surprise"),
        ({"files": {"../secret": "00"}}, "not a file inside it"),
        ({"files": {"/etc/passwd": "00"}}, "not a file inside it"),
        ({"files": {"stage1/fold_0.pth": "00"}}, r"stage1/fold_0\.pth"),
        ({"files": {}}, "does not list"),
    ],
)
def test_bad_manifest_is_refused_in_one_line(bundle: Bundle, changes: dict[str, Any], message: str) -> None:
    edit_manifest(bundle, **changes)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(bundle.folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_manifest_that_is_not_an_object(bundle: Bundle, content: str) -> None:
    (bundle.folder / MANIFEST).write_text(content)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        load_bundle(bundle.folder)


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a folder"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"has no bundle\.json"):
        load_bundle(tmp_path)


def test_an_earlier_bundle_is_replaced_only_when_asked(
    make_bundle: Callable[..., Bundle], make_stage: Callable[..., Path]
) -> None:
    bundle = make_bundle()
    stages = make_stage("other1"), make_stage("other2", class_names=["non-PDAC", "PDAC"])
    with pytest.raises(RequestError, match="exists"):
        create_bundle(*stages, bundle.folder, name="new", description="")
    assert load_bundle(bundle.folder) == bundle
    create_bundle(*stages, bundle.folder, name="new", description="", overwrite=True)
    assert load_bundle(bundle.folder).manifest.name == "new"


def test_overwrite_never_replaces_a_folder_that_is_no_bundle(tmp_path: Path, make_stage: Callable[..., Path]) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.txt").write_text("years of work")
    stages = make_stage("stage1"), make_stage("stage2", class_names=["non-PDAC", "PDAC"])
    with pytest.raises(RequestError, match="exists"):
        create_bundle(*stages, precious, name="new", description="", overwrite=True)
    assert (precious / "chapter.txt").read_text() == "years of work"


@pytest.mark.parametrize("details", [{}, {"class_names": ["a", "b"]}])
def test_failed_creation_leaves_nothing(
    tmp_path: Path, make_stage: Callable[..., Path], details: dict[str, Any]
) -> None:
    stages = make_stage("stage1"), make_stage("stage2", **details)
    with pytest.raises(RequestError):
        create_bundle(*stages, tmp_path / "out" / "bundle", name="new", description="")
    assert not (tmp_path / "out" / "bundle").exists()
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_stage_without_weights(tmp_path: Path, make_stage: Callable[..., Path]) -> None:
    stage1, stage2 = make_stage("stage1"), make_stage("stage2", class_names=["non-PDAC", "PDAC"])
    (stage1 / "fold_all.safetensors").unlink()
    with pytest.raises(RequestError, match="is not an exported stage"):
        create_bundle(stage1, stage2, tmp_path / "bundle", name="new", description="")


def test_subtypes_are_lesion_classes_without_being_told(make_stage: Callable[..., Path], tmp_path: Path) -> None:
    stage1 = make_stage("stage1")
    stages = {
        name: make_stage(name, class_names=classes)
        for name, classes in (("three", ["subtype0", "subtype1", "subtype2"]), ("other", ["normal", "cyst"]))
    }
    three = create_bundle(stage1, stages["three"], tmp_path / "b", name="three", description="For tests.")
    assert three.manifest.lesion_classes == ("subtype0", "subtype1", "subtype2")
    with pytest.raises(RequestError, match=r"none of the classes normal, cyst is known to stand for a lesion"):
        create_bundle(stage1, stages["other"], tmp_path / "o", name="other", description="For tests.")
    assert not (tmp_path / "o").exists()
    told = create_bundle(
        stage1, stages["other"], tmp_path / "o", name="other", description="For tests.", lesion_classes=("cyst",)
    )
    assert told.manifest.lesion_classes == ("cyst",)
