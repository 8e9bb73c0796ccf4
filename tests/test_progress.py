"""What a person reads of long work."""

import pytest

from reparam.progress import reached


@pytest.mark.parametrize(
    ("step", "epoch", "of", "text"),
    [
        (180, 9.51778, 600, "180 of 600 steps (9.52 epochs)"),
        (600, 10.0789, 600, "600 steps (10.1 epochs)"),
        (600, 10.0789, 0, "600 steps (10.1 epochs)"),
        (3_000_000, 12_345.6, 3_000_000, "3,000,000 steps (12,346 epochs)"),
    ],
)
def test_steps_come_first_and_epochs_are_rounded(step: int, epoch: float, of: int, text: str) -> None:
    assert reached(step, epoch, of) == text
