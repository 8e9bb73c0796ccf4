"""p(y|z): what reads a class, and what is known of classes.

Shapes: `B` batch, `K` latent, `D` classes.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical


class LinearClass(nn.Module):
    """z [..., K] -> Categorical over D, batch shape [...]: logits W z + b."""

    def __init__(self, latent: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(latent, classes)

    def forward(self, z: Tensor) -> Categorical:
        return Categorical(logits=self.linear(z).float(), validate_args=False)


class ClassCovariance(nn.Module):
    r"""Mean and covariance of each class's features over all that it has seen (Wang et al. 2019, ISDA, eq. 8 and 9), as buffers.

    `update` merges a batch of m features of a class into its n before: Sigma <- (n Sigma + m Sigma') / (n + m) + n m d d^T / (n +
    m)^2, where d is the difference of the means.
    """

    count: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(classes))
        self.register_buffer("mean", torch.zeros(classes, features))
        self.register_buffer("covariance", torch.zeros(classes, features, features))

    @torch.no_grad()
    def update(self, features: Tensor, y: Tensor) -> None:
        """features [B, K] of classes y [B], those with y < 0 left out; static shapes, no synchronisation."""
        member = (y[:, None] == torch.arange(len(self.count), device=y.device)).to(features.dtype)
        m = member.sum(0)
        some = m.clamp(min=1)
        mean = member.mT @ features / some[:, None]
        centred = (features - mean[y.clamp(min=0)]) * (y >= 0)[:, None]
        covariance = torch.einsum("bd,bi,bj->dij", member, centred, centred) / some[:, None, None]
        total = (self.count + m).clamp(min=1)
        old, new, apart = self.count / total, m / total, mean - self.mean
        between = apart[:, :, None] * apart[:, None, :]
        merged = old[:, None, None] * self.covariance + new[:, None, None] * covariance
        self.covariance.copy_(merged + (old * new)[:, None, None] * between)
        self.mean.add_(new[:, None] * apart)
        self.count.add_(m)
