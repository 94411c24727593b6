"""The pages of a training: whatever a fold's folder holds, they stand and say so."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import DatasetError
from ctcore.json_files import write_json
from ctcore.lock import locked
from ctcore.nnunet.training.course import CourseWriter
from ctcore.nnunet.training.training_page import write_pages, write_report
from tests.ctcore.nnunet.training.test_course import make_course
from tests.visitor import Visitor

HOSTILE = "<script>alert(1)</script>\"'&"
PHANTOMS = "trained on synthetic CTs (phantoms)"


def fold_folder(results: Path, fold: str = "0", **recipe: Any) -> Path:
    """Begins a fold: its folder and recipe."""
    folder = results / "Dataset007_Tiny" / "Trainer__nnUNetPlans__3d_fullres" / f"fold_{fold}"
    write_json(folder / "recipe.json", {"name": "tiny", "head": {"kind": "fpn"}, "features": [4, 8]} | recipe)
    return folder


def train(folder: Path, epochs: int = 3, *, more: dict[str, float] | None = None, **course: Any) -> CourseWriter:
    """Writes the course of a fold whose second epoch is the best."""
    writer = CourseWriter(folder, make_course(**course), 0, {"training cases": "8", "validation cases": "2"})
    for epoch in range(epochs):
        figures = {"loss/train": 1 / (epoch + 1), "dice/lesion": epoch / 10, "seconds_an_epoch": 2.0} | (more or {})
        writer.add(epoch, figures, (min(epoch, 1), 0.5))
    return writer


def page(path: Path) -> str:
    """Reads a page, and checks that its tags are closed and that it asks nobody for anything."""
    html = path.read_text(encoding="utf-8")
    Tags().feed(html)
    assert "<script" not in html
    assert not re.search(r"https?:|@import|url\(|src=", html)
    return html


class Tags(HTMLParser):
    """Refuses tags that are closed in another order than opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_fold_and_all_folds(tmp_path: Path) -> None:
    for fold in ("0", "1", "10", "2", "all"):
        folder = fold_folder(tmp_path, fold)
        train(folder)
        (folder / "weights.safetensors").touch()
    assert write_report(tmp_path) == tmp_path / "training.html"
    whole = page(tmp_path / "training.html")
    rows = re.findall(r'<th scope="row"><a href="([^"]+)">([^<]+)</a></th><td>(\w+)</td>', whole)
    assert [(name, state) for _, name, state in rows] == [
        ("fold 0", "trained"),
        ("fold 1", "trained"),
        ("fold 2", "trained"),
        ("fold 10", "trained"),
        ("all cases", "trained"),
    ]
    assert all((tmp_path / link).is_file() for link, _, _ in rows)
    assert len(re.findall(r"<title>Loss\. fold 0: 3 values, from 1 to 0\.3333; fold 1: ", whole)) == 1
    assert PHANTOMS not in whole
    own = page(tmp_path / rows[0][0])
    assert "Training: recipe tiny, fold 0" in own
    assert 'href="../../../training.html"' in own
    assert '<div class="tile"><b>3 of 5</b><span>epochs</span></div>' in own
    assert '<div class="tile"><b>1</b><span>best epoch</span></div>' in own
    assert '<line class="best"' in own
    last_best_least_most = re.findall(
        r"Dice of validation patches: lesion</th><td><code>dice/lesion</code></td>"
        r'<td class="number">(.*?)</td><td class="number">(.*?)</td><td class="number">(.*?)</td>'
        r'<td class="number">(.*?)</td>',
        own,
    )
    assert last_best_least_most == [("0.2", "0.1", "0", "0.2")]
    for name, value in (("head.kind", "fpn"), ("features", "4, 8"), ("training cases", "8")):
        assert f'<th scope="row">{name}</th><td><code>{value}</code></td>' in own


def test_to_another_folder(tmp_path: Path) -> None:
    folder = fold_folder(tmp_path / "results")
    train(folder)
    assert write_report(tmp_path / "results", tmp_path / "out") == tmp_path / "out" / "training.html"
    assert 'href="fold_0.html"' in page(tmp_path / "out" / "training.html")
    assert 'href="training.html"' in page(tmp_path / "out" / "fold_0.html")
    assert not (folder / "training.html").exists()


def test_phantoms_are_told(tmp_path: Path) -> None:
    folder = fold_folder(tmp_path)
    train(folder, phantoms=True)
    write_pages(folder)
    assert PHANTOMS in page(folder / "training.html")
    assert PHANTOMS in page(tmp_path / "training.html")


def test_states(tmp_path: Path) -> None:
    folder = fold_folder(tmp_path)
    writer = train(folder, 0)
    with locked(folder):
        write_pages(folder)
        assert "fold 0: no epoch is finished yet." in page(folder / "training.html")
        assert "<b>in training</b>" in page(folder / "training.html")
    writer.add(0, {"loss/train": 1.0}, (0, 0.5))
    write_pages(folder)
    told = "fold 0 stopped after 1 of 5 epochs; <code>train</code> goes on with it."
    assert told in page(folder / "training.html")
    assert '<td class="failed">stopped</td>' in page(tmp_path / "training.html")
    writer.end(f"the loss is nan on cases {HOSTILE}")
    write_pages(folder)
    assert "fold 0 stopped after 1 of 5 epochs: the loss is nan on cases &lt;script&gt;" in page(
        tmp_path / "training.html"
    )
    CourseWriter(folder, make_course(), 1, {}).add(1, {"loss/train": 0.5}, (0, 0.5))
    with locked(folder):
        write_pages(folder)
    own = page(folder / "training.html")
    assert "stopped after" not in own
    assert '<line class="event"' in own
    assert '<th scope="row">continued at epoch 1</th>' in own


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 1}', None])
def test_a_damaged_fold_does_not_hide_the_others(tmp_path: Path, content: str | None) -> None:
    whole_fold, damaged = fold_folder(tmp_path, "0"), fold_folder(tmp_path, "1")
    train(whole_fold)
    if content is not None:
        (damaged / "epochs.json").write_text(content)
    write_report(tmp_path)
    assert "its curves are not shown" in page(damaged / "training.html")
    whole = page(tmp_path / "training.html")
    assert len(re.findall(r"fold 1: [^<]*epochs\.json[^<]*; its curves are not shown\.", whole)) == 1
    assert "<title>Loss. fold 0: 3 values" in whole


def test_a_damaged_recipe(tmp_path: Path) -> None:
    folder = fold_folder(tmp_path)
    train(folder)
    (folder / "recipe.json").write_text("[1, 2]")
    write_report(tmp_path)
    assert "Training: recipe tiny, fold 0" in page(folder / "training.html")


def test_nothing_begun(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no fold was begun in '.*'; run `train` first"):
        write_report(tmp_path)


def test_hostile_names(tmp_path: Path) -> None:
    folder = fold_folder(tmp_path, "<b>&", name=HOSTILE, description=HOSTILE)
    train(folder, more={f"dice/{HOSTILE}": 0.5, HOSTILE: 1.0}, criterion=HOSTILE, fold=HOSTILE)
    write_report(tmp_path)
    for path in (folder / "training.html", tmp_path / "training.html"):
        assert "<b>&" not in page(path).replace("<b>&lt;", "")
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page(path)
    assert 'href="Dataset007_Tiny/Trainer__nnUNetPlans__3d_fullres/fold_%3Cb%3E%26/training.html"' in page(
        tmp_path / "training.html"
    )


def test_in_a_browser(visitor: Visitor, tmp_path: Path) -> None:
    for fold in "01":
        train(fold_folder(tmp_path / "tiny", fold))
    visitor.page.goto(write_report(tmp_path / "tiny").resolve().as_uri())
    assert visitor.page.get_by_role("heading", name="Loss").count() == 1
    assert visitor.violations() == []
    visitor.page.get_by_role("link", name="fold 1").click()
    assert visitor.page.get_by_role("heading", level=1).inner_text() == "Training: recipe tiny, fold 1"
    chart = visitor.page.get_by_role("img", name="Dice of validation patches. lesion: 3 values, from 0 to 0.2")
    width = visitor.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert (chart.count(), width, visitor.violations()) == (1, 0, [])
    visitor.page.set_viewport_size({"width": 360, "height": 800})
    width = visitor.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width == 0  # no scrolling to the side on a telephone
    visitor.page.get_by_role("link", name="All folds").click()
    assert visitor.page.get_by_role("heading", level=1).inner_text() == "Training: recipe tiny"
