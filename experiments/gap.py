"""Why a CVAE predicts worse than it is trained, and what helps (Sohn, Lee and Yan 2015, section 4.2)."""

import dataclasses
from typing import Any

from experiments.cells import Cell
from experiments.experiment import Experiment, Row
from experiments.quadrants import columns, many_draws, names, quadrant_cell

# What narrows the gap between drawing from q(z|x, c) and drawing from p(z|c): a latent that carries less, networks that do not
# overfit the training digits, and at the end training as one predicts, with many draws of the prior.
WIDE = {"hidden": (800, 800), "dropout": 0.2}
MANY_DRAWS = {"alpha": 0.3, "prior_draws": 50, "beta_warmup": 0.0, "learning_rate": 5e-4, "epochs": 3}
# Title, model, options, and the remedy or model whose weights it begins with.
REMEDIES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "beta1": ("CVAE, KL weight 2", "cvae", {"beta": 1.0}, ""),
    "wide": ("CVAE, 800 units, dropout 0.2", "cvae", {**WIDE, "beta_warmup": 5.0}, ""),
    "tuned": ("CVAE, then 3 epochs as a hybrid of 50 draws", "hybrid", MANY_DRAWS, "cvae"),
    "beta1-tuned": ("KL weight 2, then the same", "hybrid", {"beta": 1.0, **MANY_DRAWS}, "beta1"),
    "wide-tuned": ("800 units, then the same", "hybrid", {**WIDE, **MANY_DRAWS}, "wide"),
}
TRIED = {1: tuple(REMEDIES), 2: ("beta1", "tuned", "beta1-tuned")}  # by quadrants observed


def _remedy(name: str, observed: int) -> Cell:
    _, model, options, start = REMEDIES[name]
    cell = quadrant_cell(model, observed, name=name, **options)
    fast: dict[str, Any] = {"prior_draws": 3} if "prior_draws" in options else {}
    fast |= {"hidden": (32, 32)} if "hidden" in options else {}
    return dataclasses.replace(cell, start=f"quadrants{observed}-{start}-seed0" if start else "", fast=fast)


CELLS: tuple[Cell, ...] = tuple(_remedy(name, observed) for observed, tried in TRIED.items() for name in tried)

GAP = Experiment(
    title="From training to prediction",
    source="Sohn, Lee and Yan 2015, section 4.2",
    text="MNIST, one or two quadrants observed, as above. A CVAE is trained with latents drawn from q(z|x, c), which "
    "depends on the target, and predicts with latents drawn from p(z|c), which does not: MC at S = 100 is far above "
    "IS, in part because few draws estimate badly (S = 10,000). MC falls with a smaller KL, with larger networks and "
    "dropout, and with a last part of training as a hybrid of many draws of the prior; each has its price in IS. "
    "The hybrid with a single draw, as in the paper, has a higher MC than the CVAE. One seed a row but the first.",
    rows=tuple(
        row
        for observed, tried in TRIED.items()
        for row in (
            Row(f"{observed} observed: CVAE", names("cvae", observed)),
            Row(f"{observed} observed: CVAE, S = 10,000", (many_draws(observed).name,)),
            *(Row(f"{observed} observed: {REMEDIES[name][0]}", (_remedy(name, observed).name,)) for name in tried),
            Row(f"{observed} observed: hybrid, 1 draw", names("hybrid", observed)),
            Row(f"{observed} observed: GSNN", names("gsnn", observed)),
        )
    ),
    columns=columns,
)
