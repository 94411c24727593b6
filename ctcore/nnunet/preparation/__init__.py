"""From a dataset's cases to nnU-Net's raw dataset, and its folds."""
