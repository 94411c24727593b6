"""HTML pages that open from the disk: one frame and style, pieces of them, curves."""
