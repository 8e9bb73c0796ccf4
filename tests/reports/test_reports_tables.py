"""Numbers as text: as many digits as the error allows."""

import pytest
from rich.console import Console

from reparam.evaluation.metrics.table import METRICS, Measure
from reparam.reports.tables import evaluation_table, meaning, plain_figures, with_error
from reparam.run.documents import Baseline


@pytest.mark.parametrize(
    ("value", "stderr", "expected"),
    [
        (-104.4567, 0.2251, ("-104.46", "0.23")),
        (0.0145397, 0.0000761, ("0.014540", "0.000076")),
        (12345.6, 37.2, ("12,346", "37")),
        (1.5, 0.0997, ("1.50", "0.10")),
        (20.0, None, ("20", "")),
        (3.14159, None, ("3.142", "")),
        (2.0, 0.0, ("2", "")),
        (2.6390573296152584, 2.4e-16, ("2.639", "")),  # rounding, no error
        (100.0, 1e-14, ("100", "")),
        (1234.5678, 2e-4, ("1,234.56780", "0.00020")),
        (1.2345678e-6, 2.4e-8, ("1.235e-06", "2.4e-08")),
        (0.0, 3e-9, ("0.0e+00", "3.0e-09")),
        (-3e-9, 4e-7, ("-3.0e-09", "4.0e-07")),
        (0.0, 0.0021, ("0.0000", "0.0021")),
    ],
)
def test_digits_follow_the_error(value: float, stderr: float | None, expected: tuple[str, str]) -> None:
    assert with_error(value, stderr) == expected


def test_every_metric_has_a_meaning() -> None:
    assert all(meaning(name) for name in METRICS)
    assert meaning("unknown") == ""


def test_the_table_has_a_row_a_metric() -> None:
    measures = {"elbo": Measure(-104.4567, 0.2251, 10_000, "nats/image"), "mine": Measure(1.0, None, 5, "[of 8]")}
    console = Console(width=140, record=True)
    console.print(evaluation_table(measures))
    text = console.export_text()
    assert "-104.46  ± 0.23  nats/image  10,000" in " ".join(text.split("\n")).replace("   ", "  ")
    assert "evidence lower bound" in text
    assert "[of 8]" in text


def test_plain_baselines_stand_beside_with_a_mark_where_they_are_better() -> None:
    plain = (Baseline("64 principal components", 22.9, 0.2, 0.05), Baseline("mean image", 14.1, 0.2, 0.2))
    measure = Measure(21.63, 0.21, 500, "dB", baselines=plain)
    assert [one.better for one in plain_figures("psnr", measure)] == [True, False]
    console = Console(width=200, record=True)
    console.print(evaluation_table({"psnr": measure}))
    lines = console.export_text().split("\n")
    assert "22.90 (64 principal components): better" in lines[1]
    assert "14.10 (mean image)" in lines[2]
    assert "better" not in lines[2]
