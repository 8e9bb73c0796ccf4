"""Two gloo processes take the step that one process takes at equal effective batch."""

import os
import signal
import socket
from pathlib import Path

import torch
import torch._inductor
import torch.distributed as dist
import torch.multiprocessing
from toys import as_traced, digits, duel_loop

from reparam.data.tasks import TaskOptions
from reparam.models import Schedule, Spec
from reparam.run.config import TrainingOptions, resolve
from reparam.tensor_files import read_tensors, write_tensors
from reparam.training import Loop, Silent

CYCLES = 5
SEEDS, WINDOWS, WINDOW = 6, 4, 25


def autoencoder_loop() -> Loop:
    config = resolve("ae", hidden=(16,), latent=2)
    torch.manual_seed(0)
    model = config.family.build(config.options, Spec((1, 8, 8)))
    options = TrainingOptions(batch_size=8, keep="last", pictures=0)
    objective = config.family.objective(config.options, Schedule(8, 80))
    return Loop(model, objective, digits(), TaskOptions(), options, torch.device("cpu"))


def vae_curve(seed: int) -> torch.Tensor:
    """The mean loss of each window, [WINDOWS]; the noise is each process's own."""
    config = resolve("vae", hidden=(16,), latent=2, batch_size=16, log_every=WINDOW, pictures=0, keep="last", seed=seed)
    torch.manual_seed(seed)
    model = config.family.build(config.options, Spec((1, 8, 8)))
    objective = config.family.objective(config.options, Schedule(8, WINDOWS * WINDOW))
    loop = Loop(model, objective, digits(), TaskOptions(), config.training, torch.device("cpu"))
    torch.manual_seed(100 * seed + (dist.get_rank() if dist.is_initialized() else 0))
    curve = []
    for _ in range(WINDOWS):
        for _ in range(WINDOW):
            loop.cycle()
        curve.append(loop.state.players[0].recall(WINDOW)[:, 0].mean())
    return torch.stack(curve)


LOOPS = {
    "duel": lambda: duel_loop(None, noise=False),
    "autoencoder": autoencoder_loop,
    "traced": lambda: duel_loop(None, noise=False, compile=True, accumulate=2),
}


def _cycles(loop: Loop) -> dict[str, torch.Tensor]:
    torch._inductor.compile = as_traced
    for _ in range(CYCLES):
        loop.cycle()
    return loop.state.weights()


class Impatient(Silent):
    """Ctrl-C at a log point."""

    def update(self, step: int, epoch: float, images_per_second: float, terms: dict[str, float]) -> None:
        if step == 50:
            signal.raise_signal(signal.SIGINT)


def _worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2")
    dist.init_process_group("gloo")
    for name, make in LOOPS.items():
        weights = _cycles(make())
        write_tensors(Path(folder) / f"{name}-{rank}.safetensors", weights, {})
    curves = torch.stack([vae_curve(seed) for seed in range(SEEDS)])
    write_tensors(Path(folder) / f"curves-{rank}.safetensors", {"curves": curves}, {})
    # A whole run, with checkpoints when the first process's clock says so, cut short on one process and continued on both.
    folder_of_run = Path(folder) / "run"
    loop = duel_loop(folder_of_run, noise=True, epochs=60, checkpoint_seconds=0.02, log_every=2)
    torch.manual_seed(3 + rank)
    if rank == 1:
        loop.progress = Impatient()
    assert loop.run().state == "interrupted"
    again = duel_loop(folder_of_run, noise=True, epochs=60, checkpoint_seconds=0.02, log_every=2)
    again.restore()
    assert again.state.step == loop.state.step
    assert again.run().state == "finished"
    whole = duel_loop(None, noise=True, epochs=60, checkpoint_seconds=1e9, log_every=2)
    torch.manual_seed(3 + rank)
    whole.run()
    write_tensors(Path(folder) / f"whole-{rank}.safetensors", whole.state.weights(), {})
    write_tensors(Path(folder) / f"resumed-{rank}.safetensors", again.state.weights(), {})
    dist.destroy_process_group()


def test_two_processes_take_one_processes_steps(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_worker, args=(port, str(tmp_path)), nprocs=2)
    for name, make in LOOPS.items():
        expected = _cycles(make())
        for rank in (0, 1):
            found, _ = read_tensors(tmp_path / f"{name}-{rank}.safetensors")
            for key, tensor in expected.items():
                # Adam divides by the root of a squared gradient: rounding of 1e-7 in the gradients shows as up to 1e-5.
                torch.testing.assert_close(found[key], tensor, rtol=0, atol=1e-5)
    curves, (_, found) = (
        torch.stack([vae_curve(seed) for seed in range(SEEDS)]),
        (read_tensors(tmp_path / f"curves-{rank}.safetensors")[0]["curves"] for rank in (0, 1)),
    )
    # Initial weights and batches are the same on both sides, seed by seed, and the noise is not: paired differences.
    apart = found - curves
    assert (apart.mean(0).abs() < 4 * apart.std(0) / SEEDS**0.5).all()
    assert (apart.abs().amax(0) < curves.amax(0) - curves.amin(0)).all()
    for rank in (0, 1):
        whole, resumed = (read_tensors(tmp_path / f"{name}-{rank}.safetensors")[0] for name in ("whole", "resumed"))
        assert all(torch.equal(whole[key], resumed[key]) for key in whole)
