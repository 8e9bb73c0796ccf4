"""How a run is used: commands and Python that work as they are pasted."""

import shlex


def commands(path: str, data: str, abilities: frozenset[str]) -> list[str]:
    """The commands that this model answers to, ready to paste."""
    run, images = shlex.quote(path), shlex.quote(data)
    if "segment" in abilities:
        abilities = abilities - {"complete"}
    by_ability = {
        "sample": [f"reparam sample {run} --out samples.png"],
        "decode": [f"reparam grid {run} --out grid.png"],
        "segment": [f"reparam segment {run} PICTURE.jpg --out segmented"],
        "complete": [f"reparam complete {run} --out completed.png"],
        "reconstruct": [
            f"reparam {verb} {run} --out {noun}.png"
            for verb, noun in {
                "reconstruct": "reconstructions",
                "interpolate": "interpolations",
                "traverse": "traversals",
            }.items()
        ],
        "encode": [f"reparam encode {run} --data {images} --out latents.npz"],
    }
    if "reconstruct" not in abilities:
        by_ability["decode"].append(f"reparam interpolate {run} --out walks.png")
    return [
        f"reparam evaluate {run}",
        *(line for needs, found in by_ability.items() if needs in abilities for line in found),
    ]


def python_lines(path: str, abilities: frozenset[str]) -> str:
    """The same in Python."""
    lines = ["import reparam", "", f"run = reparam.load({path!r})", "model = run.model  # a torch.nn.Module"]
    if "sample" in abilities:
        lines.append("samples = run.sample(64, seed=1)  # [64, C, H, W], values in [0, 1]")
    if abilities & {"complete", "segment"}:
        lines.append("batch = run.examples(16)  # c is what the model sees; for your own images run.condition(images)")
        lines.append("answers = run.answers(batch.c, n=10)  # [16, 10, ...]")
    if "encode" in abilities:
        lines.append("images = run.dataset.test.images[:16] / 255  # or your own, [n, C, H, W]")
        lines.append("mean, scale = run.encode(images)  # of the latent, [n, K] each")
    if "reconstruct" in abilities:
        lines.append("rebuilt = run.reconstruct(images)")
    return "\n".join(lines)
