"""The curves of a training, as arrays.

Shapes: `L` lines of metrics.jsonl of one phase.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reparam.run.documents import MetricsLine

Curves = dict[str, NDArray[np.float64]]


def curves(lines: Sequence[MetricsLine], phase: str) -> Curves:
    """step, epoch and every logged term by name, [L] each, in the order of training; learning_rate where it was logged. NaN where
    a line lacks a term."""
    own = [line for line in lines if line.phase == phase]
    names = dict.fromkeys(name for line in own for name in line.terms)
    columns: dict[str, list[float | None]] = {
        "step": [line.step for line in own],
        "epoch": [line.epoch for line in own],
        **{name: [line.terms.get(name) for line in own] for name in names},
    }
    if any(line.learning_rate is not None for line in own):
        columns["learning_rate"] = [line.learning_rate for line in own]
    return {name: np.array(values, np.float64) for name, values in columns.items()}
