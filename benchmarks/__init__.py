"""Measurements of the whole pipeline; never imported by it."""
