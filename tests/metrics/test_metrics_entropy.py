"""The entropy of label maps: of distributions whose entropy is known."""

import math

import pytest
import torch

from reparam.metrics import structured


def test_entropy_of_known_distributions() -> None:
    probs = torch.tensor([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])[:, :, None, None]
    found = structured.entropy(probs)
    assert found.shape == (3, 1, 1, 1)
    assert found.flatten().tolist() == pytest.approx([0, 1, math.log(2) / math.log(3)], abs=1e-6)
    # of two labels in bits: -(3/4) log2(3/4) - (1/4) log2(1/4) = 2 - (3/4) log2 3
    two = structured.entropy(torch.tensor([0.75, 0.25])[None, :, None, None])
    assert float(two) == pytest.approx(2 - 0.75 * math.log2(3), abs=1e-6)
