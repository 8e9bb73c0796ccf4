"""p(z) and p(z|c).

Shapes: `B` batch, `C H W` image, `F` features, `K` latent, `M` components.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Independent, MixtureSameFamily, Normal

from reparam.conditionals.context import ContextOutput
from reparam.conditionals.encoders import LOG_SCALE_RANGE, diagonal_normal
from reparam.distributions import Bernoulli, mixture
from reparam.errors import ConfigError

STARTS = 10  # of the fit that places components


class StandardNormal(nn.Module):
    """p(z) = N(0, I), batch shape [], event shape [K]; the same whatever is given."""

    loc: Tensor
    scale: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.ones(latent), persistent=False)

    def forward(self, given: ContextOutput | None = None) -> Independent:
        return Independent(Normal(self.loc, self.scale, validate_args=False), 1, validate_args=False)


class MixturePrior(nn.Module):
    """p(z) = sum_m pi_m N(mu_m, diag(sigma_m^2)), all learned; batch shape [], event shape [K].

    Weights begin equal and scales at 1, means as draws of N(0, spread^2 I): components that begin as one stay one. One component
    begins as N(0, I).
    """

    def __init__(self, latent: int, components: int, spread: float) -> None:
        super().__init__()
        self.components = components
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(spread * torch.randn(components, latent) if components > 1 else torch.zeros(1, latent))
        self.log_scale = nn.Parameter(torch.zeros(components, latent))

    @torch.no_grad()
    def place(self, q_z: Independent) -> None:
        """A component where each cluster of posteriors [N, K] is, with its weight, mean and scales, the posteriors' own variance
        included. Clusters are the parts of the likeliest of `STARTS` mixtures with full covariances (EM, each from a k-means of
        its own) of the posteriors' means.

        Raises ConfigError where there are fewer different latents than components.
        """
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits

        means, variance = q_z.mean.cpu().double(), q_z.variance.cpu().double()
        if (places := len(means.unique(dim=0))) < self.components:
            raise ConfigError(
                f"{self.components} components cannot be placed on {places} different latents: take fewer --components, or "
                "let them begin apart (--place-after 0)"
            )
        ridge = 1e-6 * max(float(means.var(0).mean()), 1e-6)  # for a latent in which a cluster has no width
        fit = GaussianMixture(self.components, n_init=STARTS, reg_covar=ridge, random_state=0)
        with threadpool_limits(1):  # several threads add up in any order, and a resumed run is to be the same
            share = torch.as_tensor(fit.fit(means.numpy()).predict_proba(means.numpy()))
        own = share.T @ variance / share.sum(0)[:, None]
        spread = torch.as_tensor(fit.covariances_).diagonal(dim1=1, dim2=2) + own
        self.logits.copy_(torch.as_tensor(fit.weights_).log())
        self.loc.copy_(torch.as_tensor(fit.means_))
        self.log_scale.copy_(0.5 * spread.log())

    def forward(self, given: ContextOutput | None = None) -> MixtureSameFamily:
        return mixture(self.logits, self.loc, self.log_scale.clamp(*LOG_SCALE_RANGE).exp())


class VampPrior(nn.Module):
    """p(z) = 1/M sum_m q(z|u_m), the posteriors of M learned images in [0, 1] (Tomczak and Welling 2018, eq. 10); batch shape [],
    event shape [K]. They begin as nearly black noise, as the paper's."""

    uniform: Tensor

    def __init__(self, encoder: nn.Module, image_shape: tuple[int, int, int], components: int) -> None:
        super().__init__()
        self.components = components
        self.images = nn.Parameter((0.05 + 0.01 * torch.randn(components, *image_shape)).clamp(0, 1))
        self.register_buffer("uniform", torch.zeros(components), persistent=False)
        self.encoder = [encoder]  # in a list: it is the model's own field, and its parameters are not the prior's

    def forward(self, given: ContextOutput | None = None) -> MixtureSameFamily:
        q_z = self.encoder[0](self.images.clamp(0, 1)).base_dist
        return mixture(self.uniform, q_z.loc, q_z.scale)


class ConditionalPrior(nn.Module):
    """p(z|c) = N(loc, diag(scale^2)), batch shape [B], event shape [K], from what c says."""

    def __init__(self, network: nn.Module, features: int, latent: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(features, 2 * latent)

    def forward(self, given: ContextOutput) -> Independent:
        return diagonal_normal(self.head(self.network(given.features, given.hint)))


class BinaryPrior(nn.Module):
    """p(z|c) over z in {0, 1}^K, independent, batch shape [B], event shape [K] (Tang and Salakhutdinov 2013)."""

    def __init__(self, network: nn.Module, features: int, latent: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(features, latent)

    def forward(self, given: ContextOutput) -> Independent:
        logits = self.head(self.network(given.features, given.hint)).float()
        return Independent(Bernoulli(logits), 1, validate_args=False)
