"""Every measured figure of the pages is the stored one; and the mechanism that says so finds what is wrong."""

import json
from pathlib import Path

import pytest

from docs import figures
from docs.figures import exemptions, expanded, mistakes, pages, prose, source

EXEMPT = exemptions()


@pytest.mark.parametrize("name", [name for name in pages() if name not in EXEMPT["pages"]])
def test_figures_are_the_stored_ones(name: str) -> None:
    wrong = mistakes(pages()[name], EXEMPT.get(name, {}))
    assert not wrong, f"{name}: " + "\n".join(wrong)


def test_exemptions_are_of_pages_that_are_there() -> None:
    assert {*EXEMPT, *EXEMPT["pages"]} - {"pages"} <= set(pages())


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three seeds of a row and of its base, which differ by 1, 2 and 3 points, and a benchmark."""
    monkeypatch.setattr(figures, "CELLS", tmp_path)
    monkeypatch.setattr(figures, "BENCHMARKS", tmp_path)
    for seed in range(3):
        for arm, accuracy in (("none", 0.8), ("vae", 0.8 + 0.01 * (seed + 1))):
            metric = {"value": accuracy, "stderr": 0.0123, "note": "posterior, strength 3.27, change 3.47"}
            document = {"metrics": {"accuracy": metric}, "seconds": {"training": 90.0}}
            (tmp_path / f"low-mnist-10-{arm}-seed{seed}.json").write_text(json.dumps(document))
    rates = {
        "half": {"median": 1.125, "low": 0.94, "high": 1.2},
        "bytes": 2.5e9,
        "elbo": {"mean": -104.17},
        "runs": [{}, {"nll": 7, "stderr": 0.5}],
    }
    (tmp_path / "made.json").write_text(json.dumps(rates))


GAIN = "low-data / MNIST, 10 labels: VAE / accuracy, % − none's, paired"  # 2 with an error of 1/sqrt(3)
CASES = {
    "+2.0 ± 0.6": GAIN,
    "82.00 (81.00 to 83.00)": "low-data / MNIST, 10 labels: VAE / accuracy, %",
    "0.81 ± 0.012": "low-mnist-10-vae-seed0 / accuracy",
    "81.0%": "low-mnist-10-vae-seed0 / accuracy",
    "3.3": "low-mnist-10-vae-seed0 / accuracy / strength",
    "1.5 minutes": "low-mnist-10-vae-seed0 / seconds.training",
    "1.1 (0.9 to 1.2)": "benchmarks/made / half",
    "2.5 GB": "benchmarks/made / bytes",
    "104.2 nats": "benchmarks/made / elbo",
    "−104.17": "benchmarks/made / elbo",
    "7.0 ± 0.5": "benchmarks/made / runs.1.nll",
}


def page(text: str, *sources: str) -> str:
    return f"{text}\n\n" + "\n".join(["<!-- figures", *sources, "-->"]) + "\n"


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("figure", CASES)
def test_a_figure_is_compared_at_its_places_with_error_and_range(figure: str) -> None:
    assert mistakes(page(f"It gains {figure} there.", CASES[figure])) == []


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize(
    ("figure", "line"),
    [
        ("+2.1 ± 0.6", GAIN),
        ("+2.0 ± 0.5", GAIN),
        ("-2.0 ± 0.6", GAIN),
        ("82.00 (81.00 to 83.10)", CASES["82.00 (81.00 to 83.00)"]),
        ("82.1%", CASES["81.0%"]),
        ("+104.17", CASES["−104.17"]),
        ("1.6 minutes", CASES["1.5 minutes"]),
        ("1.2 (0.9 to 1.2)", CASES["1.1 (0.9 to 1.2)"]),
    ],
)
def test_another_figure_is_found(figure: str, line: str) -> None:
    missing, without = mistakes(page(f"It gains {figure} there.", line))
    assert "is not among the next figures" in missing
    assert "has no source" in without


@pytest.mark.usefixtures("results")
def test_sources_are_in_the_order_of_the_figures() -> None:
    two = ("low-mnist-10-{none,vae}-seed0 / accuracy",)
    assert mistakes(page("| a | 0.80 |\n| b | 0.81 |", *two)) == []
    assert len(mistakes(page("| a | 0.81 |\n| b | 0.80 |", *two))) == 2


@pytest.mark.parametrize("figure", ["0.81", "12 ± 3", "1,250 (900 to 1,300)", "71%", "3 dB", "12 分钟", "4 sigma"])
def test_a_figure_without_a_source_is_found_unless_it_is_exempt(figure: str) -> None:
    text = f"- so much: {figure}, measured\n"
    (mistake,) = mistakes(text)
    assert "has no source" in mistake
    assert mistakes(text, [f"{figure}, measured"]) == []
    assert mistakes(text, ["- so ... measured"]) == []
    (stale,) = mistakes("- nothing\n", [f"{figure}, measured"])
    assert "exempts nothing" in stale


@pytest.mark.parametrize(
    "text", ["`--scale 0.5`", "$w = 0.5$", "[a](b-0.5.md)", "```\n0.5 dB\n```", "section 4.2", "10 images of 28 x 28"]
)
def test_what_is_no_measured_figure_needs_no_source(text: str) -> None:
    assert mistakes(text + "\n") == []
    assert len(prose(text)) == len(text)


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("low-datum / a / b", "no experiment, cell or benchmark 'low-datum'"),
        ("low-data / a / accuracy, %", "has no row 'a'"),
        ("low-data / MNIST, 10 labels: VAE / error", "has no 'error', but accuracy, %"),
        ("low-data / MNIST, 10 labels: none / accuracy, % − none's, paired", "is compared with nothing"),
        ("low-mnist-10-vae-seed0 / nll", "no 'nll' there"),
        ("low-mnist-10-vae-seed0 / accuracy / judge", "the note is 'posterior"),
        ("low-mnist-10-vae-seed0 / seconds", "an object with training: which of them?"),
        ("low-mnist-10-vae-seed0", "no '' there"),
        ("low-data", "has no row ''"),
    ],
)
def test_a_source_that_is_not_there_is_named(line: str, said: str) -> None:
    with pytest.raises(LookupError):
        source(line)
    assert said in mistakes(page("0.5", line))[0]


def test_braces_stand_for_lines_as_in_a_shell() -> None:
    assert list(expanded("{a,b} x {1,2}")) == ["a x 1", "a x 2", "b x 1", "b x 2"]
