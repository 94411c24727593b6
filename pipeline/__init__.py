"""The way of a case from CT to score, map and report: bundles, cohort runs, outputs and the `pipeline` command line."""
