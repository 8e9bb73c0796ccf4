"""Does augmentation help where labels are few? A small classifier on 10, 50 and 100 labels a class (document 000)."""

from typing import Any

from reparam.reproduce.cells import Cell
from reparam.reproduce.experiment import Experiment, Row

SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
SEEDS = {10: 3, 50: 5, 100: 3}  # labels a class: seeds, which choose the labels too
STEPS, BATCH = 1500, 64
LATENTS = {"latent": 32, "keep": "last"}
LABELS_OF_A_REHEARSAL = {"labels_per_class": 5}
ARMS = {
    "none": "none",
    "pixels": "turned, shifted, bent",
    "noise": "noise in z",
    "vae": "VAE",
    "isda": "ISDA",
    "few": "G-VAE of those labels alone",
    "gvae": "G-VAE, the rest unlabelled",
    "both": "turned, shifted, bent, and G-VAE",
}


def _name(data: str, arm: str, labels: int, seed: int) -> str:
    return f"low-{data}-{labels}-{arm}-seed{seed}"


def _vae(data: str, seed: int) -> Cell:
    """Without labels: the same for every number of them."""
    return Cell(f"low-{data}-vae-model-seed{seed}", {"data": data, **LATENTS, "seed": seed}, ("elbo",))


def _cells(data: str, labels: int, seed: int) -> list[Cell]:
    """The generative models, and the classifier of every arm."""
    few: dict[str, Any] = {"data": data, "labels_per_class": labels, "seed": seed}
    alone = {**few, "unlabelled": "drop"}
    # As many steps for every number of labels. Weights are the last ones: validation labels would be more than there are.
    trained = {
        **alone,
        "epochs": STEPS * min(BATCH, 10 * labels) / (10 * labels),
        "batch_size": BATCH,
        "keep": "last",
        "validate_every": 1e6,
    }
    vae = _vae(data, seed).name
    small, large = (_name(data, f"{model}-model", labels, seed) for model in ("few", "gvae"))
    arms: dict[str, tuple[str, dict[str, Any]]] = {
        "none": ("classifier", {}),
        "pixels": ("classifier", {"augment": ("pixels",)}),
        "noise": ("classifier", {"augment": (vae,), "augment_directions": "noise", "augment_strength": (0.5,)}),
        "vae": ("classifier", {"augment": (vae,)}),
        "isda": ("isda", {}),
        "few": ("classifier", {"augment": (small,)}),
        "gvae": ("classifier", {"augment": (large,)}),
        "both": ("classifier", {"augment": ("pixels", large)}),
    }
    return [
        Cell(small, {**alone, **LATENTS, "epochs": 60.0}, ("accuracy",), model="gvae", fast=LABELS_OF_A_REHEARSAL),
        Cell(large, {**few, **LATENTS}, ("accuracy",), model="gvae", fast=LABELS_OF_A_REHEARSAL),
        *(
            Cell(
                _name(data, arm, labels, seed),
                {**trained, **options},
                ("accuracy",),
                model=model,
                fast=LABELS_OF_A_REHEARSAL,
            )
            for arm, (model, options) in arms.items()
        ),
    ]


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
    return Row(called(arm), cells, base=called("none"))


LOW_DATA = Experiment(
    "Few labels",
    "document 000 (G-VAE)",
    f"Accuracy on the 10,000 test images of a small classifier (`classifier`: three convolutions) after {STEPS:,} steps of "
    f"{BATCH} images, from 10, 50 and 100 labels a class; each move changes half of a batch. The seed chooses the labels, "
    "the same for all arms; differences are to the classifier without augmentation, paired.",
    tuple(_row(data, labels, arm) for data in SETS for labels in SEEDS for arm in ARMS),
    columns,
    (),
    paired=("accuracy, %", "none"),
)
