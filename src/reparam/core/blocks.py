"""Work in blocks of a fixed size. Memory is bounded, and random numbers are keyed by block: those of image i depend neither on
how many images there are nor on the batch size.

Shapes: `n` images, `K` latent.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from reparam.distributions import keyed_generator
from reparam.progress import watched

BLOCK = 100


def full_block(part: Tensor) -> Tensor:
    """`part` [b, ...] with zeros up to [BLOCK, ...]: noise is drawn for whole blocks, so that an image's own never depends
    on how many images came with it."""
    return part if len(part) == BLOCK else torch.cat([part, part.new_zeros(BLOCK - len(part), *part.shape[1:])])


def in_blocks(function: Callable[[Tensor, int], Tensor], values: Tensor) -> Tensor:
    """`function(block of values, block number)` over blocks of `BLOCK`, on the CPU, as one tensor."""
    found: Tensor | None = None
    for number, part in enumerate(watched(values.split(BLOCK))):
        block = function(part, number).cpu()
        if found is None:  # filled as blocks come: joining them at the end would take the memory twice
            found = block.new_empty(len(values), *block.shape[1:])
        found[number * BLOCK :][: len(part)] = block
    assert found is not None
    return found


def keyed_noise(n: int, latent: int, *key: int | str) -> Tensor:
    """Standard normal, [n, K], on the CPU, in blocks: row i is a function of its place and `key` alone."""
    generators = (keyed_generator("cpu", *key, number) for number in range(-(-n // BLOCK)))
    return torch.cat([torch.randn(BLOCK, latent, generator=generator) for generator in generators])[:n]
