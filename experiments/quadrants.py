"""Digits from one, two or three of their quadrants (Sohn, Lee and Yan 2015, section 5.1)."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments.cells import Cell, ExperimentRunner, protocol
from experiments.experiment import Experiment, Row, metric_columns, write_figure
from reparam.reports.figures.predictions import predictions
from reparam.reports.options import PredictionOptions
from reparam.reports.run_view import RunView

OBSERVED = (1, 2, 3)
SHOWN = 10  # test images of a picture, and predictions of each
HUNDRED = protocol(samples=100, nll_images=10_000)
MANY = protocol(samples=10_000, nll_images=1000)

# By quadrants observed: Sohn et al., table 1, test, and Pyro's tutorial on conditional VAEs, whose two models are on test images.
PAPER = {
    "nn": ({"MC": 99.75}, {"MC": 62.18}, {"MC": 25.99}),
    "gsnn": ({"MC": 99.82}, {"MC": 62.41}, {"MC": 26.29}),
    "cvae": ({"MC": 68.39, "IS": 63.91}, {"MC": 45.34, "IS": 44.73}, {"MC": 20.96, "IS": 20.95}),
}
PYRO = {"nn": (100.4, 61.9, 25.4), "cvae": (71.8, 51.0, 24.2)}
NAMES = {"nn": "NN baseline", "gsnn": "GSNN", "cvae": "CVAE", "hybrid": "hybrid, alpha 0.5", "sfnn": "SFNN"}
SEEDS = {"cvae": 3}


def quadrant_cell(model: str, observed: int, seed: int = 0, name: str = "", **options: Any) -> Cell:
    predicts = ("cnll_mc", "class_hit", "class_log_loss", "diversity")
    bounds = ("cnll_is", "elbo", "kl") if model in ("cvae", "hybrid") else ()
    chosen = {"task": "quadrants", "observed": observed, **options, "seed": seed}
    return Cell(
        f"quadrants{observed}-{name or model}-seed{seed}", chosen, (*predicts, *bounds), model=model, evaluation=HUNDRED
    )


def names(model: str, observed: int) -> tuple[str, ...]:
    return tuple(f"quadrants{observed}-{model}-seed{seed}" for seed in range(SEEDS.get(model, 1)))


def many_draws(observed: int) -> Cell:
    """The first seed of the CVAE, measured with enough draws for the Monte Carlo estimate."""
    first = quadrant_cell("cvae", observed)
    name = f"{first.name}-many"
    return dataclasses.replace(first, name=name, metrics=("cnll_mc", "cnll_is"), evaluation=MANY, of=first.name)


CELLS: tuple[Cell, ...] = (
    *(quadrant_cell("cvae", observed, seed) for seed in range(SEEDS["cvae"]) for observed in OBSERVED),
    *(quadrant_cell(model, observed) for model in ("nn", "gsnn", "hybrid", "sfnn") for observed in OBSERVED),
    *(many_draws(observed) for observed in OBSERVED),
)
columns = metric_columns(
    {"cnll_mc": "MC", "cnll_is": "IS", "kl": "KL", "class_hit": "true class", "class_log_loss": "log-loss"}
)


def draw(runner: ExperimentRunner, folder: Path) -> None:
    for observed in OBSERVED:
        run, baseline = (runner.run(quadrant_cell(model, observed)) for model in ("cvae", "nn"))
        options = PredictionOptions(n=SHOWN, samples=SHOWN, baseline=baseline)
        write_figure(folder, f"quadrants-{observed}", predictions(RunView(run), options))


def _row(model: str, observed: int) -> Row:
    published = PAPER[model][observed - 1] if model in PAPER else {}
    others = f"Pyro {PYRO[model][observed - 1]}" if model in PYRO else ""
    return Row(f"{NAMES[model]}, {observed} observed", names(model, observed), published, others)


QUADRANTS = Experiment(
    title="Digits from some of their quadrants",
    source="Sohn, Lee and Yan 2015, table 1, and Pyro's tutorial on conditional VAEs",
    text="MNIST, grey values under a Bernoulli, so a cross-entropy; nats an image over the unobserved pixels, mean "
    "over the 10,000 test digits. One quadrant is the bottom left, two the left half, three all but the bottom "
    "right. MC: 100 draws of the prior; it is biased upwards, and the rows with S = 10,000 (1,000 digits) show by "
    "how much. How many draws the paper's MC has is not known to us: its figures stand beside both. IS: 100 draws of "
    "the recognition network. Pyro's figures for its CVAE are bounds with ten draws, and "
    "its stopping looks at test images; ours is on validation. True class: share of the test digits of which a "
    "classifier assigns the true class to at least one of ten predictions; log-loss: of the ten votes. The "
    "baseline's ten predictions are drawn pixel by pixel.",
    rows=(
        *(_row(model, observed) for observed in OBSERVED for model in NAMES),
        *(
            Row(f"CVAE, {observed} observed, S = 10,000", (many_draws(observed).name,), PAPER["cvae"][observed - 1])
            for observed in OBSERVED
        ),
    ),
    columns=columns,
    decisive=("MC", "IS"),
    draw=draw,
    pictures={
        f"quadrants-{observed}.png": f"{observed} of 4 quadrants observed: the input, the baseline's prediction, the CVAE's at "
        "z*, ten of its predictions, their mean, the target, and where the predictions differ."
        for observed in OBSERVED
    },
)
