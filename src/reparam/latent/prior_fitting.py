r"""A prior that is fitted after training to where the latents of images are: draws of q(z|x), of an autoencoder its points.

The density of draws of held-out images decides between a full Gaussian, mixtures of these, a normalising flow and the model's own
prior. It decides on shrinkage too, so that few images get a simple prior.

Shapes: `N` images, `L` draws of each, `K` latent, `M` components.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from reparam.conditionals import FLOW, FittedFlow, FittedGaussian, FittedMixture, require_zuko
from reparam.core.abilities import Ability
from reparam.core.conditional import Prior
from reparam.core.model import Model
from reparam.data import Images
from reparam.data.selection import random_indices, task_images
from reparam.data.tasks import TaskOptions
from reparam.distributions import default_generators_kept, keyed_generator, rsample
from reparam.errors import ConfigError
from reparam.progress import Progress

PriorKind = Literal["auto", "gaussian", "mixture", "flow", "own"]
MOST_FITTED, MOST_HELD = 20_000, 5_000  # images
FEWEST = 10
ENOUGH_DRAWS, MOST_DRAWS = 10_000, 10  # of all images together; of each
PART = 500  # images that are encoded at one time, draws whose density is computed at one time
EM_NUMBERS = 160_000_000  # draws times latents squared: a second or two of each round of EM
EM_ROUNDS = 50
COMPONENTS, IMAGES_EACH = (5, 10, 20), 20
SHRINKAGES = (0.0, 0.03, 0.1, 0.3, 0.6, 1.0)
FLOW_STEPS, FLOW_BATCH, FLOW_RATE, FLOW_EVERY, FLOW_PATIENCE = 4000, 256, 1e-3, 100, 8


class Codes(NamedTuple):
    """The latents of images: mean and variance of q(z|x) [N, K], draws [N, L, K]; on the CPU, float64. Of points the draws are
    the points."""

    mean: Tensor
    variance: Tensor
    z: Tensor


class Fit(NamedTuple):
    """A candidate: its kind, the number of its components, the prior (None: the model's own), and the log density of the held
    images' latents, nats an image, with its standard error (None: of one image)."""

    kind: Literal["gaussian", "mixture", "flow", "own"]
    components: int
    prior: Prior | None
    density: float
    stderr: float | None


def check_can_fit(model: Model, kind: PriorKind) -> None:
    """Raises ConfigError where the model has no latents of images, or a prior that would be missed; for a flow without zuko."""
    if Ability.RECONSTRUCT not in model.abilities:
        raise ConfigError(
            "a prior is fitted to the latents of images, and this model does not encode and decode them without a condition: use "
            "a vae, an ae or one of their relatives"
        )
    if model.has("prior") and model.prior.components:
        raise ConfigError(
            "this model was trained with a mixture as its prior, whose components are its clusters: another prior would lose "
            "them; use it as it is, or train a vae"
        )
    if kind == "flow":
        require_zuko()


@torch.no_grad()
def encoded(model: Model, images: Images, task: TaskOptions, most: int, seed: int, progress: Progress) -> Codes:
    """The latents of at most `most` of the images, chosen at random. Raises ConfigError where some are not finite."""
    device = next(model.parameters()).device
    index = random_indices(images, most)
    each = 1 if model.encoder.point else max(1, min(MOST_DRAWS, math.ceil(ENOUGH_DRAWS / len(index))))
    found: list[tuple[Tensor, ...]] = []
    for number, part in enumerate(progress.track(index.split(PART), "latents")):
        q_z: Any = model.encoder(task_images(images, task, part).input.to(device))
        z = rsample(q_z, (each,), keyed_generator(device, seed, "prior", number)).transpose(0, 1)
        found.append(tuple(one.cpu().double() for one in (q_z.mean, q_z.variance, z)))
    codes = Codes(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    if not all(part.isfinite().all() for part in codes):
        raise ConfigError("the latents of some images are no finite numbers: no prior fits them; train the run again")
    return codes


def fit(
    own: Prior | None,
    train: Codes,
    held: Codes,
    kind: PriorKind,
    components: Sequence[int],
    seed: int,
    progress: Progress,
) -> tuple[list[Fit], Fit]:
    """(all candidates, the chosen one): of `kind`, or under `auto` of all but the flow, the one under which the latents of `held`
    are densest. The model's own prior is measured beside any. `components`: of mixtures (none: 5, 10 and 20, as far as there
    are 20 images for each). Under `auto` they are tried where at least 10 held images can tell.

    Raises ConfigError for fewer than 10 images, and for more components than images.
    """
    n = len(train.mean)
    if n < FEWEST:
        raise ConfigError(f"a prior is fitted to at least {FEWEST} images, and there are {n}: train on more")
    if components and max(components) > n:
        raise ConfigError(
            f"{max(components)} components are more than the {n:,} images that they are fitted to: take fewer --components"
        )
    held_z = held.z.float()
    counts = tuple(components) or tuple(m for m in COMPONENTS if n >= IMAGES_EACH * m) or (2,)
    gaussian = fitted_gaussian(train, held_z)
    root = (gaussian.loc.double(), gaussian.root.double())
    makers: list[tuple[Any, int, Callable[[], Prior | None]]] = []
    if own is not None:
        makers.append(("own", 0, lambda: None))
    if kind in ("auto", "gaussian"):
        makers.append(("gaussian", 0, lambda: gaussian))
    if kind == "mixture" or (kind == "auto" and len(held_z) >= FEWEST):
        makers += [("mixture", m, lambda m=m: fitted_mixture(train, held_z, *root, m, seed)) for m in counts]  # type: ignore[misc]
    if kind == "flow":
        makers.append(("flow", 0, lambda: fitted_flow(train, held_z, *root, seed)))
    found = []
    for name, count, make in progress.track(makers, "priors"):
        prior = make()
        density = log_density(prior or own, held_z)  # type: ignore[arg-type]
        error = float(density.std() / math.sqrt(len(density))) if len(density) > 1 else None
        found.append(Fit(name, count, prior, float(density.mean()), error))
    allowed = [one for one in found if kind == "auto" or one.kind == kind]
    return found, max(allowed, key=lambda one: one.density)


@torch.no_grad()
def log_density(prior: Prior, z: Tensor) -> Tensor:
    """The mean of log p(z) over the draws [N, L, K] of each image, [N]."""
    device = next((one.device for one in (*prior.parameters(), *prior.buffers())), torch.device("cpu"))
    p_z = prior()
    parts = z.flatten(0, 1).split(PART)
    return torch.cat([p_z.log_prob(part.to(device)).cpu().double() for part in parts]).view(z.shape[:2]).mean(1)


def _densest(priors: list[Any], held_z: Tensor) -> Any:
    return max(priors, key=lambda prior: float(log_density(prior, held_z).mean()))


def shrunk(covariance: Tensor, towards: Tensor, share: float) -> Tensor:
    return (1 - share) * covariance + share * towards


def _root(covariance: Tensor) -> Tensor:
    """The lower triangular root of covariances [..., K, K], with a millionth of each variance added, and for latents that never
    change a trifle of all."""
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    ridge = 1e-6 * variance + 1e-12 * (variance.mean(-1, keepdim=True) + 1)
    return torch.linalg.cholesky(covariance + torch.diag_embed(ridge))


def fitted_gaussian(train: Codes, held_z: Tensor) -> FittedGaussian:
    """The Gaussian with the moments of q(z) = 1/N sum_i q(z|x_i): mean of the means; their covariance and the mean variance.
    Covariances shrink to 0 by the share, among `SHRINKAGES`, that suits the held draws best."""
    loc = train.mean.mean(0)
    own = train.mean.T.cov(correction=0).view(len(loc), len(loc)) + train.variance.mean(0).diag()
    found = []
    for share in SHRINKAGES:
        prior = FittedGaussian(len(loc))
        prior.loc.copy_(loc)
        prior.root.copy_(_root(shrunk(own, own.diagonal().diag(), share)))
        found.append(prior)
    return _densest(found, held_z)


def fitted_mixture(
    train: Codes, held_z: Tensor, loc: Tensor, root: Tensor, components: int, seed: int
) -> FittedMixture:
    """A mixture by EM on draws, whitened by the Gaussian N(loc, root root^T). The covariances of components shrink to their
    weighted mean by the share that suits the held draws best (regularised as in Friedman 1989)."""
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    latent = len(loc)
    z = _whitened(train.z.flatten(0, 1), loc, root)
    most = max(EM_NUMBERS // latent**2, 10 * components)
    z = z[torch.randperm(len(z), generator=keyed_generator("cpu", seed, "em"))[:most]]
    em = GaussianMixture(components, tol=0.01, max_iter=EM_ROUNDS, reg_covar=1e-3, random_state=seed % 2**32)
    # One thread: several add up in any order, and a fit that is done again is to be the same.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a last round that still gained a little is no matter
        em.fit(z.float().numpy())
    weights, means, own = (torch.from_numpy(one).double() for one in (em.weights_, em.means_, em.covariances_))
    pooled = (weights[:, None, None] * own).sum(0)
    found = []
    for share in SHRINKAGES:
        prior = FittedMixture(latent, components)
        prior.logits.copy_(weights.clamp(min=1e-12).log())
        prior.loc.copy_(loc + means @ root.mT)
        prior.root.copy_(root @ _root(shrunk(own, pooled, share)))
        found.append(prior)
    return _densest(found, held_z)


def _whitened(z: Tensor, loc: Tensor, root: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(root.mT, z - loc, upper=True, left=False)


@default_generators_kept()
def fitted_flow(train: Codes, held_z: Tensor, loc: Tensor, root: Tensor, seed: int) -> FittedFlow:
    """A flow around the Gaussian N(loc, root root^T), by Adam on draws; of the weights met, those that suit the held draws
    best. It begins as that Gaussian, so that it ends no worse."""
    torch.manual_seed(seed)
    prior = FittedFlow(len(loc), *FLOW)
    prior.loc.copy_(loc)
    prior.root.copy_(root)
    with torch.no_grad():  # each network's last layer: scales 1 and shifts 0
        for transform in prior.flow.transform.transforms:  # type: ignore[union-attr]
            for parameter in transform.hyper[-1].parameters():
                parameter.zero_()
    z = train.z.flatten(0, 1).float()
    optimiser = torch.optim.Adam(prior.parameters(), FLOW_RATE)
    generator = keyed_generator("cpu", seed, "flow")
    best, kept, stale = -math.inf, {}, 0
    for step in range(FLOW_STEPS + 1):
        if step % FLOW_EVERY == 0:
            density = float(log_density(prior, held_z).mean())
            stale += 1
            if density > best:
                best, stale = density, 0
                kept = {name: value.clone() for name, value in prior.state_dict().items()}
            if stale > FLOW_PATIENCE or not math.isfinite(density):
                break
        for group in optimiser.param_groups:
            group["lr"] = FLOW_RATE * 0.5 * (1 + math.cos(math.pi * step / FLOW_STEPS))
        batch = z[torch.randint(len(z), (min(FLOW_BATCH, len(z)),), generator=generator)]
        optimiser.zero_grad()
        (-prior().log_prob(batch).mean()).backward()
        torch.nn.utils.clip_grad_norm_(prior.parameters(), 10.0)
        optimiser.step()
    prior.load_state_dict(kept)
    return prior
