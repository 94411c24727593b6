"""What is kept of the epochs, through interruptions and damage."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import RequestError
from ctcore.nnunet.training.course import Course, CourseWriter, read_course


def make_course(**changes: Any) -> Course:
    values: dict[str, Any] = {
        "recipe": "tiny",
        "fold": "0",
        "epochs_at_most": 5,
        "criterion": "smoothed pseudo-Dice",
        "phantoms": False,
    }
    return Course(**(values | changes))


def test_figures_by_epoch(tmp_path: Path) -> None:
    writer = CourseWriter(tmp_path, make_course(), 0, {"device": "cpu"})
    assert read_course(tmp_path).epochs == []  # there before the first epoch
    writer.add(0, {"loss/train": 1.0, "dice/absent": math.nan, "dice/lesion": 0.5}, (0, 0.5))
    writer.add(1, {"loss/train": math.inf, "dice/lesion": math.nan, "auroc": 0.75}, (0, -math.inf))
    found = read_course(tmp_path)
    assert found.epochs == [0, 1]
    assert found.figures == {"loss/train": [1.0, None], "dice/lesion": [0.5, None], "auroc": [None, 0.75]}
    assert (found.best_epoch, found.best_quality) == (0, None)
    assert [(each.first_epoch, each.facts) for each in found.sessions] == [(0, {"device": "cpu"})]
    assert not list(tmp_path.glob(".partial-*"))


def test_a_resumed_run_repeats_what_was_not_kept(tmp_path: Path) -> None:
    first = CourseWriter(tmp_path, make_course(phantoms=True), 0, {})
    for epoch in range(4):  # epochs 2 and 3 were written, but the checkpoint is of epoch 1
        first.add(epoch, {"dice/mean": epoch / 8} | ({"auroc": 0.5} if epoch == 3 else {}), (epoch, 0.5))
    first.end("the loss is nan")
    assert read_course(tmp_path).ended_by == "the loss is nan"
    second = CourseWriter(tmp_path, make_course(), 2, {})
    second.add(2, {"dice/mean": 1.0}, (2, 1.0))
    found = read_course(tmp_path)
    assert found.epochs == [0, 1, 2]
    assert found.figures == {"dice/mean": [0.0, 0.125, 1.0]}
    assert [each.first_epoch for each in found.sessions] == [0, 2]
    assert found.ended_by is None
    assert found.phantoms  # known once, known for ever: the dataset may have gone since


def test_a_restart_begins_anew(tmp_path: Path) -> None:
    CourseWriter(tmp_path, make_course(), 0, {}).add(0, {"dice/mean": 0.5}, (0, 0.5))
    CourseWriter(tmp_path, make_course(), 0, {})
    assert (read_course(tmp_path).epochs, len(read_course(tmp_path).sessions)) == ([], 1)


def test_damage_costs_the_epochs_not_the_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "epochs.json").write_text('{"recipe": "ti')
    with caplog.at_level(logging.WARNING):
        CourseWriter(tmp_path, make_course(), 3, {}).add(3, {"dice/mean": 0.5}, (3, 0.5))
    assert "the page of this training begins with epoch 3" in caplog.text
    assert read_course(tmp_path).epochs == [3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": [0, 0]}, "epochs do not rise"),
        ({"figures": {"loss/train": [1.0]}}, "figures.loss/train has 1 values for 2 epochs"),
        ({"figures": {"loss/train": [1.0, 1e300]}}, "figures.loss/train.1 = 1e\\+300"),
        ({"epochs": [-1, 0]}, "epochs.0 = -1"),
        ({"schema_version": 2}, "schema_version = 2"),
        ({"more": 1}, "more = 1"),
        ({"sessions": [{"first_epoch": 0}]}, r"sessions.0.started is missing"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    values = make_course().model_dump(mode="json") | {"epochs": [0, 1], "figures": {"loss/train": [1.0, None]}}
    (tmp_path / "epochs.json").write_text(json.dumps(values))
    assert read_course(tmp_path).figures == {"loss/train": [1.0, None]}
    (tmp_path / "epochs.json").write_text(json.dumps(values | change))
    with pytest.raises(RequestError, match=rf"epochs\.json' is damaged: .*{message}"):
        read_course(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"recipe": NaN}', "\x00"])
def test_what_is_no_course_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "epochs.json").write_text(content)
    with pytest.raises(RequestError, match=r"epochs\.json'"):
        read_course(tmp_path)
