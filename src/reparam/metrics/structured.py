"""How good predictions are of label maps, of classes and of a part of an image; their likelihoods are in `likelihood`.

Shapes: `N` images, `L` predictions of one image, `C H W` image, `D` values of a label map, `J` bins.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.core.calls import Count, checked
from reparam.distributions import IGNORED
from reparam.metrics.inputs import as_truth

BINS = 15


class Overlap(NamedTuple):
    """Pixels of each value in both maps, and in either, [N, D] each."""

    intersection: Tensor
    union: Tensor


def overlap(probs: Tensor, truth: Tensor) -> Overlap:
    """Of the most probable value at each pixel, probs [N, D, H, W], and the truth [N, 1, H, W] or [N, H, W], without pixels of
    value 255 (`IGNORED`); or of classes, [N, D] and [N]."""
    true = as_truth(probs, truth)
    counts, predicted = true != IGNORED, probs.argmax(1)
    both, either = [], []
    for value in range(probs.shape[1]):
        a, b = (predicted == value) & counts, (true == value) & counts
        both.append((a & b).reshape(len(a), -1).sum(1))
        either.append((a | b).reshape(len(a), -1).sum(1))
    return Overlap(torch.stack(both, 1).double(), torch.stack(either, 1).double())


def iou(probs: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union (Jaccard 1901) of each value, |A and B| / |A or B| pooled over images, [D], from 0 to 1; NaN of one
    that neither map holds. Arguments: as `overlap`. The mean over values but 0 is the command's `iou`."""
    return pooled_iou(overlap(probs, truth))


def pooled_iou(found: Overlap) -> Tensor:
    """`iou` of counted pixels."""
    return found.intersection.mean(0) / found.union.mean(0)


def foreground_iou(found: Overlap) -> Tensor:
    """Intersection over union of each image, averaged over the values but 0 that occur in it, [N]; 1 where none does."""
    both, either = found.intersection[:, 1:], found.union[:, 1:]
    occurs = either > 0
    ratio = torch.where(occurs, both / either.clamp(min=1), 0).sum(1)
    return torch.where(occurs.any(1), ratio / occurs.sum(1).clamp(min=1), 1.0)


def pixel_accuracy(probs: Tensor, truth: Tensor) -> Tensor:
    """Share of the pixels whose most probable value is right, [N]. Arguments: as `overlap`."""
    true = as_truth(probs, truth)
    counts = true != IGNORED
    right, counts = (part.reshape(len(probs), -1).sum(1) for part in ((probs.argmax(1) == true) & counts, counts))
    return right.double() / counts.clamp(min=1)


class Reliability(NamedTuple):
    """By bin of confidence: its mean, the share of right pixels, the share of all pixels; [J] each."""

    confidence: Tensor
    accuracy: Tensor
    weight: Tensor


@checked
def reliability(probs: Tensor, truth: Tensor, bins: Count = BINS) -> Reliability:
    """Of the most probable value at each place; bins are of equal width from 0 to 1 (Guo et al. 2017). probs: of classes [N, D],
    or at each pixel [N, D, H, W]; truth: [N], or [N, H, W] or [N, 1, H, W], 255 (`IGNORED`) where it does not count."""
    true = as_truth(probs, truth)
    counts = true != IGNORED
    confidence, predicted = (part[counts] for part in probs.double().max(1))
    right = (predicted == true[counts]).double()
    place = (confidence * bins).long().clamp(max=bins - 1)
    n = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, torch.ones_like(confidence))
    sums = [torch.zeros(bins, dtype=torch.float64).index_add_(0, place, value) for value in (confidence, right)]
    confidence, accuracy = (total / n.clamp(min=1) for total in sums)
    return Reliability(confidence, accuracy, n / n.sum().clamp(min=1))


@checked
def calibration_error(probs: Tensor, truth: Tensor, bins: Count = BINS) -> float:
    """Expected calibration error (Naeini et al. 2015) of the most probable value at each place, from 0 to 1:

        sum_j weight_j |accuracy_j - confidence_j|

    over `bins` of confidence. probs: of classes [N, D], or at each pixel [N, D, H, W]; truth: as `reliability`."""
    found = reliability(probs, truth, bins)
    return float((found.weight * (found.accuracy - found.confidence).abs()).sum())


def entropy(probs: Tensor) -> Tensor:
    """-sum_d p_d log p_d / log D at each pixel, of probs [N, D, H, W], [N, 1, H, W]: 0 where sure, 1 where all D are alike."""
    return -torch.special.xlogy(probs, probs).sum(1, keepdim=True) / math.log(probs.shape[1])


def _variance(predictions: Tensor) -> Tensor:
    """Between predictions [N, L, C, H, W], the mean over channels, [N, 1, H, W]."""
    return predictions.var(1, correction=0).mean(1, keepdim=True)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the pixels [N, 1, H, W] where the mask is 1, [N]; 0 where it is 1 nowhere."""
    return (values * mask).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)


def uncertainty(predictions: Tensor) -> Tensor:
    """Standard deviation between predictions [N, L, C, H, W] at each pixel, root mean square over channels, [N, 1, H, W]."""
    return _variance(predictions).sqrt()


def diversity(predictions: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation between predictions [N, L, C, H, W], root mean square over the masked pixels, [N]."""
    return masked_mean(_variance(predictions), mask).sqrt()


def masked_squared_error(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of images [N, C, H, W] over the masked pixels, [N]."""
    return masked_mean((prediction - truth).square().mean(1, keepdim=True), mask)


class Votes(NamedTuple):
    """Of the classes of L predictions: how many are the true one, and -log of its share of them, [N] each."""

    right: Tensor
    log_loss: Tensor


def votes(read: Tensor, truth: Tensor, classes: int) -> Votes:
    """read: classes of L predictions, [N, L]; truth [N]. A share is (votes + 1 / D) / (L + 1): one more vote is spread over D
    classes, so that none is 0."""
    right = (read == truth[:, None]).sum(1).double()
    share = (right + 1 / classes) / (read.shape[1] + 1)
    return Votes(right, -share.log())
