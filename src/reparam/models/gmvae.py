"""A VAE whose prior is a mixture, p(z) = sum_m pi_m N(mu_m, diag(sigma_m^2)), or the VampPrior; and clusters without labels.

Shapes: `B` batch, `N` images, `C H W` image, `K` latent, `M` components.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from reparam.conditionals.encoders import LOG_SCALE_RANGE
from reparam.core.batch import Batch
from reparam.core.callback import Callback
from reparam.core.conditional import Encoder, Prior
from reparam.core.model import Model
from reparam.core.objective import Objective, Term, Terms
from reparam.core.options import InEpochs
from reparam.core.spec import Schedule, Spec
from reparam.data import warp
from reparam.distributions import log_responsibilities, mixture, with_parameters
from reparam.errors import ConfigError
from reparam.models import ae, vae
from reparam.models.family import ENOUGH, Family, Recipe
from reparam.models.placement import PLACEMENTS
from reparam.objectives import ELBO, ramp

ENCODED_AT_ONCE = 500  # images
# Before the components are placed, where copies are to agree. The reconstruction keeps slant and width in the latents, across
# which classes overlap; what an image shares with its copies is what is left when it counts for little.
CONTRAST, RECONSTRUCTION = 50.0, 0.02


class MixturePrior(Prior):
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
    def place(self, q_z: Independent, by: str) -> None:
        """A component where each cluster of posteriors [N, K] is, with its weight, mean and scales, the posteriors' own variance
        included. Clusters are those of the posteriors' means, found `by` one of `PLACEMENTS`.

        Raises ConfigError where there are fewer different latents than components.
        """
        from threadpoolctl import threadpool_limits

        means, variance = q_z.mean.cpu().double(), q_z.variance.cpu().double()
        if (places := len(means.unique(dim=0))) < self.components:
            raise ConfigError(
                f"{self.components} components cannot be placed on {places} different latents: take fewer --components, or "
                "let them begin apart (--place-after 0)"
            )
        with threadpool_limits(1):  # several threads add up in any order, and a resumed run is to be the same
            found = PLACEMENTS[by](means.numpy(), self.components)
        weights, loc, spread, share = map(torch.as_tensor, found)
        own = share.T @ variance / share.sum(0)[:, None]
        self.logits.copy_(weights.log())
        self.loc.copy_(loc)
        self.log_scale.copy_(0.5 * (spread + own).log())

    def forward(self) -> MixtureSameFamily:
        return mixture(self.logits, self.loc, self.log_scale.clamp(*LOG_SCALE_RANGE).exp())


class VampPrior(Prior):
    """p(z) = 1/M sum_m q(z|u_m), the posteriors of M learned images in [0, 1] (Tomczak and Welling 2018, eq. 10); batch shape [],
    event shape [K]. They begin as nearly black noise, as the paper's."""

    uniform: Tensor

    def __init__(self, encoder: Encoder, image_shape: tuple[int, int, int], components: int) -> None:
        super().__init__()
        self.components = components
        self.images = nn.Parameter((0.05 + 0.01 * torch.randn(components, *image_shape)).clamp(0, 1))
        self.register_buffer("uniform", torch.zeros(components), persistent=False)
        self.encoder = [encoder]  # in a list: it is the model's own field, and its parameters are not the prior's

    def forward(self) -> MixtureSameFamily:
        q_z: Any = self.encoder[0](self.images.clamp(0, 1))
        return mixture(self.uniform, q_z.base_dist.loc, q_z.base_dist.scale)


def sharpened(responsibilities: Tensor) -> Tensor:
    """t_im proportional to q_im^2 / sum_i q_im, rows adding up to 1, of q [B, M]: surer than q, and no component takes all (Xie,
    Girshick and Farhadi 2016, eq. 3, with the sum over a batch)."""
    target = responsibilities.square() / responsibilities.sum(0).clamp(min=1e-6)
    return target / target.sum(1, keepdim=True)


def contrast(one: Tensor, other: Tensor) -> Tensor:
    r"""-log of exp(-|a_i - b_i|^2) over its mean over j, of a [B, K] among b [B, K] and the other way round, averaged, [B].

    Minus its mean is a lower bound on the mutual information of a and b, in nats, and at most log B (van den Oord, Li and Vinyals
    2018, eq. 4 and 5, with a squared distance as the critic).
    """
    near = -torch.cdist(one, other).square()
    among = 0.5 * (near.logsumexp(0) + near.logsumexp(1)) - math.log(len(one))
    return among - near.diagonal()


class Clustering(Objective):
    r"""An ELBO under a mixture prior, from step `place_at` on with `weight` times the agreement of copies; before it that of
    N(0, I).

    agreement = -sum_m t_m(x) log q(m|x'), x' the image, or one of `neighbours` that are near it (`Batch.near`), rotated, shifted
    and bent (`random_warp`), q(m|x) the responsibilities, t the `sharpened` ones of the batch, a target without gradient (Guo et
    al. 2018, Deep embedded clustering with data augmentation, eq. 6; there by distances, here by the mixture's own posterior).
    The encoder and the prior alone see copies: the likelihood is of the images as they are.

    Before `place_at` (the components are placed there by whoever trains) the loss is the ELBO under N(0, I), right for a prior
    that has no clusters yet; with a weight it is 0.02 times the reconstruction, that KL and 50 times the `contrast` of images and
    their copies. `weight` 0: no copies are made. Batch statistics are those of each process's part, and of each part of an
    accumulated batch. `agreement`, `contrast`: nats/image.

    `free_weights`: the agreement moves means, scales and the encoder, and leaves pi to the likelihood, whose gradient in pi's
    logits is pi - mean q(m|x), which is 0 at the shares of images. That of the agreement, mean q(m|x') - t_m, is not, and with a
    weight of hundreds it decides.
    """

    def __init__(
        self, elbo: ELBO, place_at: float, weight: float, neighbours: int = 0, free_weights: bool = False
    ) -> None:
        self.elbo, self.place_at, self.weight, self.free_weights = elbo, place_at, weight, free_weights
        self.neighbours = neighbours if weight else 0  # only copies are of them

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        x, n = batch.x, len(batch.x)
        like = x if batch.near is None else batch.near
        both: Any = model.encoder(
            torch.cat([x, warp.random_warp(like, generator)(1.0)]) if self.weight else x
        )  # one pass
        q_z = _rows(both, slice(n))
        terms = self.elbo.at(q_z, model, batch, step, generator)
        reconstruction, total = terms.named["reconstruction"].value, terms.total
        normal = q_z.base_dist
        standard = Normal(torch.zeros_like(normal.loc), torch.ones_like(normal.scale), validate_args=False)
        kl = kl_divergence(normal, standard).sum(-1)
        early = self.elbo.weight * reconstruction + self.elbo.beta * ramp(step, self.elbo.warmup) * kl
        named = {}
        if self.weight:
            q_moved, p_z = _rows(both, slice(n, None)), model.prior()
            target = sharpened(log_responsibilities(q_z, p_z).exp().detach())
            moved_p = _weights_fixed(p_z) if self.free_weights else p_z
            agreement = -(target * log_responsibilities(q_moved, moved_p)).sum(-1)
            shared = contrast(q_z.mean, q_moved.mean)
            early = RECONSTRUCTION * reconstruction + kl + CONTRAST * shared
            total = total + self.weight * agreement
            named = {"agreement": Term(agreement, "nats/image"), "contrast": Term(shared, "nats/image")}
        placed = step >= self.place_at
        named["kl"] = Term(torch.where(placed, terms.named["kl"].value, kl), "nats/image")
        return Terms(torch.where(placed, total, early), terms.named | named)


def _weights_fixed(p_z: MixtureSameFamily) -> MixtureSameFamily:
    weights = Categorical(logits=p_z.mixture_distribution.logits.detach(), validate_args=False)
    return MixtureSameFamily(weights, p_z.component_distribution, validate_args=False)


def _rows(q_z: Independent, part: slice) -> Any:
    return with_parameters(q_z, lambda parameter: parameter[part])


@dataclass(frozen=True)
class GMVAEOptions(vae.VAEOptions):
    """The VAE's options and those of its prior."""

    prior: Annotated[
        Literal["mixture", "vamp"],
        Field(description="Gaussians, or the encoder's posteriors of learned images (VampPrior)"),
    ] = "mixture"
    components: Annotated[int, Field(ge=1, description="of the mixture; learned images of the VampPrior")] = 10
    kl: Annotated[
        Literal["tight", "monte-carlo", "report"],
        Field(
            description="the KL to the mixture: its tight bound, estimated from the draws, or the VAE report's bound, which "
            "makes all components one"
        ),
    ] = "tight"
    spread: Annotated[float, Field(gt=0, description="standard deviation of the components' first means")] = 1.0
    place_after: Annotated[
        float,
        Field(
            ge=0,
            description="epochs under N(0, I), after which the components are placed where latents have clusters (0: they begin "
            "at random)",
        ),
        InEpochs,
    ] = 0.0
    place_by: Annotated[
        Literal["likelihood", "links"],
        Field(
            description="place-after: on the parts of the likeliest mixture, or where links between near latents are within "
            "parts, which tells clusters of unequal size"
        ),
    ] = "likelihood"
    agreement: Annotated[
        float,
        Field(
            ge=0, description="weight of the agreement of an image's component with that of its turned and bent copy"
        ),
    ] = 0.0
    free_weights: Annotated[
        bool,
        Field(
            description="agreement: it leaves the components' weights to the likelihood, so that they need not become equal"
        ),
    ] = False
    neighbours: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="agreement: the copy is of one of so many images that are nearest in pixels, where each is among the "
            "other's nearest (0: of the image itself)",
        ),
    ] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.free_bits:
            raise ConfigError("free-bits floor each latent's KL, and a mixture has one for all: leave them out")
        if self.gradient == "path" and self.kl != "monte-carlo" and self.k == 1:
            raise ConfigError(
                "gradient 'path' goes through the draws, which a bound on the KL has not: take --kl monte-carlo"
            )
        if self.kl == "report" and self.k > 1:
            raise ConfigError("kl 'report' changes the ELBO and has no meaning with k > 1: drop one of them")
        if self.place_after and self.prior == "vamp":
            raise ConfigError("place-after places Gaussians, and the VampPrior's components are images: leave it out")
        if (self.agreement or self.place_after) and self.k > 1:
            raise ConfigError("agreement and place-after belong to the ELBO: leave --k out")


def build(options: GMVAEOptions, spec: Spec) -> Model:
    model = vae.build(options, spec)
    if options.prior == "vamp":
        model.prior = VampPrior(model.encoder, spec.image_shape, options.components)
    else:
        model.prior = MixturePrior(options.latent, options.components, options.spread)
    return model


def objective(options: GMVAEOptions, schedule: Schedule) -> Objective:
    bound = vae.objective(options, schedule, options.kl)
    if not (options.agreement or options.place_after):
        return bound
    assert isinstance(bound, ELBO)
    return Clustering(
        bound, schedule.at(options.place_after), options.agreement, options.neighbours, options.free_weights
    )


@dataclass(frozen=True)
class PlaceComponents(Callback):
    """Puts the mixture's components where the encoder's latents have clusters, after `epochs` epochs."""

    epochs: float
    components: int
    by: str

    @property
    def best_from(self) -> int:
        """Validation measures the loss with the mixture, which is not minimised before."""
        return self.step + 1

    def check(self, steps: int, epochs: float, images: int) -> None:
        if self.step >= steps:
            raise ConfigError(
                f"place-after is {self.epochs:g} epochs, and training ends after {epochs:g}: train longer, or take less"
            )
        if self.components > images:
            raise ConfigError(
                f"place-after takes at least {self.components:,} training images, one a component, and has {images:,}: take "
                "fewer --components"
            )

    def act(self, model: Model, x: Tensor) -> None:
        found: list[Any] = [model.encoder(part) for part in x.split(ENCODED_AT_ONCE)]
        loc, scale = (torch.cat([getattr(q_z.base_dist, name) for q_z in found]) for name in ("loc", "scale"))
        assert isinstance(model.prior, MixturePrior)
        model.prior.place(Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False), self.by)


def callbacks(options: GMVAEOptions, schedule: Schedule) -> tuple[Callback, ...]:
    first = ae.callbacks(options, schedule)
    if not options.place_after:
        return first
    at = schedule.at(options.place_after)
    return (*first, PlaceComponents(at, options.place_after, options.components, options.place_by))


GMVAE = Family(
    name="gmvae",
    summary="VAE with a mixture as its prior, or the VampPrior: clusters without labels, a prior that fits the latents",
    citation="Dilokthanakul et al. 2016, Deep unsupervised clustering with Gaussian mixture variational autoencoders; Tomczak "
    "and Welling 2018, VAE with a VampPrior",
    options=GMVAEOptions,
    build=build,
    objective=objective,
    callbacks=callbacks,
    recipes={
        "default": Recipe(
            "two hidden layers (512, 256), 20 latents, Bernoulli, 10 components, the tight bound", ENOUGH
        ),
        "vamp": Recipe(
            "the VampPrior: 500 learned images, the KL estimated from the draws",
            {**ENOUGH, "prior": "vamp", "components": 500, "kl": "monte-carlo", "gradient": "path"},
        ),
        "clusters": Recipe(
            "10 latents, 10 components placed after a quarter of the training, which tells images by turned, shifted and bent "
            "copies of them and of their neighbours; from then on an image and its copy are to agree on a component",
            {
                "latent": 10,
                "place_after": 4.0,
                "place_by": "links",
                "agreement": 200.0,
                "neighbours": 10,
                "free_weights": True,
                "batch_size": 256,
                "learning_rate": 2e-3,
                "keep": "last",
                "epochs": 16,
                "least_steps": 3000,
            },
        ),
    },
)
