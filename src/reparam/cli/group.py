"""All commands, in one group. Only click is imported before one of them runs, so that `reparam --help` answers at once."""

import click

from reparam.cli import augment, compress, conditional, data, measure, pictures, prior, reproduce, train


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="reparam")
def cli() -> None:
    """Latent-variable image models: train, measure honestly, look, and use."""


for module in (train, data, prior, measure, pictures, conditional, augment, compress, reproduce):
    for one in module.COMMANDS:
        cli.add_command(one)
