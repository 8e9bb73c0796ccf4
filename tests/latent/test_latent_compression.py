"""Compression: what is coded comes back exactly, what is damaged is refused, and rounding is spent where the image shows it."""

import math
import struct
import zlib

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from reparam.conditionals import StandardNormal
from reparam.core.conditional import Decoder
from reparam.distributions import keyed_generator
from reparam.errors import ConfigError, DataError, RunError
from reparam.latent import compression
from reparam.latent.compression import (
    CHECK,
    HEADER,
    MAGIC,
    NARROWEST,
    Grid,
    compress,
    fitted,
    grid_of,
    pack,
    restored,
    sensitivities,
    unpack,
)
from reparam.models import Model

WHOSE = b"somebody"
N, K, SIDE = 400, 6, 8


def latents(scale: float = 1.0) -> Tensor:
    spread = torch.tensor([3.0, 1.0, 0.3, 10.0, 1e-4, 1.0])
    return scale * spread * torch.randn(N, K, generator=keyed_generator("cpu", "latents")) + 5


class _Linear(Decoder):
    """z -> W z, columns of W orthogonal with the given norms."""

    def __init__(self, norms: Tensor) -> None:
        super().__init__()
        random = torch.randn(SIDE * SIDE, len(norms), generator=keyed_generator("cpu", "columns"))
        self.weight = nn.Parameter(torch.linalg.qr(random)[0] * norms)

    def forward(self, z: Tensor) -> Independent:
        mean = (z @ self.weight.T).unflatten(-1, (1, SIDE, SIDE))
        return Independent(Normal(mean, 1.0, validate_args=False), 3, validate_args=False)


def linear(norms: Tensor) -> Model:
    return Model(prior=StandardNormal(len(norms)), decoder=_Linear(norms))


@pytest.mark.parametrize("size", [0.001, 0.1, 1.0, 50.0])
def test_a_round_trip_is_exact(size: float) -> None:
    z = latents()
    grid = grid_of(z, torch.ones(K), size)
    numbers = grid.numbers(z)
    found, theirs = unpack(pack(numbers, grid, WHOSE), WHOSE)
    assert torch.equal(found, numbers)
    assert all(torch.equal(getattr(theirs, part), getattr(grid, part)) for part in ("centre", "step", "spread"))
    assert torch.equal(theirs.latents(found), grid.latents(numbers))
    assert ((grid.latents(numbers) - z).abs() <= grid.step / 2 * 1.0001 + 1e-5).all()


def test_the_file_is_as_short_as_the_numbers_allow() -> None:
    """A normal of deviation d on whole numbers has log2(d sqrt(2 pi e)) bits; the coder's overhead is a word or two."""
    deviations = torch.tensor([2.0, 8.0, 40.0])
    numbers = (deviations * torch.randn(20_000, 3, generator=keyed_generator("cpu", 1))).round().long()
    grid = Grid(torch.zeros(3), torch.ones(3), deviations)
    header = HEADER.size + CHECK.size + 12 * 3
    bits = 8 * (len(pack(numbers, grid, WHOSE)) - header) / len(numbers)
    expected = float((deviations * math.sqrt(2 * math.pi * math.e)).log2().sum())
    # -log2 p of a normal has a deviation of log2(e) / sqrt(2) = 1.02 bits: the standard error here is 1.02 sqrt(3 / 20,000).
    assert abs(bits - expected) < 4 * 0.0125


def test_sensitivities_are_the_norms_of_a_linear_decoders_columns() -> None:
    norms = torch.tensor([0.5, 2.0, 0.0])
    torch.testing.assert_close(sensitivities(linear(norms), torch.randn(50, 3)), norms, atol=1e-6, rtol=1e-5)


def test_rounding_adds_the_same_error_by_each_latent() -> None:
    """size^2 / 12 in the image, whatever a latent's scale: of an even error of +-step / 2 through a column of norm s."""
    norms, size = torch.tensor([0.5, 2.0, 7.0]), 0.05
    model = linear(norms)
    z = torch.randn(4000, 3, generator=keyed_generator("cpu", 2))
    grid = grid_of(z, sensitivities(model, z), size)
    each = ((grid.latents(grid.numbers(z)) - z) * norms).square().mean(0)
    # The square of an even error has a standard error of 0.075 step^2 / sqrt(n): 1.4% of its mean.
    torch.testing.assert_close(each, torch.full((3,), size**2 / 12), rtol=0.06, atol=0)


def test_a_latent_that_changes_nothing_costs_nothing() -> None:
    z = torch.randn(N, 2, generator=keyed_generator("cpu", 3))
    both = grid_of(z, torch.tensor([1.0, 0.0]), 0.1)
    numbers = both.numbers(z)
    assert not numbers[:, 1].any()
    alone = grid_of(z[:, :1], torch.tensor([1.0]), 0.1)
    assert len(pack(numbers, both, WHOSE)) - len(pack(numbers[:, :1], alone, WHOSE)) <= 12 + 8  # its row of the table


@pytest.mark.parametrize("budget", [1.0, 4.0, 8.0])
def test_a_budget_is_kept_and_used(budget: float) -> None:
    data = fitted(latents(), torch.ones(K), budget, WHOSE)
    assert budget * N * 0.97 <= len(data) <= budget * N


def test_more_bytes_are_nearer() -> None:
    z = latents()
    errors = [float((restored(fitted(z, torch.ones(K), b, WHOSE), WHOSE) - z).square().mean()) for b in (2.0, 4.0, 8.0)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_too_few_bytes_for_the_header_are_refused() -> None:
    with pytest.raises(ConfigError, match="header alone"):
        fitted(latents()[:2], torch.ones(K), 8.0, WHOSE)


def test_one_image_and_equal_images_can_be_coded() -> None:
    for z in (latents()[:1], latents()[:1].expand(5, K)):
        data = fitted(z, torch.ones(K), 200.0, WHOSE)
        torch.testing.assert_close(restored(data, WHOSE), z, atol=1e-2, rtol=1e-3)


@pytest.fixture(scope="module")
def file() -> bytes:
    return fitted(latents(), torch.ones(K), 6.0, WHOSE)


def test_every_cut_is_refused(file: bytes) -> None:
    for length in (0, 1, 3, 4, 20, len(file) // 2, len(file) - 4, len(file) - 1):
        with pytest.raises(DataError, match=r"no file|damaged"):
            unpack(file[:length], WHOSE)


def test_every_changed_byte_is_refused(file: bytes) -> None:
    for place in range(0, len(file), 7):
        changed = bytearray(file)
        changed[place] ^= 0x40
        with pytest.raises(DataError):
            unpack(bytes(changed), WHOSE)


def test_another_decoders_file_and_a_foreign_one_are_refused(file: bytes) -> None:
    with pytest.raises(DataError, match="another run's weights"):
        unpack(file, b"somebod2")
    with pytest.raises(DataError, match="no file that"):
        unpack(b"\x89PNG\r\n" + bytes(100), WHOSE)


@pytest.mark.parametrize(
    ("place", "value"),
    [(12, 50_000_000), (HEADER.size + 4 * K, math.nan), (HEADER.size + 4 * K, 0.0), (HEADER.size + 8 * K, -1.0)],
    ids=["images without end", "a step that is no number", "no step", "a negative deviation"],
)
def test_a_forged_file_is_refused(file: bytes, place: int, value: float) -> None:
    """With a checksum that fits: a length or a table that no image has."""
    body = bytearray(file[: -CHECK.size])
    body[place : place + 4] = struct.pack("<I" if isinstance(value, int) else "<f", value)
    with pytest.raises(DataError, match="damaged"):
        unpack(bytes(body) + CHECK.pack(zlib.crc32(body)), WHOSE)


def forged(n: int, latent: int, largest: int = 1, spread: float = NARROWEST, stream: bytes = b"") -> bytes:
    """A file whose checksum fits."""
    table = struct.pack("<f", 0.0) * latent + struct.pack("<f", 1.0) * latent + struct.pack("<f", spread) * latent
    body = HEADER.pack(MAGIC, WHOSE, n, latent, largest) + table + stream
    return body + CHECK.pack(zlib.crc32(body))


def test_few_bytes_do_not_declare_images_without_end() -> None:
    """However likely a number is, it may take nearly no bits: the file's own size is the bound."""
    assert len(forged(2**24, 1)) == 40
    with pytest.raises(DataError, match=r"declares 16,777,216 images, too many for its 40 bytes"):
        unpack(forged(2**24, 1), WHOSE)
    assert len(unpack(forged(1000, 1), WHOSE)[0]) == 1000
    with pytest.raises(DataError, match=r"declares 100,000 images, too many"):
        restored(forged(100_000, 1), WHOSE, pixels=28 * 28)
    assert len(restored(forged(10_000, 1), WHOSE, pixels=28 * 28)) == 10_000


@pytest.mark.parametrize("spread", [NARROWEST / 2, 1e-30, 1.1, 1e30])
def test_deviations_that_no_numbers_have_are_refused(spread: float) -> None:
    with pytest.raises(DataError, match="no images have such latents"):
        unpack(forged(10, 1, spread=spread), WHOSE)


def test_numbers_and_a_step_whose_product_is_too_large_are_refused() -> None:
    grid = Grid(torch.zeros(1), torch.tensor([3e38]), torch.ones(1))
    assert restored(pack(torch.ones(10, 1).long(), grid, WHOSE), WHOSE).isfinite().all()
    with pytest.raises(DataError, match="damaged: no images have such latents"):
        restored(pack(torch.full((10, 1), 2), grid, WHOSE), WHOSE)


def test_what_could_not_be_read_again_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "encode", lambda model, x: (torch.zeros(len(x), 1), None))
    monkeypatch.setattr(compression, "PIXELS", (100, 1))
    with pytest.raises(ConfigError, match="too many for a file of 44 bytes: compress them in parts"):
        compress(linear(torch.ones(1)), torch.zeros(300, 1, SIDE, SIDE), 8.0, WHOSE)


def test_a_decoder_that_ignores_its_latents_can_be_compressed() -> None:
    z = latents()
    found = restored(fitted(z, torch.zeros(K), 8.0, WHOSE), WHOSE)
    assert found.isfinite().all()


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        compress(linear(torch.ones(K)), torch.zeros(0, 1, SIDE, SIDE), 8.0, WHOSE)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_latents_and_sensitivities_that_are_not_finite_are_the_runs(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no file yet that could be damaged."""
    x = torch.zeros(4, 1, SIDE, SIDE)
    monkeypatch.setattr(compression, "encode", lambda model, x: (torch.full((len(x), K), value), None))
    with pytest.raises(RunError, match="latents of these images are not finite numbers: train the run again"):
        compress(linear(torch.ones(K)), x, 32.0, WHOSE)
    monkeypatch.setattr(compression, "encode", lambda model, x: (torch.zeros(len(x), K), None))
    with pytest.raises(RunError, match="change in these images is no finite number: train the run again"):
        compress(linear(torch.full((K,), value)), x, 32.0, WHOSE)
