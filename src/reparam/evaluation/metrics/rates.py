"""`RATES`: how good images are at so many bytes, beside principal components with the same quantiser and coder, and JPEG. One
function and one line add a metric.

Shapes: `N` images, `C H W` image, `K` latent.
"""

import contextlib
import io

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.data import Dataset
from reparam.data.tasks import TaskOptions, to_float
from reparam.errors import ConfigError
from reparam.evaluation import fidelity
from reparam.evaluation.context import EvaluationContext, EvaluationOptions, Measure, mean
from reparam.evaluation.metrics.metric import Metric
from reparam.evaluation.metrics.representation import components_of, generative
from reparam.latent import compression
from reparam.latent.generation import decode
from reparam.models import Model

TOGETHER = 1000  # images in one file
QUALITIES = range(1, 96)
COMPONENTS = (16, 32, 64, 96, 128, 192, 256, 384, 512)
NOBODY = bytes(8)


def rate_psnr(context: EvaluationContext) -> Measure:
    x = context.batch.shown[:TOGETHER]
    data = compression.compress(context.model, x, context.options.bytes, NOBODY)
    return _measured(context, decode(context.model, compression.restored(data, NOBODY)), len(data) / len(x))


def rate_psnr_pca(context: EvaluationContext) -> Measure:
    """With the number of components that serves it best here: a rival is not to lose by our choice."""
    x, budget = context.batch.shown[:TOGETHER], context.options.bytes
    pca = context.once("all components", lambda: components_of(context.training.shown, max(COMPONENTS)))
    z = torch.from_numpy(pca.transform(x.flatten(1).numpy())).float()
    counts = {min(count, z.shape[1]) for count in (*COMPONENTS, context.codes[0].shape[1])}
    found = []
    for count in sorted(counts):
        with contextlib.suppress(ConfigError):  # a header of so many leaves no room
            data = compression.fitted(z[:, :count], torch.ones(count), budget, NOBODY)  # its axes are orthonormal
            kept = F.pad(compression.restored(data, NOBODY), (0, z.shape[1] - count))
            rebuilt = torch.from_numpy(pca.inverse_transform(kept.numpy())).view_as(x)
            found.append(_measured(context, rebuilt, len(data) / len(x), f", {count} components"))
    return max(found, key=lambda measure: measure.value)


def rate_psnr_jpeg(context: EvaluationContext) -> Measure:
    """Without the tables, which images could share; at the quality whose size is nearest."""
    x = context.batch.shown[:TOGETHER]
    found = [(quality, *_jpeg(x[:100], quality)) for quality in QUALITIES]
    quality, _, _ = min(found, key=lambda one: abs(one[2] - context.options.bytes))
    rebuilt, size = _jpeg(x, quality)
    return _measured(context, rebuilt, size)


def _jpeg(x: Tensor, quality: int) -> tuple[Tensor, float]:
    """Images as JPEG leaves them, and the mean bytes of the abbreviated format."""
    import numpy as np
    from PIL import Image

    rebuilt, total = [], 0
    for pixels in (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy():
        image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        whole, short = io.BytesIO(), io.BytesIO()
        image.save(whole, "JPEG", quality=quality)
        image.save(short, "JPEG", quality=quality, streamtype=2)
        total += len(short.getvalue())
        rebuilt.append(torch.from_numpy(np.array(Image.open(whole))).view(*pixels.shape))
    return to_float(torch.stack(rebuilt).permute(0, 3, 1, 2)), total / len(x)


def _measured(context: EvaluationContext, rebuilt: Tensor, size: float, more: str = "") -> Measure:
    found = fidelity.psnr(context.x[:TOGETHER], rebuilt.clamp(0, 1))
    return mean(found, "dB", f"{size:.1f} bytes an image, {len(found):,} in a file{more}")


def no_room(model: Model, dataset: Dataset, task: TaskOptions, options: EvaluationOptions) -> str | None:
    """The header takes 12 bytes a latent."""
    n = min(TOGETHER, options.images, len(dataset.split(options.split)))
    with torch.no_grad():
        latent = model.encoder(to_float(dataset.test.images[:1]).to(next(model.parameters()).device)).mean.shape[1]
    try:
        compression.fitted(torch.zeros(n, latent), torch.ones(latent), options.bytes, NOBODY)
    except ConfigError as error:
        return str(error)
    return None


RATES: dict[str, Metric] = {
    "rate_psnr": Metric(
        "reconstruct",
        rate_psnr,
        "peak signal-to-noise ratio of images at so many bytes",
        "How good images are that were compressed to a number of bytes (32 unless told), headers counted. Higher is better.",
        no_room,
        dear=generative,
        best="high",
    ),
    "rate_psnr_pca": Metric(
        "reconstruct",
        rate_psnr_pca,
        "the same by principal components, with the same quantiser and coder",
        "What a linear model has at the same bytes, with the number of components that serves it best.",
        no_room,
        dear=generative,
        best="high",
    ),
    "rate_psnr_jpeg": Metric(
        "reconstruct",
        rate_psnr_jpeg,
        "the same by JPEG without its tables, at the nearest size that it has",
        "What the common format has; for tiny images its smallest files are larger than asked for.",
        no_room,
        dear=generative,
        best="high",
    ),
}
