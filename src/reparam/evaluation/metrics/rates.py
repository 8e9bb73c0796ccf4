"""`RATES`: how good images are at a number of bytes, beside principal components and JPEG. One function and one row add a metric.

Shapes: `N` images, `C H W` image.
"""

import contextlib
import io
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.core.abilities import Ability
from reparam.data.tasks import to_float
from reparam.errors import ConfigError, RunError
from reparam.evaluation.baselines import principal_components
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.metric import Measure, Metric, NoValueError, mean, not_in_colour, trained_without_prior
from reparam.latent import compression
from reparam.latent.generation import decode
from reparam.metrics import fidelity

TOGETHER = 1000  # images in one file
QUALITIES = range(1, 96)
PROBED = 100  # images that say what size a JPEG quality comes to
COMPONENTS = (16, 32, 64, 96, 128, 192, 256, 384, 512)
NOBODY = bytes(8)  # in place of the run that a file belongs to


def rate_psnr(context: EvaluationContext) -> Measure:
    """Peak signal-to-noise ratio of images compressed to --bytes each.

    How good images are after compression to a number of bytes (by default 32), headers included. Higher is better."""
    x = context.batch.input[:TOGETHER]
    try:
        data = compression.compress(context.model, x, context.options.bytes, NOBODY)
    except RunError as why:
        raise NoValueError(str(why)) from None
    return _psnr(context, decode(context.model, compression.restored(data, NOBODY)), len(data) / len(x))


def rate_psnr_pca(context: EvaluationContext) -> Measure:
    """Peak signal-to-noise ratio of images compressed by principal components, with the same quantiser and coder.

    What a linear model achieves at the same bytes, with the number of components that is best for it."""
    x = context.batch.input[:TOGETHER]
    pca = context.once("all components", lambda: principal_components(context.training.input, max(COMPONENTS)))
    z = pca.encode(x)
    found = []
    for count in sorted({min(count, z.shape[1]) for count in (*COMPONENTS, context.codes[0].shape[1])}):
        with contextlib.suppress(ConfigError):  # a header of so many leaves no room
            # The components are orthonormal: images are equally sensitive to each.
            data = compression.fitted(z[:, :count], torch.ones(count), context.options.bytes, NOBODY)
            kept = F.pad(compression.restored(data, NOBODY), (0, z.shape[1] - count))
            found.append(_psnr(context, pca.decode(kept), len(data) / len(x), f", {count} components"))
    return max(found, key=lambda measure: measure.value)


def rate_psnr_jpeg(context: EvaluationContext) -> Measure:
    """Peak signal-to-noise ratio of images compressed by JPEG without its tables, at the nearest size that it offers.

    What the common format achieves; of tiny images its smallest files may be larger than requested."""
    x = context.batch.input[:TOGETHER]
    sizes = {quality: _jpeg(x[:PROBED], quality)[1] for quality in QUALITIES}
    nearest = min(sizes, key=lambda quality: abs(sizes[quality] - context.options.bytes))
    return _psnr(context, *_jpeg(x, nearest))


def _jpeg(x: Tensor, quality: int) -> tuple[Tensor, float]:
    """Images after JPEG, and the mean bytes of the abbreviated format."""
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


def _psnr(context: EvaluationContext, rebuilt: Tensor, size: float, more: str = "") -> Measure:
    found = fidelity.psnr(context.x[:TOGETHER], rebuilt.clamp(0, 1))
    return mean(found, "dB", f"{size:.1f} bytes an image, {len(found):,} in a file{more}")


def no_room(context: EvaluationContext) -> str | None:
    """The header takes 12 bytes a latent."""
    n = min(TOGETHER, len(context.index))
    with torch.no_grad():
        q_z = context.model.encoder(to_float(context.dataset.test.images[:1]).to(context.device))
    latent = q_z.mean.shape[1]
    try:
        compression.fitted(torch.zeros(n, latent), torch.ones(latent), context.options.bytes, NOBODY)
    except ConfigError as error:
        return str(error)
    return None


def no_jpeg(context: EvaluationContext) -> str | None:
    return not_in_colour(context, "JPEG is") or no_room(context)


_row = partial(
    Metric, Ability.RECONSTRUCT, obstacle=no_room, best="high", reads=("bytes",), by_default=trained_without_prior
)

RATES: dict[str, Metric] = {
    "rate_psnr": _row(rate_psnr),
    "rate_psnr_pca": _row(rate_psnr_pca),
    "rate_psnr_jpeg": _row(rate_psnr_jpeg, obstacle=no_jpeg),
}
