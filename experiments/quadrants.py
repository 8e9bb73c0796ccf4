"""Digits from one, two or three of their quadrants (Sohn, Lee and Yan 2015, section 5.1)."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments.cells import Cell, ExperimentRunner
from experiments.experiment import Experiment, Row
from reparam.evaluation import EvaluationOptions
from reparam.reports.figures.predictions import predictions
from reparam.reports.options import PredictionOptions
from reparam.reports.pictures import write_png
from reparam.reports.run_view import RunView

OBSERVED = (1, 2, 3)
SHOWN = 10
HUNDRED = EvaluationOptions(samples=100, nll_images=10_000)
MANY = EvaluationOptions(samples=10_000, nll_images=1000)

# Sohn et al., table 1, test: (Monte Carlo, importance sampling); Pyro's tutorial on CVAEs has its two models on test images.
PAPER = {
    "nn": ({"MC": 99.75}, {"MC": 62.18}, {"MC": 25.99}),
    "gsnn": ({"MC": 99.82}, {"MC": 62.41}, {"MC": 26.29}),
    "cvae": ({"MC": 68.39, "IS": 63.91}, {"MC": 45.34, "IS": 44.73}, {"MC": 20.96, "IS": 20.95}),
}
PYRO = {"nn": (100.4, 61.9, 25.4), "cvae": (71.8, 51.0, 24.2)}
NAMES = {"nn": "NN baseline", "gsnn": "GSNN", "cvae": "CVAE", "hybrid": "hybrid, alpha 0.5", "sfnn": "SFNN"}
SEEDS = {"cvae": 3}


def _cell(model: str, observed: int, seed: int = 0, name: str = "", **options: Any) -> Cell:
    predicts = ("cnll_mc", "class_hit", "class_log_loss", "diversity")
    bounds = ("cnll_is", "elbo", "kl") if model in ("cvae", "hybrid") else ()
    chosen = {"task": "quadrants", "observed": observed, **options, "seed": seed}
    return Cell(
        f"quadrants{observed}-{name or model}-seed{seed}", chosen, (*predicts, *bounds), model=model, evaluation=HUNDRED
    )


def _names(model: str, observed: int) -> tuple[str, ...]:
    return tuple(f"quadrants{observed}-{model}-seed{seed}" for seed in range(SEEDS.get(model, 1)))


def _again(observed: int) -> Cell:
    """The CVAE's first seed once more, with draws enough for the Monte Carlo estimate."""
    first = _cell("cvae", observed)
    return Cell(
        f"quadrants{observed}-cvae-seed0-many",
        first.options,
        ("cnll_mc", "cnll_is"),
        model="cvae",
        evaluation=MANY,
        of=first.name,
    )


# What narrows the distance between drawing from q(z|x, c) and drawing from p(z|c): less to say for z, networks that do not learn
# the training digits by heart, and in the end training as one predicts, with many draws of the prior.
_WIDE = {"hidden": (800, 800), "dropout": 0.2}
_MANY_DRAWS = {"alpha": 0.3, "prior_draws": 50, "beta_warmup": 0.0, "learning_rate": 5e-4, "epochs": 3}
REMEDIES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "beta1": ("CVAE, KL weight 2", "cvae", {"beta": 1.0}, ""),
    "wide": ("CVAE, 800 units, dropout 0.2", "cvae", {**_WIDE, "beta_warmup": 5.0}, ""),
    "tuned": ("CVAE, then 3 epochs as a hybrid of 50 draws", "hybrid", _MANY_DRAWS, "cvae"),
    "beta1-tuned": ("KL weight 2, then the same", "hybrid", {"beta": 1.0, **_MANY_DRAWS}, "beta1"),
    "wide-tuned": ("800 units, then the same", "hybrid", {**_WIDE, **_MANY_DRAWS}, "wide"),
}
TRIED = {1: tuple(REMEDIES), 2: ("beta1", "tuned", "beta1-tuned")}


def _remedy(name: str, observed: int) -> Cell:
    _, model, options, start = REMEDIES[name]
    cell = _cell(model, observed, name=name, **options)
    fast: dict[str, Any] = {"prior_draws": 3} if "prior_draws" in options else {}
    fast |= {"hidden": (32, 32)} if "hidden" in options else {}
    return dataclasses.replace(cell, start=f"quadrants{observed}-{start}-seed0" if start else "", fast=fast)


CELLS: tuple[Cell, ...] = (
    *(_remedy(name, observed) for observed, names in TRIED.items() for name in names),
    *(_cell("cvae", observed, seed) for seed in range(SEEDS["cvae"]) for observed in OBSERVED),
    *(_cell(model, observed) for model in ("nn", "gsnn", "hybrid", "sfnn") for observed in OBSERVED),
    *(_again(observed) for observed in OBSERVED),
)


def columns(document: dict[str, Any]) -> dict[str, float]:
    """Monte Carlo and importance-sampled -log p(x|c), the KL, and what a classifier reads in ten completions."""
    found = {name: measure["value"] for name, measure in document["metrics"].items()}
    wanted = {"cnll_mc": "MC", "cnll_is": "IS", "kl": "KL", "class_hit": "true class", "class_log_loss": "log-loss"}
    return {column: found[name] for name, column in wanted.items() if name in found}


def draw(runner: ExperimentRunner, folder: Path) -> None:
    """What was seen, the baseline's answer, that at z*, ten others, the truth."""
    for observed in OBSERVED:
        run, baseline = (runner.run(runner.cells[_names(model, observed)[0]]) for model in ("cvae", "nn"))
        shown = predictions(RunView(run), PredictionOptions(n=SHOWN, samples=SHOWN, baseline=baseline))
        write_png(folder / f"quadrants-{observed}.png", shown.picture())


def _row(model: str, observed: int) -> Row:
    published = PAPER[model][observed - 1] if model in PAPER else {}
    others = f"Pyro {PYRO[model][observed - 1]}" if model in PYRO else ""
    return Row(f"{NAMES[model]}, {observed} observed", _names(model, observed), published, others)


GAP = Experiment(
    "From training to prediction",
    "Sohn, Lee and Yan 2015, section 4.2",
    "MNIST, one or two quadrants seen, as above. A CVAE is trained with latents drawn from q(z|x, c), which has seen the "
    "answer, and predicts with latents drawn from p(z|c), which has not: MC at S = 100 lies far above IS. What helps is whatever "
    "makes z say less (the KL) or what it says hold for new digits, and most of all to end training as prediction is "
    "measured, with many draws of the prior; each has its price in IS. The hybrid with a single draw of the prior, as in "
    "the paper, makes that draw say nothing.",
    tuple(
        row
        for observed, names in TRIED.items()
        for row in (
            Row(f"{observed} seen: CVAE", _names("cvae", observed)),
            Row(f"{observed} seen: CVAE, S = 10,000", (_again(observed).name,)),
            *(Row(f"{observed} seen: {REMEDIES[name][0]}", (_remedy(name, observed).name,)) for name in names),
            Row(f"{observed} seen: hybrid, 1 draw", _names("hybrid", observed)),
            Row(f"{observed} seen: GSNN", _names("gsnn", observed)),
        )
    ),
    columns,
    (),
)
QUADRANTS = Experiment(
    "Digits from some of their quadrants",
    "Sohn, Lee and Yan 2015, table 1, and Pyro's tutorial on conditional VAEs",
    "MNIST, grey values under a Bernoulli, so a cross-entropy; nats an image over the unobserved pixels, mean over the "
    "10,000 test digits. One quadrant is the bottom left, two the left half, three all but the bottom right. MC: 100 draws "
    "of the prior; it is biased upwards, and the rows with S = 10,000 (1,000 digits) show by how much. IS: 100 draws of the"
    " recognition network. Pyro's figures for its CVAE are bounds with ten draws, and its stopping looks at test images; "
    "ours is on validation. True class: share of the test digits of which at least one of ten answers is read as the right "
    "digit by a classifier; log-loss of the ten votes. The baseline's ten answers are drawn pixel by pixel.",
    (
        *(_row(model, observed) for observed in OBSERVED for model in NAMES),
        *(Row(f"CVAE, {observed} observed, S = 10,000", (_again(observed).name,)) for observed in OBSERVED),
    ),
    columns,
    ("MC", "IS"),
    draw,
    {
        f"quadrants-{observed}.png": f"{observed} of 4 quadrants seen: what was seen, the baseline, the CVAE at z*, ten answers, "
        "their average, the truth, and where they differ."
        for observed in OBSERVED
    },
)
