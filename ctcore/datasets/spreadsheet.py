"""Tables with a header row: CSV, and the first sheet of an Excel workbook.

A workbook (.xlsx, ECMA-376) is a zip of XML files. What a table of cases needs of it, the text and numbers of one
sheet, is little enough to be read with the standard library.
"""

from __future__ import annotations

import csv
import posixpath
import re
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

from ctcore.errors import DatasetError, first_line

_DAMAGE = (
    OSError, LookupError, RuntimeError, ValueError, StopIteration,
    zipfile.BadZipFile, zlib.error, ElementTree.ParseError, csv.Error,
)  # fmt: skip

MAX_PART_BYTES = 256 << 20
"""Most bytes of a sheet, or of the strings of all, decompressed; no more come out, whatever the archive holds."""

MAX_COLUMNS = 1 << 14
"""Of a sheet, by the format's own rule."""

MAX_CELLS = 5_000_000
"""Of a sheet, the empty ones before others included."""

_RELATIONSHIP = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads the rows of a `.csv` or `.xlsx` table below its header; text is stripped, absent cells are "".

    Numbers of a workbook are given as text, whole ones without a decimal point; dates as the numbers they are stored
    as.

    Raises:
        DatasetError: it cannot be read as such a table, or is empty.
    """
    try:
        rows = _workbook(path) if path.suffix.lower() == ".xlsx" else _csv(path)
    except _DAMAGE as error:
        raise DatasetError(f"'{path}' cannot be read as a table: {first_line(error)}; save it again as CSV") from error
    rows = [row for row in ([cell.strip() for cell in row] for row in rows) if any(row)]
    if not rows:
        raise DatasetError(f"'{path}' is empty; it needs a header and a row for each case")
    header = rows[0]
    return [dict(zip(header, row + [""] * (len(header) - len(row)), strict=False)) for row in rows[1:]]


def _csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        header = handle.readline()
        handle.seek(0)
        # Spreadsheets of countries with a decimal comma write semicolons.
        return list(csv.reader(handle, delimiter=";" if header.count(";") > header.count(",") else ","))


def _workbook(path: Path) -> list[list[str]]:
    with zipfile.ZipFile(path) as book:
        strings = [_text(item) for item in _parse(book, "xl/sharedStrings.xml", optional=True)]
        rows, left = [], MAX_CELLS
        for row in _parse(book, _first_sheet(book)).iter():
            if _tag(row) == "row":
                rows.append(_cells(row, strings))
                left -= len(rows[-1])
                if left < 0:
                    raise ValueError(f"it has more than {MAX_CELLS} cells")
        return rows


def _parse(book: zipfile.ZipFile, name: str, *, optional: bool = False) -> ElementTree.Element:
    if optional and name not in book.namelist():
        return ElementTree.Element("none")
    if book.getinfo(name).file_size > MAX_PART_BYTES:
        raise ValueError(f"'{name}' has more than {MAX_PART_BYTES >> 20} MiB")
    return ElementTree.fromstring(book.read(name))


def _first_sheet(book: zipfile.ZipFile) -> str:
    """Returns the path of the sheet that the workbook lists first, which need not be `sheet1.xml`."""
    sheet = next(item for item in _parse(book, "xl/workbook.xml").iter() if _tag(item) == "sheet")
    links = _parse(book, "xl/_rels/workbook.xml.rels")
    target = next(link.attrib["Target"] for link in links if link.attrib["Id"] == sheet.attrib[_RELATIONSHIP])
    return posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")


def _tag(element: ElementTree.Element) -> str:
    """Returns an element's name without its namespace, of which there are two (transitional and strict)."""
    return element.tag.rpartition("}")[2]


def _text(item: ElementTree.Element) -> str:
    """Returns the text of a string, which may be in several runs; phonetic hints are not part of it."""
    hints = {id(text) for hint in item.iter() if _tag(hint) == "rPh" for text in hint.iter()}
    return "".join(text.text or "" for text in item.iter() if _tag(text) == "t" and id(text) not in hints)


def _cells(row: ElementTree.Element, strings: list[str]) -> list[str]:
    """Returns the cells of a row from column A on; a row leaves its empty cells out."""
    cells: list[str] = []
    for cell in row:
        column = 0
        for letter in re.match("[A-Z]*", cell.get("r", "")).group():  # type: ignore[union-attr]
            column = column * 26 + ord(letter) - ord("A") + 1
        if column > MAX_COLUMNS:
            raise ValueError(f"cell {cell.get('r')} lies beyond the last column of any workbook")
        cells.extend([""] * (column - 1 - len(cells)))
        cells.append(_value(cell, strings))
    return cells


def _value(cell: ElementTree.Element, strings: list[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _text(cell)
    value = next((item.text or "" for item in cell if _tag(item) == "v"), "")
    if kind == "s" and value:
        return strings[int(value)]
    if kind == "n" and value and float(value).is_integer():
        return str(int(float(value)))
    return value
