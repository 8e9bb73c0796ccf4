"""Fitting a prior to a run's latents: which images it sees, and what is written."""

import torch

from reparam.conditionals import FLOW
from reparam.data import Dataset, Images
from reparam.data.selection import random_indices
from reparam.errors import ReparamError
from reparam.latent import prior_fitting
from reparam.latent.prior_fitting import Fit, PriorKind
from reparam.progress import Progress
from reparam.run.config import RunConfig
from reparam.run.data import check_fingerprint
from reparam.run.documents import FORMAT
from reparam.run.fitted_prior import PriorCandidate, PriorFacts, fitted_to, prior_path, read_facts, words, write_prior
from reparam.run.folder import RunFolder
from reparam.tensor_files import digest

HELD_SHARE = 0.1  # of the training images, where no validation images are left


def fit_run_prior(
    folder: RunFolder,
    config: RunConfig,
    dataset: Dataset,
    device: torch.device,
    progress: Progress,
    kind: PriorKind = "auto",
    components: tuple[int, ...] = (),
    seed: int = 0,
) -> PriorFacts:
    """Fits a prior to the kept weights' latents of the images that the run was trained on, chooses by validation images, and
    writes prior.safetensors. Raises ConfigError where the model takes none, DataError where the data has changed."""
    model, weights, kept = folder.trained_model()
    prior_fitting.check_can_fit(model, kind)
    of_weights = {
        "format": FORMAT, "run": folder.id, "weights": digest(weights), "kept": kept.kept, "step": kept.step, "seed": seed,
    }  # fmt: skip
    if kind == "own":
        facts = PriorFacts(**of_weights, kind="own")  # type: ignore[arg-type]
        write_prior(prior_path(folder.path), None, facts)
        return facts
    check_fingerprint(folder.path, folder.document(), config, dataset)
    train, held = _images(config, dataset, progress)
    model = model.to(device)
    sizes = (prior_fitting.MOST_FITTED, prior_fitting.MOST_HELD)
    codes, held_codes = (
        prior_fitting.encoded(model, images, config.task, most, seed, progress)
        for images, most in zip((train, held), sizes, strict=True)
    )
    own = model.prior if model.has("prior") else None
    found, chosen = prior_fitting.fit(own, codes, held_codes, kind, components, seed, progress)
    facts = PriorFacts(
        **of_weights,  # type: ignore[arg-type]
        kind=chosen.kind,
        components=chosen.components,
        flow=FLOW if chosen.kind == "flow" else None,
        candidates=tuple(_candidate(one, one is chosen) for one in found),
        images=len(codes.mean),
        draws=codes.z.shape[1],
        held=len(held_codes.mean),
    )
    write_prior(prior_path(folder.path), chosen.prior, facts)
    return facts


def _candidate(one: Fit, chosen: bool) -> PriorCandidate:
    return PriorCandidate(words(one.kind, one.components), one.density, one.stderr, chosen)


def _images(config: RunConfig, dataset: Dataset, progress: Progress) -> tuple[Images, Images]:
    """Those that the run was trained on, and held ones to choose by: validation images; where it was trained on these too, a
    tenth of the former, which the fit does not see."""
    images = config.training_images(dataset)
    if config.data.train_on == "train":
        return images, dataset.validation
    progress.note(
        "the run was trained on the validation images too: the prior is chosen by a tenth of its training images, which the fit "
        "leaves out but whose latents the training has seen"
    )
    order = random_indices(images, len(images))
    cut = max(1, round(HELD_SHARE * len(order)))
    return images.choose(order[cut:].sort().values), images.choose(order[:cut].sort().values)


def lacks_prior(folder: RunFolder, config: RunConfig) -> bool:
    """Whether the run has ended and is to have a prior fitted to its weights, but has none."""
    if config.training.fit_prior == "none" or not folder.ended() or not folder.weights_path.exists():
        return False
    try:
        return not fitted_to(read_facts(prior_path(folder.path)), folder.weights()[0])
    except ReparamError:  # it is damaged: another one takes its place
        return True


def fit_after_training(
    folder: RunFolder, config: RunConfig, dataset: Dataset, device: torch.device, progress: Progress
) -> None:
    """What `fit_prior` of the configuration asks for, once training has ended. What cannot be fitted is said, and the run is as
    it would be without."""
    if not lacks_prior(folder, config):
        return
    kind, seed = config.training.fit_prior, config.training.seed
    assert kind != "none"
    try:
        facts = fit_run_prior(folder, config, dataset, device, progress, kind, seed=seed)
    except ReparamError as error:
        progress.note(f"no prior was fitted: {error}")
        return
    for line in candidate_lines(facts):
        progress.note(line)


def candidate_lines(facts: PriorFacts) -> list[str]:
    """A line for each candidate: the log density of held-out latents under it."""
    width = max((len(one.name) for one in facts.candidates), default=0)
    lines = []
    for one in facts.candidates:
        error = "" if one.stderr is None else f" ± {one.stderr:.2f}"
        lines.append(f"prior: {one.name:<{width}}  {one.density:10.2f}{error} nats/image{'  chosen' * one.chosen}")
    return lines
