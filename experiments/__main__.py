"""`python -m experiments NAME ...`, from the folder of the checkout."""

from experiments.command import reproduce
from reparam.cli import main

main(reproduce, "python -m experiments")
