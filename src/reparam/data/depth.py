"""From numbers of any type to images: which range of them becomes 0 to 1, one for all images of a data set.

Numbers that are bytes already (0 to 255, a byte / 255, or a byte * 257 in 16 bits) become `uint8` as they are, since that is a
quarter of the memory.

Shapes: `N` images, `C H W` image.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reparam.core.spec import BYTES
from reparam.data.dataset import SPLITS
from reparam.data.options import DepthOptions
from reparam.data.scale import EIGHT_BITS, Scale
from reparam.data.values import ROUNDING
from reparam.errors import DataError

CHUNK = 2**24  # values looked at or converted at a time
MOST_LEVELS = 2**16  # float32 tells them apart; of more, a value is any
_OF_BYTE = 1e-4  # how far float32 may be from a whole number after times 255
_STRETCH = 257  # 65,535 / 255
SAMPLED, MOST = 1_000_000, (0.001, 0.999)  # numbers that say where most lie
_CROWDED = 0.25  # of the range: where most lie in less of it, that is told
_DARK = 0.5  # floats in [0, 1] of which the largest is below it are told of


@dataclass(frozen=True, eq=False)
class Numbers:
    """Images [N, C, H, W] of any real type, as they are stored; the rows that count (None: all); what they are, for errors."""

    array: np.ndarray
    where: str
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.array) if self.rows is None else len(self.rows)

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self) * self.array[:1].size

    @property
    def of_16_bits(self) -> bool:
        return self.array.dtype.kind == "u" and self.array.dtype.itemsize == 2

    def parts(self) -> Iterator[np.ndarray]:
        """Some images at a time."""
        step = max(1, CHUNK // max(1, self.array[:1].size))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            yield self.array[part] if self.rows is None else self.array[self.rows[part]]


class Held(NamedTuple):
    """What numbers there are: the least and the largest; whether all are whole, a byte / 255, or a byte * 257."""

    low: float
    high: float
    whole: bool
    shares: bool
    stretched: bool

    @property
    def bytes(self) -> bool:
        return (self.whole and self.low >= 0 and self.high <= BYTES - 1) or self.shares or self.stretched

    def joined(self, other: "Held") -> "Held":
        ends = min(self.low, other.low), max(self.high, other.high)
        both = (one and another for one, another in zip(self[2:], other[2:], strict=True))
        return Held(*ends, *both)


def held(numbers: Numbers) -> Held:
    """Looks at each number once. Raises DataError for other types than real numbers, and for NaN and infinity."""
    dtype = numbers.array.dtype
    if dtype.kind not in "biuf":
        raise DataError(f"{numbers.where} are {dtype}: save images as integers or floats")
    found, floats = None, dtype.kind == "f"
    for part in numbers.parts():
        low, high = float(part.min()), float(part.max())  # NaN where there is one
        if not -np.inf < low <= high < np.inf:
            raise DataError(
                f"{numbers.where} holds NaN or infinite pixels: drop those images, or use numpy.nan_to_num(images, nan=0, "
                "posinf=1, neginf=0)"
            )
        whole = not floats or ((found is None or found.whole) and bool((part == np.rint(part)).all()))
        shares = floats and (found is None or found.shares) and _are_shares(part, low, high)
        stretched = numbers.of_16_bits and (found is None or found.stretched) and not (part % _STRETCH).any()
        one = Held(low, high, whole, shares, stretched)
        found = one if found is None else found.joined(one)
    assert found
    return found


def _are_shares(part: np.ndarray, low: float, high: float) -> bool:
    """Whether floats are bytes / 255, as far as their type tells."""
    if low < -ROUNDING or high > 1 + ROUNDING:
        return False
    values = part.astype(np.float64) * (BYTES - 1)
    return bool((np.abs(values - np.rint(values)) <= max(_OF_BYTE, 128 * float(np.finfo(part.dtype).eps))).all())


def choose_scale(
    splits: Mapping[str, Held], options: DepthOptions, where: str, of_16_bits: bool
) -> tuple[Scale, tuple[str, ...]]:
    """The scale of a data set, and notes, from what its splits hold, the training images first; or images without splits.

    It is `--range`; of floats in [0, 1] that; else the range found in the training images. Under `--depth 8` there are 256
    levels, and of numbers of 16 bits the range is all of them. Raises DataError where the training images are all of one value.
    """
    first, train = next(iter(splits.items()))
    training = first == SPLITS[0]  # otherwise a run reads them, and takes no --range
    named = "the training images" if training else first
    whole = all(split.whole for split in splits.values())
    kind = "whole numbers" if whole else "numbers"
    notes: tuple[str, ...] = ()
    if options.range:
        low, high = options.range
    elif not whole and train.low >= -ROUNDING and train.high <= 1 + ROUNDING:
        low, high = 0.0, 1.0
        if training and train.high < _DARK:
            found = f"floats of {named} run from {train.low:.4g} to {train.high:.4g} of 0 to 1"
            notes = (f"{found}: --range {train.low:.4g},{train.high:.4g} spreads them over it",)
    elif options.depth == "8" and of_16_bits:
        low, high = 0.0, float(MOST_LEVELS - 1)
        notes = (f"numbers of 16 bits are rounded to {BYTES} levels, from 0 to {MOST_LEVELS - 1:,}",)
    else:
        low, high = train.low, train.high
        if low == high:
            remedy = f"give one, such as --range {low:.6g},{low + 1:.6g}" if training else "give floats in [0, 1]"
            raise DataError(f"{where}: all pixels of {named} are {low:.6g}, which tells no range: {remedy}")
        count = f", {levels:,} levels" if (levels := _levels(low, high, whole)) else ""
        span = f"{kind} from {low:.6g} to {high:.6g} in {named} become 0 to 1{count}"
        notes = (f"{span}; --range A,B sets another range" if training else span,)
    levels = _levels(low, high, whole) if options.depth == "auto" else BYTES
    if whole and not levels:
        notes = (*notes, f"more than {MOST_LEVELS:,} levels are taken for a continuum")
    return Scale(float(low), float(high), levels), notes


def _levels(low: float, high: float, whole: bool) -> int:
    if not whole or low % 1 or high % 1 or high - low + 1 > MOST_LEVELS:
        return 0
    return int(high - low) + 1


def unit(values: np.ndarray, scale: Scale) -> np.ndarray:
    """Numbers as values of `scale`, cut to its range: uint8 where there are 256 levels, else float32 in [0, 1]."""
    if (scale.low, scale.high) != (0, 1):
        values = (values.astype(np.float64) - scale.low) / (scale.high - scale.low)
    found = values.clip(0, 1)
    return np.rint(found * (BYTES - 1)).astype(np.uint8) if scale.levels == BYTES else found.astype(np.float32)


class Conversion(NamedTuple):
    """From the numbers of an array to those of images: those in `scale`; or bytes, which are the numbers times `factor`."""

    scale: Scale
    factor: float = 0.0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        if not self.factor:
            return unit(values, self.scale)
        return (values if self.factor == 1 else np.rint(values * self.factor)).astype(np.uint8)


class Settled(NamedTuple):
    """How all numbers of a data set become images. conversions: by the array that holds them (`id`)."""

    conversions: Mapping[int, Conversion]
    scale: Scale
    notes: tuple[str, ...]

    def of(self, numbers: Numbers) -> Conversion:
        return self.conversions[id(numbers.array)]

    def images(self, numbers: Numbers) -> Tensor:
        """[N, C, H, W]: uint8 where all numbers are bytes, else as `unit`."""
        convert = self.of(numbers)
        parts = [torch.from_numpy(np.ascontiguousarray(convert(part))) for part in numbers.parts()]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def settle(splits: Mapping[str, Sequence[Numbers]], options: DepthOptions, where: str) -> Settled:
    """How the numbers of each split (in one part or several), of which the first is training's, become images. Raises DataError
    for splits whose numbers have no range in common."""
    known = {name: [held(part) for part in parts] for name, parts in splits.items()}
    pairs = [pair for name, parts in splits.items() for pair in zip(parts, known[name], strict=True)]
    arrays: dict[int, Held] = {}  # what all rows of an array hold: they are read alike
    for part, one in pairs:
        arrays[id(part.array)] = one.joined(arrays.get(id(part.array), one))
    if not options.range and all(one.bytes for one in arrays.values()):
        if (together := functools.reduce(Held.joined, arrays.values())).bytes:
            arrays = dict.fromkeys(arrays, together)
        told = [_byte_note(part.array.dtype, arrays[id(part.array)]) for part, _ in pairs]
        highest = max(one.high for one in arrays.values())
        if SPLITS[0] in splits and all(one.whole for one in arrays.values()) and 1 < highest < _DARK * (BYTES - 1):
            told.append(f"the lightest of them is {highest:g} of 255: --range 0,{highest:g} makes that white")
        wider = together.whole and 1 < together.high < BYTES and any(part.array.dtype != np.uint8 for part, _ in pairs)
        scale = replace(EIGHT_BITS, told=wider)
        conversions = {array: Conversion(scale, _factor(one)) for array, one in arrays.items()}
        return Settled(conversions, scale, tuple(dict.fromkeys(filter(None, told))))
    if len({_in_unit(one) for one in arrays.values()} - {None}) > 1 and not options.range:
        raise DataError(
            f"{where}: some images are floats in [0, 1] and others are not: save all alike, or give --range A,B"
        )
    joined = {name: functools.reduce(Held.joined, found) for name, found in known.items()}
    scale, notes = choose_scale(joined, options, where, all(part.of_16_bits for part, _ in pairs))
    training = SPLITS[0]
    if training in splits and not options.range and (scale.low, scale.high) == joined[training][:2]:
        notes = (*notes, *_rare_ends(splits[training], scale))
    conversions = dict.fromkeys(arrays, Conversion(scale))
    return Settled(conversions, scale, (*notes, *_outside(splits, joined, scale)))


def numbers_of(images: Tensor, scale: Scale) -> np.ndarray:
    """Images [n, C, H, W] in [0, 1] as the numbers that data of that scale holds: of levels the nearest integers."""
    found = images.cpu().double().clamp(0, 1).numpy() * (scale.high - scale.low) + scale.low
    if not scale.levels:
        return found.astype(np.float32)
    kinds = (np.uint8, np.uint16, np.int16, np.int32)
    fitting = (one for one in kinds if np.iinfo(one).min <= scale.low and scale.high <= np.iinfo(one).max)
    kind = next(fitting, np.int64)
    return np.rint(found).astype(kind)


def settle_pictures(
    pixels: Tensor, counts: Sequence[int], options: DepthOptions, where: str
) -> tuple[Tensor, Scale, tuple[str, ...]]:
    """Pictures [N, C, H, W], in the order of the splits, which have so many (or all in one): bytes as they are, numbers (float32,
    NaN where there are none) as `settle` makes images of them, with the least value beside a picture. 0 and 1 alone are two
    levels: read again as 8 bits, files of 16 would be black."""
    if pixels.dtype == torch.uint8:
        return pixels, EIGHT_BITS, ()
    values, names = pixels.numpy(), SPLITS if len(counts) == len(SPLITS) else ("these pictures",)
    gaps = np.isnan(values)
    if gaps.any():
        low, high = (float(end(values[: counts[0]][~gaps[: counts[0]]])) for end in (np.min, np.max))
        as_they_are = low >= 0 and high <= BYTES - 1
        values = np.where(gaps, options.range[0] if options.range else 0 if as_they_are else low, values)
    if values.min() >= 0 and values.max() < MOST_LEVELS and (values == np.rint(values)).all():
        values = values.astype(np.uint16)
        if values.max() <= 1 and not options.range:
            options = replace(options, range=(0.0, 1.0))
    rows = np.split(np.arange(len(values)), np.cumsum(counts)[:-1])
    parts = [Numbers(values, where, own) for own in rows]
    found = settle({name: [part] for name, part in zip(names, parts, strict=True)}, options, where)
    return torch.cat([found.images(part) for part in parts]), found.scale, found.notes


def _in_unit(one: Held) -> bool | None:
    """Whether numbers are floats in [0, 1]; None where they are 0 and 1 alone, which goes with all."""
    within = one.low >= -ROUNDING and one.high <= 1 + ROUNDING
    return None if within and one.whole else within


def _byte_note(dtype: np.dtype, known: Held) -> str:
    if dtype.kind != "f" and known.high == 1:
        return "values are 0 and 1 only: read as black and white"
    if dtype in (np.uint8, np.bool_):
        return ""
    if known.whole and known.high > 1:
        return f"whole numbers {'that are bytes * 257' if known.high > BYTES else 'of 0 to 255'}: read as 8 bits"
    return "floats that are bytes / 255: read as 8 bits"


def _factor(known: Held) -> float:
    """What numbers that are bytes are multiplied by to be 0 to 255."""
    if known.high > BYTES:
        return 1 / _STRETCH
    return 1 if known.whole and known.high > 1 else BYTES - 1


def _rare_ends(training: Sequence[Numbers], scale: Scale) -> Iterator[str]:
    """A note where nearly all numbers lie in a small part of the range: beside a few bright pixels all others are dark."""
    step = max(1, sum(part.size for part in training) // SAMPLED)
    some = [chunk.reshape(-1)[::step].copy() for part in training for chunk in part.parts()]
    low, high = np.quantile(np.concatenate(some), MOST)
    if scale.levels:
        low, high = np.floor(low), np.ceil(high)
    if low < high and high - low < _CROWDED * (scale.high - scale.low):
        yield f"of these, 99.8 % lie from {low:.6g} to {high:.6g}: --range {low:.6g},{high:.6g} cuts off the others"


def _outside(splits: Mapping[str, Sequence[Numbers]], known: Mapping[str, Held], scale: Scale) -> Iterator[str]:
    """A note for each split with values that are cut off."""
    for name, parts in splits.items():
        one, margin = known[name], ROUNDING * (scale.high - scale.low)
        if one.low >= scale.low - margin and one.high <= scale.high + margin:
            continue
        chunks = (chunk for part in parts for chunk in part.parts())
        outside = sum(int(((chunk < scale.low) | (chunk > scale.high)).sum()) for chunk in chunks)
        total = sum(part.size for part in parts)
        yield (
            f"{outside:,} of {total:,} values of {name} lie outside {scale.low:.6g} to {scale.high:.6g} (they run from "
            f"{one.low:.6g} to {one.high:.6g}) and are cut off"
        )
