"""nnU-Net's own model folders, read and written."""
