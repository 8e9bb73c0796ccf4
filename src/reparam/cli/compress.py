"""`compress` and `decompress`: images as the entropy-coded latents of a run."""

from pathlib import Path

import click

from reparam.cli.common import answer, data_option, images_of, open_run, refuse_overwriting, run_command
from reparam.cli.options import FiniteRange, UserPath, WholeRange
from reparam.core.abilities import Ability
from reparam.errors import ConfigError, DataError
from reparam.terminal import say


@run_command(
    "reparam compress runs/ae --n 1000 --out digits.rpz",
    "reparam compress runs/ae one.png two.png --bytes 500 --out pictures.rpz",
)
@click.argument("images", nargs=-1, type=UserPath(), metavar="[IMAGE...]")
@click.option("--out", required=True, type=UserPath(), help="A file.")
@click.option(
    "--bytes",
    "budget",
    default=32.0,
    show_default=True,
    type=FiniteRange(min=0, min_open=True),
    help="At most so many an image, headers counted: 12 bytes a latent, which many images share.",
)
@data_option
@click.option("--n", default=None, type=WholeRange(1), help="Test images, without IMAGE (default: 1000).")
def compress(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    budget: float,
    spec: str | None,
    n: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Images as the latents of a run, rounded and entropy-coded: pictures of your own, fitted to the run's size and colours, or
    test images."""
    import torch

    from reparam.data.io.resize import manner
    from reparam.data.io.single_picture import read_picture
    from reparam.data.options import spelled
    from reparam.data.selection import task_images
    from reparam.files import write_bytes
    from reparam.metrics.fidelity import psnr

    opened = open_run(run, device)
    opened.require(Ability.RECONSTRUCT, "compress images")
    if images and (spec or n):
        raise ConfigError("IMAGE... are pictures of your own: leave --data and --n out")
    if folder := next((path for path in images if path.is_dir()), None):
        raise ConfigError(f"{folder} is a folder: name the pictures in it, such as {folder}/*.png")
    refuse_overwriting([out], images, out)
    if images:
        shape, data = opened.spec.image_shape, opened.config.data
        pictures = [read_picture(path, shape, data) for path in images]
        x = torch.cat([picture.pixels for picture in pictures])
        if others := sum(picture.size != (shape[2], shape[1]) for picture in pictures):
            sides = (shape[1], shape[2])
            say(
                f"{others:,} of {len(x):,} pictures are {manner(data.crop, sides)} to {spelled(sides)} (height x width), which "
                "is what the run knows: that is what is kept, and what PSNR compares with"
            )
    else:
        x = task_images(images_of(opened, spec).test, opened.config.task, n or 1000).input
    packed = opened.compress(x, budget)
    write_bytes(out, packed)
    unpacked = opened.decompress(packed)
    found = {
        "out": str(out),
        "images": len(x),
        "bytes": len(packed),
        "psnr": float(psnr(x, unpacked).mean()),
        "psnr_uncompressed": float(psnr(x, opened.reconstruct(x)).mean()),
    }
    each = f"{len(packed) / len(x):.1f} bytes each"
    best = f"at best {found['psnr_uncompressed']:.1f}"
    text = f"{len(x):,} image{'s' * (len(x) != 1)}, {len(packed):,} bytes, {each}; PSNR {found['psnr']:.1f} dB ({best}): {out}"
    answer(as_json, found, text)


@run_command("reparam decompress runs/ae pictures.rpz --out pictures")
@click.argument("file", type=UserPath())
@click.option("--out", required=True, type=UserPath(), help="A folder that is not there yet.")
def decompress(run: Path, file: Path, out: Path, device: str, as_json: bool) -> None:
    """The images of a file that `compress` wrote: OUT/000000.png and on, in the order in which they were given."""
    from reparam.data.io.archives import read_plain
    from reparam.files import new_folder, why_not_read
    from reparam.reports.pictures import sheet, write_png

    opened = open_run(run, device)
    try:
        data = read_plain(file)
    except OSError as error:
        raise DataError(why_not_read(file, error)) from None
    try:
        found = opened.decompress(data)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    with new_folder(out) as begun:
        for number, image in enumerate(found):
            write_png(begun / f"{number:06d}.png", sheet(image[None], 1))
    text = f"{len(found):,} image{'s' * (len(found) != 1)}: {out}"
    answer(as_json, {"out": str(out), "images": len(found)}, text)


COMMANDS = (compress, decompress)
