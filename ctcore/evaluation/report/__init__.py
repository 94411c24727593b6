"""An evaluation as pictures and as one page."""
