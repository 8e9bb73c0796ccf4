"""Images in a table of text: a row an image, a column a pixel, with a label, as many competitions give them.

Shapes: `N` images, `S` side in pixels. Images are grey and square: columns do not tell another shape.
"""

import csv
import math
import warnings
from pathlib import Path

import numpy as np

from reparam.data.io.archives import require_plain
from reparam.errors import DataError, escaped

_LABELS = ("label", "labels", "y", "target", "class", "emotion", "digit")
_IGNORED = ("", "id", "index", "unnamed: 0")
_STRINGS, _USAGE = "pixels", "usage"  # of FER2013: all pixels in one column, and which split
_USAGES = {"training": "train", "publictest": "validation", "privatetest": "test"}
_REMEDY = (
    "read it with your own code, and numpy.savez('images.npz', images=..., labels=...); then --data array:images.npz"
)


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """`images` [N, S, S] and, where there is a column of them, `labels` [N]; under names of splits (`train_images`) where a
    column `Usage` gives these. A first row that is no numbers names the columns; without one, the first column is the label
    where the others are a square. Columns `id` and `index` are left out. Raises `DataError` for other tables."""
    require_plain(path)
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
        delimiter = max(",;\t", key=first.count)
        names = [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])]
    if _STRINGS in names:
        return _of_strings(path, names, delimiter)
    headed = any(not _is_number(name) for name in names)
    label, pixels = _columns(path, names, headed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a table without rows, which is refused later
            table = np.loadtxt(
                path,
                np.float32,
                delimiter=delimiter,
                skiprows=int(headed),
                usecols=[*label, *pixels],
                ndmin=2,
                comments=None,
                quotechar='"',
                encoding="utf-8-sig",
            )
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no table of numbers ({' '.join(str(error).split())[:100]}): {_REMEDY}") from error
    side = math.isqrt(len(pixels))
    found = {"images": whole(table[:, len(label) :]).reshape(-1, side, side)}
    return found | ({"labels": whole(table[:, 0])} if label else {})


def whole(values: np.ndarray) -> np.ndarray:
    """Numbers of text as integers where they are such: of 0 to 255 as uint8, as pixels are stored."""
    if not (np.isfinite(values).all() and (values == np.rint(values)).all() and np.abs(values).max(initial=0) < 2**24):
        return values
    byte = values.size and values.min() >= 0 and values.max() <= 255
    return values.astype(np.uint8 if byte else np.int64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _columns(path: Path, names: list[str], headed: bool) -> tuple[list[int], list[int]]:
    """The place of the label, if there is one, and those of the pixels."""
    label = [place for place, name in enumerate(names) if headed and name in _LABELS][:1]
    pixels = [place for place, name in enumerate(names) if place not in label and not (headed and name in _IGNORED)]
    if not label and len(pixels) > 1 and not _is_square(len(pixels)) and _is_square(len(pixels) - 1):
        label, pixels = pixels[:1], pixels[1:]
    if not _is_square(len(pixels)):
        raise DataError(f"{path} has {len(pixels):,} columns of pixels, which are no square of grey: {_REMEDY}")
    return label, pixels


def _is_square(number: int) -> bool:
    return number > 1 and math.isqrt(number) ** 2 == number


def _of_strings(path: Path, names: list[str], delimiter: str) -> dict[str, np.ndarray]:
    """A table with all pixels of a row in one column, with spaces between."""
    label = next((place for place, name in enumerate(names) if name in _LABELS), None)
    usage = names.index(_USAGE) if _USAGE in names else None
    rows: dict[str, list[tuple[np.ndarray, str]]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            for row in list(csv.reader(file, delimiter=delimiter))[1:]:
                pixels = np.array(row[names.index(_STRINGS)].split(), np.float64)
                stated = "" if usage is None else row[usage].strip().lower()
                split = "" if usage is None else _USAGES.get(stated, stated)
                rows.setdefault(split, []).append((pixels, "" if label is None else row[label]))
        except (ValueError, IndexError, csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path} is no table of pixels ({escaped(str(error))[:100]}): {_REMEDY}") from error
    sizes = {len(pixels) for own in rows.values() for pixels, _ in own}
    if len(sizes) != 1 or not _is_square(next(iter(sizes))):
        raise DataError(f"{path} has rows of {sorted(sizes)[:5]} pixels, which are no squares of one size: {_REMEDY}")
    side = math.isqrt(sizes.pop())
    found: dict[str, np.ndarray] = {}
    for split, own in rows.items():
        prefix = f"{split}_" if split else ""
        found[f"{prefix}images"] = whole(np.stack([pixels for pixels, _ in own])).reshape(-1, side, side)
        if label is not None:
            try:
                found[f"{prefix}labels"] = whole(np.array([text for _, text in own], np.float64))
            except ValueError as error:
                raise DataError(f"{path} has labels that are no numbers: {_REMEDY}") from error
    return found
