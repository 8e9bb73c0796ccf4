"""Which library multiplies a run's float32 matrices on a CPU: measured once for its shapes, when it starts.

Shapes: `n` rows, `I` inputs, `O` outputs of a linear layer.
"""

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reparam.distributions import keyed_generator
from reparam.errors import ConfigError, ReparamError
from reparam.files import cache_folder, read_json, write_json
from reparam.networks.products import has_onednn, large_layers, multiply
from reparam.run.device import processor

Products = Literal["mkl", "onednn"]
Operands = tuple[Tensor, Tensor, Tensor | None]  # a, b, bias of a b^T + bias
Shapes = Counter[tuple[int, int]]  # how many layers there are of (I, O)

GAIN = 1.1  # times as fast as torch's own, for other last bits to be worth it
WORTH = 1e11  # operations of a run's large layers: a second or so
ROUNDS, SECONDS = 5, 0.02  # of each product by each library; the fastest round counts
IDLE = 0.8  # share of its threads' time that a measurement has to have got: the least of an idle machine is 0.94
MOST_ROWS = 4096


def choose_products(model: nn.Module, rows: int, steps: int, note: Callable[[str], None]) -> Products:
    """oneDNN where the products of the model's large layers, for `rows` images a step, are at least `GAIN` times as fast as
    torch's own, and as exact. What was found is kept for this processor, so that equal runs have equal bits."""
    shapes = _shapes(model)
    work = 6 * rows * sum(count * inputs * outputs for (inputs, outputs), count in shapes.items())
    if not has_onednn() or work * steps < WORTH:
        return "mkl"
    gain = _known_gain(shapes, min(rows, MOST_ROWS))
    if gain is None:
        note("float32 products by torch's own library: other programs keep this machine too busy to measure oneDNN's")
        return "mkl"
    if gain < GAIN:
        return "mkl"
    note(f"float32 products by oneDNN, here {gain:.1f} times as fast as torch's own (which --products mkl keeps)")
    return "onednn"


def check_onednn(model: nn.Module) -> None:
    """Raises ConfigError where there is no oneDNN, or where it does not keep float32's precision."""
    if not has_onednn():
        raise ConfigError("this torch has no oneDNN: use --products mkl")
    if not all(_is_exact(operands) for shape in _shapes(model) for operands in _products(64, *shape)):
        raise ConfigError("oneDNN rounds float32 numbers on this machine, as torch is set: use --products mkl")


def _shapes(model: nn.Module) -> Shapes:
    return Counter((layer.in_features, layer.out_features) for layer in large_layers(model))


def _known_gain(shapes: Shapes, rows: int) -> float | None:
    """`_gain`, from the cache where this processor has been measured."""
    layers = ", ".join(f"{count} x {inputs}-{outputs}" for (inputs, outputs), count in sorted(shapes.items()))
    torch_is = f"torch {torch.__version__}, {torch.get_float32_matmul_precision()}"
    key = f"{processor()}, {torch.get_num_threads()} threads, {torch_is}: {rows} rows, {layers}"
    if key in (known := _cached()):
        return known[key]
    gain = _gain(shapes, rows)
    if gain is not None:
        with contextlib.suppress(ReparamError, OSError):  # then the next run measures again
            write_json(_cache_path(), {**_cached(), key: gain})
    return gain


def _cached() -> dict[str, float]:
    """What was measured before; nothing where that is damaged, or out of reach."""
    try:
        known = read_json(_cache_path()) if _cache_path().exists() else {}
    except (ReparamError, OSError):
        return {}
    return {key: gain for key, gain in known.items() if isinstance(gain, float) and 0 <= gain < math.inf}


def _cache_path() -> Path:
    return cache_folder() / "products.json"


def _gain(shapes: Shapes, rows: int) -> float | None:
    """How many times as fast the products of a step are by oneDNN; 0 where they are not float32's, None where other programs had
    the processors meanwhile: what waits for another thread may seem slow or fast."""
    own = others = 0.0
    began, used = time.perf_counter(), time.process_time()
    for shape, count in shapes.items():
        for operands in _products(rows, *shape):
            if not _is_exact(operands):
                return 0.0
            own_seconds, other_seconds = _seconds(operands)
            own, others = own + count * own_seconds, others + count * other_seconds
    share = (time.process_time() - used) / (time.perf_counter() - began) / torch.get_num_threads()
    return own / others if share >= IDLE else None


def _products(rows: int, inputs: int, outputs: int) -> list[Operands]:
    """The three of a layer: forward, the gradient by its input, and by its weight."""
    generator = keyed_generator("cpu", "products")
    x = torch.randn(rows, inputs, generator=generator)
    weight, bias = torch.randn(outputs, inputs, generator=generator), torch.randn(outputs, generator=generator)
    gradient = torch.randn(rows, outputs, generator=generator)
    return [(x, weight, bias), (gradient, weight.t(), None), (gradient.t(), x.t(), None)]


def _seconds(operands: Operands) -> tuple[float, float]:
    """A call's time by torch's own library and by oneDNN, which take turns."""
    ways = [lambda: F.linear(*operands), lambda: multiply(*operands)]
    with torch.no_grad():
        once = max(_timed(way, 1) for way in ways * 2)
        repeats = max(1, round(SECONDS / ROUNDS / max(once, 1e-6)))
        rounds = [[_timed(way, repeats) for way in ways] for _ in range(ROUNDS)]
    own, others = map(min, zip(*rounds, strict=True))
    return own, others


def _timed(run: Callable[[], Tensor], repeats: int) -> float:
    """Seconds a call."""
    began = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - began) / repeats


@torch.no_grad()
def _is_exact(operands: Operands) -> bool:
    """Whether oneDNN's product has float32's error: against float64, its root mean square relative to the product's is at most
    2^-24 sqrt(K) of K summands.

    Numbers added one after another have 2^-24 sqrt(K / 6), if roundings are independent. Operands that are rounded to
    TF32 (11 bits) or bfloat16 (8 bits) have 2^-12 and 2^-9 or so, whatever K is.
    """
    a, b, bias = operands
    right = F.linear(a.double(), b.double(), None if bias is None else bias.double())
    error = (multiply(*operands).double() - right).norm() / right.norm()
    return bool(error <= 2.0**-24 * math.sqrt(a.shape[1]))
