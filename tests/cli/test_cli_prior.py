"""`reparam fit-prior`: an autoencoder becomes generative, figures belong to their prior, a prior to its weights."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import advised, refused

import reparam
from reparam.core.abilities import Ability
from reparam.distributions import rsample
from reparam.errors import ConfigError, RunError
from reparam.latent import generation
from reparam.run import prior_fit
from reparam.tensor_files import read_metadata, read_tensors, write_tensors

SMALL = {"data": "digits", "hidden": (16,), "epochs": 2, "pictures": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fitted") / "ae"
    reparam.train("ae", latent=3, out=path, **SMALL)  # type: ignore[arg-type]
    return path


@pytest.fixture
def ae(autoencoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(autoencoder, tmp_path / "ae"))


def test_an_autoencoder_makes_images_by_it(command: Callable, ae: Path, tmp_path: Path) -> None:
    refused(command("sample", ae, "--out", tmp_path / "x.png"), "cannot draw samples")
    done = command("fit-prior", ae)
    assert done.code == 0, done
    lines = done.out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == [
        "prior: full Gaussian", "prior: mixture of 5", "prior: mixture of 10", "prior: mixture of 20",
        f"written: {ae / 'prior.safetensors'}",
    ]  # fmt: skip
    assert sum(line.endswith("chosen") for line in lines) == 1
    assert command("sample", ae, "--out", tmp_path / "x.png").code == 0
    assert command("grid", ae, "--out", tmp_path / "g.png").code == 0
    run = reparam.load(ae)
    assert {Ability.SAMPLE, Ability.DECODE} <= run.model.abilities
    assert not {Ability.BOUND, Ability.FACTORISE, Ability.CLUSTER, Ability.STANDARD_NORMAL} & run.model.abilities
    # Where it draws from is where images are.
    z, codes = generation.sample_latents(run.model, 3000, 0), run.encode(run.dataset.train.images / 255)[0]
    assert ((z.mean(0) - codes.mean(0)).abs() < 0.15 * codes.std(0)).all()
    torch.testing.assert_close(z.std(0), codes.std(0), rtol=0.1, atol=0)


def test_the_models_own_comes_back(command: Callable, run: Path, ae: Path) -> None:
    before = reparam.load(run).sample(4)
    assert command("fit-prior", run, "--kind", "gaussian").code == 0
    assert not torch.equal(reparam.load(run).sample(4), before)
    done = command("fit-prior", run, "--kind", "own")
    assert "the model keeps its own prior" in done.out
    assert torch.equal(reparam.load(run).sample(4), before)
    assert command("fit-prior", ae).code == 0
    assert "the model has no prior again" in command("fit-prior", ae, "--kind", "own").out
    assert not reparam.load(ae).model.has("prior")


def test_figures_of_another_prior_do_not_stand_beside(command: Callable, run: Path) -> None:
    def measured(*names: str) -> dict:
        assert command("evaluate", run, "--metrics", ",".join(names), "--images", 200).code == 0
        return json.loads((run / "evaluation.json").read_text())

    own = measured("kl", "mse")
    assert command("fit-prior", run, "--kind", "gaussian").code == 0
    assert "under another prior" in _page(command, run)
    fitted = measured("kl")
    assert set(fitted["metrics"]) == {"kl"}
    assert fitted["weights"][0] == own["weights"][0]
    assert fitted["weights"][1].startswith("best; prior: full Gaussian, fitted after training (")
    # The expectation over x of the KL to p is least for the Gaussian with the moments of all posteriors together.
    assert fitted["metrics"]["kl"]["value"] < own["metrics"]["kl"]["value"]
    assert command("fit-prior", run, "--kind", "mixture").code == 0
    assert measured("mse")["metrics"].keys() == {"mse"}
    assert "<dd>mixture of" in _page(command, run)


def _page(command: Callable, run: Path) -> str:
    assert command("report", run).code == 0
    return (run / "report.html").read_text()


def test_what_is_measured_is_under_the_fitted_prior(command: Callable, run: Path) -> None:
    """elbo = -(reconstruction + kl), nll at most -elbo, and kl = mutual information + marginal kl, each within its error."""
    assert command("fit-prior", run, "--kind", "mixture", "--components", "4").code == 0
    names = ["elbo", "reconstruction", "kl", "nll", "marginal_kl", "mutual_information"]
    found = reparam.load(run).evaluate(names, samples=500)
    value = {name: measure.value for name, measure in found.items()}
    assert value["elbo"] == pytest.approx(-value["reconstruction"] - value["kl"], abs=1e-3)
    assert value["nll"] < -value["elbo"] + 0.1
    parts = value["mutual_information"] + value["marginal_kl"]
    assert parts == pytest.approx(value["kl"], abs=5 * (found["kl"].stderr or 0) + 0.1)


def test_a_prior_of_other_weights_is_not_used_and_said(command: Callable, run: Path, tmp_path: Path) -> None:
    own = reparam.load(run).sample(2)
    assert command("fit-prior", run, "--kind", "gaussian").code == 0
    tensors, metadata = read_tensors(run / "weights.safetensors")
    changed = {name: tensor + 1e-3 for name, tensor in tensors.items()}
    write_tensors(run / "weights.safetensors", changed, metadata)
    done = command("sample", run, "--n", 2, "--out", tmp_path / "x.png")
    assert done.code == 0
    assert "was fitted to other weights and is not used: fit it again with" in done.err
    opened = reparam.load(run)
    assert opened.model.prior.standard_normal
    assert opened.kept.stamp == (metadata["step"], metadata["kept"])
    assert advised(done.err.splitlines()[0], command).code == 0  # type: ignore[attr-defined]
    assert not reparam.load(run).notes
    assert not torch.equal(reparam.load(run).sample(2), own)


def test_a_copy_of_the_run_has_it_too(command: Callable, run: Path, tmp_path: Path) -> None:
    assert command("fit-prior", run, "--kind", "mixture").code == 0
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    one, two = reparam.load(run), reparam.load(copy)
    assert torch.equal(one.sample(4), two.sample(4))
    assert one.kept == two.kept


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _written(**metadata: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        tensors, found = read_tensors(path)
        write_tensors(path, tensors, found | metadata)

    return change


def _tensor(name: str, change: Callable) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        tensors, found = read_tensors(path)
        write_tensors(path, tensors | {name: change(tensors[name])}, found)

    return write


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut short": _cut,
    "empty": lambda path: path.write_bytes(b""),
    "another format": _written(format=2),
    "another kind": _written(kind="uniform"),
    "a flow without sizes": _written(kind="flow"),
    "no components": _written(components=0),
    "more components": _written(components=7),
    "components without end": _written(components=10**9),
    "another shape": _tensor("loc", lambda value: value[:, :1]),
    "nan": _tensor("loc", lambda value: value * float("nan")),
    "no covariance": _tensor("root", lambda value: -value),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file_is_one_line_whose_remedy_works(case: str, command: Callable, run: Path, tmp_path: Path) -> None:
    assert command("fit-prior", run, "--kind", "mixture", "--components", "3").code == 0
    DAMAGE[case](run / "prior.safetensors")
    done = command("sample", run, "--n", 2, "--out", tmp_path / "x.png")
    refused(done, "prior.safetensors", "fit it again with")
    assert advised(done.err.splitlines()[-1], command).code == 0  # type: ignore[attr-defined]
    assert command("sample", run, "--n", 2, "--out", tmp_path / "x.png").code == 0


def test_models_without_latents_of_images_and_with_clusters_are_refused(three_runs: Path, command: Callable) -> None:
    refused(command("fit-prior", three_runs / "gan"), "does not encode and decode them")
    refused(command("fit-prior", three_runs / "mixed"), "whose components are its clusters")
    refused(command("train", "gan", "--data", "digits", "--fit-prior", "auto"), "does not encode and decode them")


def test_a_flow_without_zuko_is_refused_before_training(
    command: Callable, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(command("fit-prior", run, "--kind", "flow"), "pip install zuko")
    out = tmp_path / "out"
    refused(command("train", "vae", "--data", "digits", "--fit-prior", "flow", "--out", out), "pip install zuko")
    assert not out.exists()


def test_a_flow_is_kept_and_loaded_again(run: Path, monkeypatch: pytest.MonkeyPatch, command: Callable) -> None:
    pytest.importorskip("zuko")
    monkeypatch.setattr("reparam.latent.prior_fitting.FLOW_STEPS", 20)
    facts = reparam.load(run).fit_prior("flow")
    assert (facts.kind, facts.words) == ("flow", "normalising flow, fitted after training")
    one, two = reparam.load(run), reparam.load(run)
    assert torch.equal(one.sample(3), two.sample(3))
    z = generation.sample_latents(one.model, 100, 0)
    assert one.model.prior().log_prob(z).isfinite().all()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(command("sample", run, "--out", run / "x.png"), "pip install zuko")


def test_training_ends_with_it_where_asked(command: Callable, tmp_path: Path) -> None:
    words = ("--data", "digits", "--hidden", "16", "--latent", "3", "--epochs", "2", "--pictures", "0")
    for name, more in (("with", ("--fit-prior", "gaussian")), ("without", ())):
        assert command("train", "vae", *words, *more, "--out", tmp_path / name).code == 0
    fitted, plain = (reparam.load(tmp_path / name) for name in ("with", "without"))
    assert fitted.kept.prior == "full Gaussian, fitted after training"
    assert not plain.kept.prior
    same = [read_tensors(run.folder.weights_path)[0] for run in (fitted, plain)]
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[1])  # training does not change a bit
    by_hand = plain.fit_prior("gaussian")
    assert dataclasses.replace(by_hand, run="") == dataclasses.replace(
        prior_fit.read_facts(tmp_path / "with" / "prior.safetensors"),
        run="",  # type: ignore[arg-type, type-var]
    )


def test_resume_fits_what_a_kill_left_out(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--data", "digits", "--hidden", "16", "--latent", "3", "--epochs", "2", "--pictures", "0")
    with monkeypatch.context() as killed:
        killed.setattr(prior_fit, "fit_run_prior", _killed)
        done = command("train", "ae", *words, "--fit-prior", "mixture", "--out", tmp_path / "run")
    assert done.code == 130
    assert not (tmp_path / "run" / "prior.safetensors").exists()
    assert command("resume", tmp_path / "run").code == 0
    once = (tmp_path / "run" / "prior.safetensors").read_bytes()
    assert reparam.load(tmp_path / "run").kept.prior.startswith("mixture of")
    assert command("train", "ae", *words, "--fit-prior", "mixture", "--out", tmp_path / "whole").code == 0
    assert read_tensors(tmp_path / "whole" / "prior.safetensors")[0].keys() == {"logits", "loc", "root"}
    for name, value in read_tensors(tmp_path / "whole" / "prior.safetensors")[0].items():
        assert torch.equal(value, read_tensors(tmp_path / "run" / "prior.safetensors")[0][name])
    # One that has it, and one whose user went back to the model's own, are left as they are.
    assert command("resume", tmp_path / "run").code == 0
    assert (tmp_path / "run" / "prior.safetensors").read_bytes() == once
    assert command("fit-prior", tmp_path / "run", "--kind", "own").code == 0
    assert command("resume", tmp_path / "run").code == 0
    assert read_metadata(tmp_path / "run" / "prior.safetensors")["kind"] == "own"


def _killed(*args: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_what_cannot_be_fitted_is_no_failure_of_training(command: Callable, tmp_path: Path) -> None:
    small = tmp_path / "few.npz"
    np.savez(small, images=np.random.default_rng(0).integers(0, 256, (8, 8, 8), np.uint8))
    done = command(
        "train",
        "vae",
        "--data",
        f"array:{small}",
        "--hidden",
        "8",
        "--epochs",
        "1",
        "--fit-prior",
        "auto",
        "--out",
        tmp_path / "r",
    )
    assert done.code == 0, done
    assert "no prior was fitted: a prior is fitted to at least 10 images" in done.err


def test_a_run_on_all_images_holds_some_out(command: Callable, tmp_path: Path) -> None:
    words = (
        "--data",
        "digits",
        "--hidden",
        "8",
        "--latent",
        "2",
        "--epochs",
        "1",
        "--train-on",
        "all",
        "--keep",
        "last",
    )
    assert command("train", "ae", *words, "--out", tmp_path / "run").code == 0
    done = command("fit-prior", tmp_path / "run", "--json")
    assert "was trained on the validation images too" in done.err
    facts = json.loads(done.out)
    assert (facts["images"], facts["held"]) == (1347, 150)


def test_walks_stay_where_the_prior_is(run: Path) -> None:
    """On the great circle of the whitened latents every step is a draw in distribution; on the straight line of a mixture the
    ends are draws."""
    opened = reparam.load(run)
    for kind in ("gaussian", "mixture"):
        opened.fit_prior(kind)  # type: ignore[arg-type]
        z = generation.sample_latents(opened.model, 8, 0)
        images = generation.walks(opened.model, 4, 5)
        assert images.shape == (4, 5, 1, 8, 8)
        torch.testing.assert_close(images[:, 0], generation.decode(opened.model, z[:4]), atol=1e-4, rtol=0)
        torch.testing.assert_close(images[:, -1], generation.decode(opened.model, z[4:]), atol=1e-4, rtol=0)


def test_python_refuses_an_unknown_kind_and_reads_no_prior_that_is_gone(run: Path) -> None:
    opened = reparam.load(run)
    with pytest.raises(ConfigError, match="kind"):
        opened.fit_prior("best")  # type: ignore[arg-type]
    opened.fit_prior("gaussian")
    assert opened.kept.prior  # `model` was loaded anew
    drawn = rsample(opened.model.prior(), (3,), torch.Generator().manual_seed(0))
    assert drawn.shape == (3, 2)
    (run / "prior.safetensors").unlink()
    assert reparam.load(run).model.prior.standard_normal
    (run / "prior.safetensors").mkdir()
    with pytest.raises(RunError):
        reparam.load(run).model  # noqa: B018
