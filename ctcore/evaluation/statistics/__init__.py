"""Statistics of case weights, their intervals and tests: arrays in, numbers out; knows no files and no label maps."""
