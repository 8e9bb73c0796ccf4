"""Does augmentation help where labels are few? A small classifier on 10, 50 and 100 labels a class (the G-VAE note)."""

import dataclasses
from typing import Any

from experiments.cells import Cell
from experiments.experiment import DATA_TITLES, GREY_DATA, Experiment, Row

SEEDS = {10: 3, 50: 5, 100: 3}  # labels a class: seeds, which choose the labels too
CLASSES = 10
STEPS, BATCH = 1000, 64
GENERATIVE_EPOCHS = 10  # of a generative model of all images
FEW_IMAGES = 100_000  # that a generative model of labelled images alone is trained on, with repetition
NEVER = 1e6  # epochs
NETWORK = {"hidden": (800, 800), "latent": 16, "keep": "last"}
CLASSIFIER = {"convolutions": 3, "regions": 4, "features": 64, "dropout": 0.0, "learning_rate": 2e-3}
# With few labels among many images a light class term is best: a heavy one overfits the labelled images.
LIGHT = {"class_weight": 2.0, "isda_lambda": 20.0}
HEAVY = {"class_weight": 100.0, "isda_lambda": 20.0}
# Strengths of the augmentations: along the posterior's deviations, of noise in z, and along the covariance of the class; along
# the posterior's deviations beside an augmentation of pixels, and that one's own.
SIGMAS, NOISE, COVARIANCE = 4.0, 0.5, 1.0
SIGMAS_WITH_PIXELS, PIXEL_STRENGTH = 2.0, 1.0
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

# A G-VAE is compared with the VAE that augments in the same way, and both augmentations with that of pixels alone.
COUNTERPARTS = {"few": "vae-few", "gvae": "vae", "gvae-covariance": "vae-covariance", "both": "pixels"}


def _name(data: str, arm: str, labels: int, seed: int) -> str:
    return f"low-{data}-{labels}-{arm}-seed{seed}"


def _vae(data: str, seed: int) -> Cell:
    """It uses no labels: the same for every number of them."""
    options = {"data": data, **NETWORK, "epochs": GENERATIVE_EPOCHS, "seed": seed}
    return Cell(f"low-{data}-vae-model-seed{seed}", options, ("elbo",))


def _cells(data: str, labels: int, seed: int) -> list[Cell]:
    """The generative models, and the classifier of every arm."""
    few: dict[str, Any] = {"data": data, "labels_per_class": labels, "seed": seed}
    alone = {**few, "unlabelled": "drop", "validate_every": NEVER}
    images = CLASSES * labels
    # The last weights are kept: labels to validate on would be more than there are to train on.
    classifier = {
        **alone,
        "epochs": STEPS * min(BATCH, images) / images,
        "batch_size": BATCH,
        **CLASSIFIER,
        "keep": "last",
    }
    small = {**alone, **NETWORK, "epochs": FEW_IMAGES / images}
    unlabelled = {**few, **NETWORK, **LIGHT, "epochs": GENERATIVE_EPOCHS}
    models = {
        "few": Cell(_name(data, "few-model", labels, seed), {**small, **HEAVY}, ("accuracy",), model="gvae"),
        "vae-few": Cell(_name(data, "vae-few-model", labels, seed), small, ("elbo",)),
        "gvae": Cell(_name(data, "gvae-model", labels, seed), unlabelled, ("accuracy",), model="gvae"),
        "vae": _vae(data, seed),
    }

    def latent(model: str, strength: float, directions: str = "posterior", pixels: bool = False) -> dict[str, Any]:
        return {
            "augment": (*(["pixels"] if pixels else []), models[model].name),
            "augment_strength": (*([PIXEL_STRENGTH] if pixels else []), strength),
            "augment_directions": directions,
            "augment_apply": "change",
        }

    arms: dict[str, dict[str, Any]] = {
        "none": {},
        "pixels": {"augment": ("pixels",)},
        "noise": latent("vae", NOISE, "noise"),
        "vae": latent("vae", SIGMAS),
        "vae-covariance": latent("vae", COVARIANCE, "class-covariance"),
        "vae-few": latent("vae-few", SIGMAS),
        "isda": {},
        "few": latent("few", SIGMAS),
        "gvae": latent("gvae", SIGMAS),
        "gvae-covariance": latent("gvae", COVARIANCE, "class-covariance"),
        "both": latent("gvae", SIGMAS_WITH_PIXELS, pixels=True),
    }
    classifiers = (
        Cell(
            _name(data, arm, labels, seed),
            {**classifier, **options},
            ("accuracy",),
            model="isda" if arm == "isda" else "classifier",
        )
        for arm, options in arms.items()
    )
    generative = (cell for arm, cell in models.items() if arm != "vae")
    return [dataclasses.replace(cell, fast=LABELS_OF_A_REHEARSAL) for cell in (*generative, *classifiers)]


CELLS: tuple[Cell, ...] = (
    *(_vae(data, seed) for data in GREY_DATA for seed in range(max(SEEDS.values()))),
    *(
        cell
        for data in GREY_DATA
        for labels, seeds in SEEDS.items()
        for seed in range(seeds)
        for cell in _cells(data, labels, seed)
    ),
)


def columns(result: dict[str, Any]) -> dict[str, float]:
    return {"accuracy, %": 100 * result["metrics"]["accuracy"]["value"]}


def _row(data: str, labels: int, arm: str) -> Row:
    def name(arm: str) -> str:
        return f"{DATA_TITLES[data]}, {labels} labels: {ARMS[arm]}"

    cells = tuple(_name(data, arm, labels, seed) for seed in range(SEEDS[labels]))
    bases = {"none": name("none")} | ({"counterpart": name(COUNTERPARTS[arm])} if arm in COUNTERPARTS else {})
    return Row(name(arm), cells, bases=bases)


LOW_DATA = Experiment(
    title="Few labels",
    source="the G-VAE note",
    text="Accuracy on the 10,000 test images of a small classifier (`classifier`: three convolutions) after "
    f"{STEPS:,} steps of {BATCH} images, from 10, 50 and 100 labels a class; each augmentation changes half of a "
    "batch. The seed chooses the labels, the same for all arms; differences are paired: to the classifier without "
    "augmentation, and of a G-VAE to its counterpart, the VAE that augments in the same way, or of both "
    "augmentations to that of pixels alone. Augmentations in latent space add the change of the decoded image: "
    f"{SIGMAS:g} sigma of the posterior, {NOISE:g} in noise, once the covariance of the class's latents; all chosen "
    "on validation digits, one seed. Class covariances take a pass over the labelled images, moves along the "
    "posterior's deviations do not. ISDA has its paper's lambda, 0.5, and a network without its paper's batch "
    "normalisation and weight decay; its loss diverges on clothes (below 10% is worse than guessing), so that its rows "
    "say nothing about ISDA as published. Smaller lambdas did no better on validation digits than none.",
    rows=tuple(_row(data, labels, arm) for data in GREY_DATA for labels in SEEDS for arm in ARMS),
    columns=columns,
    paired=("accuracy, %", ("none", "counterpart")),
)
