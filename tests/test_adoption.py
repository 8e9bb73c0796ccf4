"""Models of others as runs: every layout gives the known likelihood of a linear Gaussian model; what does not fit is refused."""

import collections
import copy
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal

import reparam
from reparam import ReparamError, metrics
from reparam.distributions import keyed_generator
from reparam.reports.compare import write_comparison
from reparam.run import family

PIXELS, LATENT, NOISE = 64, 2, 0.3
PRECISION = 1 + 4 / NOISE**2  # of the posterior: the columns of the weights are orthogonal, of norm 2
QUIET: dict[str, Any] = {"progress": False}


class Linear(nn.Module):
    """x = z W + c + noise, and its true posterior, which is diagonal: importance weights are all equal."""

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.randn(PIXELS, LATENT, generator=keyed_generator("cpu", "linear"))
        self.weights = nn.Parameter(2 * torch.linalg.qr(drawn).Q.T)
        self.centre = nn.Parameter(torch.full((PIXELS,), 0.3))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = (x - self.centre) @ self.weights.T / NOISE**2 / PRECISION
        return mean, torch.full_like(mean, -math.log(PRECISION))

    def images(self, z: Tensor) -> Tensor:
        return z @ self.weights + self.centre


class Methods(Linear):
    """As PyTorch-VAE: methods, a list, images of their shape; a part `encoder` that is not all of the encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Identity(), nn.Identity()

    def encode(self, x: Tensor) -> list[Tensor]:
        return list(self.posterior(self.encoder(x).flatten(1)))

    def decode(self, z: Tensor) -> Tensor:
        return self.images(z).view(-1, 1, 8, 8)


class Vectors(Linear):
    """As the example of PyTorch: images are vectors."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        assert x.shape[1:] == (PIXELS,)
        return self.posterior(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.images(z)


class Signed(Linear):
    """Black is -1."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.posterior((x.flatten(1) + 1) / 2)

    def decode(self, z: Tensor) -> Tensor:
        return 2 * self.images(z) - 1


class Maps(Linear):
    """The latent has the shape of an image, and its deviation comes as a named tuple."""

    Output = collections.namedtuple("Output", ["z_mean", "z_log_var"])

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.Output(*(part.view(-1, LATENT, 1, 1) for part in self.posterior(x.flatten(1))))

    def decode(self, z: Tensor) -> Tensor:
        assert z.shape[1:] == (LATENT, 1, 1)
        return self.images(z.flatten(1))


class Own(Linear):
    """Returns distributions."""

    def encode(self, x: Tensor) -> Normal:
        mean, log_variance = self.posterior(x.flatten(1))
        return Normal(mean, (log_variance / 2).exp())

    def decode(self, z: Tensor) -> Independent:
        return Independent(Normal(self.images(z).view(-1, 1, 8, 8), NOISE), 3)


class Part(nn.Module):
    def __init__(self, call: Callable[[Linear, Tensor], Any]) -> None:
        super().__init__()
        self.inner, self.call = Linear(), call

    def forward(self, value: Tensor) -> Any:
        return self.call(self.inner, value)


def parts() -> nn.Module:
    """As pythae: parts that return named tensors."""
    made = nn.Module()
    made.encoder = Part(lambda m, x: dict(zip(("embedding", "log_covariance"), m.posterior(x.flatten(1)), strict=True)))
    made.decoder = Part(lambda m, z: SimpleNamespace(reconstruction=m.images(z), z=z))
    return made


def pair() -> tuple[nn.Module, nn.Module]:
    return Part(lambda m, x: m.posterior(x.flatten(1))), Part(lambda m, z: (m.images(z),))


GAUSSIAN: dict[str, Any] = {"likelihood": "gaussian", "scale": NOISE}
LAYOUTS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "methods": (Methods, GAUSSIAN),
    "vectors": (Vectors, GAUSSIAN),
    "from -1": (Signed, GAUSSIAN | {"values": (-1, 1)}),
    "maps": (Maps, GAUSSIAN),
    "distributions": (Own, {}),
    "parts": (parts, GAUSSIAN),
    "pair": (pair, GAUSSIAN),
}


def exact_nll(x: Tensor) -> float:
    """-log N(x; c, W^T W + noise^2), nats an image."""
    model = Linear().double()
    covariance = model.weights.T @ model.weights + NOISE**2 * torch.eye(PIXELS)
    with torch.no_grad():
        return -float(MultivariateNormal(model.centre, covariance).log_prob(x.double().flatten(1)).mean())


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("how", ["module", "factory"])
def test_every_layout_gives_the_closed_form(name: str, how: str) -> None:
    make, options = LAYOUTS[name]
    run = reparam.adopt(make() if how == "module" else make, "digits", **options, **QUIET)
    found = run.evaluate(["elbo", "nll"], samples=3, **QUIET)
    exact = exact_nll(run.dataset.test.pixels / 255)
    assert found["nll"].value == pytest.approx(exact, abs=2e-3)
    # The bound is tight at the true posterior; its reconstruction is by one draw an image.
    assert abs(found["elbo"].value + exact) < 4 * 8 / math.sqrt(300)
    assert run.sample(3).shape == (3, 1, 8, 8)
    assert "adopted" in repr(run)


class Logits(Linear):
    """The same images as logits, or squashed."""

    squashed = False

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.posterior(x.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        return self.images(z).sigmoid() if self.squashed else self.images(z)


class Squashed(Logits):
    squashed = True


class OwnBernoulli(Logits):
    def decode(self, z: Tensor) -> Any:
        return Independent(Bernoulli(logits=self.images(z).view(-1, 1, 8, 8), validate_args=False), 3)


def test_logits_images_and_a_distribution_of_ones_own_are_one_likelihood() -> None:
    figures = []
    for make, options in ((Logits, {}), (Squashed, {}), (OwnBernoulli, {})):
        chosen = {} if make is OwnBernoulli else {"likelihood": "bernoulli"}
        run = reparam.adopt(make(), "digits", **chosen, **options, **QUIET)
        figures.append(run.evaluate(["nll"], samples=5, **QUIET)["nll"].value)
        with pytest.raises(ReparamError, match="a Bernoulli on grey values is a cross-entropy"):
            run.evaluate(["bits_per_dim"], **QUIET)
    assert figures == pytest.approx([figures[0]] * 3, abs=1e-3)


class Autoencoder(Linear):
    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x.flatten(1))[0]

    def decode(self, z: Tensor) -> Tensor:
        return self.images(z)


def test_a_code_makes_an_autoencoder() -> None:
    run = reparam.adopt(Autoencoder(), "digits", **GAUSSIAN, **QUIET)
    assert "reconstruct" in run.model.abilities
    assert not run.model.has("prior")
    x = run.dataset.test.pixels / 255
    model = Linear()
    with torch.no_grad():
        expected = model.images(model.posterior(x.flatten(1))[0])
    assert run.evaluate(["mse"], **QUIET)["mse"].value == pytest.approx(
        float((expected - x.flatten(1)).square().mean()), rel=1e-5
    )


def test_what_was_given_stays_as_it_is() -> None:
    model = Methods().train()
    before = copy.deepcopy(model.state_dict())
    run = reparam.adopt(model, "digits", **GAUSSIAN, **QUIET)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.zero_()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    folder = run.path
    assert folder.is_dir()
    del run
    assert not folder.exists()


FACTORY = """
import torch
from torch import nn


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(64, 4), nn.Linear(2, 64)

    def encode(self, x):
        return self.down(x.flatten(1)).chunk(2, 1)

    def decode(self, z):
        return self.up(z).view(-1, 1, 8, 8)


def make():
    torch.manual_seed(0)
    return VAE()
"""


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of foreign code and its weights."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    name = f"foreign_{tmp_path.name.replace('-', '_')}"
    (folder / f"{name}.py").write_text(FACTORY)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    torch.manual_seed(1)
    made = getattr(__import__(name), "VAE")()  # noqa: B009
    safetensors.torch.save_file(made.state_dict(), "vae.safetensors")
    return folder / f"{name}.py"


def test_a_run_by_import_path_is_opened_again_elsewhere(factory: Path, tmp_path: Path) -> None:
    path = f"{factory.stem}:make"
    run = reparam.adopt(
        path, "digits", weights="vae.safetensors", out=tmp_path / "run", likelihood="bernoulli", **QUIET
    )
    stored = safetensors.torch.load_file(factory.parent / "vae.safetensors")
    images = torch.rand(3, 1, 8, 8)
    expected = (images.flatten(1) @ stored["down.weight"].T + stored["down.bias"])[:, :2]
    assert torch.allclose(run.encode(images)[0], expected, atol=1e-6)
    nll = run.evaluate(["nll"], samples=5, **QUIET)["nll"].value

    code = f"""
import reparam
run = reparam.load({str(tmp_path / "run")!r})
print(run.evaluate(["nll"], samples=5, progress=False)["nll"].value, run.folder.status().state)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(nll), "adopted"]
    assert reparam.resume(tmp_path / "run", progress=False).folder.status().state == "adopted"
    with pytest.raises(ReparamError, match="not a reparam.models.Family.*reparam.adopt"):
        reparam.train(path, "digits", out=tmp_path / "trained", **QUIET)


def test_one_from_memory_is_gone_with_its_process_and_comes_back_with_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "run"
    reparam.adopt(Methods(), "digits", out=out, **GAUSSIAN, **QUIET).evaluate(["psnr"], **QUIET)
    assert reparam.load(out).sample(2).shape == (2, 1, 8, 8)
    family.IN_MEMORY.clear()
    with pytest.raises(ReparamError, match="memory of another process.*reparam.adopt it again with the same out"):
        reparam.load(out)
    again = reparam.adopt(Methods(), "digits", out=out, **GAUSSIAN, **QUIET)
    assert "psnr" in again.folder.evaluation().metrics
    other = Methods()
    with torch.no_grad():
        other.centre += 0.1
    changed = reparam.adopt(other, "digits", out=out, **GAUSSIAN, **QUIET)
    changed.evaluate(["mse"], **QUIET)
    assert set(changed.folder.evaluation().metrics) == {"mse"}


def test_it_is_reported_and_compared_with_a_run_of_ours(run: Path, tmp_path: Path) -> None:
    adopted = reparam.adopt(Methods(), "digits", out=tmp_path / "theirs", **GAUSSIAN, **QUIET)
    assert "adopted: made and trained elsewhere" in adopted.report(lambda text: None).read_text()
    page = tmp_path / "compare.html"
    write_comparison([reparam.load(run), adopted], page, metrics=["psnr"])
    assert "theirs" in page.read_text()
    assert adopted.diagnose(quick=True)
    with pytest.raises(ReparamError, match="holds a run already"):
        reparam.adopt(Methods(), "digits", out=run, **GAUSSIAN, **QUIET)


def changed(base: type, **methods: Any) -> Any:
    return type("Changed", (base,), methods)()


class Noisy(Methods):
    def encode(self, x: Tensor) -> list[Tensor]:
        mean, log_variance = super().encode(x)
        return [mean + torch.randn_like(mean), log_variance]


class ByBatch(Methods):
    def encode(self, x: Tensor) -> list[Tensor]:
        return super().encode(x - x.mean(0))


REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "no layout": (lambda: nn.Linear(2, 2), GAUSSIAN, "methods encode\\(x\\) and decode\\(z\\).*is of type Linear"),
    "a number": (lambda: 3, GAUSSIAN, "encode\\(x\\) and decode\\(z\\).*is of type int"),
    "no import path": (lambda: "vae", GAUSSIAN, "'package.module:NAME'"),
    "a factory with arguments": (lambda: lambda width: width, GAUSSIAN, "a function without arguments"),
    "no likelihood": (Methods, {}, "likelihood= says what"),
    "an unknown likelihood": (Methods, {"likelihood": "mse"}, "likelihood"),
    "an unknown option": (Methods, GAUSSIAN | {"likelyhood": 1}, "did you mean 'likelihood'"),
    "scale without use": (Methods, {"likelihood": "bernoulli", "scale": 2.0}, "scale is for gaussian and laplace"),
    "values turned round": (Methods, GAUSSIAN | {"values": (1, 0)}, "give 0,1 or -1,1"),
    "another size": (Methods, GAUSSIAN | {"size": 16}, "the encoder fails on images \\[8, 1, 16, 16\\].*size="),
    "draws in the encoder": (Noisy, GAUSSIAN, "other numbers the second time"),
    "looks at the batch": (ByBatch, GAUSSIAN, "the encoder gives.* than among others: let it normalise by nothing"),
    "a decoder that looks at the batch": (
        lambda: changed(Methods, decode=lambda s, z: Methods.decode(s, z - z.mean(0))),
        GAUSSIAN,
        "the decoder gives.* than among others: let it normalise by nothing",
    ),
    "one without its axis": (
        lambda: changed(Methods, encode=lambda s, x: [part.squeeze() for part in Methods.encode(s, x)]),
        GAUSSIAN,
        "the encoder returns \\[2\\] for one and \\[8, 2\\] for 8.*squeeze",
    ),
    "a latent without its axis": (lambda: changed(Methods, encode=lambda s, x: x.mean((1, 2, 3))), GAUSSIAN, "squeeze"),
    "an encoder that takes labels": (
        lambda: changed(Methods, encode=lambda s, x, y: x),
        GAUSSIAN,
        "the encoder fails.*'y'.*called with a tensor of images alone",
    ),
    "a decoder that takes labels": (
        lambda: changed(Methods, decode=lambda s, z, y: z),
        GAUSSIAN,
        "the decoder fails on latents.*'y'.*called with a tensor of latents alone",
    ),
    "mu and log variance side by side": (
        lambda: changed(Methods, encode=lambda s, x: torch.cat(Methods.encode(s, x), 1)),
        GAUSSIAN,
        "the decoder fails on latents \\[8, 4\\].*let encode return what decode takes.*chunk\\(2, 1\\)",
    ),
    "a pair the other way round": (lambda: pair()[::-1], GAUSSIAN, "of a pair, the encoder is the first"),
    "variances that are NaN": (
        lambda: changed(Methods, encode=lambda s, x: [x[:, 0, 0, :2], x[:, 0, 0, :2] * math.nan]),
        GAUSSIAN,
        "the encoder returns NaN",
    ),
    "whole numbers": (
        lambda: changed(Methods, encode=lambda s, x: x[:, 0, 0, :2].long()),
        GAUSSIAN,
        "the encoder returns torch.int64: let it return floats",
    ),
    "changes in place": (
        lambda: changed(Methods, decode=lambda s, z: Methods.decode(s, z.mul_(2))),
        GAUSSIAN,
        "the decoder changes the latents that it is given in place",
    ),
    "distributions over maps": (
        lambda: changed(Own, encode=lambda s, x: Normal(x[:, 0, :2, :2], 1.0)),
        {},
        "the encoder's distribution is over \\[8, 2, 2\\]",
    ),
    "a distribution of other values": (Own, {"values": (-1, 1)}, "over pixels from 0 to 1"),
    "images from 0 to 255": (
        lambda: changed(Methods, decode=lambda s, z: 255 * Methods.decode(s, z)),
        GAUSSIAN,
        "outputs run from .*, and images from 0 to 1: values=",
    ),
    "another order of axes": (
        lambda: changed(
            Methods, encode=lambda s, x: x.flatten(1)[:, :2], decode=lambda s, z: z.new_zeros(len(z), 8, 8, 3)
        ),
        GAUSSIAN | {"colour": "rgb"},
        "returns \\[8, 8, 8, 3\\] and the images are \\[8, 3, 8, 8\\]: let it return this order",
    ),
    "weights alone": (lambda: dict(Methods().state_dict()), GAUSSIAN, "give the module too, and these as weights="),
    "a factory of nothing": (lambda: lambda: None, GAUSSIAN, "what <lambda>\\(\\) returns should be .*is None"),
    "a factory that fails": (
        lambda: lambda: {}["x"],
        GAUSSIAN,
        "calling <lambda>\\(\\) failed \\(KeyError: 'x'\\): mend it",
    ),
    "three values": (
        lambda: changed(Methods, encode=lambda s, x: [x, x, x]),
        GAUSSIAN,
        "the encoder returns is 3 values",
    ),
    "no means": (lambda: changed(Methods, encode=lambda s, x: {"a": x}), GAUSSIAN, "the encoder returns a"),
    "other shapes": (lambda: changed(Methods, encode=lambda s, x: (x, x[0])), GAUSSIAN, "have one shape"),
    "no images": (
        lambda: changed(Methods, decode=lambda s, z: (z, z)),
        GAUSSIAN,
        "what the decoder returns is 2 values",
    ),
    "few pixels": (lambda: changed(Methods, decode=lambda s, z: z), GAUSSIAN, "returns \\[8, 2\\] and the images"),
    "no latent": (
        lambda: changed(Methods, encode=lambda s, x: (x.new_zeros(len(x), 0),) * 2),
        GAUSSIAN,
        "nothing of an image",
    ),
    "NaN": (
        lambda: changed(Methods, decode=lambda s, z: z.new_full((len(z), 64), math.nan)),
        GAUSSIAN,
        "trained weights",
    ),
    "other weights": (Methods, GAUSSIAN | {"weights": {"x": torch.zeros(2)}}, "lacks the weight 'weights'"),
    "no data": (Methods, GAUSSIAN | {"data": ""}, "which images"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_a_line(name: str) -> None:
    make, options, message = REFUSED[name]
    model = make()
    with pytest.raises(ReparamError, match=message) as found:
        reparam.adopt(model, **({"data": "digits"} | options | QUIET))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda: Methods().double(), {}),
        (lambda: Methods().half(), {}),
        (
            lambda: changed(
                Methods,
                encode=lambda s, x: Methods.encode(s, x / 255),
                decode=lambda s, z: 255 * Methods.decode(s, z),
            ),
            {"values": (0, 255)},
        ),
        (lambda: changed(Methods, encode=lambda s, x: Methods.encode(s, x[:, :1])), {"colour": "grey"}),
    ],
)
def test_what_refusals_advise_works(make: Callable[[], Any], options: dict[str, Any]) -> None:
    """Of models in other precisions, nothing needs to be advised."""
    run = reparam.adopt(make(), "digits", **(GAUSSIAN | options | QUIET))
    assert all(parameter.dtype == torch.float32 for parameter in run.model.parameters())
    x = run.dataset.test.pixels[:20] / 255
    found = metrics.importance_nll(run.model.encoder, run.model.decoder, run.model.prior, x, 3)
    assert float(found.nll.mean()) == pytest.approx(exact_nll(x), rel=5e-3)


def test_weights_in_a_pickle_are_refused_with_what_makes_others(tmp_path: Path) -> None:
    torch.save(Methods().state_dict(), tmp_path / "model.pt")
    with pytest.raises(ReparamError, match="pickles, which may run code and are not opened.*save_file"):
        reparam.adopt(Methods(), "digits", weights=tmp_path / "model.pt", **GAUSSIAN, **QUIET)


def test_pythaes_own_likelihood_is_ours_with_its_sign_turned() -> None:
    """Its `get_nll` returns log p(x). Both by 400 draws an image: each mean has the error of its weights."""
    pytest.importorskip("pythae", reason="installed for benchmarks only")
    from pythae.models import VAE, VAEConfig

    torch.manual_seed(0)
    model = VAE(VAEConfig(input_dim=(1, 8, 8), latent_dim=2, reconstruction_loss="bce")).eval()
    run = reparam.adopt(model, "digits", likelihood="bernoulli", **QUIET)
    x = run.dataset.test.pixels[:25] / 255
    nll, effective = reparam.metrics.importance_nll(run.model.encoder, run.model.decoder, run.model.prior, x, 400)
    with torch.no_grad():
        theirs = -model.get_nll(x, n_samples=400, batch_size=100)
    variance = 2 * (1 / effective - 1 / 400)  # of both estimates of an image
    assert float(nll.mean()) == pytest.approx(theirs, abs=4 * math.sqrt(float(variance.mean()) / 25) + 1e-4)


def test_adopted_on_images_in_python() -> None:
    """Measured as on the same images by name."""
    digits = reparam.adopt(Autoencoder(), "digits", **GAUSSIAN, **QUIET)
    images = {
        split: digits.dataset.split(name).pixels
        for split, name in (("train", "train"), ("val", "validation"), ("test", "test"))
    }
    run = reparam.adopt(Autoencoder(), images, **GAUSSIAN, **QUIET)
    assert run.config.data.data == "python"
    assert torch.equal(run.dataset.test.pixels, digits.dataset.test.pixels)
    assert set(run.evaluate(["psnr"], progress=False)) == {"psnr"}
