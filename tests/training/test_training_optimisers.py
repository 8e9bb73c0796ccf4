"""What the loop's optimisers do beyond torch's is nothing but faster."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from reparam.run.config import TrainingOptions
from reparam.training.optimisers import make_optimiser


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_takes_torchs_steps_to_the_bit(name: str) -> None:
    """Also where a parameter has no gradient at first or for a while, and behind a state that was loaded."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    options = TrainingOptions(optimiser=name, adam_beta1=0.8, adam_beta2=0.95, weight_decay=0.1)
    torch.manual_seed(0)
    ours, theirs = ([nn.Parameter(torch.ones(5, 3)), nn.Parameter(torch.ones(7))] for _ in range(2))
    one = make_optimiser(ours, options, torch.device("cpu"))
    other = kinds[name](theirs, lr=torch.tensor(0.0), betas=(0.8, 0.95), weight_decay=0.1, fused=True)
    for step in range(12):
        for optimiser in (one, other):
            optimiser.param_groups[0]["lr"].fill_(0.1 / (step + 1))
        for a, b in zip(ours, theirs, strict=True):
            without = a is ours[1] and step in (0, 6, 7)
            a.grad = None if without else torch.randn_like(a)
            b.grad = None if without else a.grad.clone()
        one.step()
        other.step()
        if step == 9:
            one.load_state_dict(one.state_dict())
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b), step


def test_training_does_not_wait_for_the_compilers_import(tmp_path: Path) -> None:
    """torch's own optimisers import it in their first step, and where their state is loaded."""
    run = tmp_path / "run"
    code = f"""
import sys, reparam
from pathlib import Path
reparam.train("vae", data="digits", hidden=(8,), epochs=0.2, pictures=0, out={str(run)!r})
status = Path({str(run / "status.json")!r})
status.write_text(status.read_text().replace("finished", "running"))
reparam.resume({str(run)!r})
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


def test_what_adam_cannot_do_it_says_as_torch_does() -> None:
    table = nn.Embedding(5, 2, sparse=True)
    optimiser = make_optimiser(table.parameters(), TrainingOptions(), torch.device("cpu"))
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        optimiser.step()
