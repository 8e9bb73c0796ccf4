"""Does augmentation help where labels are few? A small classifier on 10, 50 and 100 labels a class (document 000)."""

import dataclasses
from typing import Any

from experiments.cells import Cell
from experiments.experiment import Experiment, Row

SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
SEEDS = {10: 3, 50: 5, 100: 3}  # labels a class: seeds, which choose the labels too
STEPS, BATCH = 1000, 64
SEEN = 100_000  # images, with repetition, by a generative model of labelled images alone
NETWORK = {"hidden": (800, 800), "latent": 16, "keep": "last"}
# With few labels among many images a light class term is best: heavier ones fit those few and lose the rest.
LIGHT = {"class_weight": 2.0, "isda_lambda": 20.0}
HEAVY = {"class_weight": 100.0, "isda_lambda": 20.0}
SIGMAS, NOISE = 4.0, 0.5
WITH_PIXELS = 2.0
LABELS_OF_A_REHEARSAL = {"labels_per_class": 5}
ARMS = {
    "none": "none",
    "pixels": "turned, shifted, bent",
    "noise": "noise in z",
    "vae": "VAE",
    "vae-covariance": "VAE, along class covariances",
    "vae-few": "VAE of those images alone",
    "isda": "ISDA",
    "few": "G-VAE of those labels alone",
    "gvae": "G-VAE, the rest unlabelled",
    "gvae-covariance": "G-VAE, the rest unlabelled, along class covariances",
    "both": "turned, shifted, bent, and G-VAE",
}

COUNTERPARTS = {"few": "vae-few", "gvae": "vae", "gvae-covariance": "vae-covariance", "both": "pixels"}


def _name(data: str, arm: str, labels: int, seed: int) -> str:
    return f"low-{data}-{labels}-{arm}-seed{seed}"


def _vae(data: str, seed: int) -> Cell:
    """Without labels: the same for every number of them."""
    options = {"data": data, **NETWORK, "epochs": 10, "seed": seed}
    return Cell(f"low-{data}-vae-model-seed{seed}", options, ("elbo",))


def _cells(data: str, labels: int, seed: int) -> list[Cell]:
    """The generative models, and the classifier of every arm."""
    few: dict[str, Any] = {"data": data, "labels_per_class": labels, "seed": seed}
    alone = {**few, "unlabelled": "drop", "validate_every": 1e6}
    # As many steps for every number of labels. Weights are the last ones: validation labels would be more than there are.
    trained = {**alone, "epochs": STEPS * min(BATCH, 10 * labels) / (10 * labels), "batch_size": BATCH, "keep": "last"}
    small = {**alone, **NETWORK, "epochs": SEEN / (10 * labels)}
    models = {
        "few": Cell(_name(data, "few-model", labels, seed), {**small, **HEAVY}, ("accuracy",), model="gvae"),
        "vae-few": Cell(_name(data, "vae-few-model", labels, seed), small, ("elbo",)),
        "gvae": Cell(
            _name(data, "gvae-model", labels, seed),
            {**few, **NETWORK, **LIGHT, "epochs": 10},
            ("accuracy",),
            model="gvae",
        ),
        "vae": _vae(data, seed),
    }

    def moved(model: str, strength: float, directions: str = "posterior", pixels: bool = False) -> dict[str, Any]:
        return {
            "augment": (*(["pixels"] if pixels else []), models[model].name),
            "augment_strength": (*([1.0] if pixels else []), strength),
            "augment_directions": directions,
            "augment_apply": "change",
        }

    arms: dict[str, dict[str, Any]] = {
        "none": {},
        "pixels": {"augment": ("pixels",)},
        "noise": moved("vae", NOISE, "noise"),
        "vae": moved("vae", SIGMAS),
        "vae-covariance": moved("vae", 1.0, "class-covariance"),
        "vae-few": moved("vae-few", SIGMAS),
        "isda": {},
        "few": moved("few", SIGMAS),
        "gvae": moved("gvae", SIGMAS),
        "gvae-covariance": moved("gvae", 1.0, "class-covariance"),
        "both": moved("gvae", WITH_PIXELS, pixels=True),
    }
    classifiers = (
        Cell(
            _name(data, arm, labels, seed),
            {**trained, **options},
            ("accuracy",),
            model="isda" if arm == "isda" else "classifier",
        )
        for arm, options in arms.items()
    )
    own = (cell for arm, cell in models.items() if arm != "vae")
    return [dataclasses.replace(cell, fast=LABELS_OF_A_REHEARSAL) for cell in (*own, *classifiers)]


CELLS: tuple[Cell, ...] = (
    *(_vae(data, seed) for data in SETS for seed in range(max(SEEDS.values()))),
    *(
        cell
        for data in SETS
        for labels, seeds in SEEDS.items()
        for seed in range(seeds)
        for cell in _cells(data, labels, seed)
    ),
)


def columns(document: dict[str, Any]) -> dict[str, float]:
    return {"accuracy, %": 100 * document["metrics"]["accuracy"]["value"]}


def _row(data: str, labels: int, arm: str) -> Row:
    def called(one: str) -> str:
        return f"{SETS[data]}, {labels} labels: {ARMS[one]}"

    cells = tuple(_name(data, arm, labels, seed) for seed in range(SEEDS[labels]))
    bases = {"none": called("none")} | ({"counterpart": called(COUNTERPARTS[arm])} if arm in COUNTERPARTS else {})
    return Row(called(arm), cells, bases=bases)


LOW_DATA = Experiment(
    "Few labels",
    "document 000 (G-VAE)",
    f"Accuracy on the 10,000 test images of a small classifier (`classifier`: three convolutions) after {STEPS:,} steps of "
    f"{BATCH} images, from 10, 50 and 100 labels a class; each move changes half of a batch. The seed chooses the labels, "
    "the same for all arms; differences are paired: to the classifier without augmentation, and of a G-VAE to its "
    "counterpart, the VAE moved in the same way, or of both to the moves of pixels alone. Moves in latent space apply the "
    f"change to the image: {SIGMAS:g} sigma of the posterior, {NOISE:g} in noise, once the covariance of the class's latents; "
    "all chosen on validation digits, one seed. ISDA has its paper's lambda, 0.5: smaller ones did no better there than none.",
    tuple(_row(data, labels, arm) for data in SETS for labels in SEEDS for arm in ARMS),
    columns,
    (),
    paired=("accuracy, %", ("none", "counterpart")),
)
