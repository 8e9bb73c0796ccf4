"""How good predictions of a part of an image are: likelihoods stand in `likelihood`; here is what answers are judged by.

Shapes: `N` images, `L` answers for one image, `C H W` image, `D` values of a label map, `J` bins.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from reparam.distributions import IGNORED

BINS = 15


class Overlap(NamedTuple):
    """Pixels of each value in both maps, and in either, [N, D] each."""

    intersection: Tensor
    union: Tensor


def overlap(probs: Tensor, truth: Tensor) -> Overlap:
    """Of the most probable value at each pixel, probs [N, D, H, W], and the truth [N, 1, H, W]; pixels that do not count are
    left out."""
    counts = (truth != IGNORED).squeeze(1)
    said, true = probs.argmax(1), truth.squeeze(1)
    both, either = [], []
    for value in range(probs.shape[1]):
        a, b = (said == value) & counts, (true == value) & counts
        both.append((a & b).flatten(1).sum(1))
        either.append((a | b).flatten(1).sum(1))
    return Overlap(torch.stack(both, 1).double(), torch.stack(either, 1).double())


def foreground_iou(found: Overlap) -> Tensor:
    """Intersection over union of everything but value 0, an image, averaged over the values that occur, [N]; 1 where none
    does."""
    both, either = found.intersection[:, 1:], found.union[:, 1:]
    occurs = either > 0
    ratio = torch.where(occurs, both / either.clamp(min=1), 0).sum(1)
    return torch.where(occurs.any(1), ratio / occurs.sum(1).clamp(min=1), 1.0)


def pixel_accuracy(probs: Tensor, truth: Tensor) -> Tensor:
    """Share of the pixels whose most probable value is right, [N]."""
    counts = truth != IGNORED
    right = (probs.argmax(1, keepdim=True) == truth) & counts
    return right.flatten(1).sum(1).double() / counts.flatten(1).sum(1).clamp(min=1)


class Reliability(NamedTuple):
    """By bin of confidence: its mean, the share that is right, the share of the pixels; [J] each."""

    confidence: Tensor
    accuracy: Tensor
    weight: Tensor


def reliability(probs: Tensor, truth: Tensor, bins: int = BINS) -> Reliability:
    """Of the most probable value at each pixel; bins are of equal width from 0 to 1 (Guo et al. 2017)."""
    counts = (truth != IGNORED).squeeze(1)
    confidence, said = (part[counts] for part in probs.double().max(1))
    right = (said == truth.squeeze(1)[counts]).double()
    place = (confidence * bins).long().clamp(max=bins - 1)
    n = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, torch.ones_like(confidence))
    sums = [torch.zeros(bins, dtype=torch.float64).index_add_(0, place, value) for value in (confidence, right)]
    confidence, accuracy = (total / n.clamp(min=1) for total in sums)
    return Reliability(confidence, accuracy, n / n.sum().clamp(min=1))


def calibration_error(found: Reliability) -> float:
    """Expected calibration error: sum_j weight_j |accuracy_j - confidence_j| (Naeini et al. 2015)."""
    return float((found.weight * (found.accuracy - found.confidence).abs()).sum())


def uncertainty(answers: Tensor) -> Tensor:
    """How far answers [N, L, C, H, W] differ at each pixel, [N, 1, H, W]: the root mean square, over channels, of their
    standard deviation."""
    return answers.var(1, correction=0).mean(1, keepdim=True).sqrt()


def diversity(answers: Tensor, wanted: Tensor) -> Tensor:
    """Root mean square over the wanted pixels, [N, 1, H, W], of the standard deviation between answers, [N]."""
    spread = answers.var(1, correction=0).mean(1, keepdim=True) * wanted
    return (spread.flatten(1).sum(1) / wanted.flatten(1).sum(1).clamp(min=1)).sqrt()


def squared_error(answer: Tensor, truth: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference over the wanted pixels, [N, 1, H, W], of images [N, C, H, W], [N]."""
    error = (answer - truth).square().mean(1, keepdim=True) * wanted
    return error.flatten(1).sum(1) / wanted.flatten(1).sum(1).clamp(min=1)


class Votes(NamedTuple):
    """Of L answers, as a classifier reads them: how many name the true class, and -log of its
    share of them, [N] each."""

    right: Tensor
    log_loss: Tensor


def votes(read: Tensor, truth: Tensor, classes: int) -> Votes:
    """read: classes of L answers, [N, L]; truth [N]. The histogram is (votes + 1 / D) / (L + 1): one vote spread over D
    classes."""
    right = (read == truth[:, None]).sum(1).double()
    share = (right + 1 / classes) / (read.shape[1] + 1)
    return Votes(right, -share.log())
