"""How a run is used: commands and Python that work as they are pasted."""

import shlex

from reparam.core.abilities import Ability
from reparam.data.sources.in_python import IN_PYTHON

# (the ability that it takes, the command); those of the run's own images, which a command cannot have where Python gave them.
COMMANDS = (
    (Ability.SAMPLE, "reparam sample {run} --out samples.png"),
    (Ability.DECODE, "reparam grid {run} --out grid.png"),
    (Ability.SEGMENT, "reparam segment {run} PICTURE.jpg --out segmented"),
)
OF_IMAGES = (
    (Ability.COMPLETE, "reparam complete {run} --out completed.png"),
    (Ability.RECONSTRUCT, "reparam reconstruct {run} --out reconstructions.png"),
    (Ability.RECONSTRUCT, "reparam interpolate {run} --out interpolations.png"),
    (Ability.RECONSTRUCT, "reparam traverse {run} --out traversals.png"),
    (Ability.ENCODE, "reparam encode {run} --out latents.npz"),
)
WALKS = "reparam interpolate {run} --out walks.png"  # between random latents, of a model that cannot reconstruct


def commands(path: str, data: str, abilities: frozenset[Ability]) -> list[str]:
    """The commands that suit this model, ready to paste."""
    if Ability.SEGMENT in abilities:
        abilities = abilities - {Ability.COMPLETE}
    in_python = data == IN_PYTHON
    found = [line for needs, line in (*COMMANDS, *(() if in_python else OF_IMAGES)) if needs in abilities]
    if Ability.DECODE in abilities and Ability.RECONSTRUCT not in abilities:
        found.append(WALKS)
    return [line.format(run=shlex.quote(path)) for line in (*([] if in_python else ["reparam evaluate {run}"]), *found)]


def python_lines(path: str, data: str, abilities: frozenset[Ability]) -> str:
    """The same in Python."""
    given = ", data=...)  # the images that it was trained on" if data == IN_PYTHON else ")"
    lines = ["import reparam", "", f"run = reparam.load({path!r}{given}", "model = run.model  # a torch.nn.Module"]
    if Ability.SAMPLE in abilities:
        lines.append("samples = run.sample(64, seed=1)  # [64, C, H, W], values in [0, 1]")
    if abilities & {Ability.COMPLETE, Ability.SEGMENT}:
        lines.append("batch = run.examples(16)  # c is what the model sees; for your own images run.condition(images)")
        lines.append("predictions = run.predictions(batch.c, n=10)  # [16, 10, ...]")
    if Ability.ENCODE in abilities:
        lines.append("images = run.dataset.test.images[:16]  # or your own: uint8, or floats in [0, 1]")
        lines.append("mean, scale = run.encode(images)  # of the latent, [n, K] each")
    if Ability.RECONSTRUCT in abilities:
        lines.append("rebuilt = run.reconstruct(images)")
    return "\n".join(lines)
