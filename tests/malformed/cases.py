"""A case: a valid input with one thing wrong, and the command that reads it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

Damage = Callable[[Path], None]  # changes what lies at a path


@dataclass(frozen=True)
class Case:
    """`kind`: the parser, document or option that is tried. `name`: the mutation. `command`: its words, in which IN is a copy of
    the input folder `source`, RUN one of the run `run`, OUT where the command may write. `damage` changes the copies before.
    told: a checksum, a header or a type says that it is wrong, so it must be refused. writes: folders besides OUT that
    the command may write to. large: it may ask for more memory than there is, in one line."""

    kind: str
    name: str
    command: Sequence[str]
    source: str | None = None
    run: str | None = None
    damage: Damage | None = None
    told: bool = False
    writes: tuple[str, ...] = ()
    large: bool = False


def chosen(cases: Sequence[Case], each: int, random: Random) -> list[Case]:
    """At most so many cases of each kind, those that must be refused and the others alike."""
    by_kind: dict[str, list[Case]] = {}
    for case in cases:
        by_kind.setdefault(case.kind, []).append(case)
    found = []
    for of_kind in by_kind.values():
        random.shuffle(of_kind)
        found += of_kind[:each]
    return found
