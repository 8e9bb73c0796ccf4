"""`python -m reparam`, and what torchrun starts."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # `python -m` puts the current folder first, which may be somebody else's

from reparam.cli import main

main()
