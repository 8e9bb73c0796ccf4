"""How the numbers of images became values from 0 to 1, and how many values there are."""

from dataclasses import dataclass, field

from reparam.core.spec import BYTES


@dataclass(frozen=True)
class Scale:
    """`low` became 0 and `high` 1, for all images of a data set. levels: how many equally spaced values there are from 0 to 1; 0:
    any. told: whether a run must keep this as its `--range`, since other images of the kind do not say it by their type: one of
    16 bits that holds bytes could be a dark one."""

    low: float = 0.0
    high: float = 255.0
    levels: int = BYTES
    told: bool = field(default=False, compare=False, repr=False)

    @property
    def of_bytes(self) -> bool:
        """Whether the numbers were bytes from 0 to 255, as those of most images."""
        return self == EIGHT_BITS


EIGHT_BITS, UNIT = Scale(), Scale(0.0, 1.0, 0)
