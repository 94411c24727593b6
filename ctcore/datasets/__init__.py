"""Datasets on disk: reading the layouts in use as one description, and finding what is wrong with them."""
