"""Surfaces of labels, as viewers draw them in three dimensions."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box
from ctcore.volume import Geometry

MZ3_MAGIC, MZ3_FACES_AND_VERTICES = 23117, 3
"""First words of Surf Ice's mesh format (https://github.com/neurolabusc/surf-ice/tree/master/mz3)."""

ROUNDS, SHRINK, SWELL = 4, 0.5, -0.53
"""Taubin's smoothing (SIGGRAPH 1995) takes voxels' steps away and spares volumes; a duct of one voxel keeps 2/3."""


def surface(mask: npt.NDArray[np.bool_], geometry: Geometry) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Returns the surface of a mask: vertices (n, 3) in RAS mm, triangles (m, 3) as their indices; or none.

    Args:
        mask: (z, y, x).
        geometry: its grid.
    """
    from skimage.measure import marching_cubes

    box = Box.of_mask(mask)
    if box is None:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    inside = np.pad(mask[box.slices], 1).astype(np.float32)
    index, faces, _, _ = marching_cubes(inside, 0.5)  # type: ignore[no-untyped-call]
    lps = geometry.index_to_physical(index - 1.0 + box.start)
    return (smooth(lps, faces) * (-1, -1, 1)).astype(np.float32), faces.astype(np.int32)


def smooth(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Returns vertices (n, 3) drawn to their neighbours' mean and away from it by turns."""
    from scipy.sparse import coo_array

    edges = np.concatenate([faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    count = np.bincount(edges[:, 0], minlength=len(vertices))
    weights = 1.0 / count[edges[:, 0]]
    mean = coo_array((weights, (edges[:, 0], edges[:, 1])), shape=(len(vertices), len(vertices))).tocsr()
    moved = vertices
    for _ in range(ROUNDS):
        for step in (SHRINK, SWELL):
            moved = moved + step * (mean @ moved - moved)
    return moved


def mz3(vertices: npt.NDArray[np.float32], faces: npt.NDArray[np.int32]) -> bytes:
    """Returns a mesh as an MZ3 file."""
    head = struct.pack("<HHIII", MZ3_MAGIC, MZ3_FACES_AND_VERTICES, len(faces), len(vertices), 0)
    return head + faces.astype("<i4").tobytes() + vertices.astype("<f4").tobytes()
