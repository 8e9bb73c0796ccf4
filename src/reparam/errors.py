"""Errors that a person can act on.

Everything that is the user's to mend (an option, a file, a run folder) raises `ReparamError` with one line: what is wrong,
where, and what to do about it. The command prints that line and ends with exit code 2; anything else is a bug of ours.
"""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator

LONGEST = 80  # characters of a value that a message quotes


class ReparamError(Exception):
    """Base of every error with a remedy. `str(error)` is one line."""


class ConfigError(ReparamError):
    """An option that does not exist, has the wrong type, or contradicts another."""


class StepError(ConfigError):
    """A step that cannot be compiled or captured, as it was asked to be: the run has hardly begun, and cannot go on."""


class DataError(ReparamError):
    """Data that is missing, malformed, or does not fit the request."""


class ImageError(DataError):
    """An image on disk that cannot be read while a model trains; it can go on without that image."""


class RunError(ReparamError):
    """A run folder that is missing, damaged, or of another version."""


class MemoryShortError(ReparamError):
    """Memory ran out."""


OUT_OF_MEMORY = re.compile("out of memory|allocate memory|not enough memory")  # how torch says it, on each device
ASKED = re.compile(r"(?:allocate|allocated) ([\d.]+ ?\w+)")


@contextlib.contextmanager
def memory_watched(purpose: str, remedy: str) -> Iterator[None]:
    """Turns the errors by which Python, NumPy and torch say that memory ran out into a `MemoryShortError`, with the purpose and
    the remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        asked = ASKED.search(str(error))
        amount = f" ({asked[1]} at once)" if asked else ""
        raise MemoryShortError(f"not enough memory {purpose}{amount}: {remedy}") from error


def flag(option: str) -> str:
    """How the command writes an option: `--batch-size`."""
    return "--" + option.replace("_", "-")


def short(value: object) -> str:
    """`repr`, of a long value the beginning alone, and of an array its shape: a message is one line that can be read."""
    if isinstance(shape := getattr(value, "shape", None), tuple) and shape and hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def escaped(text: str, kept: str = "") -> str:
    """Text in which line breaks, control characters and bytes that are no UTF-8 stand as Python writes them, but those `kept`."""
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


# What people call things elsewhere, and the names that they may mean here, the likeliest first: without dashes, in small letters.
# One that is no name where it is looked for is not offered.
GUESSES: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate",),
    **dict.fromkeys(("batch", "bs"), ("batch_size",)),
    **dict.fromkeys(("latentdim", "latentsize", "latents", "zdim", "nz", "codesize"), ("latent",)),
    **dict.fromkeys(("hiddendim", "hiddendims", "hiddenlayers", "hiddensize"), ("hidden",)),
    **dict.fromkeys(("imagesize", "imgsize", "resolution"), ("size",)),
    **dict.fromkeys(("epoch", "nepochs", "numepochs", "maxepochs", "steps", "iterations", "iters"), ("epochs",)),
    **dict.fromkeys(("dataset", "datadir", "datapath", "root"), ("data",)),
    **dict.fromkeys(("output", "outdir", "outputdir", "savedir", "logdir"), ("out",)),
    **dict.fromkeys(("loss", "recloss", "reconloss", "reconstructionloss"), ("likelihood",)),
    **dict.fromkeys(("arch", "architecture", "backbone"), ("network",)),
    **dict.fromkeys(("optimizer", "optim"), ("optimiser",)),
    **dict.fromkeys(("scheduler", "lrscheduler"), ("schedule",)),
    "wd": ("weight_decay",),
    **dict.fromkeys(("klweight", "kldweight"), ("beta",)),
    **dict.fromkeys(("annealing", "klannealing", "klwarmup"), ("beta_warmup",)),
    "earlystopping": ("patience",),
    **dict.fromkeys(("gradclip", "clipgrad", "maxgradnorm"), ("clip",)),
    **dict.fromkeys(("gpu", "cuda", "gpus"), ("device",)),
    **dict.fromkeys(("amp", "fp16", "bf16"), ("precision",)),
    "numworkers": ("workers",),
    "pretrained": ("init_from",),
    **dict.fromkeys(("mse", "l2", "squarederror"), ("gaussian", "mse")),
    **dict.fromkeys(("mae", "l1", "absoluteerror"), ("laplace",)),
    **dict.fromkeys(("bce", "crossentropy", "binarycrossentropy"), ("bernoulli",)),
    "fid": ("fid_inception", "fid_classifier", "kid_random"),
    "kid": ("kid_inception", "kid_classifier", "kid_random"),
    **dict.fromkeys(("ll", "loglikelihood", "likelihood"), ("nll",)),
    **dict.fromkeys(("bpd", "bitsperdim"), ("bits_per_dim",)),
    **dict.fromkeys(("miou", "jaccard"), ("iou",)),
    "acc": ("accuracy",),
    **dict.fromkeys(("betavae", "iwae"), ("vae", "nll")),
    "autoencoder": ("ae",),
    **dict.fromkeys(("dcgan", "wgan"), ("gan",)),
    "vqgan": ("vaegan",),
    "conditionalvae": ("cvae",),
}


def meant(name: str, known: Iterable[str]) -> list[str]:
    """The known names that `name` may stand for: what is called so elsewhere, else the nearest one. `known` may be flags."""
    known = list(known)
    guesses = GUESSES.get(re.sub("[-_ ]", "", name.lower()), ())
    found = [one for guess in guesses for one in (guess, flag(guess)) if one in known]
    return found or difflib.get_close_matches(name, known, n=1)


def suggest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'latent'?"` for the names that may be meant, or the empty string."""
    near = meant(name, known)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
