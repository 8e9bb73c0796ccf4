"""What there is: `models`, and `data` to list data sets, fetch one, or pack pictures."""

from pathlib import Path
from typing import Any

import click

from reparam.cli.common import answer, comma_list, example, json_option, progress, show_json
from reparam.cli.options import UserPath, WholeRange
from reparam.terminal import output


@click.command(epilog=example("reparam models"))
@json_option
def models(as_json: bool) -> None:
    """List the models, their tasks and their recipes."""
    from reparam.models import MODELS

    if as_json:
        described = {
            name: {
                "summary": family.summary,
                "citation": family.citation,
                "tasks": list(family.tasks),
                "recipes": {key: recipe.doc for key, recipe in family.recipes.items()},
            }
            for name, family in MODELS.items()
        }
        show_json(described, indent=2)
        return
    rows = [(name, recipe, doc.doc) for name, family in MODELS.items() for recipe, doc in family.recipes.items()]
    for name, family in MODELS.items():
        output(f"{name}: {family.summary}\n  {family.citation}\n    --task {', '.join(family.tasks)}")
        for _, recipe, doc in (row for row in rows if row[0] == name):
            output(f"    --recipe {recipe:10} {doc}")


@click.group()
def data() -> None:
    """List data sets, fetch one, or pack pictures for training on more than memory holds."""


@data.command(name="list", epilog=example("reparam data list"))
@json_option
def list_data(as_json: bool) -> None:
    """List what --data can name."""
    from reparam.data import DATASETS

    if as_json:
        rows = {
            name: {"summary": s.summary, "licence": s.licence, "images": s.n, "downloads": s.downloads}
            for name, s in DATASETS.items()
        }
        show_json(rows, indent=2)
        return
    for name, source in DATASETS.items():
        counts = " / ".join(f"{n:,}" for n in source.n) if source.n else "as many as there are"
        how = "downloaded at first use" if source.downloads else "local"
        output(f"{name:24} {source.summary}\n    {counts} images; {how}; {source.licence}")


@data.command(epilog=example("reparam data get mnist"))
@click.argument("name")
@click.option("--data-root", default=None, help="Folder to keep it in (default: $REPARAM_DATA, else the cache folder).")
@json_option
def get(name: str, data_root: str | None, as_json: bool) -> None:
    """Fetch a data set and say where it is."""
    from reparam.data import DataOptions
    from reparam.data import get as fetch

    path = fetch(name, DataOptions(data_root=data_root))
    answer(as_json, {"path": str(path)}, str(path))


@data.command(
    epilog=example(
        "reparam data shard photos --size 64 --out shards", "reparam train vae --data shards:shards --out runs/vae"
    )
)
@click.argument("source")
@click.option("--out", required=True, type=UserPath(), help="A folder that is not there yet.")
@click.option(
    "--size", default=None, metavar="N|HxW", help="Squares, or height x width (default: chosen from the pictures)."
)
@click.option(
    "--crop",
    default="centre",
    show_default=True,
    type=click.Choice(["centre", "none", "pad"]),
    help="Cut the central part of that shape, stretch the whole picture to it, or put black beside it.",
)
@click.option("--colour", default="auto", show_default=True, type=click.Choice(["auto", "grey", "rgb", "rgba"]))
@click.option(
    "--layout",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "first", "last"]),
    help="Of arrays: where the channels are.",
)
@click.option(
    "--range",
    "ends",
    default=None,
    metavar="A,B",
    help="Of more than 8 bits: which numbers become 0 and 1. Pictures are then read into memory, not one by one.",
)
@click.option(
    "--split-sizes", default=None, metavar="A,B,C", help="Training, validation, test (default: 80 / 10 / 10 %)."
)
@click.option("--split-seed", default=0, show_default=True, type=WholeRange(0, 2**63 - 1))
@click.option("--mebibytes", default=256, show_default=True, type=click.IntRange(1, 65536), help="Of a file, about.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(0, 64), help="Processes that decode.")
@click.option(
    "--damaged",
    default="stop",
    show_default=True,
    type=click.Choice(["stop", "skip"]),
    help="Pictures that cannot be read.",
)
@json_option
def shard(
    source: str,
    out: Path,
    split_sizes: str | None,
    ends: str | None,
    mebibytes: int,
    workers: int,
    damaged: Any,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Pack pictures into a few large files, for training on more than memory holds.

    SOURCE is a folder or zip of pictures (one subfolder a class), a file of arrays, or anything else that --data can name.
    Pictures and the images of a .npy are read one by one.
    """
    from reparam.data import DataOptions, load
    from reparam.data.io.archives import ARRAY_FILES
    from reparam.data.sources.arrays import can_stay
    from reparam.data.sources.shard_writing import write_shards
    from reparam.files import user_path

    bar = progress()
    there = user_path(source).exists()
    if not there and "/" in source.partition(":")[0]:
        raise click.UsageError(f"there is no {source}: name a folder or zip of pictures, or what --data can name")
    kind = "array" if user_path(source).suffix.lower() in ARRAY_FILES else "folder"
    spec = f"{kind}:{source}" if there else source
    if spec.startswith("folder:"):
        chosen |= {"stream": not ends, "damaged": damaged}
    elif spec.startswith("array:"):
        chosen["stream"] = can_stay(user_path(spec.removeprefix("array:")))
    try:
        chosen["range"] = tuple(float(part) for part in comma_list("range", ends))
    except ValueError:
        raise click.UsageError(f"--range {ends} are no numbers: write A,B") from None
    try:
        sizes = tuple(int(part) for part in comma_list("split-sizes", split_sizes))
    except ValueError:
        raise click.UsageError(f"--split-sizes {split_sizes} are no whole numbers: write A,B,C") from None
    dataset = load(spec, DataOptions(**chosen, split_sizes=sizes), bar.note)
    skipped = write_shards(dataset, out, workers, damaged, mebibytes, bar.track)
    made = load(f"shards:{out}")
    counts = [len(made.split(split)) for split in ("train", "validation", "test")]
    if as_json:
        show_json({"path": str(out), "images": counts, "skipped": skipped, "notes": made.notes})
        return
    for line in (*dataset.notes, *(f"left out: {line}" for line in skipped)):
        bar.note(line)
    output(f"shards: {out} ({sum(counts):,} images); train with --data shards:{out}")


COMMANDS = (models, data)
