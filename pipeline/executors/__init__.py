"""Where the cases of a run are computed: in this process, in several, or on a cluster."""
