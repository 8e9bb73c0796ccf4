"""What an objective that asks for neighbours is given: an image near each of the batch, or itself; and clusters by it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from test_training_reader import Shelf
from torch import Tensor, nn
from toys import digits

import reparam
from reparam.core.batch import Batch
from reparam.data import Images
from reparam.data.io.on_disk import OnDiskImages
from reparam.data.neighbours import mutual_neighbours
from reparam.data.tasks import TaskOptions
from reparam.objectives import Objective, Term, Terms
from reparam.progress import Silent
from reparam.run.config import TrainingOptions
from reparam.training import Loop

K = 3
IMAGES = digits(40)


class Asking(Objective):
    """Keeps the batches that it is given."""

    def __init__(self, neighbours: int) -> None:
        self.neighbours = neighbours
        self.batches: list[Batch] = []

    def __call__(
        self, player: str, model: Any, batch: Batch, step: Tensor, generator: torch.Generator | None = None
    ) -> Terms:
        self.batches.append(batch)
        total = model(batch.x.flatten(1))[:, 0]
        return Terms(total, {"total_again": Term(total, "nats")})


class Listening(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def trained(neighbours: int, images: Images = IMAGES, **task: Any) -> tuple[list[Batch], list[str]]:
    torch.manual_seed(0)
    objective, progress = Asking(neighbours), Listening()
    options = TrainingOptions(epochs=20, batch_size=8, keep="last", pictures=0)
    device = torch.device("cpu")
    Loop(nn.Linear(64, 1), objective, images, TaskOptions(**task), options, device, progress=progress).run()
    return objective.batches, progress.notes


def test_each_image_comes_with_one_of_its_neighbours_or_itself() -> None:
    batches, notes = trained(K)
    places, pixels = mutual_neighbours(IMAGES.pixels, K), IMAGES.pixels.float() / 255
    seen: dict[int, set[int]] = {}
    for batch in batches:
        assert batch.near is not None
        for own, near in zip(batch.index.tolist(), batch.near, strict=True):
            place = int((pixels == near).flatten(1).all(1).nonzero()[0, 0])
            assert place in places[own]
            seen.setdefault(own, set()).add(place)
    # 20 draws of 3 places: one of 120 is missed with probability 120 (2/3)^20 = 0.04.
    missed = sum(len(set(places[own].tolist()) - found) for own, found in seen.items())
    assert missed <= 2
    assert not notes


def test_they_are_made_as_the_encoders_input_is() -> None:
    batches, _ = trained(K, binarise="dynamic")
    assert all(set(batch.near.unique().tolist()) == {0.0, 1.0} for batch in batches if batch.near is not None)


def test_without_asking_there_are_none() -> None:
    batches, _ = trained(0)
    assert all(batch.near is None for batch in batches)


def test_of_images_on_disk_there_are_none_and_it_is_said() -> None:
    shelf = Shelf()
    images = Images(OnDiskImages(shelf, torch.arange(40), workers=0), torch.full((40,), -1))  # type: ignore[arg-type]
    batches, notes = trained(K, images)
    assert all(batch.near is None for batch in batches)
    assert [note for note in notes if "images on disk" in note]


def test_clusters_of_one_to_nine_are_found_with_their_weights(tmp_path: Path) -> None:
    """A ring, a cross and a bar, each where it may be: 60, 180 and 540 of them. Every image ends in its own cluster, and the
    weights that are learned are the shares, half a standard error of the largest or nearer."""
    random, y, x = np.random.default_rng(0), *np.mgrid[0:12, 0:12]
    images, labels = [], []
    for label, count in enumerate((60, 180, 540)):
        for _ in range(count):
            row, column = 5.5 + random.uniform(-1, 1, 2)
            distance = np.hypot(y - row, x - column)
            shape = (
                np.abs(distance - 3.5) < 0.8,
                (np.abs(y - row) < 0.8) | (np.abs(x - column) < 0.8),
                np.abs(y - x - row + column) < 1.5,
            )[label]
            grey = random.uniform(0.7, 1) * shape + random.uniform(0, 0.2, shape.shape)
            images.append(np.uint8(255 * grey.clip(0, 1)))
            labels.append(label)
    np.savez(tmp_path / "shapes.npz", train_images=np.stack(images), train_labels=np.array(labels))
    options = {
        "components": 3,
        "latent": 4,
        "hidden": (64,),
        "least_steps": 800,
        "learning_rate": 0.01,
        "batch_size": 64,
    }
    run = reparam.train(
        "gmvae",
        data=f"array:{tmp_path}/shapes.npz",
        recipe="clusters",
        out=tmp_path / "run",
        device="cpu",
        pictures=0,
        **options,
    )
    train = run.dataset.train
    seen = train.labels
    chosen = run.responsibilities(train.pixels.float() / 255).argmax(1)
    counts = torch.zeros(3, 3, dtype=torch.long)
    counts.index_put_((chosen, seen), torch.ones_like(chosen), accumulate=True)
    order = counts.argmax(0)
    assert sorted(order.tolist()) == [0, 1, 2], counts
    assert float((order[seen] == chosen).double().mean()) > 0.99
    weights = run.model.prior().mixture_distribution.probs.detach()[order]
    torch.testing.assert_close(weights, torch.bincount(seen) / len(seen), atol=0.01, rtol=0)
