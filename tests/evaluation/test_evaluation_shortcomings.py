"""Findings on models that learnt something and are not good: on known latents, and where the offered command is followed."""

import math
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

import reparam
from reparam.cli.group import cli
from reparam.conditionals import StandardNormal
from reparam.conditionals.likelihoods import BernoulliLikelihood
from reparam.core.conditional import Encoder
from reparam.data import load
from reparam.data.tasks import TaskOptions, to_float
from reparam.evaluation import EvaluationOptions, diagnosis, shortcomings
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.history import History, share_of_second_half
from reparam.models import Model
from reparam.run.documents import Finding

SMALL: dict[str, Any] = {"data": "digits", "hidden": (64,), "latent": 4, "pictures": 0, "device": "cpu"}


def states(path: Path) -> dict[str, str]:
    """What helps, by state."""
    return {finding.state: finding.advice for finding in reparam.load(path, "cpu").diagnose()}


def follow(advice: str) -> Path:
    """Types the command that the advice offers; the folder of the run that it is about."""
    words = shlex.split(advice.partition(": ")[2].partition(";")[0])
    cli.main(words[1:], standalone_mode=False)
    return Path(words[words.index("--out") + 1] if "--out" in words else words[-1])


def test_a_collapse_after_few_steps_is_met_by_more_of_them_first(tmp_path: Path) -> None:
    reparam.train("vae", **SMALL, epochs=4, batch_size=32, learning_rate=3e-3, out=tmp_path / "short")
    assert states(tmp_path / "short")["collapsed"].startswith("train longer, about 1 min: reparam train vae")


def test_a_short_training_is_told_to_go_on_and_then_is_not(tmp_path: Path) -> None:
    reparam.train("vae", **SMALL, epochs=14, batch_size=32, learning_rate=3e-3, out=tmp_path / "short")
    before, short = states(tmp_path / "short"), {"hardly trained", "too few steps"}
    assert short & set(before)
    assert "healthy" not in before
    longer = follow(next(before[state] for state in short if state in before))
    assert longer == tmp_path / "short-2"
    assert not short & set(states(longer))


def test_whoever_is_below_the_components_is_told_to_carry_more_and_then_is_not(tmp_path: Path) -> None:
    options = SMALL | {"latent": 8, "hidden": (128,), "learning_rate": 3e-3}
    reparam.train("vae", **options, epochs=60, out=tmp_path / "run")
    before = states(tmp_path / "run")
    assert "healthy" not in before
    advice = before["baseline not reached"]
    assert "--beta 0.25" in advice
    assert "baseline not reached" not in states(follow(advice))


def test_latents_far_from_the_prior_are_told_to_fit_one_and_then_are_not(tmp_path: Path) -> None:
    """Two hundred test images: too few for the divergence of the aggregate posterior itself."""
    reparam.train("vae", **SMALL, epochs=60, batch_size=16, beta=0.02, out=tmp_path / "run")
    before = states(tmp_path / "run")
    assert f"reparam fit-prior {tmp_path / 'run'}" in before["prior not filled"]
    assert "healthy" not in before
    assert follow(before["prior not filled"]) == tmp_path / "run"
    assert "prior not filled" not in states(tmp_path / "run")


class _Shifted(Encoder):
    """q(z|x) = N(shift + scale (pixels), 0.5^2), of as many pixels as there are latents."""

    def __init__(self, latent: int, shift: float) -> None:
        super().__init__()
        self.latent, self.shift = latent, torch.nn.Parameter(torch.tensor(shift))

    def forward(self, x: Tensor) -> Independent:
        z = x.flatten(1)[:, 18 : 18 + self.latent] + self.shift
        return Independent(Normal(z, torch.full_like(z, 0.5), validate_args=False), 1)


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_the_distance_of_moments_is_that_of_their_gaussian(shift: float) -> None:
    digits, latent = load("digits"), 3
    decoder = BernoulliLikelihood(torch.nn.Identity())
    model = Model(encoder=_Shifted(latent, shift), prior=StandardNormal(latent), decoder=decoder).eval()
    context = EvaluationContext(model, digits, TaskOptions(), EvaluationOptions())
    pixels = to_float(digits.train.images).flatten(1)[:, 18 : 18 + latent].double()
    covariance = torch.cov(pixels.mT) + 0.25 * torch.eye(latent)
    of_moments = torch.distributions.MultivariateNormal(pixels.mean(0) + shift, covariance)
    standard = torch.distributions.MultivariateNormal(torch.zeros(latent).double(), torch.eye(latent).double())
    exact = float(torch.distributions.kl_divergence(of_moments, standard))
    n = len(pixels)
    expected = exact - latent * (latent + 3) / 4 / n
    assert shortcomings._moments_apart(context) == pytest.approx(expected, rel=1e-4)


def test_to_stop_early_is_offered_where_the_loss_rose_again() -> None:
    run: Any = None
    assert not History(run, 9, 1.0, ()).rose
    assert not History(run, 9, 1.0, (5.0, 4.0, 3.0, 2.0)).rose
    assert History(run, 9, 1.0, (5.0, 2.0, 3.0, 4.0)).rose


def test_whose_validation_loss_still_falls_is_not_overfitted() -> None:
    overfitted, healthy, short, unused = (
        Finding("overfitted", "", "more images"),
        Finding("healthy", ""),
        Finding("too few steps", "", "train longer"),
        Finding("unused latents", ""),
    )
    assert diagnosis._together(overfitted, [short, unused]) == (short, unused)
    assert diagnosis._together(overfitted, [unused]) == (overfitted, unused)
    assert diagnosis._together(healthy, [short]) == (short,)
    assert diagnosis._together(healthy, [unused]) == (healthy, unused)


def test_the_second_half_is_that_of_what_the_loss_fell() -> None:
    straight = [10.0 - i for i in range(11)]  # the first five end at 6
    assert share_of_second_half(straight) == pytest.approx(6 / 10)
    assert share_of_second_half([math.exp(-i) for i in range(20)]) < 1e-3
    assert share_of_second_half([3.0, 1, 2, 2.5, 3]) == 0  # it rose again
    assert share_of_second_half([3.0, 2, 1]) == 0
    assert share_of_second_half([1.0, 2, 3, 4]) == 0


def test_a_training_that_never_gained_on_its_start_is_told_so(tmp_path: Path) -> None:
    options = SMALL | {"pca_start": True, "likelihood": "gaussian-learned", "clip": 1.0, "epochs": 2}
    reparam.train("vae", **options, learning_rate=10.0, out=tmp_path / "run")
    advice = states(tmp_path / "run")["no better than its start"]
    assert "--learning-rate 2.5" in advice
    reparam.train("vae", **options | {"epochs": 8}, learning_rate=1e-3, out=tmp_path / "gained")
    assert "no better than its start" not in states(tmp_path / "gained")
