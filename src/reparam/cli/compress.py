"""`compress` and `decompress`: images as the entropy-coded latents of a run."""

from pathlib import Path

import click

from reparam.cli.common import answer, new_images_options, new_pictures, open_run, run_command
from reparam.cli.options import FiniteRange, UserPath, WholeRange
from reparam.core.abilities import Ability
from reparam.errors import ConfigError, DataError


@run_command(
    "reparam compress runs/ae --n 1000 --out digits.rpz",
    "reparam compress runs/ae one.png two.png --bytes 500 --out pictures.rpz",
)
@new_images_options
@click.option("--out", required=True, type=UserPath(), help="A file.")
@click.option(
    "--bytes",
    "budget",
    default=32.0,
    show_default=True,
    type=FiniteRange(min=0, min_open=True),
    help="At most so many an image, headers counted: 12 bytes a latent, which many images share.",
)
@click.option("--n", default=None, type=WholeRange(1), help="Test images, without IMAGE (default: 1000).")
def compress(
    run: Path,
    pictures: tuple[Path, ...],
    out: Path,
    budget: float,
    spec: str | None,
    n: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Images as the latents of a run, rounded and entropy-coded: pictures of your own, fitted to the run's size and colours, or
    test images."""
    from reparam.data.selection import task_images
    from reparam.files import write_bytes
    from reparam.metrics.fidelity import psnr

    opened = open_run(run, device)
    opened.require(Ability.RECONSTRUCT, "compress images")
    if n and (pictures or spec):
        raise ConfigError("--n is of the run's test images: leave it out for new pictures, all of which are compressed")
    new = new_pictures(opened, pictures, spec)
    source, number = (new.images, None) if new else (opened.dataset.test, n or 1000)
    batch = task_images(source, opened.config.task, number)
    x = batch.x if new else batch.input  # of a denoising model, no noise is added to new pictures
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
    """The images of a file that `compress` wrote, in the order in which they were given: OUT/000000.png and on; of more than 8
    bits, or of other channels than grey and RGB, OUT/images.npy."""
    from reparam.data.depth import numbers_of
    from reparam.data.io.archives import read_plain
    from reparam.data.io.npy import write_npy
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
        if not opened.of_pictures:
            write_npy(begun / "images.npy", numbers_of(found, opened.scale))
        for number, image in enumerate(found if opened.of_pictures else ()):
            write_png(begun / f"{number:06d}.png", sheet(image[None], 1))
    text = f"{len(found):,} image{'s' * (len(found) != 1)}: {out}"
    answer(as_json, {"out": str(out), "images": len(found)}, text)


COMMANDS = (compress, decompress)
