"""Clusters that were found without labels, against classes.

Shapes: `N` images, `D` classes, `M` components.
"""

import torch
from torch import Tensor

from reparam.data.values import as_labels
from reparam.errors import DataError
from reparam.metrics.latents import entropy


def cluster_accuracy(clusters: Tensor, labels: Tensor) -> float:
    """Share of images whose cluster is that of their class, under the best one-to-one assignment m of clusters to classes,

        max_m 1/N sum_i [cluster_i = m(label_i)]

    (Yang et al. 2010, by the Hungarian method); from 0 to 1. clusters, labels: whole numbers [N]; images whose label is negative
    have none and are left out."""
    clusters, labels = as_labels(clusters, None, 0, None, "clusters"), as_labels(labels, len(clusters), -1, None)
    known = labels >= 0
    if not len(clusters) or int(clusters.min()) < 0 or not known.any():
        raise DataError("clusters are numbered from 0, and at least one image needs a label of 0 or more")
    clusters, labels = (part[known].unique(return_inverse=True)[1] for part in (clusters, labels))
    counts = joint_counts(clusters, labels, int(clusters.max()) + 1, int(labels.max()) + 1)
    return float((best_assignment(counts)[labels] == clusters).double().mean())


def joint_counts(clusters: Tensor, labels: Tensor, components: int, classes: int) -> Tensor:
    """Images by component and class, [M, D], of their numbers [N]."""
    counts = torch.zeros(components, classes, dtype=torch.long)
    return counts.index_put_((clusters, labels), torch.ones_like(clusters), accumulate=True)


def best_assignment(counts: Tensor) -> Tensor:
    """The component of each class, [D], -1 where there are too few: of counts [M, D] of images by component and class, the
    one-to-one assignment under which most images are in the component of their class (Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    components, classes = linear_sum_assignment(counts.numpy(), maximize=True)
    found = torch.full((counts.shape[1],), -1)
    found[torch.as_tensor(classes)] = torch.as_tensor(components)
    return found


def normalised_information(counts: Tensor) -> float:
    """Mutual information of component and class over the mean of their entropies, of counts [M, D]: 0 for independent ones, 1 for
    the same partition."""
    joint = counts.double() / counts.sum()
    both = entropy(joint.sum(1)) + entropy(joint.sum(0))
    return 2 * (both - entropy(joint)) / both if both > 0 else 1.0
