r"""Lossy compression: latents on an even grid, entropy-coded under a normal for each latent, in one file for many images.

The grid of latent k has the step `size` / s_k, where s_k is the root mean square of ||d image / d z_k||: to first order the
rounding of each latent then adds the same squared error, size^2 / 12 an image, which is what reverse water-filling asks for. A
latent that changes nothing in the image has a step so wide that it costs nothing.

Shapes: `n` images, `C H W` image, `K` latent.
"""

import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reparam.errors import ConfigError, DataError, RunError
from reparam.latent.directions import Code, effects
from reparam.latent.generation import device_of, encode
from reparam.models import Model

MAGIC = b"RPZ\x01"
HEADER = struct.Struct("<4s8sIII")  # magic, whose weights, images, latents, largest number
CHECK = struct.Struct("<I")
PROBED = 200  # images, at most, that say how much a latent changes an image
UNUSED = 1e-6  # of the largest sensitivity: below, a latent changes nothing
TINY = 1e-12  # sensitivity, where no latent changes anything
NARROWEST = 0.01  # deviation of the whole numbers, of latents that are nearly always 0
MOST = 2**26  # whole numbers in a file: a forged length is not to fill the memory
NUMBERS = (
    2**20,
    2**12,
)  # whole numbers that a file may hold however small it is, and for each of its bytes beyond that
PIXELS = (2**26, 2**13)  # the same of what its images have, C H W each
LARGEST = 2**20  # whole number: beyond, a step is too fine to be meant
STEPS = 40  # of a bisection over sizes


@dataclass(frozen=True)
class Grid:
    """Of each latent the place of 0, the step, and the deviation of its whole numbers, float32 [K] each."""

    centre: Tensor
    step: Tensor
    spread: Tensor

    def numbers(self, z: Tensor) -> Tensor:
        """The nearest points of the grid to latents z [n, K], int64."""
        return ((z.double() - self.centre.double()) / self.step.double()).round().long()

    def latents(self, numbers: Tensor) -> Tensor:
        """[n, K] whole numbers back to latents, float32: the same on both sides, bit for bit."""
        return (self.centre.double() + self.step.double() * numbers).float()


def sensitivities(model: Model, z: Tensor) -> Tensor:
    """s_k, the root mean square over latents z [n, K] of ||d mean of p(x|z) / d z_k||_2, [K]."""
    device = device_of(model)
    mean = z[:PROBED].to(device)
    with torch.no_grad():
        found = effects(Code(mean, torch.ones_like(mean), torch.full((len(mean),), -1, device=device), model.decoder))
    return found.square().mean(0).sqrt().cpu()


def grid_of(z: Tensor, sensitivity: Tensor, size: float) -> Grid:
    """The grid for latents z [n, K] of the given sensitivities [K]: its steps are `size` / s_k."""
    sensitivity = sensitivity.clamp(min=max(float(sensitivity.max()) * UNUSED, TINY))
    centre, step = z.double().mean(0).float(), (size / sensitivity).float()
    whole = Grid(centre, step, torch.ones_like(step))
    spread = whole.numbers(z).double().square().mean(0).sqrt().clamp(min=NARROWEST).float()
    return Grid(centre, step, spread)


def pack(numbers: Tensor, grid: Grid, whose: bytes) -> bytes:
    """One file of whole numbers [n, K]; `whose`: eight bytes that name the decoder. Raises ConfigError for steps that are too
    fine to be coded."""
    largest = max(1, int(numbers.abs().max()))
    if numbers.numel() > MOST:  # first, since coding takes memory
        raise ConfigError(f"{len(numbers):,} images are too many for one file: compress them in parts")
    if largest > LARGEST:
        raise ConfigError(f"steps are so fine that latents have {largest:,} of them: ask for fewer bytes")
    n, latent = numbers.shape
    table = torch.stack([grid.centre, grid.step, grid.spread]).numpy().astype("<f4").tobytes()
    coder = _coder().queue.RangeEncoder()
    coder.encode(numbers.numpy().astype(np.int32).ravel(), *_model(grid, n, largest))
    body = HEADER.pack(MAGIC, whose, n, latent, largest) + table + coder.get_compressed().astype("<u4").tobytes()
    return body + CHECK.pack(zlib.crc32(body))


def proportionate(size: int, n: int, latent: int, pixels: int) -> bool:
    """Whether a file of `size` bytes may hold n images of so many latents and pixels (C H W): a forged one is not to fill memory
    or disk."""
    allowed = [max(always, each * size) for always, each in (NUMBERS, PIXELS)]
    return n * latent <= min(MOST, allowed[0]) and n * pixels <= allowed[1]


def unpack(data: bytes, whose: bytes, pixels: int = 1) -> tuple[Tensor, Grid]:
    """The inverse of `pack`. Raises DataError for a file that is none of ours, cut short, changed, or of another decoder, and
    where so many images of `pixels` (C H W) are out of all proportion to it."""
    if len(data) < HEADER.size + CHECK.size or data[: len(MAGIC)] != MAGIC:
        raise DataError("this is no file that 'reparam compress' wrote: give one that is")
    body, check = data[: -CHECK.size], data[-CHECK.size :]
    if CHECK.unpack(check)[0] != zlib.crc32(body):
        raise DataError("the file is damaged: it is cut short, or some of it was changed; restore it from a copy")
    _, theirs, n, latent, largest = HEADER.unpack_from(body)
    if theirs != whose:
        raise DataError("the file was made with another run's weights, or with others of this run: give that run")
    table, stream = body[HEADER.size :][: 12 * latent], body[HEADER.size + 12 * latent :]
    if not n or not latent or not 0 < largest <= LARGEST or len(table) != 12 * latent or len(stream) % 4:
        raise DataError("the file is damaged: its parts do not fit together; restore it from a copy")
    if not proportionate(len(data), n, latent, pixels):
        raise DataError(
            f"the file is damaged: it declares {n:,} images, too many for its {len(data):,} bytes; restore it from a copy"
        )
    parts = torch.from_numpy(np.frombuffer(table, "<f4").astype(np.float32)).view(3, latent)
    grid = Grid(*parts)
    narrowest = torch.tensor(NARROWEST)
    meant = (grid.step > 0) & (grid.spread >= narrowest) & (grid.spread <= largest * (1 + 1e-6))
    no_latents = DataError("the file is damaged: no images have such latents; restore it from a copy")
    if not parts.isfinite().all() or not meant.all():
        raise no_latents
    decoder = _coder().queue.RangeDecoder(np.frombuffer(stream, "<u4").astype(np.uint32))
    try:
        found = decoder.decode(*_model(grid, n, largest))
    except Exception as error:  # of the coder, which is compiled
        raise DataError(f"the file is damaged ({' '.join(str(error).split())}): restore it from a copy") from error
    numbers = torch.from_numpy(found.astype(np.int64)).view(n, latent)
    if not grid.latents(numbers).isfinite().all():  # a step times a number may be more than float32 holds
        raise no_latents
    return numbers, grid


def _coder() -> Any:
    import constriction

    return constriction.stream


def _model(grid: Grid, n: int, largest: int) -> tuple:
    """The entropy model of n images' whole numbers: normals around 0, cut at the largest that occurs."""
    deviations = np.tile(grid.spread.numpy().astype(np.float64), n)
    return _coder().model.QuantizedGaussian(-largest, largest), np.zeros_like(deviations), deviations


def fitted(z: Tensor, sensitivity: Tensor, budget: float, whose: bytes) -> bytes:
    """The file of latents z [n, K] on the finest grid whose file has at most `budget` bytes an image, headers counted. Raises
    ConfigError where the header alone has more, or where `budget` is no number above 0."""

    if not budget > 0:
        raise ConfigError(f"bytes an image is a number above 0, got {budget}")

    def file(size: float) -> bytes:
        grid = grid_of(z, sensitivity, size)
        return pack(grid.numbers(z), grid, whose)

    coarsest = float(sensitivity.max() * (z - z.mean(0)).abs().max()) * 4 + 1e-6  # every number is 0
    least = len(file(coarsest)) / len(z)
    if least > budget:
        raise ConfigError(
            f"the header alone takes {least:.1f} bytes an image for {len(z):,} image{'s' * (len(z) > 1)}: allow more (--bytes "
            f"{math.ceil(1.5 * least)}), or compress more images together"
        )
    return file(_bisected(lambda size: len(file(size)) <= budget * len(z), coarsest * 2.0**-17, coarsest))


def _bisected(fits: Callable[[float], bool], low: float, high: float) -> float:
    """The smallest size that fits, on a logarithmic scale; `high` does."""
    if fits(low):
        return low
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def compress(model: Model, x: Tensor, budget: float, whose: bytes) -> bytes:
    """Images x [n, C, H, W] in [0, 1] as one file of at most `budget` bytes an image. The finer the grid that fits, the nearer
    the result to the model's own reconstruction, which it cannot surpass. Raises RunError for a model whose latents, or what they
    change in the image, are not finite."""
    if not len(x):
        raise DataError("there are no images to compress: give at least one")
    z, _ = encode(model, x)
    if not z.isfinite().all():
        raise RunError("the run's latents of these images are not finite numbers: train the run again")
    sensitivity = sensitivities(model, z)
    if not sensitivity.isfinite().all():
        raise RunError("what the run's latents change in these images is no finite number: train the run again")
    data = fitted(z, sensitivity, budget, whose)
    if not proportionate(len(data), len(z), z.shape[1], x[0].numel()):  # such a file would not be read
        raise ConfigError(f"{len(x):,} images are too many for a file of {len(data):,} bytes: compress them in parts")
    return data


def restored(data: bytes, whose: bytes, pixels: int = 1) -> Tensor:
    """The latents [n, K] that a file holds: those of the grid, exactly. Raises as `unpack`."""
    numbers, grid = unpack(data, whose, pixels)
    return grid.latents(numbers)
