"""How a run is used: commands and Python that work as they are pasted."""

import shlex

# (the ability that it takes, the command)
COMMANDS = (
    ("sample", "reparam sample {run} --out samples.png"),
    ("decode", "reparam grid {run} --out grid.png"),
    ("walk", "reparam interpolate {run} --out walks.png"),
    ("segment", "reparam segment {run} PICTURE.jpg --out segmented"),
    ("complete", "reparam complete {run} --out completed.png"),
    ("reconstruct", "reparam reconstruct {run} --out reconstructions.png"),
    ("reconstruct", "reparam interpolate {run} --out interpolations.png"),
    ("reconstruct", "reparam traverse {run} --out traversals.png"),
    ("encode", "reparam encode {run} --data {data} --out latents.npz"),
)


def commands(path: str, data: str, abilities: frozenset[str]) -> list[str]:
    """The commands that suit this model, ready to paste."""
    if "segment" in abilities:
        abilities = abilities - {"complete"}
    if "decode" in abilities and "reconstruct" not in abilities:
        abilities = abilities | {"walk"}
    quoted = {"run": shlex.quote(path), "data": shlex.quote(data)}
    found = [line for needs, line in COMMANDS if needs in abilities]
    return [line.format(**quoted) for line in ("reparam evaluate {run}", *found)]


def python_lines(path: str, abilities: frozenset[str]) -> str:
    """The same in Python."""
    lines = ["import reparam", "", f"run = reparam.load({path!r})", "model = run.model  # a torch.nn.Module"]
    if "sample" in abilities:
        lines.append("samples = run.sample(64, seed=1)  # [64, C, H, W], values in [0, 1]")
    if abilities & {"complete", "segment"}:
        lines.append("batch = run.examples(16)  # c is what the model sees; for your own images run.condition(images)")
        lines.append("predictions = run.answers(batch.c, n=10)  # [16, 10, ...]")
    if "encode" in abilities:
        lines.append("images = run.dataset.test.images[:16] / 255  # or your own, [n, C, H, W]")
        lines.append("mean, scale = run.encode(images)  # of the latent, [n, K] each")
    if "reconstruct" in abilities:
        lines.append("rebuilt = run.reconstruct(images)")
    return "\n".join(lines)
