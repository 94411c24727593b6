"""Quality of a CT and of what was computed of it: figures, and the flags that they decide; knows no network."""
