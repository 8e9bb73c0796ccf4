"""`classes.csv` beside images/ and masks/: names of the values of label maps, and their colours."""

import csv
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from reparam.data.io.archives import Tree
from reparam.data.io.pictures import place
from reparam.data.io.text import read_lines
from reparam.data.options import value_code
from reparam.errors import DataError, escaped

FILE = "classes.csv"
_COLOUR = ("r", "g", "b")
_LONGEST = 80  # characters of a name
_MOST = 1000  # rows


class ClassNames(NamedTuple):
    """What classes.csv says, by the code of a value (`value_code`) and by that of a colour. where: the file."""

    by_value: Mapping[int, str] = {}
    by_colour: Mapping[int, str] = {}
    colours: Mapping[int, int] = {}  # by value
    where: str = ""
    notes: tuple[str, ...] = ()

    def of_values(self, coloured: bool) -> tuple[Mapping[int, str], Mapping[int, str]]:
        """Names, and colours as six hexadecimal digits, by the codes that masks hold, which are colours or not."""
        if self.by_colour and (coloured or not self.by_value):
            return self.by_colour, {code: f"{code:06x}" for code in self.by_colour}
        return self.by_value, {code: f"{colour:06x}" for code, colour in self.colours.items()}


def class_files(tree: Tree) -> tuple[str, ...]:
    """Every classes.csv that lies outside images/ and masks/."""
    paths = [PurePosixPath(name) for name in tree.names]
    inside = ("images", "masks")
    return tuple(
        str(path)
        for path in paths
        if path.name.lower() == FILE and not any(part.lower() in inside for part in path.parts[:-1])
    )


def read_class_names(tree: Tree) -> ClassNames:
    """The columns `value`, or `r`, `g`, `b`, or all four, and `name` of classes.csv; a table with other columns is left out,
    and a note says so. Raises `DataError` for two such files, and for a row that is no value with a name."""
    names = class_files(tree)
    if not names:
        return ClassNames()
    if len(names) > 1:
        raise DataError(f"{place(tree, names[0])} and {names[1]!r} both name classes: keep one")
    where = place(tree, names[0])
    with tree.open(names[0]) as file:
        lines = read_lines(file.read(), where)
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    try:
        rows = list(csv.reader(lines[: _MOST + 2], delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{where} is no table ({error}): give columns value,name") from error
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    has_value, has_colour = "value" in head, all(part in head for part in _COLOUR)
    if "name" not in head or not (has_value or has_colour):
        return ClassNames(notes=(f"{where} has no columns value (or r, g, b) and name, and is left out",))
    if len(rows) - 1 > _MOST:
        raise DataError(f"{where} has more than {_MOST:,} rows: name the values of the masks alone")
    by_value, by_colour, colours = {}, {}, {}
    for number, row in enumerate(rows[1:], 1):
        cells = dict(zip(head, (cell.strip() for cell in row), strict=False))
        wrong = f"{where}, row {number} ({','.join(row)[:_LONGEST]!r}):"
        name = escaped(cells.get("name", ""))
        if not name or len(name) > _LONGEST:
            raise DataError(f"{wrong} give a name of 1 to {_LONGEST} characters")
        if has_colour:
            parts = [cells.get(part, "") for part in _COLOUR]
            if not all(re.fullmatch("[0-9]{1,3}", part) and int(part) <= 255 for part in parts):
                raise DataError(f"{wrong} r, g and b must be whole numbers from 0 to 255")
            colour = int.from_bytes(bytes(map(int, parts)))
            if not has_value and colour in by_colour:
                raise DataError(f"{wrong} the colour {','.join(parts)} comes twice: name it once")
            by_colour[colour] = name
        if has_value:
            try:
                code = value_code(cells.get("value", ""))
            except DataError as error:
                raise DataError(f"{wrong} {error}") from None
            if code in by_value:
                raise DataError(f"{wrong} the value {cells['value']} comes twice: name it once")
            by_value[code] = name
            if has_colour:
                colours[code] = colour
    return ClassNames(by_value, by_colour, colours, where)
