"""Finding what is wrong with a dataset before hours of training do."""
