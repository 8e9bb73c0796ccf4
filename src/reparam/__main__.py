"""`python -m reparam`, and what torchrun starts."""

from reparam.cli import main

main()
