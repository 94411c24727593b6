"""Synthetic CTs with exact labels: anatomy, lesions, scanner, cohorts."""
