"""Tables: CSV as spreadsheets write it, and workbooks as Excel, LibreOffice and openpyxl write them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from ctcore.datasets.spreadsheet import read_rows
from ctcore.errors import DatasetError

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATIONS = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'


def workbook(path: Path, sheet: str, strings: str = "", target: str = "worksheets/data.xml", **others: str) -> Path:
    """A workbook whose first sheet is not the first file."""
    parts = {
        "xl/workbook.xml": f"<workbook {MAIN} {RELATIONS}><sheets>"
        '<sheet name="cases" sheetId="4" r:id="rId9"/><sheet name="notes" sheetId="1" r:id="rId1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": "<Relationships>"
        f'<Relationship Id="rId1" Target="worksheets/sheet1.xml"/><Relationship Id="rId9" Target="{target}"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": f"<worksheet {MAIN}><sheetData/></worksheet>",
        "xl/worksheets/data.xml": f"<worksheet {MAIN}><sheetData>{sheet}</sheetData></worksheet>",
    }
    if strings:
        parts["xl/sharedStrings.xml"] = f"<sst {MAIN}>{strings}</sst>"
    with zipfile.ZipFile(path, "w") as book:
        for name, text in (parts | others).items():
            book.writestr(name, text)
    return path


HEADER = '<row><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="s"><v>2</v></c></row>'
STRINGS = (
    "<si><t>id</t></si><si><r><t>la</t></r><r><t>bel</t></r><rPh><t>hint</t></rPh></si>"
    '<si><t xml:space="preserve"> age </t></si><si><t>non-PDAC</t></si>'
)


@pytest.mark.parametrize("target", ["worksheets/data.xml", "/xl/worksheets/data.xml"])
def test_a_workbook(tmp_path: Path, target: str) -> None:
    rows = (
        HEADER + '<row><c r="A2"><v>100001</v></c><c r="B2" t="s"><v>3</v></c><c r="C2"><v>42.5</v></c></row>'
        '<row><c r="B3" t="inlineStr"><is><t>PDAC</t></is></c></row>'  # A and C are empty
        '<row><c r="A4"><v>1.00002E5</v></c><c r="B4" t="str"><f>A1</f><v>PDAC</v></c><c r="C4" s="1"/></row>'
        "<row/>"
    )
    assert read_rows(workbook(tmp_path / "t.xlsx", rows, STRINGS, target)) == [
        {"id": "100001", "label": "non-PDAC", "age": "42.5"},
        {"id": "", "label": "PDAC", "age": ""},
        {"id": "100002", "label": "PDAC", "age": ""},
    ]


def test_columns_beyond_z(tmp_path: Path) -> None:
    header = '<row><c r="A1" t="inlineStr"><is><t>id</t></is></c><c r="AB1" t="inlineStr"><is><t>far</t></is></c></row>'
    rows = header + '<row><c r="A2"><v>1</v></c><c r="AB2"><v>2</v></c></row>'
    (row,) = read_rows(workbook(tmp_path / "t.xlsx", rows))
    assert (row["id"], row["far"]) == ("1", "2")


@pytest.mark.parametrize("text", ["id,label\n1,PDAC\n", "\ufeffid;label\r\n1;PDAC\r\n\r\n", 'id,label\n" 1 ",PDAC,\n'])
def test_csv(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    assert read_rows(path) == [{"id": "1", "label": "PDAC"}]


def test_damage_is_named(tmp_path: Path) -> None:
    whole = workbook(tmp_path / "whole.xlsx", HEADER, STRINGS)
    broken = {
        "empty.xlsx": b"",
        "cut.xlsx": whole.read_bytes()[:-40],
        "text.xlsx": b"id,label\n1,PDAC\n",
        "latin.csv": "id,label\n1,\u00e9\n".encode("latin-1"),
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DatasetError, match=rf"{name}' cannot be read as a table: .*; save it again as CSV"):
            read_rows(tmp_path / name)


@pytest.mark.parametrize(
    ("sheet", "strings"), [(HEADER, ""), ('<row><c r="A1" t="s"><v>x</v></c></row>', STRINGS), ("<row>", STRINGS)]
)
def test_a_workbook_that_contradicts_itself(tmp_path: Path, sheet: str, strings: str) -> None:
    with pytest.raises(DatasetError, match="cannot be read as a table"):
        read_rows(workbook(tmp_path / "t.xlsx", sheet, strings))


def test_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n\n")
    with pytest.raises(DatasetError, match=r"t\.csv' is empty"):
        read_rows(tmp_path / "t.csv")
