"""Shapes of the pancreatic region measured on a label map: centre lines, calibres, parts of the gland, vessels.

In the order of the work: `paths.py` (ways through a mask), `centre_line.py`, `calibre.py`, `gland.py` (head, neck,
body, tail), `vessels.py` (which vessel is which), `contact.py` (a lesion around a vessel), `region.py` (all of a
case). Knows no network. Inside the room points are (z, y, x) in millimetres along the axes of an array in LPS order,
from voxel (0, 0, 0).
"""
