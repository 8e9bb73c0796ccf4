"""Which recipe suits the images, where nobody asked for one."""

import dataclasses
from collections.abc import Callable

from reparam.errors import ConfigError
from reparam.networks.patches import SMALLEST
from reparam.run.config import DEFAULT_RECIPE, RunConfig, fields, resolve_family

LARGEST_DRAWING = 32  # pixels a side, of grey images


def for_photographs(config: RunConfig, shape: tuple[int, int, int], note: Callable[[str], None]) -> RunConfig:
    """`config` with the recipe that suits images [C, H, W]: the model's recipe for photographs if they have several channels or
    are larger than 32 pixels, else the default one.

    A recipe that was asked for stays. So does the default one if the other does not accept an option that was asked for; `note`
    is told the reason.
    """
    family, (channels, *sides) = config.family, shape
    recipe = family.photographs
    if recipe is None or config.recipe != DEFAULT_RECIPE or "recipe" in config.chosen:
        return config
    if (channels == 1 and max(sides) <= LARGEST_DRAWING) or min(sides) < SMALLEST:
        return config
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
    what = f"{kind} images of {sides[0]} x {sides[1]} pixels"
    asked = {
        name: getattr(getattr(config, section), name) for section, name, _ in fields(family) if name in config.chosen
    }
    try:
        found = resolve_family(family, config.model, recipe, asked)
    except ConfigError as error:
        note(f"not recipe '{recipe}', which is made for {what}: {error}")
        return config
    note(f"recipe '{recipe}', for {what}; --recipe {DEFAULT_RECIPE} is made for small grey ones")
    return dataclasses.replace(found, origin=config.origin, chosen=config.chosen)
