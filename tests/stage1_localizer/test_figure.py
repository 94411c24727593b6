"""The picture of the worst cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ctcore.volume import Geometry, Volume
from stage1_localizer.figure import draw_worst, view_of
from stage1_localizer.localizer import Localization
from stage1_localizer.measure import CaseMasks, LocatedCase, compare
from stage1_localizer.roi import fallback_box

SHAPE = (10, 30, 40)


def case(case_id: str, *, labelled: bool = True, found: bool = True) -> tuple[LocatedCase, CaseMasks]:
    geometry = Geometry(SHAPE, (1.0, 1.0, 3.0))
    ct = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    pancreas, lesion, mask = (np.zeros(SHAPE, bool) for _ in range(3))
    if labelled:
        pancreas[2:6, 10:20, 10:30] = True
        lesion[2:4, 10:14, 10:14] = True
    if found:
        mask[3:7, 12:22, 10:30] = True
    box = fallback_box(ct)
    located = Localization(
        Volume(mask.astype(np.uint8), geometry), box, "localizer" if found else "fallback", (), float(mask.sum()) / 333
    )
    masks = CaseMasks(Volume(ct, geometry), pancreas, lesion, mask)
    return compare(case_id, "0", located, masks, 0.1), masks


def test_slices_and_projections() -> None:
    located, masks = case("a")
    axial, coronal = view_of(located, masks).projections
    np.testing.assert_array_equal(axial.ct, masks.ct.array[3])  # the middle of slices 2 to 5
    np.testing.assert_array_equal(coronal.ct, masks.ct.array[:, 14])
    assert axial.masks["pancreas"].sum() == 10 * 20
    assert coronal.masks["lesion"].sum() == 2 * 4
    assert (axial.axes, coronal.axes) == ((1, 2), (0, 2))


def test_the_scans_middle_where_nothing_is_labelled() -> None:
    located, masks = case("a", labelled=False)
    np.testing.assert_array_equal(view_of(located, masks).projections[0].ct, masks.ct.array[5])


def test_one_picture(tmp_path: Path) -> None:
    cases = [case("a"), case("b", found=False), case("c", labelled=False)]
    for number in (1, 3):
        path = tmp_path / f"{number}.png"
        draw_worst([view_of(*each) for each in cases[:number]], (3.0, 2.0, 2.0), path)
        assert path.read_bytes().startswith(b"\x89PNG")
    again = tmp_path / "again.png"
    draw_worst([view_of(*each) for each in cases], (3.0, 2.0, 2.0), again)
    assert again.read_bytes() == (tmp_path / "3.png").read_bytes()
