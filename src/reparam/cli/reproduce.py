"""`reproduce`: published tables and figures. The experiments are not in the package: they run in a checkout of the source."""

import sys
from pathlib import Path

import click

from reparam.errors import ReparamError


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def reproduce(arguments: tuple[str, ...]) -> None:
    """Regenerate published tables and figures (in a checkout of the source)."""
    checkouts = (Path(__file__).parents[3], Path.cwd())
    checkout = next((folder for folder in checkouts if (folder / "experiments" / "command.py").is_file()), None)
    if checkout is None:
        raise ReparamError(
            "the experiments are not in the package: clone the repository, or unpack the source distribution, and run "
            "'reparam reproduce' in that folder"
        )
    sys.path.append(str(checkout))
    from experiments.command import reproduce as command

    command.main(list(arguments), prog_name="reparam reproduce", standalone_mode=False)


COMMANDS = (reproduce,)
