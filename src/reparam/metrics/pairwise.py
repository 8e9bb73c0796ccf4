"""All pairs of rows of two matrices, a block of rows at a time, so that memory is bounded."""

from collections.abc import Iterator

from torch import Tensor

PAIRWISE_BLOCK = 1000  # rows


def row_blocks(values: Tensor, rows: int = PAIRWISE_BLOCK) -> Iterator[tuple[int, Tensor]]:
    """(number of the first row, rows) of each block of `values` [N, ...]."""
    for start in range(0, len(values), rows):
        yield start, values[start : start + rows]
