"""The report of a run: one page and a picture of every case, opened from disk without a server or a network."""
