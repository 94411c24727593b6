"""Label maps as anatomy: reading them, turning them upright, keeping them unchanged."""

from collections.abc import Callable

import numpy as np
import pytest

from ctcore.errors import LabelError, RequestError
from ctcore.geometry import to_lps
from ctcore.phantom.anatomy import label_map
from ctcore.phantom.phantom import make_phantom
from ctcore.volume import Geometry, Volume

Maker = Callable[..., Volume]


def flipped(volume: Volume) -> Volume:
    """The same patient, stored RAS."""
    spacing, size = volume.geometry.spacing, volume.geometry.size_xyz
    origin = tuple(
        o + (n - 1) * s if axis < 2 else o
        for axis, (o, n, s) in enumerate(zip(volume.geometry.origin, size, spacing, strict=True))
    )
    direction = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
    geometry = Geometry(volume.geometry.shape, spacing, origin, direction)  # type: ignore[arg-type]
    return Volume(np.ascontiguousarray(volume.array[:, ::-1, ::-1]), geometry)


def test_stored_orientation_does_not_matter(hand_made_map: Maker) -> None:
    volume = hand_made_map(lesion=True)
    np.testing.assert_array_equal(label_map(volume).array, label_map(flipped(volume)).array)


def test_stray_values_become_background_and_are_counted(hand_made_map: Maker) -> None:
    source = label_map(hand_made_map(lesion=True, stray=2))
    assert source.stray == {7: 8}
    assert source.array.max() <= 6


def test_an_upside_down_map_is_turned(hand_made_map: Maker) -> None:
    volume = hand_made_map(lesion=False)
    upright = label_map(volume)
    turned = label_map(volume.with_array(np.ascontiguousarray(volume.array[::-1])))
    assert not upright.turned
    assert turned.turned
    np.testing.assert_array_equal(upright.array, turned.array)


@pytest.mark.parametrize(("value", "reason"), [(0, "is empty"), (3, "no pancreas"), (4.5, "fractions")])
def test_a_map_without_a_pancreas_is_refused(hand_made_map: Maker, value: float, reason: str) -> None:
    volume = hand_made_map(lesion=False)
    with pytest.raises(LabelError, match=reason):
        label_map(volume.with_array(np.where(volume.array > 0, value, 0)))


def test_the_class_must_agree_with_the_map(hand_made_map: Maker) -> None:
    with pytest.raises(RequestError, match=r"no lesion \(label 1\)"):
        make_phantom(0, positive=True, anatomy_labels=hand_made_map(lesion=False))
    with pytest.raises(RequestError, match="a non-PDAC case was asked for"):
        make_phantom(0, positive=False, anatomy_labels=hand_made_map(lesion=True))


def test_labels_keep_their_volumes_and_places(hand_made_map: Maker) -> None:
    volume = hand_made_map(lesion=True, stray=1)
    phantom = make_phantom(4, positive=True, anatomy_labels=volume)
    labels, _ = to_lps(phantom.labels)
    image, _ = to_lps(phantom.image)
    assert set(np.unique(labels.array)) <= set(range(7))
    sizes = [np.count_nonzero(labels.array == label) * labels.geometry.voxel_volume_ml for label in range(7)]
    wanted = [np.count_nonzero(volume.array == label) * volume.geometry.voxel_volume_ml for label in range(7)]
    for label in (1, 2, 3, 4):
        assert sizes[label] == pytest.approx(wanted[label], rel=0.15), label

    def middle(held: Volume, label: int) -> np.ndarray:
        return np.asarray(held.geometry.index_to_physical(np.argwhere(held.array == label)).mean(axis=0))

    # The body moves as a whole: from the aorta to the lesion it is as far as in the map.
    step = middle(labels, 1) - middle(labels, 3)
    np.testing.assert_allclose(step, middle(volume, 1) - middle(volume, 3), atol=2.0)
    recorded = phantom.record["draws"]
    assert recorded["anatomy.stray_labels"] == {"7": 4}
    aorta = image.array[labels.array == 3]
    assert np.median(aorta) == pytest.approx(recorded["hu.mean"]["arteries"], abs=12.0)
