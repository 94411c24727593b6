"""Fuzzing of all that parses what comes from outside; see docs/reliability.md. No package imports it."""
