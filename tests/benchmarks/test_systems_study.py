"""What the systems study runs, without running it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import systems_recipes, systems_study
from benchmarks.systems_recipes import VOLUME, Job, Task
from benchmarks.systems_study import Study
from ctcore.detection.options import read_candidate_settings
from stage2_multitask.recipe import load

CLASSES = f"class_names={systems_recipes.CLASSES['subtypes']}"

Commands = list[list[str]]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Commands of the packages that were called; each leaves the file by which it is known to be done."""
    called: Commands = []

    def leave(*arguments: str, **_options: object) -> None:
        called.append(list(arguments))
        output = Path(arguments[arguments.index("--output") + 1]) if "--output" in arguments else None
        names = {"phantom": "case_labels.csv", "export": "model.json", "evaluate": "metrics.json"}
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            (output / names.get(arguments[1], "dataset.json")).touch()
        if arguments[1] == "evaluate" and output is not None:
            rows = "class_name,p_PDAC,detection_max\nPDAC,0.9,0.8\nnon-PDAC,0.2,0.1\n"
            (output / "cases.csv").write_text(rows)

    monkeypatch.setattr(systems_study, "run", leave)
    return called


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path, tmp_path / "maps", train=6, bent=3, test=4, epochs=3, steps=2, workers=1)


def called(commands: Commands, name: str) -> Commands:
    return [command for command in commands if command[1] == name]


def values(command: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(command) if name == option]


def test_every_part_is_made_once(study: Study, commands: Commands) -> None:
    job = Job("pdac", "flagship", "flagship")
    study.train_and_evaluate([job])
    assert [len(called(commands, name)) for name in ("phantom", "prepare", "plan", "train", "export")] == [
        3,
        2,
        1,
        1,
        1,
    ]
    assert len(called(commands, "evaluate")) == 2  # the held-out fold gives the weight of head and map
    before = len(commands)
    study.train_and_evaluate([job])
    assert len(commands) == before


def test_training_and_test_share_no_label_map(study: Study, commands: Commands) -> None:
    study.cohorts("pdac", "train")
    train = [command for command in called(commands, "phantom") if "--around-mm" in command]
    assert [values(command, "--exclude") for command in train] == [[str(study.root / "pdac-test")]] * 2


@pytest.mark.parametrize(("system", "labels"), [("gap", "three"), ("flagship", "all")])
def test_each_subtype_is_a_label_but_of_published_variants(
    study: Study, commands: Commands, system: str, labels: str
) -> None:
    jobs = [Job("pdac", system, system), Job("subtypes", f"{system}@published", "p"), Job("subtypes", system, system)]
    folders = [study.crops(job, "train").name for job in jobs]
    assert folders == [f"pdac-train-{labels}", f"subtypes-train-{labels}", f"subtypes-train-{labels}-kinds"]
    changes = [value for value in values(called(commands, "prepare")[-1], "--set") if "label" in value]
    assert list(load(system, [CLASSES, *changes]).lesion_labels) == ["subtype0", "subtype1", "subtype2"]


def test_another_plan_has_a_workspace_of_its_own(study: Study, commands: Commands) -> None:
    whole = Job("pdac", "flagship", "whole")
    parts = Job("pdac", "flagship", "parts", ("patch_size=[16,16,16]",), plan="flagship-parts")
    folders = [study.workspace(job).name for job in (whole, replace(whole, run="again"), parts)]
    assert folders == ["pdac-train-all-flagship", "pdac-train-all-flagship", "pdac-train-all-flagship-parts"]
    assert len(called(commands, "prepare")) == 1
    _, planned = called(commands, "plan")
    sizes = [value for value in values(planned, "--set") if value.startswith("patch_size=")]
    assert sizes == [f"patch_size={VOLUME}", "patch_size=[16,16,16]"]  # the last one counts


def test_several_folds_are_a_model_of_their_own(study: Study, commands: Commands) -> None:
    one = Job("pdac", "slice-ensemble", "slices")
    study.train_and_evaluate([one])
    study.train_and_evaluate([replace(one, folds=("0", "1"), evaluated_as="slices.two")])
    assert [values(command, "--fold") for command in called(commands, "train")] == [["0"], ["0,1"]]
    models = [Path(values(command, "--output")[0]).name for command in called(commands, "export")]
    assert models == ["slices", "slices.two"]


def test_candidates_are_cut_out_as_a_run_asks(study: Study, commands: Commands) -> None:
    whole = Job("pdac", "gap", "gap")
    study.train_and_evaluate([whole])
    study.train_and_evaluate([replace(whole, candidates=(("dynamic_threshold_factor", 2.5),), evaluated_as="tight")])
    files = [Path(values(command, "--candidate-settings")[0]) for command in called(commands, "evaluate")]
    settings = [read_candidate_settings(file) for file in files]
    assert [found.dynamic_threshold_factor for found in settings] == [5.0, 5.0, 2.5, 2.5]  # held-out fold, then test
    assert {(found.mode, found.min_volume_ml) for found in settings} == {("dynamic-v2-mean", 0.6)}


def test_head_and_map_are_weighed_as_suits_the_held_out_fold(study: Study, commands: Commands) -> None:
    job = Job("pdac", "gap", "gap")
    study.evaluation(job)
    study.held_out(job)
    evaluated = called(commands, "evaluate")
    assert [values(command, "--weight") for command in evaluated] == [[], ["0.5"], ["0.5"]]
    assert [bool(values(command, "--model")) for command in evaluated] == [False, True, False]
    study.held_out(replace(job, scoring=("--weight", "0.1"), evaluated_as="other"))
    assert values(called(commands, "evaluate")[-1], "--weight") == ["0.5", "0.1"]  # the last one counts
    assert len(called(commands, "train")) == 1


@pytest.mark.parametrize(("task", "fitted"), [("pdac", True), ("subtypes", False)])
def test_only_pdac_fits_the_weight_of_head_and_map(study: Study, commands: Commands, task: Task, fitted: bool) -> None:
    study.evaluation(Job(task, "gap", "gap"))
    assert ("--weight" in called(commands, "evaluate")[-1]) is fitted


def test_a_failed_training_stops_the_study(study: Study, commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    leave: Callable[..., None] = vars(systems_study)["run"]  # as the fixture has it

    def fail(*arguments: str, **options: object) -> None:
        if arguments[1] == "train":
            raise RuntimeError("out of memory")
        leave(*arguments, **options)

    monkeypatch.setattr(systems_study, "run", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        study.train_and_evaluate([Job("pdac", "gap", "gap")])
    assert not called(commands, "evaluate")
