"""The table of metrics on models whose figures are known, and the words on models that went wrong."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import reparam
from reparam.conditionals import DiagonalNormal, StandardNormal
from reparam.conditionals.likelihoods import BernoulliLikelihood, DiscretisedLogisticLikelihood, GaussianLikelihood
from reparam.data import Dataset, Images, load
from reparam.data.selection import random_indices, task_images
from reparam.data.tasks import TaskOptions, to_float
from reparam.distributions import keyed_generator
from reparam.errors import ConfigError
from reparam.evaluation import METRICS, EvaluationOptions, diagnose, diagnosis
from reparam.evaluation import likelihood as estimators
from reparam.evaluation.context import EvaluationContext
from reparam.evaluation.metrics.metric import ratio
from reparam.evaluation.metrics.table import choose, evaluate
from reparam.evaluation.networks.features import FeatureNetwork
from reparam.metrics.likelihood import PIXELS_AT_ONCE
from reparam.models import Model

SIDE = 8


class _Flat(nn.Module):
    """Features for an encoder and outputs for a decoder that are the same whatever comes in."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = nn.Parameter(output)

    def forward(self, x: Tensor) -> Tensor:
        return self.output.expand(*x.shape[: x.dim() - (3 if x.shape[-1] == SIDE else 1)], *self.output.shape)


def flat(likelihood: type, outputs: Tensor, **options: float) -> Model:
    """A model whose posterior is its prior and whose decoder looks at nothing: log p(x) is that of one distribution."""
    encoder = DiagonalNormal(_Flat(torch.zeros(3)), 3, 2)
    nn.init.zeros_(encoder.head.weight)
    nn.init.zeros_(encoder.head.bias)
    return Model(encoder=encoder, prior=StandardNormal(2), decoder=likelihood(_Flat(outputs), **options)).eval()


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


def context_of(model: Model, dataset: Dataset, **options: int) -> EvaluationContext:
    random_indices = {"samples": 20, "nll_images": 50, "images": 200, **options}
    return EvaluationContext(model, dataset, TaskOptions(), EvaluationOptions(**random_indices))


def measured(context: EvaluationContext, *names: str) -> dict[str, float]:
    return {name: measure.value for name, measure in evaluate(context, names)}


def test_a_model_that_ignores_its_latent_has_the_figures_of_its_one_distribution(digits: Dataset) -> None:
    model = flat(BernoulliLikelihood, torch.zeros(1, SIDE, SIDE))
    names = ("elbo", "nll", "reconstruction", "kl", "active_units", "mutual_information", "marginal_kl", "sharpness")
    found = measured(context_of(model, digits), *names)
    each = (
        SIDE * SIDE * math.log(2)
    )  # every pixel is 1 or 0 with probability 1/2, and so is any grey value's cross-entropy
    assert found["nll"] == pytest.approx(each, rel=1e-6)
    assert found["elbo"] == pytest.approx(-each, rel=1e-6)
    assert found["kl"] == pytest.approx(0, abs=1e-6)
    assert found["active_units"] == 0
    assert found["mutual_information"] == pytest.approx(0, abs=1e-6)
    assert found["marginal_kl"] == pytest.approx(0, abs=1e-5)
    assert found["sharpness"] == pytest.approx(0, abs=1e-6)


def test_equal_weights_are_all_effective(digits: Dataset) -> None:
    model = flat(BernoulliLikelihood, torch.zeros(1, SIDE, SIDE))
    sizes = context_of(model, digits, samples=300).by_draws.nll.effective
    torch.testing.assert_close(sizes, torch.full((50,), 300.0), rtol=1e-3, atol=0)


def test_bits_of_a_mass_function_are_those_of_its_probabilities(digits: Dataset) -> None:
    outputs = torch.cat([torch.zeros(1, SIDE, SIDE), torch.ones(1, SIDE, SIDE)])
    model = flat(DiscretisedLogisticLikelihood, outputs)
    context = context_of(model, digits)
    levels = torch.arange(256).reshape(256, 1, 1, 1).expand(256, 1, SIDE, SIDE) / 255
    bits = -model.decoder(torch.zeros(2)).base_dist.log_prob(levels)[:, 0, 0, 0].detach() / math.log(2)
    assert float((-bits * math.log(2)).exp().sum()) == pytest.approx(1, abs=1e-4)
    pixels = digits.test.images[context.index[:50]].long()
    assert measured(context, "bits_per_dim")["bits_per_dim"] == pytest.approx(float(bits[pixels].mean()), rel=1e-5)


def test_bits_of_the_uniform_density_are_eight_and_of_others_no_less_than_the_entropy(digits: Dataset) -> None:
    # A very wide normal puts the same density c everywhere: 8 bits more than its -log2 c.
    wide = flat(GaussianLikelihood, torch.zeros(1, SIDE, SIDE), scale=1e4)
    density = math.log(1e4 * math.sqrt(2 * math.pi)) / math.log(2)
    assert measured(context_of(wide, digits), "bits_per_dim")["bits_per_dim"] == pytest.approx(8 + density, rel=1e-6)
    # A narrow one around every pixel's mean cannot say the levels in fewer bits than they have.
    one_level = dataclasses.replace(
        digits, test=Images(torch.full((150, 1, SIDE, SIDE), 128, dtype=torch.uint8), torch.zeros(150).long())
    )
    # All mass within the level [128, 129) / 256 of which u is uniform: 0 bits is the least.
    near = flat(GaussianLikelihood, torch.full((1, SIDE, SIDE), math.log(128.5 / 127.5)), scale=0.5 / 256)
    bits = measured(context_of(near, one_level), "bits_per_dim")["bits_per_dim"]
    # E -log2 N(u; 0.5, 0.5^2) for u uniform on (0, 1), in levels.
    exact = (math.log(0.5 * math.sqrt(2 * math.pi)) + (1 / 12) / (2 * 0.25)) / math.log(2)
    assert bits == pytest.approx(exact, abs=4 * 0.43 / math.sqrt(50 * SIDE * SIDE))


def test_bits_are_refused_where_they_mean_nothing(digits: Dataset) -> None:
    model = flat(BernoulliLikelihood, torch.zeros(1, SIDE, SIDE))
    with pytest.raises(ConfigError, match="cross-entropy"):
        choose(EvaluationContext(model, digits, TaskOptions(), EvaluationOptions()), ["bits_per_dim"])
    density = flat(GaussianLikelihood, torch.zeros(1, SIDE, SIDE))
    _, left_out = choose(EvaluationContext(density, digits, TaskOptions(binarise="dynamic"), EvaluationOptions()))
    assert "bits_per_dim" in left_out


def test_expensive_metrics_are_measured_on_request_only(digits: Dataset) -> None:
    context = context_of(flat(BernoulliLikelihood, torch.zeros(1, SIDE, SIDE)), digits)
    waiting = {name for name, metric in METRICS.items() if metric.expensive}
    waiting |= {"psnr_pca", "flips_2"}  # measured by default of autoencoders, and of models with a head
    names, left_out = choose(context)
    assert not waiting & set(names)
    assert waiting <= set(left_out)
    assert waiting <= set(choose(context, ["all"])[0])
    assert choose(context, ["fid_inception"])[0] == ["fid_inception"]


def test_the_error_of_a_ratio_is_that_of_repeated_samples() -> None:
    g = keyed_generator("cpu", "ratio")
    whole = 2 + torch.rand(400, 100, generator=g, dtype=torch.float64)
    part = 0.5 * whole + 0.3 * torch.randn(400, 100, generator=g, dtype=torch.float64)
    found = [ratio(p, w, "") for p, w in zip(part, whole, strict=True)]
    spread = float(torch.tensor([m.value for m in found]).std())
    said = float(torch.tensor([m.stderr for m in found]).mean())
    assert said == pytest.approx(spread, rel=4 / math.sqrt(2 * 400))  # the relative error of a deviation from 400


def test_nll_neither_depends_on_what_is_decoded_at_once_nor_on_how_many_images_come(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    config = reparam.run.config.resolve("vae", hidden=(16,), latent=3)
    model = config.family.build(config.options, reparam.models.Spec((1, SIDE, SIDE))).eval()
    x = to_float(digits.test.images[:130])
    values, sizes = estimators.importance_nll(model, x, 250, 0)
    monkeypatch.setitem(PIXELS_AT_ONCE, "cpu", 7 * SIDE * SIDE)
    again, sizes_again = estimators.importance_nll(model, x[:103], 250, 0)
    torch.testing.assert_close(again, values[:103])
    torch.testing.assert_close(sizes_again, sizes[:103], rtol=1e-3, atol=1e-3)


def test_kl_by_latent_adds_up_to_the_kl(digits: Dataset) -> None:
    torch.manual_seed(1)
    config = reparam.run.config.resolve("vae", hidden=(16,), latent=3)
    model = config.family.build(config.options, reparam.models.Spec((1, SIDE, SIDE))).eval()
    ((_, measure),) = evaluate(context_of(model, digits), ["kl"])
    assert len(measure.parts) == 3
    assert sum(measure.parts) == pytest.approx(measure.value, rel=1e-5)


# -- diagnosis ----------------------------------------------------------------------------------------------------------


def states(run: reparam.Run) -> list[str]:
    return [finding.state for finding in run.diagnose(images=300)]


def test_untrained_collapsed_overfitted_and_healthy_models_are_distinguished(tmp_path: Path) -> None:
    plain = {"data": "digits", "hidden": (64,), "latent": 4, "pictures": 0}
    untrained = reparam.train("vae", **plain, epochs=0.1, learning_rate=1e-9, out=tmp_path / "untrained")
    assert states(untrained) == ["untrained"]
    collapsed = reparam.train("vae", **plain, epochs=40, batch_size=32, beta=20, out=tmp_path / "collapsed")
    assert states(collapsed) == ["collapsed"]
    healthy = reparam.train("vae", **plain, epochs=60, batch_size=16, out=tmp_path / "healthy")
    assert states(healthy)[0] == "healthy"
    overfitted = reparam.train(
        "vae", data=f"array:{_forty(tmp_path, load('digits'))}", hidden=(256,), latent=16, epochs=1500, batch_size=16,
        learning_rate=2e-3, keep="last", pictures=0, out=tmp_path / "overfitted",
    )  # fmt: skip
    assert "overfitted" in states(overfitted)


def _forty(folder: Path, dataset: Dataset) -> Path:
    """Forty images to train on, two hundred to test."""
    import numpy as np

    path = folder / "few.npz"
    parts = {
        "train": dataset.train.images[:40],
        "validation": dataset.validation.images[:20],
        "test": dataset.test.images[:200],
    }
    np.savez(path, **{f"{name}_images": images.numpy() for name, images in parts.items()})  # type: ignore[arg-type]
    return path


def test_evaluate_writes_figure_by_figure_and_the_diagnosis_with_all_of_them(tmp_path: Path) -> None:
    run = reparam.train("vae", data="digits", hidden=(16,), latent=2, epochs=2, pictures=0, out=tmp_path / "run")
    small = {"samples": 10, "nll_images": 20, "images": 150}
    document = run.folder.evaluation_path
    run.evaluate(["elbo"], **small)
    assert "diagnosis" not in json.loads(document.read_text())
    run.evaluate(**small)
    written = json.loads(document.read_text())
    assert written["diagnosis"] == [dataclasses.asdict(finding) for finding in run.diagnose(**small)]
    assert written["metrics"]["kl"]["parts"]

    def interrupted(context: EvaluationContext) -> None:
        raise KeyboardInterrupt

    before = set(written["metrics"])
    row = dataclasses.replace(METRICS["mse"], compute=interrupted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, "mse", row)
        document.unlink()
        with pytest.raises(KeyboardInterrupt):
            run.evaluate(**small)
    kept = set(json.loads(document.read_text())["metrics"])
    assert kept == {name for name in before if list(METRICS).index(name) < list(METRICS).index("mse")}


def test_a_classifier_is_held_against_plain_ones_alone(digits: Dataset) -> None:
    torch.manual_seed(0)
    config = reparam.run.config.resolve("classifier")
    model = config.family.build(config.options, reparam.models.Spec((1, SIDE, SIDE), 10)).eval()
    (finding,) = diagnose(context_of(model, digits))
    assert finding.state == "baseline not reached"
    assert "by the nearest image" in finding.evidence


def test_data_in_the_order_of_its_classes_gives_the_same_figures(digits: Dataset) -> None:
    torch.manual_seed(0)
    config = reparam.run.config.resolve("vae", hidden=(16,), latent=3)
    model = config.family.build(config.options, reparam.models.Spec((1, SIDE, SIDE))).eval()

    def ordered(split: Images) -> Images:
        order = split.labels.argsort(stable=True)
        return Images(split.images[order], split.labels[order])

    by_class = dataclasses.replace(digits, train=ordered(digits.train), test=ordered(digits.test))
    for context in (context_of(model, digits, images=100), context_of(model, by_class, images=100)):
        # Ten classes, each with a tenth of the images: of 100 at random hardly ever fewer than 2 (1e-3 a class) or more than 22.
        counts = context.batch.y.bincount(minlength=10)
        assert counts.min() >= 2
        assert counts.max() <= 22
        assert len(context.training.x) == 100
    assert found_order(context_of(model, by_class, images=50)) == found_order(context_of(model, by_class))[:50]


def found_order(context: EvaluationContext) -> list[int]:
    return context.index.tolist()


def test_images_of_a_task_do_not_depend_on_which_are_asked_for(digits: Dataset) -> None:
    task = TaskOptions(task="denoising", binarise="dynamic")
    whole = task_images(digits.test, task)
    x, given = whole.x, whole.input
    index = random_indices(digits.test, 130)
    some = task_images(digits.test, task, index)
    some_x, some_given = some.x, some.input
    assert some_x.equal(x[index])
    assert some_given.equal(given[index])
    assert task_images(digits.test, task, 7).x.equal(x[:7])


def test_few_images_are_told_and_no_traceback(digits: Dataset) -> None:
    model = flat(BernoulliLikelihood, torch.zeros(1, SIDE, SIDE))
    few = EvaluationOptions(samples=3, nll_images=1, images=2)
    context = EvaluationContext(model, digits, TaskOptions(), few)
    names, left_out = choose(context)
    assert "2 images are too few" in left_out["precision"]
    assert "2 images are too few" in left_out["fid_classifier"]
    assert set(dict(evaluate(context, names))) == set(names)
    diagnose(context)


def noise(train: int, test: int) -> Dataset:
    g = keyed_generator("cpu", "noise", test)
    parts = {
        name: Images(torch.randint(0, 256, (n, 1, SIDE, SIDE), generator=g, dtype=torch.uint8), torch.full((n,), -1))
        for name, n in (("train", train), ("validation", 5), ("test", test))
    }
    return dataclasses.replace(load("digits"), **parts)


@pytest.mark.parametrize("test", [1, 2, 4, 40, 300])
def test_a_model_whose_latents_carry_nothing_is_collapsed_on_any_number_of_images(test: int) -> None:
    """The mean image is that of all training images: the mean of as few as are tested is a bad one, which anything beats."""
    dataset = noise(36, test)
    mean = to_float(dataset.train.images).mean(0)
    context = EvaluationContext(
        flat(BernoulliLikelihood, mean.logit()).eval(), dataset, TaskOptions(), EvaluationOptions(samples=2)
    )
    context.bound = (torch.ones(test), torch.full((test,), 0.008))
    found = diagnose(context)
    assert [finding.state for finding in found] == ["collapsed"]
    assert "1.00 times that of the mean training image" in found[0].evidence


@pytest.mark.parametrize(
    ("test", "better", "expected"),
    [
        (4, [0.6, 1.4, 1.0, 0.7], "too few images to tell"),  # 0.92 times, +- 0.18
        (4, [0.5, 0.5, 0.5, 0.5], "too few images to tell"),  # good, but nothing is known of overfitting
        (300, [0.6, 1.4, 1.0, 0.7] * 75, "healthy"),
        (300, [1.0] * 300, "learnt little"),
        (4, [2.0, 2.1, 1.9, 2.0], "untrained"),
    ],
)
def test_what_few_images_cannot_tell_is_not_told(
    test: int, better: list[float], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = noise(400, test)
    mean = to_float(dataset.train.images).mean(0)
    context = EvaluationContext(
        flat(BernoulliLikelihood, mean.logit()).eval(), dataset, TaskOptions(), EvaluationOptions(samples=2)
    )
    context.bound = (torch.ones(test), torch.full((test,), 3.0))
    monkeypatch.setattr(diagnosis, "_losses", lambda _: (torch.linspace(100, 140, test),) * 2)  # no gap
    shrunk = torch.tensor(better).sqrt()[:, None, None, None]
    context.reconstructions = context.x + shrunk * (mean - context.x)
    context.samples = context.grey  # nothing is wrong with these
    assert diagnose(context)[0].state == expected


def test_images_that_are_all_alike_hold_nothing_to_learn(digits: Dataset) -> None:
    same = Images(torch.full((50, 1, SIDE, SIDE), 77, dtype=torch.uint8), torch.full((50,), -1))
    dataset = dataclasses.replace(digits, train=same, validation=same, test=same)
    model = flat(BernoulliLikelihood, torch.zeros(1, SIDE, SIDE)).eval()
    context = EvaluationContext(model, dataset, TaskOptions(), EvaluationOptions(samples=2))
    assert [finding.state for finding in diagnose(context)] == ["nothing to learn"]


def test_noise_of_binarisation_is_not_held_against_a_model(digits: Dataset) -> None:
    """A model that gives the grey values back explains them all, however faint they are."""
    faint = Images((digits.test.images.float() * 0.2).byte() + 100, digits.test.labels)
    dataset = dataclasses.replace(digits, train=faint, test=faint)
    grey = to_float(faint.images)
    model = flat(BernoulliLikelihood, grey.mean(0).logit()).eval()
    context = EvaluationContext(
        model, dataset, TaskOptions(binarise="dynamic"), EvaluationOptions(samples=2, images=200)
    )
    assert [finding.state for finding in diagnose(context)] == ["collapsed"]  # the mean image explains nothing
    context.reconstructions = context.samples = context.grey  # a perfect model's
    assert diagnose(context)[0].state == "healthy"


def test_classes_made_counts_the_classes_of_samples_as_equal_ones(digits: Dataset) -> None:
    """Samples that a reader finds in three classes, 1/2, 1/4 and 1/4: exp of the entropy is 2 sqrt(2)."""
    context = context_of(flat(BernoulliLikelihood, torch.zeros(SIDE * SIDE).view(1, SIDE, SIDE)), digits, images=200)
    read = F.one_hot(torch.tensor([3, 3, 7, 8]).repeat(50), 10).float()
    context.once(
        "classifier", lambda: FeatureNetwork("", lambda x: x.flatten(1), torch.device("cpu"), head=lambda x: read)
    )
    measure = METRICS["classes_made"].measure(context)
    assert measure.value == pytest.approx(2 * 2**0.5)
    assert measure.n == 200
    assert (measure.unit, measure.note) == ("of 10", "rarest: 0, 0.0%")
