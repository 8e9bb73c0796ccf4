"""Which recipe is taken where nobody asks for one."""

from pathlib import Path

import numpy as np
import pytest

import reparam
from reparam.errors import ConfigError
from reparam.run.config import RunConfig, resolve
from reparam.run.photographs import for_photographs

COLOUR, GREY, LARGE = (3, 32, 32), (1, 32, 32), (1, 33, 20)


def found(config: RunConfig, shape: tuple[int, int, int]) -> tuple[RunConfig, list[str]]:
    notes: list[str] = []
    return for_photographs(config, shape, notes.append), notes


@pytest.mark.parametrize("model", ["vae", "ae"])
@pytest.mark.parametrize(("shape", "recipe"), [(COLOUR, "photos"), (LARGE, "photos"), (GREY, "default")])
def test_colour_and_large_images_get_the_recipe_for_photographs(
    model: str, shape: tuple[int, int, int], recipe: str
) -> None:
    config, notes = found(resolve(model, latent=7, epochs=3), shape)
    assert config == resolve(model, recipe, latent=7, epochs=3)
    assert config.chosen == {"latent", "epochs"}
    assert len(notes) == (recipe == "photos")


@pytest.mark.parametrize(
    ("model", "recipe", "shape"),
    [
        ("vae", "default", COLOUR),
        ("vae", "notes", COLOUR),
        ("gan", None, COLOUR),
        ("dae", None, COLOUR),
        ("vae", None, (3, 7, 90)),
    ],
)
def test_what_was_asked_for_stays(model: str, recipe: str | None, shape: tuple[int, int, int]) -> None:
    config = resolve(model, recipe)
    same, notes = found(config, shape)
    assert same is config
    assert not notes


def test_options_that_the_recipe_does_not_take_keep_the_default_one() -> None:
    config = resolve("vae", hidden=(32,))
    same, (note,) = found(config, COLOUR)
    assert same is config
    assert note.startswith("not recipe 'photos', which is made for colour images of 32 x 32 pixels: --hidden is for")


def test_moves_give_way_to_what_they_cannot_do_and_are_refused_where_they_are_asked_for() -> None:
    assert resolve("vae", "photos").task.moves == 0.3
    binary = {"binarise": "threshold", "likelihood": "bernoulli", "pca_start": False}
    assert resolve("vae", "photos", **binary).task.moves == 0
    with pytest.raises(ConfigError, match="--moves is for grey or coloured images"):
        resolve("vae", "photos", moves=0.1, **binary)


def test_a_run_says_which_it_took(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "colours.npz", images=pixels)
    run = reparam.train(
        "vae", f"array:{tmp_path / 'colours.npz'}", epochs=1, least_steps=0, latent=4, pictures=0, out=tmp_path / "run"
    )
    assert run.config.recipe == "photos"
    assert run.config.options.network == "patches"
