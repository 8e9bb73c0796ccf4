"""What an array is, by its name: the images or the labels, of a split or of all. The names are those that people use:
`images` and `labels`, `x_train` and `y_train`, `val_images`, `label`, `X`, `imgs`, `train_set_x`, `train/images`, `arr_0`, ...
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from reparam.data.dataset import SPLITS
from reparam.data.splitting import SPLIT_WORDS
from reparam.errors import escaped

# Of two names for the same, the first of these is taken. Numpy's own are for arrays that were saved without names.
IMAGE_WORDS = ("images", "x", "image", "imgs", "img", "pictures", "pixels", "data", "inputs", "arr_0")
LABEL_WORDS = ("labels", "y", "label", "targets", "target", "arr_1")
_ROLES = "|".join(IMAGE_WORDS + LABEL_WORDS)
_NAME = re.compile(
    rf"(?P<before>{_ROLES})?[_\-. /]*(?:(?P<split>{'|'.join(SPLIT_WORDS)})(?:[_\-. /]*set)?)?[_\-. /]*(?P<after>{_ROLES})?",
    re.I,
)


class Pair(NamedTuple):
    """The names of the arrays of images and of their labels (None: there are none)."""

    images: str
    labels: str | None


class Named(NamedTuple):
    """whole: the arrays of images that are in no split; by_split: those of the splits; unused: all other names."""

    whole: Pair | None
    by_split: dict[str, Pair]
    unused: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        """A line that names the arrays that are not used, where there are any."""
        listed = ", ".join(f"'{escaped(name)}'" for name in self.unused[:10]) + ", ..." * (len(self.unused) > 10)
        return (f"arrays that are not used: {listed}",) if self.unused else ()


def by_name(names: Iterable[str]) -> Named:
    """Which arrays hold the images and the labels. A name that is a split's alone (`train`) is that of its images, where no other
    name says what images are."""
    names = tuple(names)
    found: dict[tuple[str, str | None], list[tuple[int, str]]] = {}
    bare: dict[tuple[str, str | None], list[tuple[int, str]]] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        roles = [role.lower() for role in (match["before"], match["after"]) if role] if match else []
        if match is None or len(roles) > 1 or not (roles or match["split"]):
            continue
        split = SPLITS[SPLIT_WORDS[match["split"].lower()]] if match["split"] else None
        role = roles[0] if roles else "images"
        kind, order = ("images", IMAGE_WORDS) if role in IMAGE_WORDS else ("labels", LABEL_WORDS)
        (found if roles else bare).setdefault((kind, split), []).append((order.index(role), name))
    if not any(kind == "images" for kind, _ in found):
        found |= bare
    first = {key: min(candidates)[1] for key, candidates in found.items()}
    pairs = {
        split: Pair(name, first.get(("labels", split))) for (kind, split), name in first.items() if kind == "images"
    }
    used = {name for pair in pairs.values() for name in pair}
    by_split = {split: pairs[split] for split in SPLITS if split in pairs}
    return Named(pairs.get(None), by_split, tuple(name for name in names if name not in used))
