"""Tables: their code, our word, a note; perhaps the site at which alone a row holds. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from broker.errors import Place
from broker.yaml_files import MAX_BYTES, Problems, nearest

__all__ = ["Row", "Table", "read_table"]

COLUMNS = ("code", "word", "note", "site")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    code: str
    word: str
    note: str
    site: str
    line: int


@dataclass(frozen=True, slots=True)
class Table:
    """Codes and what they mean. A row with a site holds there only, and comes before one without."""

    name: str
    file: str
    rows: tuple[Row, ...]
    words: dict[str, str] = field(default_factory=dict)
    at_site: dict[str, dict[str, str]] = field(default_factory=dict)

    def __contains__(self, code: object) -> bool:
        return code in self.words or any(code in words for words in self.at_site.values())

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def word(self, code: str, site: str = "") -> str | None:
        """Our word for a code; None where no row has it."""
        if self.at_site and (here := self.at_site.get(site)) is not None and code in here:
            return here[code]
        return self.words.get(code)

    def code(self, word: str, site: str = "") -> str | None:
        """Their code for a word of ours: the first row that has it, one for the site before others."""
        for row in self.rows:
            if row.word == word and row.site == site:
                return row.code
        return next((row.code for row in self.rows if row.word == word and not row.site), None)


def read_table(content: bytes, name: str, file: str, problems: Problems) -> Table:
    """A table from its CSV; what is wrong goes to `problems`, with its line."""
    before = len(problems.errors)
    rows: list[Row] = []
    if len(content) > MAX_BYTES:
        problems.add(f"the file is greater than {MAX_BYTES} bytes", Place(file))
        return Table(name, file, ())
    try:
        text = content.decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = [column.strip() for column in next(reader, [])]
        _check_header(header, file, problems)
        if len(problems.errors) == before:
            line = reader.line_num + 1
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    _read_row(cells, header, line, file, rows, problems)
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        problems.add("the file is not UTF-8", Place(file, content.count(b"\n", 0, error.start) + 1))
    except csv.Error as error:
        problems.add(f"this is no CSV: {error}", Place(file, reader.line_num))
    return _made(name, file, rows, problems)


def _check_header(header: list[str], file: str, problems: Problems) -> None:
    for column in header:
        if column not in COLUMNS:
            right = nearest(column, COLUMNS) or ",".join(COLUMNS)
            problems.add("there is no such column", Place(file, 1), value=column, right=right)
    if header[:2] != ["code", "word"] or len(set(header)) != len(header):
        problems.add(
            "the first line names the columns", Place(file, 1), value=",".join(header), right="code,word,note"
        )


def _read_row(
    cells: list[str], header: list[str], line: int, file: str, rows: list[Row], problems: Problems
) -> None:
    if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
        problems.add(
            "more values than columns; one with a comma in it stands in quotes",
            Place(file, line),
            value=",".join(cells),
        )
        return
    given = dict(zip(header, (cell.strip() for cell in cells), strict=False))
    code, word = given.get("code", ""), given.get("word", "")
    if not code or not word:
        problems.add(f"the {'word' if code else 'code'} is missing", Place(file, line), value=",".join(cells))
        return
    rows.append(Row(code, word, given.get("note", ""), given.get("site", ""), line))


def _made(name: str, file: str, rows: list[Row], problems: Problems) -> Table:
    words: dict[str, str] = {}
    at_site: dict[str, dict[str, str]] = {}
    for row in rows:
        here = at_site.setdefault(row.site, {}) if row.site else words
        if row.code in here:
            problems.add("this code stands twice", Place(file, row.line), value=row.code)
        here.setdefault(row.code, row.word)
    return Table(name, file, tuple(rows), words, at_site)
