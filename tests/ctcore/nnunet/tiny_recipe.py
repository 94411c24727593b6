"""The tiny recipe as the text of a file."""

TEXT = """\
name = "tiny"
description = "for tests"
spacing_mm = [3.0, 3.0, 3.0]
patch_size = [16, 16, 16]
batch_size = 2
features = [4, 8, 8]
epochs = 4
"""
