"""Stage 1: CT -> pancreas mask -> region of interest, by a low-resolution nnU-Net."""
