"""Pieces that the report's pages have beside those of all pages: flags, scripts."""

from __future__ import annotations

from importlib import resources

from ctcore.pages.pieces import text
from pipeline.records import CaseRecord
from pipeline.report.flag_words import words_of


def flags_of(record: CaseRecord) -> str:
    """Returns a case's flags in words; pointed at, they tell their name."""
    return " ".join(f'<span class="flag" title="{text(flag)}">{text(words_of(flag))}</span>' for flag in record.flags)


def script(name: str) -> str:
    """Returns a script of this package by its file's name."""
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")
