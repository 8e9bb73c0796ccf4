"""The one training loop, and what it is made of."""

from reparam.training.divergence import DivergedError
from reparam.training.host import settle_process
from reparam.training.loop import Loop, Outcome
from reparam.training.progress import LineProgress, Progress, RichProgress, Silent
from reparam.training.step import Step
from reparam.training.stream import Stream

__all__ = [
    "DivergedError",
    "LineProgress",
    "Loop",
    "Outcome",
    "Progress",
    "RichProgress",
    "Silent",
    "Step",
    "Stream",
    "settle_process",
]
