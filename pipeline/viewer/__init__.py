"""Interactive viewer of a run's output: pages and volumes served to a browser on the same machine."""
