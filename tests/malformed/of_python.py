"""Cases of the calls in Python: `use` runs one of `CALLS` on a loaded run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from cases import Case

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
    "an object": object,
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
GOOD = {
    "a tensor",
    "one that needs gradients",
    "double",
    "half",
    "booleans",
    "integers",
    "no image",
}  # which may be taken


def _vae(call: Callable[[Any, Any], Any]) -> tuple[str, Callable[[Any, Any], Any]]:
    return "run-vae", call


CALLS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "run.encode": _vae(lambda run, thing: run.encode(thing)),
    "run.reconstruct": _vae(lambda run, thing: run.reconstruct(thing)),
    "run.sample": _vae(lambda run, thing: run.sample(thing)),
    "run.sample seed": _vae(lambda run, thing: run.sample(1, seed=thing)),
    "run.evaluate": _vae(lambda run, thing: run.evaluate(thing)),
    "run.examples": _vae(lambda run, thing: run.examples(thing)),
    "run.compress": ("run-ae", lambda run, thing: run.compress(thing)),
    "run.compress bytes": ("run-ae", lambda run, thing: run.compress(X, thing)),
    "run.decompress": ("run-ae", lambda run, thing: run.decompress(thing)),
    "run.responsibilities": ("run-gmvae", lambda run, thing: run.responsibilities(thing)),
    "run.sample component": ("run-gmvae", lambda run, thing: run.sample(1, component=thing)),
    "run.sample label": ("run-classes", lambda run, thing: run.sample(1, label=thing)),
    "run.condition": ("run-boxes", lambda run, thing: run.condition(thing, torch.eye(8))),
    "run.condition mask": ("run-boxes", lambda run, thing: run.condition(X, thing)),
    "run.predict": ("run-boxes", lambda run, thing: run.predict(thing)),
    "run.predictions": ("run-classes", lambda run, thing: run.predictions(torch.tensor([0]), thing)),
    "run.augmenter strength": ("run-gvae", lambda run, thing: run.augmenter(strength=thing)),
    "run.augmenter change": ("run-gvae", lambda run, thing: run.augmenter(change=thing)),
    "run.augmenter directions": ("run-gvae", lambda run, thing: run.augmenter(directions=thing)),
    "augmenter": ("run-gvae", lambda run, thing: run.augmenter()(thing)),
    "load": _vae(lambda run, thing: __import__("reparam").load(thing).model),
    "load device": _vae(lambda run, thing: __import__("reparam").load(run.path, thing).model),
    "train model": _vae(lambda run, thing: __import__("reparam").train(thing, "digits", epochs=0.01)),
    "train data": _vae(lambda run, thing: __import__("reparam").train("vae", thing, epochs=0.01)),
    "train latent": _vae(lambda run, thing: __import__("reparam").train("vae", "digits", epochs=0.01, latent=thing)),
    "train hidden": _vae(lambda run, thing: __import__("reparam").train("vae", "digits", epochs=0.01, hidden=thing)),
    "train recipe": _vae(lambda run, thing: __import__("reparam").train("vae", "digits", recipe=thing, epochs=0.01)),
    "train out": _vae(lambda run, thing: __import__("reparam").train("vae", "digits", out=thing, epochs=0.01)),
    "resume": _vae(lambda run, thing: __import__("reparam").resume(thing)),
    "resume damaged": _vae(lambda run, thing: __import__("reparam").resume(run.path, damaged=thing)),
    "evaluate images": _vae(lambda run, thing: __import__("reparam").evaluate(run.path, ["psnr"], images=thing)),
}


def of_python(base: Path, random: Random) -> Iterator[Case]:
    for name, (run, _) in CALLS.items():
        for what in THINGS:
            yield Case(
                f"Python: {name}", what, ("use", "RUN", name, what), None, run, None, False, ("run", "work"), large=True
            )


def use(run: Path, call: str | None, thing: str | None) -> None:
    """Loads a run and its model; calls it."""
    import reparam

    loaded = reparam.load(run, device="cpu")
    if call is None or thing is None:
        loaded.sample(1)
        return
    CALLS[call][1](loaded, THINGS[thing]())
