"""Configuration: strict, resolved in one place, exact through JSON."""

import json
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import pytest
from pydantic import Field

from reparam.conditionals import LIKELIHOODS
from reparam.core.options import Table, options_of
from reparam.errors import ConfigError
from reparam.importing import TYPED
from reparam.models import MODELS, Recipe
from reparam.run.config import fields, from_json, resolve, resolve_family


@pytest.mark.parametrize(("model", "recipe"), [(name, recipe) for name, f in MODELS.items() for recipe in f.recipes])
def test_json_round_trip_is_exact(model: str, recipe: str) -> None:
    config = resolve(model, recipe, data="mnist", epochs=3)
    assert from_json(json.loads(json.dumps(config.to_json())), TYPED) == config


@pytest.mark.parametrize("model", MODELS)
def test_option_names_are_unique_over_sections(model: str) -> None:
    names = [name for _, name, _ in fields(MODELS[model])]
    assert len(names) == len(set(names))


@dataclass(frozen=True)
class Colliding:
    epochs: int = 3


def test_an_option_that_collides_with_the_loops_is_refused() -> None:
    family = replace(MODELS["ae"], name="mine", options=Colliding, recipes={"default": Recipe("none")})
    with pytest.raises(ConfigError, match="option 'epochs', which options options have too|option 'epochs'.*rename it"):
        list(fields(family))


@dataclass(frozen=True)
class HidesAPart(options_of(LIKELIHOODS)):  # type: ignore[misc]
    likelihood: Annotated[Literal[*LIKELIHOODS], Field(description="p(x|z)"), Table(LIKELIHOODS)] = "bernoulli"  # type: ignore[valid-type]
    scale: Annotated[float, Field(gt=0, description="of something else")] = 3.0


def test_an_option_that_collides_with_a_parts_is_refused() -> None:
    """It would take the likelihood's value, and be refused where another likelihood is chosen."""
    family = replace(MODELS["ae"], name="mine", options=HidesAPart, recipes={"default": Recipe("none")})
    with pytest.raises(ConfigError, match="option 'scale' of likelihood '.*' is another one in HidesAPart: rename it"):
        list(fields(family))


def test_the_default_task_is_one_that_the_model_does() -> None:
    family = replace(
        MODELS["cvae"], name="mine", recipes={"default": Recipe("none")}, tasks=("half", "boxes"), task_recipes={}
    )
    assert resolve_family(family, "mine", None, {}).task.task == "half"
    assert resolve_family(family, "mine", None, {"task": "boxes"}).task.task == "boxes"
    with pytest.raises(ConfigError, match="does not do task 'unconditional': it does half, boxes"):
        resolve_family(family, "mine", None, {"task": "unconditional"})


def test_a_remedy_names_tasks_that_the_model_does() -> None:
    with pytest.raises(ConfigError, match="--omission-noise is for tasks that model 'vae' does not do: leave it out"):
        resolve("vae", omission_noise=0.1)
    with pytest.raises(
        ConfigError, match="--observed is for task 'quadrants', not 'half': leave it out, or add --task quadrants"
    ):
        resolve("cvae", task="half", observed=2)


def test_recipes_lie_over_defaults_and_options_over_recipes() -> None:
    assert resolve("vae").options.hidden == (512, 256)
    assert resolve("vae", "notes").options.hidden == (400,)
    assert resolve("vae", "notes", hidden=(7,)).options.hidden == (7,)
    assert resolve("vae", "notes").data.train_on == "all"


def test_strings_from_the_command_are_converted() -> None:
    config = resolve("vae", latent="12", hidden="300,100", learning_rate="3e-4", compile="true", size="28")
    assert config.options.latent == 12
    assert config.options.hidden == (300, 100)
    assert config.training.learning_rate == 3e-4
    assert config.training.compile is True
    assert config.data.size == 28


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latnt": 3}, "no option 'latnt'; did you mean 'latent'"),
        ({"latent": "abc"}, "option 'latent': .*integer"),
        ({"latent": 0}, "option 'latent': .*greater than or equal to 1"),
        ({"latent": 2.5}, "option 'latent'"),
        ({"hidden": "400,x"}, "option 'hidden'"),
        ({"learning_rate": "nan"}, "option 'learning_rate'"),
        ({"learning_rate": "1e999"}, "option 'learning_rate' must be a finite number"),
        ({"learning_rate": float("inf")}, "option 'learning_rate' must be a finite number"),
        ({"likelihood": "bernouli"}, "option 'likelihood': .*bernoulli"),
        ({"k": 5, "beta": 2.0}, "'beta' changes the ELBO and has no meaning with k = 5"),
        ({"gradient": "path", "free_bits": 0.1}, "free-bits"),
        ({"train_on": "all", "keep": "best"}, "keep 'best' is chosen on validation images"),
        ({"train_on": "all", "patience": 3}, "patience needs validation images"),
        ({"batch_size": 10, "accumulate": 3}, "batch-size 10 does not divide"),
        ({"seed": -1}, "option 'seed'"),
    ],
)
def test_wrong_options_are_named_with_a_remedy(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve("vae", **options)
    assert "\n" not in str(caught.value)


def test_unknown_models_and_recipes_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown model 'vea'; did you mean 'vae'"):
        resolve("vea")
    with pytest.raises(ConfigError, match="no recipe 'note'; did you mean 'notes'"):
        resolve("vae", "note")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_package:NAME", "no module 'no_such_package'"),
        ("json:NAME", "module 'json' has no 'NAME'"),
        ("json:dumps", "is a function, not a reparam.models.Family"),
    ],
)
def test_wrong_import_paths_are_explained(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(path)


def test_documents_with_missing_or_unknown_entries_are_refused() -> None:
    document = resolve("vae").to_json()
    with pytest.raises(ConfigError, match="lacks 'training'"):
        from_json({key: value for key, value in document.items() if key != "training"}, TYPED)
    document["training"]["epoch"] = 3
    with pytest.raises(ConfigError, match="unknown option 'epoch'; did you mean 'epochs'"):
        from_json(document, TYPED)


def test_a_task_brings_its_recipe_where_none_is_named() -> None:
    assert resolve("hybrid", task="segmentation", multi_scale=True).recipe == "maps"
    assert resolve("hybrid", task="segmentation").options.network == "residual"
    assert resolve("hybrid", task="half").recipe == "default"
