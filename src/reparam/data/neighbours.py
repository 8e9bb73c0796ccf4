"""Which images of a split resemble each other, by their pixels alone.

Shapes: `N` images, `C H W` image, `P` values of a thumbnail, `k` neighbours.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from reparam.distributions import keyed_generator

THUMBNAIL = 14  # pixels a side, at most: nearest by finer pixels are those of the same stroke, not of the same thing
TOGETHER = 20_000  # images among which neighbours are looked for: time grows with N times this
_ROWS = 500  # distances are computed for so many at once


@torch.no_grad()
def mutual_neighbours(images: Tensor, k: int) -> Tensor:
    """Places [N, k] of the images that are among an image's k nearest and have it among theirs, of images [N, C, H, W];
    an image's own place where a neighbour is not mutual.

    Near is a small angle between thumbnails of which the mean is subtracted, so that neither brightness nor contrast counts. Of
    more than `TOGETHER` images, neighbours are looked for within random parts of so many.
    """
    n, device = len(images), images.device
    found = torch.arange(n, device=device)[:, None].repeat(1, k)
    order = torch.randperm(n, generator=keyed_generator("cpu", "neighbours")).to(device)
    for part in order.tensor_split(-(-n // TOGETHER)):
        few = min(k, len(part) - 1)
        if few:
            found[part, :few] = part[_mutual(_thumbnails(images[part]), few)]
    return found


def _thumbnails(images: Tensor) -> Tensor:
    """Unit vectors [N, P], without their mean."""
    height, width = images.shape[2:]
    sides = min(THUMBNAIL, height), min(THUMBNAIL, width)
    small = torch.cat([F.adaptive_avg_pool2d(part.float(), sides).flatten(1) for part in images.split(_ROWS)])
    return F.normalize(small - small.mean(1, keepdim=True))


def _mutual(vectors: Tensor, k: int) -> Tensor:
    """Places [N, k] among unit vectors [N, P]."""
    nearest = []
    for rows in torch.arange(len(vectors), device=vectors.device).split(_ROWS):
        like = vectors[rows] @ vectors.T
        like[
            torch.arange(len(rows), device=vectors.device), rows
        ] = -2.0  # below any cosine: nobody is its own neighbour
        nearest.append(like.topk(k).indices)
    places = torch.cat(nearest)
    own = torch.arange(len(vectors), device=vectors.device)
    mutual = torch.stack([(places[column] == own[:, None]).any(1) for column in places.T], 1)
    return torch.where(mutual, places, own[:, None])
