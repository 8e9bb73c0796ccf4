"""Label maps as files hold them, and what their values mean: labels 0 to D - 1, with names and colours.

A value is a colour here: the grey level v is (v, v, v), and so is index v of a palette. Its code is 65536 red + 256 green + blue.

Shapes: `N` masks, `H W` mask, `V` different values, `D` labels.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor

from reparam.data.io.archives import Tree
from reparam.data.io.pictures import place
from reparam.data.options import GREY, IGNORE, MOST_LABELS, PairsOptions, spelled_value
from reparam.data.sources.class_names import ClassNames
from reparam.distributions import IGNORED
from reparam.errors import DataError

TWO_VALUES = ("background", "foreground")
_WHITE = IGNORED * GREY
_PLACES = 256  # values that are told apart while masks are read, as uint8
_EQUAL_CHANNELS = ("RGB", "RGBA", "LA", "PA")  # in others, such as CMYK, equal channels are no grey
_REMEDY = "save masks as PNG with values 0 to D - 1"
_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_LISTED = 8  # values that a remedy spells out
_DRAWN = 0.02  # share of the pixels of a blurred mask from which a colour was drawn on purpose
_COLOUR_NAMES = {value.lower(): name for name, value in reversed(ImageColor.colormap.items()) if isinstance(value, str)}


def stored_values(picture: Image.Image, where: str) -> np.ndarray:
    """The values of a mask without colours as stored, uint8 [H, W]: indices of a palette, grey levels, or what three equal
    channels hold; transparency is ignored. Raises `DataError` for colours and for values outside 0 to 255."""
    values = _greys(picture, where)
    if values is None:
        raise DataError(f"{where} is coloured, and colours do not tell which value is meant: {_REMEDY}")
    return values


def _greys(picture: Image.Image, where: str) -> np.ndarray | None:
    """`stored_values`; None where the mask is coloured."""
    values = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    if values.ndim == 3:
        if picture.mode not in _EQUAL_CHANNELS:
            raise DataError(f"{where} has colours of another kind ({picture.mode}) than RGB: save it as PNG")
        colours = values[..., :-1] if picture.mode.endswith("A") else values
        if (colours != colours[..., :1]).any():
            return None
        values = colours[..., 0]
    wrong = values[(values < 0) | (values > 255) | (values % 1 != 0)]
    if wrong.size:
        raise DataError(f"{where} holds value {wrong[0]}, not a whole number from 0 to 255: {_REMEDY}")
    return values.astype(np.uint8)


class StoredMasks:
    """Reads masks, for `decode_maps`: each pixel is a place in `codes`, which grows. With `levels`, codes too, each value becomes
    the nearest of them (least squared distance; of two the first)."""

    def __init__(self, levels: Sequence[int] = ()) -> None:
        self.levels = list(levels)
        self.codes: list[int] = []
        self._places: dict[int, int] = {}
        self._lock = threading.Lock()
        self._excess: tuple[str, list[int]] | None = None

    def __call__(self, picture: Image.Image, where: str) -> np.ndarray:
        """uint8 [H, W]. Raises `DataError` for what is neither grey nor RGB, and for numbers outside 0 to 255."""
        values = _greys(picture, where)
        if values is not None:
            counts = np.bincount(values.ravel(), minlength=256)
            held = np.flatnonzero(counts)
            table = np.zeros(256, np.uint8)
            table[held] = self._place(held * GREY, counts[held], where)
            return table[values]
        channels = np.asarray(picture)[..., :3].astype(np.int32)
        codes = (channels[..., 0] << 16) | (channels[..., 1] << 8) | channels[..., 2]
        found, index, counts = np.unique(codes.ravel(), return_inverse=True, return_counts=True)
        return self._place(found, counts, where)[index].reshape(codes.shape)

    def _place(self, codes: np.ndarray, counts: np.ndarray, where: str) -> np.ndarray:
        """Places of codes, uint8 [V]; of too many, any: `require_few` says so when all masks are read."""
        if self.levels:
            codes = np.array(self.levels)[_nearest(codes, self.levels)]
        with self._lock:
            for code in codes.tolist():
                if code in self._places:
                    continue
                if len(self.codes) == _PLACES:
                    drawn = counts >= _DRAWN * counts.sum()
                    self._excess = where, codes[drawn if drawn.sum() > 1 else np.argsort(-counts)[:2]].tolist()
                    return np.zeros(len(codes), np.uint8)
                self._places[code] = len(self.codes)
                self.codes.append(code)
            return np.array([self._places[code] for code in codes.tolist()], np.uint8)

    def require_few(self) -> None:
        """Raises `DataError` where the masks hold more values than could be told apart."""
        if self._excess:
            where, drawn = self._excess
            levels = _joined(sorted(drawn)[:_LISTED])
            raise DataError(
                f"{where} holds, with other masks, more than {_PLACES} colours (shades at edges count): --mask-levels {levels} "
                "makes of each the nearest of these; name all that were drawn"
            )


def _nearest(codes: np.ndarray, levels: Sequence[int]) -> np.ndarray:
    """Index of the nearest level of each code, [V]."""
    best, index = np.full(len(codes), np.inf), np.zeros(len(codes), np.int64)
    for number, level in enumerate(levels):
        apart = [((codes >> shift) & 255) - ((level >> shift) & 255) for shift in (0, 8, 16)]
        away = np.sum(np.square(apart), 0)
        nearer = away < best
        best[nearer], index[nearer] = away[nearer], number
    return index


class Meaning(NamedTuple):
    """labels: of each code its label, or `IGNORED`; names and colours (six hexadecimal digits, "" for none) of labels 0 to
    D - 1; remap: `--remap` that says the same, where files alone do not; notes."""

    labels: dict[int, int]
    names: tuple[str, ...]
    colours: tuple[str, ...]
    remap: tuple[str, ...]
    notes: tuple[str, ...]


def read_meaning(
    tree: Tree, masks: Sequence[str], found: StoredMasks, held: np.ndarray, options: PairsOptions, known: ClassNames
) -> Meaning:
    """What the values mean that masks hold, bool [N, V] over `found.codes`; `known`: what classes.csv says.

    1. `remap`: as it says. 2. `mask_levels`: their order. 3. Colours, at most 64: in the order of their codes, black first. 4.
    Grey values without 255, unless there is but 0 beside it: two of any kind, 0 to D - 1, or 1 to D less 1. Pixels of `ignore`,
    and of 255 under 4, do not count. Raises `DataError` for other values, and where fewer than two labels occur.
    """
    found.require_few()
    there = sorted(found.codes)
    ignore = None if options.ignore is None else options.ignore * GREY
    remap: tuple[str, ...] = ()
    others = [code for code in there if code != ignore]
    if options.remap:
        labels = {code: IGNORED if label is None else label for code, label in options.remapped().items()}
        if unnamed := [code for code in others if code not in labels]:
            file = _first(tree, masks, found, held, unnamed[0])
            more = ",".join([*options.remap, *(f"{spelled_value(code)}:{IGNORE}" for code in unnamed[:_LISTED])])
            raise DataError(
                f"{file} holds value {spelled_value(unnamed[0])}, which --remap does not name: --remap {more}, or change the "
                "masks"
            )
        what = f"masks hold {len(others)} values, of which --remap makes {len(set(labels.values()) - {IGNORED})} labels"
    elif options.mask_levels:
        levels = [code for code in found.levels if code != ignore]
        labels = {code: label for label, code in enumerate(levels)}
        what = (
            f"each value of the masks becomes the nearest of {_joined(found.levels, ', ')}: {_as_labels(len(levels))}"
        )
    else:
        labels, what, as_stored = _told_by_files(tree, masks, found, held, others)
        ignored = [_WHITE] if not _coloured(labels) and _WHITE not in labels else []
        labels |= dict.fromkeys(ignored, IGNORED)
        if not as_stored:
            remap = tuple(
                f"{spelled_value(code)}:{IGNORE if label == IGNORED else label}" for code, label in labels.items()
            )
    if ignore is not None:
        labels[ignore] = IGNORED
    occurring = {labels[code] for code in there} - {IGNORED}
    if len(occurring) < 2:
        _refuse_one(tree, [code for code in there if labels[code] != IGNORED], there, options)
    out = ", ".join(spelled_value(code) for code in there if labels[code] == IGNORED)
    note = what + (f"; where they hold {out.replace(', ', ' and ')}, pixels do not count" if out else "")
    names, colours, missing = _named(labels, known)
    return Meaning(labels, names, colours, remap, (note, *known.notes, *missing))


def _coloured(codes: Mapping[int, int] | Sequence[int]) -> bool:
    return any(code % GREY for code in codes)


def _joined(codes: Sequence[int], between: str = ",") -> str:
    return between.join(map(spelled_value, codes))


def _as_labels(count: int) -> str:
    return "background and foreground" if count == 2 else f"labels 0 to {count - 1}"


def _told_by_files(
    tree: Tree, masks: Sequence[str], found: StoredMasks, held: np.ndarray, others: list[int]
) -> tuple[dict[int, int], str, bool]:
    """Labels of the values that count, a note, and whether they are stored as labels (or black and white)."""
    if _coloured(others):
        if len(others) > MOST_LABELS:
            file = _first(tree, masks, found, held, next(code for code in others if code % GREY))
            files = held.sum(0)
            often = np.argsort(-files, kind="stable")[: max(2, min(_LISTED, int((2 * files >= files.max()).sum())))]
            levels = _joined(sorted(found.codes[place] for place in often.tolist()))
            raise DataError(
                f"{file} and others hold {len(others)} colours, more than {MOST_LABELS}: --mask-levels {levels} makes of each "
                "the nearest of these; name all that were drawn"
            )
        listed = ", ".join(f"{label} {_colour_name(code)}" for label, code in enumerate(others))
        return {code: label for label, code in enumerate(others)}, f"masks hold {len(others)} colours: {listed}", False
    black_and_white = others == [0, _WHITE]
    values = others if black_and_white else [code for code in others if code != _WHITE]
    greys = [code // GREY for code in values]
    labels = {code: label for label, code in enumerate(values)}
    count = len(greys)
    if black_and_white:
        return labels, "masks hold 2 values, 0 and 255", True
    if count <= MOST_LABELS and greys == list(range(count)):
        return labels, f"masks hold {count} values, 0 to {count - 1}", True
    if count <= MOST_LABELS and count > 1 and greys == list(range(1, count + 1)):
        return labels, f"masks hold {count} values, 1 to {count}, which become {_as_labels(count)}", False
    if count == 2 and values == others:  # without 255, which might be a value of its own
        return labels, f"masks hold 2 values, {greys[0]} and {greys[1]}: {_as_labels(2)}", False
    if count < 2:
        return labels, "", True
    wrong = next(value for place, value in enumerate(greys) if value != place or place >= MOST_LABELS)
    name = _first_name(masks, found, held, wrong * GREY)
    blurred = PurePosixPath(name).suffix.lower() in _JPEG
    if blurred or len(others) > _LISTED:
        why = " (JPEG makes such values)" if blurred else ""
        remedy = f"--mask-levels {_joined([others[0], others[-1]])} makes of each the nearest of these; name all that were drawn"
    else:
        why, small = "", greys[-1] < MOST_LABELS
        said = ",".join(
            f"{spelled_value(code)}:{IGNORE if small and code == _WHITE else label}"
            for label, code in enumerate(others)
        )
        remedy = f"--remap {said} says which label each becomes ('{IGNORE}': does not count)"
        if not small and len(others) == 3 and others[0] == 0 and others[2] == _WHITE:  # perhaps with a grey edge
            two = f"--remap 0:0,{wrong}:{IGNORE},255:1 makes two labels, and {wrong} does not count"
            remedy = f"{two}; --remap {said} makes three"
    held_by_all = f"all masks {len(others)} values, which are not 0 to D - 1 with D at most {MOST_LABELS}{why}"
    raise DataError(f"{place(tree, name)} holds value {wrong}, and {held_by_all}: {remedy}")


def _first_name(masks: Sequence[str], found: StoredMasks, held: np.ndarray, code: int) -> str:
    """The first mask that holds a value."""
    return masks[int(held[:, found.codes.index(code)].argmax())]


def _first(tree: Tree, masks: Sequence[str], found: StoredMasks, held: np.ndarray, code: int) -> str:
    return place(tree, _first_name(masks, found, held, code))


def _refuse_one(tree: Tree, counted: list[int], there: list[int], options: PairsOptions) -> None:
    what = f"one value ({_joined(counted)})" if len(counted) == 1 else "one label" if counted else "no value"
    if options.remap or options.mask_levels:
        remedy = f"correct {'--remap' if options.remap else '--mask-levels'}, or the masks"
    elif options.ignore is not None:
        remedy = "leave --ignore out"
    elif len(there) > 1:
        said = ",".join(f"{spelled_value(code)}:{label}" for label, code in enumerate(there))
        remedy = f"--remap {said} lets both count"
    else:
        remedy = "there is nothing to distinguish, check the masks"
    raise DataError(f"the masks of {tree.where} hold {what} that counts: {remedy}")


def _colour_name(code: int) -> str:
    """ "red" of ff0000; "#123456"."""
    return _COLOUR_NAMES.get(f"#{code:06x}", f"#{code:06x}")


def _named(labels: Mapping[int, int], known: ClassNames) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names and colours of labels 0 to D - 1, and a note on values that classes.csv does not name."""
    coloured = _coloured(labels)
    of_file, of_colour = known.of_values(coloured)
    by_label: dict[int, list[int]] = {}
    for code, label in labels.items():
        if label != IGNORED:
            by_label.setdefault(label, []).append(code)
    names, colours = [], []
    for label in range(len(by_label)):
        codes = by_label[label]
        spelled = [of_file.get(code) or (_colour_name(code) if coloured else spelled_value(code)) for code in codes]
        names.append("/".join(dict.fromkeys(spelled)))
        colours.append(
            next((of_colour[code] for code in codes if code in of_colour), f"{codes[0]:06x}" if coloured else "")
        )
    if len(names) == 2 and not coloured and not of_file:
        names = list(TWO_VALUES)
    unnamed = [code for codes in by_label.values() for code in codes if code not in of_file] if of_file else []
    missing = (f"{known.where} does not name {_joined(unnamed, ', ')}",) if unnamed else ()
    return tuple(names), tuple(colours) if any(colours) else (), missing
