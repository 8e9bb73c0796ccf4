"""Cases of the calls in Python: `use` runs one of `CALLS` on a loaded run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from cases import Case

import reparam

X = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
THINGS: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "text": lambda: "abc",
    "a fraction": lambda: 1.5,
    "NaN": lambda: float("nan"),
    "negative": lambda: -1,
    "0": lambda: 0,
    "True": lambda: True,
    "10^30": lambda: 10**30,
    "a list": lambda: [1, 2],
    "bytes": lambda: b"abc",
    "a path": lambda: Path("x"),
    "infinity": lambda: float("inf"),
    "nothing": lambda: "",
    "a line break": lambda: "a\nb",
    "a NUL": lambda: "a\0b",
    "300 characters": lambda: "x" * 300,
    "5,000 characters": lambda: "x" * 5000,
    "no Unicode": lambda: "caf\udce9",
    "a tensor": lambda: X,
    "integers": lambda: (X * 255).byte(),
    "0 to 255": lambda: X * 255,
    "NaNs": lambda: X * float("nan"),
    "infinite": lambda: X / 0,
    "below 0": lambda: X - 0.5,
    "three dimensions": lambda: X[0],
    "no image": lambda: X[:0],
    "another side": lambda: X[..., :7],
    "three channels": lambda: X.repeat(1, 3, 1, 1),
    "double": lambda: X.double(),
    "half": lambda: X.half(),
    "complex": lambda: X.to(torch.complex64),
    "on no device": lambda: X.to("meta"),
    "sparse": lambda: X.to_sparse(),
    "an array": lambda: X.numpy(),
    "a number as a tensor": lambda: torch.tensor(1.0),
    "booleans": lambda: X > 0.5,
    "one that needs gradients": lambda: X.clone().requires_grad_(),
}
NUMBERS = (
    "None",
    "text",
    "a fraction",
    "NaN",
    "infinity",
    "negative",
    "0",
    "True",
    "10^30",
    "a list",
    "a number as a tensor",
)
PLACES = ("text", "nothing", "a path", "a line break", "a NUL", "300 characters", "5,000 characters", "no Unicode")
NAMES = (*PLACES, "None", "0", "True", "a list", "bytes")
TENSORS = tuple(name for name in THINGS if name not in PLACES)


# call: the run, what may be given (a kind of argument), the call
CALLS: dict[str, tuple[str, tuple[str, ...], Callable[[Any, Any], Any]]] = {
    "run.encode": ("run-vae", TENSORS, lambda run, thing: run.encode(thing)),
    "run.reconstruct": ("run-vae", TENSORS, lambda run, thing: run.reconstruct(thing)),
    "run.sample": ("run-vae", NUMBERS, lambda run, thing: run.sample(thing)),
    "run.sample seed": ("run-vae", NUMBERS, lambda run, thing: run.sample(1, seed=thing)),
    "run.evaluate": ("run-vae", NAMES, lambda run, thing: run.evaluate(thing)),
    "run.examples": ("run-vae", NUMBERS, lambda run, thing: run.examples(thing)),
    "run.compress": ("run-ae", TENSORS, lambda run, thing: run.compress(thing)),
    "run.compress bytes": ("run-ae", NUMBERS, lambda run, thing: run.compress(X, thing)),
    "run.decompress": ("run-ae", ("bytes", "text", "None", "0"), lambda run, thing: run.decompress(thing)),
    "run.responsibilities": ("run-gmvae", TENSORS, lambda run, thing: run.responsibilities(thing)),
    "run.sample component": ("run-gmvae", NUMBERS, lambda run, thing: run.sample(1, component=thing)),
    "run.sample label": ("run-classes", NAMES, lambda run, thing: run.sample(1, label=thing)),
    "run.condition": ("run-boxes", TENSORS, lambda run, thing: run.condition(thing, torch.eye(8))),
    "run.condition mask": ("run-boxes", TENSORS, lambda run, thing: run.condition(X, thing)),
    "run.predict": ("run-boxes", TENSORS, lambda run, thing: run.predict(thing)),
    "run.predictions": ("run-classes", NUMBERS, lambda run, thing: run.predictions(torch.tensor([0]), thing)),
    "run.augmenter strength": ("run-gvae", NUMBERS, lambda run, thing: run.augmenter(strength=thing)),
    "run.augmenter change": ("run-gvae", NUMBERS, lambda run, thing: run.augmenter(change=thing)),
    "run.augmenter directions": ("run-gvae", NAMES, lambda run, thing: run.augmenter(directions=thing)),
    "augmenter": ("run-gvae", TENSORS, lambda run, thing: run.augmenter()(thing)),
    "load": ("run-vae", PLACES, lambda run, thing: reparam.load(thing).model),
    "load device": ("run-vae", NAMES, lambda run, thing: reparam.load(run.path, thing).model),
    "train model": ("run-vae", NAMES, lambda run, thing: reparam.train(thing, "digits", epochs=0.01)),
    "train data": ("run-vae", NAMES, lambda run, thing: reparam.train("vae", thing, epochs=0.01)),
    "train latent": ("run-vae", NUMBERS, lambda run, thing: reparam.train("vae", "digits", epochs=0.01, latent=thing)),
    "train hidden": ("run-vae", NUMBERS, lambda run, thing: reparam.train("vae", "digits", epochs=0.01, hidden=thing)),
    "train recipe": ("run-vae", NAMES, lambda run, thing: reparam.train("vae", "digits", recipe=thing, epochs=0.01)),
    "train out": ("run-vae", PLACES, lambda run, thing: reparam.train("vae", "digits", out=thing, epochs=0.01)),
    "resume": ("run-vae", PLACES, lambda run, thing: reparam.resume(thing)),
    "resume damaged": ("run-vae", NAMES, lambda run, thing: reparam.resume(run.path, damaged=thing)),
    "evaluate images": ("run-vae", NUMBERS, lambda run, thing: reparam.evaluate(run.path, ["psnr"], images=thing)),
}


def of_python(base: Path, random: Random) -> Iterator[Case]:
    for name, (run, things, _) in CALLS.items():
        for what in things:
            yield Case(
                f"Python: {name}", what, ("use", "RUN", name, what), None, run, None, False, ("run", "work"), large=True
            )


def use(run: Path, call: str | None, thing: str | None) -> None:
    """Loads a run and its model; calls it."""
    loaded = reparam.load(run, device="cpu")
    if call is None or thing is None:
        loaded.sample(1)
        return
    CALLS[call][2](loaded, THINGS[thing]())
