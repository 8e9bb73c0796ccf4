"""The one training loop, and what it is made of."""

from reparam.progress import LineProgress, Progress, RichProgress, Silent
from reparam.training.data_order import DataOrder
from reparam.training.divergence import DivergedError
from reparam.training.loop import Loop, Outcome
from reparam.training.process_settings import settle_process, training_alone

__all__ = [
    "DataOrder",
    "DivergedError",
    "LineProgress",
    "Loop",
    "Outcome",
    "Progress",
    "RichProgress",
    "Silent",
    "settle_process",
    "training_alone",
]
