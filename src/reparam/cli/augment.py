"""New images of the same classes: `augment`."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from reparam.cli.common import (
    answer,
    example,
    json_option,
    new_images_options,
    new_pictures,
    open_run,
    progress,
    run_command,
)
from reparam.cli.options import OptionsCommand, UserPath
from reparam.errors import ConfigError
from reparam.terminal import output, say

if TYPE_CHECKING:
    from reparam.trial import Answer


@run_command(
    "reparam augment runs/gvae --per-image 5 --strength 2.0 --out augmented",
    "reparam augment runs/gvae --data folder:pictures --change 3.5 --apply change --out augmented",
    cls=OptionsCommand,
    options="reparam.latent.augmentation:AugmentationOptions",
)
@new_images_options
@click.option("--out", required=True, type=UserPath(), help="A folder that is not there yet.")
def augment(
    run: Path, pictures: tuple[Path, ...], spec: str | None, out: Path, device: str, as_json: bool, **chosen: Any
) -> None:
    """New pictures of a labelled set, each of its original's class: OUT/CLASS/INDEX-COPY.png and OUT/manifest.csv."""
    import torch

    from reparam.data.selection import class_balanced_indices, random_indices
    from reparam.latent.augmentation import AugmentationOptions
    from reparam.reports.augmented import write_augmented

    options = AugmentationOptions(**chosen)

    opened = open_run(run, device)
    new = new_pictures(opened, pictures, spec)
    if new and click.get_current_context().get_parameter_source("split") is ParameterSource.COMMANDLINE:
        raise ConfigError("--split is of the run's own images: leave it out for new ones, which are taken all")
    if new:
        opened.labelled_as_here(new.classes, new.images.labels)
        source, classes = new.images, new.classes
        name_of: Callable[[int], str] = new.names.__getitem__
        index = torch.arange(len(source))
    else:
        data = opened.dataset
        source, classes = data.split(options.split), data.classes
        name_of = partial(data.source, options.split)
        index = opened.config.labelled_index(data, options.split)
        if len(index) < len(source):
            say(f"the {len(index):,} images that had a label in training (--data: all)")
    if options.images:
        index = index[random_indices(source.choose(index), len(index))]
        index = index[class_balanced_indices(source.labels[index], options.images)].sort().values
    augmenter = opened.augmenter(
        options.strength,
        options.change,
        source.take(index),
        directions=options.directions,
        share=options.share,
        apply=options.apply,
        keep_class=options.keep_class,
    )
    flips = None
    if options.max_flips is not None or (len(opened.dataset.classes) > 1 and not options.no_judge):
        flips = opened.flips(augmenter, None, progress(), say)
        if options.max_flips is not None:
            flips.require(options.max_flips)
    count = write_augmented(
        opened, augmenter, source, classes, name_of, index, out, options.per_image, options.seed, progress()
    )
    outcome = {
        "out": str(out),
        "images": count,
        "strength": augmenter.strength,
        "flips": flips and dataclasses.asdict(flips),
    }
    answer(as_json, outcome, f"{count:,} pictures at strength {augmenter.strength:.3g}: {out}")
    if flips and not as_json:
        output(flips.text)
    if flips and flips.worse:
        say(flips.warning)


@click.command(
    "augment-test",
    cls=OptionsCommand,
    options="reparam.trial:AugmentTestOptions",
    epilog=example(
        "reparam augment-test --data folder:my-photos",
        "reparam augment-test --data fashion-mnist --labels-per-class 50 --out runs/clothes",
    ),
)
@click.option("--data", required=True, help="Images with classes: folder:PATH, array:FILE, mnist, ...")
@click.option("--out", type=UserPath(), help="A folder for its runs (default: runs/augment-test-DATA).")
@json_option
def augment_test(data: str, out: Path | None, as_json: bool, **chosen: Any) -> None:
    """Does augmentation help on these images? Classifiers without it, with pixel moves, with a G-VAE's and with both, several
    seeds of each, on held-out images. Says first how long it takes; stopped, the same command goes on."""
    from reparam import api

    found = api.augment_test(data, out=out, progress=progress(), say=say, **chosen)
    answer(as_json, dataclasses.asdict(found), "\n".join(_lines(found)))


def _lines(found: "Answer") -> list[str]:
    """The answer as a small table."""
    lines = [f"{'augmentation':<14}{'accuracy':>9}{'gain (points)':>16}  verdict"]
    for arm in found.arms:
        gain = "" if arm.gain is None or arm.stderr is None else f"{100 * arm.gain:+.2f} ± {100 * arm.stderr:.2f}"
        lines.append(f"{arm.name:<14}{arm.accuracy:>9.2%}{gain:>16}  {arm.verdict}".rstrip())
    seeds = len(found.arms[0].by_seed)
    lines += [
        f"{found.images:,} test images, {found.labels:,} labelled training images, {seeds} seed{'s' * (seeds > 1)}; ±: paired "
        "standard errors over images and seeds",
        f"take: {found.best.command}",
        f"written: {found.out}/augment-test.json",
    ]
    return lines


COMMANDS = (augment, augment_test)
