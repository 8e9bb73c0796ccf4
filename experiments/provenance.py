"""Where a figure comes from: the commit of the source and the machine."""

import subprocess
from pathlib import Path

import torch

import reparam
from reparam.run.device import processor


def commit() -> str:
    """The commit that this file is tracked in, with + where the experiments or the package differ from it; else the version."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=here.parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "--short=10", "HEAD") + (
            "+" if git("status", "--porcelain", "--", ".", "../src") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return reparam.__version__


def machine() -> str:
    """Threads and processor, and the GPU where there is one."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}, {processor()}{gpu}"
