"""Charts: what they draw, what they leave to the page, and that they are the same every time."""

import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

from reparam.errors import RunError
from reparam.reports.charts import DARK, PALETTE, for_dark, latent_bars, lines, training_curves
from reparam.reports.scatter import latent_scatter
from reparam.run.documents import MetricsLine


def metrics(n: int = 30, bad: float = 1.0) -> list[MetricsLine]:
    lines = []
    for i in range(n):
        terms = {"total": 100 / (i + 1), "kl": float(i) if i else bad}
        lines.append(MetricsLine(i, i / 10, "train", terms, learning_rate=1e-3))
        lines.append(MetricsLine(i, i / 10, "validation", terms))
    return lines


@pytest.mark.parametrize("latent", [1, 2, 7])
def test_scatter_is_svg_with_a_legend_of_the_classes_that_are_there(latent: int) -> None:
    codes = torch.randn(60, latent, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 3
    chart = latent_scatter(codes, labels, ["<b>cat</b> $x^2", "犬", "fox", "absent"])
    ElementTree.fromstring(chart.svg)
    assert [entry.name for entry in chart.legend] == ["<b>cat</b> $x^2", "犬", "fox"]
    assert [entry.colour for entry in chart.legend] == list(PALETTE[:3])
    assert ("principal component" in chart.svg) == (latent > 2)
    assert "<b>" not in chart.svg


def test_scatter_without_labels_has_one_colour_and_no_legend() -> None:
    chart = latent_scatter(torch.randn(20, 2), torch.full((20,), -1), [])
    assert chart.legend == ()


def test_scatter_names_images_without_a_label() -> None:
    chart = latent_scatter(torch.randn(20, 2), torch.arange(20) % 3 - 1, ["a", "b"])
    assert [entry.name for entry in chart.legend] == ["unlabelled", "a", "b"]


def test_scatter_survives_identical_codes_and_many_classes() -> None:
    chart = latent_scatter(torch.zeros(200, 5), torch.arange(200) % 70, [f"class {i}" for i in range(70)])
    assert len(chart.legend) == 50


def test_curves_show_every_term_and_survive_what_is_not_finite() -> None:
    chart = training_curves(metrics(bad=math.nan), kept_epoch=1.5)
    for title in ("total", "kl", "learning rate"):
        assert f">{title}</text>" in chart.svg
    assert [entry.name for entry in chart.legend] == ["training", "validation", "kept weights"]
    assert "nan" not in chart.svg


def test_long_curves_stay_small() -> None:
    assert len(training_curves(metrics(5000)).svg) < 300_000


def test_equal_charts_are_equal_files_and_dark_only_exchanges_colours() -> None:
    chart, again = training_curves(metrics()), training_curves(metrics())
    assert chart.svg == again.svg
    dark = for_dark(chart.svg)
    assert len(dark) == len(chart.svg)
    for light, other in DARK.items():
        assert light not in dark
        assert (light in chart.svg) == (other in dark)


def test_curves_need_a_finite_value() -> None:
    with pytest.raises(RunError, match="logged nothing"):
        training_curves([MetricsLine(1, 0.1, "train", {"total": math.nan})])


def test_lines_name_their_series_and_have_plain_numbers_on_their_axes() -> None:
    chart = lines({"k = 1": [(1, 3.0), (1000, 2.0)]}, "minutes", "nats", {"paper": 1.5}, log_x=True)
    for text in ("k = 1", "paper", "minutes", "nats", ">10<", ">100<"):
        assert text in chart.svg
    assert "mathdefault" not in chart.svg


def test_bars_are_as_many_as_latents() -> None:
    few, many = (latent_bars(torch.linspace(1, 0, n), "nats").svg for n in (3, 8))
    assert many.count("<path") - few.count("<path") >= 5
    assert "nats" in few


def test_charts_do_not_follow_a_matplotlibrc(tmp_path: Path) -> None:
    """Which matplotlib reads in the current folder: it may ask for other programs, and would change every chart."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nxtick.labelsize: 30\n")
    code = "from reparam.reports.charts import latent_bars; import torch; print(latent_bars(torch.ones(3), 'nats').svg)"
    charts = [
        subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
        for folder in (tmp_path, tmp_path.parent)
    ]
    assert "<svg" in charts[0]
    assert charts[0] == charts[1]
