"""The notebook widget holds the case's volumes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ctcore.errors import RequestError
from pipeline.viewer.notebook import case_widget
from tests.pipeline.conftest import LESION, PANCREAS


def test_a_case(output: Path) -> None:
    widget = case_widget(output, "ill", show_3d_crosshair=True)
    assert [volume.name for volume in widget.volumes] == ["ct.nii", "segmentation.nii.gz", "detection.nii.gz"]
    assert len(widget.volumes[0].data) == 352 + 2 * 12 * 20 * 24  # NIfTI's header, 16 bits a voxel
    assert all(volume.data.startswith(b"\x1f\x8b") for volume in widget.volumes[1:])  # gzip
    assert (widget.volumes[0].cal_min, widget.volumes[0].cal_max) == (-160, 240)
    assert widget.volumes[1].colormap_label.labels[LESION :: PANCREAS - LESION] == ["lesion", "pancreas"]
    assert widget.opts.is_radiological_convention


def test_no_such_case(output: Path) -> None:
    with pytest.raises(RequestError, match="has no case 'nobody'"):
        case_widget(output, "nobody")
    with pytest.raises(RequestError, match="case 'torn' has failed: 'torn_0000"):
        case_widget(output, "torn")


def test_it_is_not_installed(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(RequestError, match="install it with: pip install 'ct-lesion-pipeline"):
        case_widget(output, "ill")
