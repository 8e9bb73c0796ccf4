"""The library's front: train, adopt, resume, load, evaluate and others. The command is a thin layer over these.

Long work shows its progress, on a terminal as a bar and elsewhere as a line now and then. `progress=False` shows nothing; a
`reparam.progress.Progress` shows it in another way.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from reparam.adoption import adopt_run
from reparam.core.calls import Remedy, checked, checked_methods
from reparam.data import Dataset
from reparam.data.new_pictures import NewPictures
from reparam.data.options import Damaged, DataOptions
from reparam.data.sources.in_python import EXPECTED, IN_PYTHON, as_dataset, is_images
from reparam.errors import ConfigError, short
from reparam.evaluation import EvaluationOptions, Finding, Measure, diagnose, evaluate_new, evaluate_run, run_context
from reparam.evaluation.flips import Flips, measure_flips
from reparam.files import user_path
from reparam.latent.augmentation import BaseAugmenter
from reparam.models import Family
from reparam.models.adopted import ADOPTED
from reparam.progress import Progress, chosen_progress, silent
from reparam.reports.notebook import shows_images, summary, summary_html
from reparam.reports.page import write_report
from reparam.run import relocation
from reparam.run.config import resolve
from reparam.run.data import check_fingerprint, own_data
from reparam.run.family import name_of
from reparam.run.folder import RunFolder
from reparam.run.loaded import Given, LoadedRun
from reparam.session import continue_run, start
from reparam.trial import Answer, AugmentTestOptions, Trial

ARRAY = Remedy(
    "give a name, 'folder:PATH' or 'array:FILE'; to test on an array, numpy.savez('images.npz', images=...) and "
    "data='array:images.npz'"
)


# A name, or images in Python: what has a length and items (`reparam.data.sources.in_python.as_dataset`).
Data = str | Tensor | Dataset | Any
Shown = Progress | Literal[False] | None


@shows_images("examples", "sample", "reconstruct", "predict", "decompress")
@checked_methods
class Run(LoadedRun):
    """A trained run: its model, its data, and all that can be done with them. Open one with `reparam.load(path)`. In a notebook
    it shows what it is, samples and figures; images that its methods return show themselves."""

    temporary: TemporaryDirectory[str] | None = (
        None  # the folder of one that was adopted without a place; it goes with the run
    )

    def __repr__(self) -> str:
        return summary(self)

    def _repr_html_(self) -> str:
        return summary_html(self)

    def evaluate(
        self,
        metrics: str | Sequence[str] | None = None,
        *,
        new: NewPictures | Given = None,
        progress: Shown = None,
        say: Callable[[str], None] | None = None,
        **options: Any,
    ) -> dict[str, Measure]:
        """Measures on the test images, metric by metric into RUN/evaluation.json (those measured before stay in it); or on `new`
        pictures, as `read` takes or returns them, of which nothing is written.

        Without `metrics`: all that the model allows in reasonable time ("all": the expensive ones too), and a diagnosis.
        `options` are the command's, with underscores: samples, nll_images, split, ... Raises ConfigError for an unknown or
        ill-typed one, for metrics that do not apply, and for an empty list of them. `say` is told what is measured and left out
        (None: shown with the progress).
        """
        chosen = chosen_progress(progress)
        how, say = EvaluationOptions.of(options), say or chosen.note
        if new is not None:
            if not isinstance(new, NewPictures):
                new = self.read(new)
                for note in new.notes:
                    say(note)
            return evaluate_new(self, new, metrics, how, chosen, say)
        return evaluate_run(self, metrics, how, chosen, say)

    def diagnose(self, **options: Any) -> tuple[Finding, ...]:
        """What is wrong with the model, in words, and what helps: untrained, collapsed, overfitted, healthy, ... `options`: as
        of `evaluate`."""
        return diagnose(run_context(self, EvaluationOptions.of(options)))

    def flips(
        self,
        augmenter: BaseAugmenter,
        dataset: Dataset | None = None,
        progress: Progress | None = None,
        say: Callable[[str], None] = silent,
    ) -> Flips:
        """How often an augmenter changes the class, beside pixel moves: the share of moved validation images (of the run's data,
        or of `dataset`) that a judge reads otherwise than the images themselves. The judge, a classifier, is trained at its first
        use. `.worse`: more often than pixel moves; `.require(0.05)` raises ConfigError above that share."""
        return measure_flips(self, augmenter, dataset, progress, say)

    def report(self, say: Callable[[str], None] = silent) -> Path:
        """Writes RUN/report.html, one self-contained file, and returns its path. `say` is told what is missing on it, and
        why; the page says so too."""
        return write_report(self, say)


@checked
def load(path: str | Path, device: str | torch.device = "auto", trust: bool = False, *, data: Data = None) -> Run:
    """Opens a run folder. Raises RunError naming what is missing or damaged, or code that the run names and this user did not
    train it with here: with `trust` it runs, from installed packages and PYTHONPATH. data: the images that it was trained on,
    where these were given in Python; DataError for others."""
    run = Run(path, device, trust)
    if (given := _given("load", data, run.config.data)) is not None:
        run.dataset = own_data(run.path, run.config, run.spec, given)
        check_fingerprint(run.path, run.document, run.config, given)
    return run


def _given(function: str, data: Data, options: DataOptions, names: bool = False) -> Dataset | None:
    """The images that Python gives to a function; None for None and, where it takes `names`, for text. Raises ConfigError for
    what is no images."""
    if isinstance(data, str) and names:
        if "\0" in data:
            raise ConfigError(
                f"option 'data' of '{function}': text without the character NUL is expected, got {short(data)}"
            )
        return None
    if data is None and not names:
        return None
    if not is_images(data):
        name = "a name such as 'folder:PATH', or " if names else ""
        raise ConfigError(f"option 'data' of '{function}': {name}images are expected, got {short(data)}; {EXPECTED}")
    return as_dataset(data, options)


@checked
def train(
    model: str | Family = "vae",
    data: Data = "",
    *,
    recipe: str | None = None,
    out: str | Path | None = None,
    progress: Shown = None,
    trust: bool = False,
    **options: Any,
) -> Run:
    """Trains a model and returns its run. model: its name, `package.module:NAME` of a `Family` of one's own, or such a family,
    which a module or the session holds under a name. `trust`: see `load`, for runs that augment images.

    data: what `--data` names, or the images themselves: a tensor or array [N, C, H, W] of uint8 or of floats in [0, 1], a pair
    (images, labels), a torch Dataset of (image, label), or a dict of these by split. Of such a run.json has the fingerprint, and
    `load`, `resume` and `evaluate` want them again.

    `options` are the command's, with underscores: epochs, latent, learning_rate, ... Raises ConfigError for an unknown or
    ill-typed one, DataError for data that cannot be read, DivergedError when a term is not finite.
    """
    name = model if isinstance(model, str) else name_of(model)
    config = resolve(name, recipe, data=data if isinstance(data, str) else IN_PYTHON, **options)
    if not config.data.data:
        raise ConfigError("which images? give data='mnist', 'folder:PATH' or 'array:FILE', or images in Python")
    given = _given("train", data, config.data, names=True)
    folder, _ = start(config, out, chosen_progress(progress), trust, given)
    run = Run(folder.path, config.training.device, trust=True)  # its code has just run
    if given is not None:
        run.dataset = given
    return run


@checked
def adopt(
    model: Any,
    data: Data = "",
    *,
    out: str | Path | None = None,
    weights: str | Path | dict[str, Any] | None = None,
    progress: Shown = None,
    **options: Any,
) -> Run:
    """A model that was made and trained elsewhere as a run, which `evaluate`, `report`, `compare` and all else take; it is not
    trained. What was given stays as it is: the run has a copy.

    model: a module with methods `encode(x)` and `decode(z)`, or with parts `encoder` and `decoder`, or a pair of modules; a
    function without arguments that makes it; or the import path of such a function, `package.module:NAME`, by which the run can
    be opened again elsewhere. Encoders return (mu, log variance), one tensor (a point), or a torch Distribution; decoders images
    or logits [n, C, H, W], or a Distribution. p(z) is N(0, I).

    data: as of `train`; the run is measured on these. weights: a safetensors file, or a state_dict, of the module (of a pair:
    names begin with `encoder.` and `decoder.`). options:
    likelihood, which says what a decoder's images were trained for: 'bernoulli', 'continuous-bernoulli', 'gaussian', 'laplace'
    (scale: of the last two); output='logits'; values=(-1, 1) where black is -1 to the modules; and those of data, such as size.
    out: the run's folder; None: one that is gone with the run.

    Raises ConfigError for modules whose layout, returns or sizes do not fit, with the remedy; and for those that draw, or whose
    output for an image depends on others in the batch."""
    temporary = None if out else TemporaryDirectory(prefix="reparam-")
    place = user_path(out) if out else Path(temporary.name if temporary else "")
    asked = options | {"data": data if isinstance(data, str) else IN_PYTHON}
    folder, given = adopt_run(
        model,
        weights,
        place,
        chosen_progress(progress),
        asked,
        lambda options: _given("adopt", data, options, names=True),
    )
    run = Run(folder.path, options.get("device", "auto"), trust=True)  # its code has just run
    if given is not None:
        run.dataset = given
    run.temporary = temporary
    return run


@checked
def augment_test(
    data: Annotated[str, ARRAY],
    *,
    out: str | Path | None = None,
    progress: Shown = None,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> Answer:
    """Whether augmentation helps on images: trains classifiers without it, with pixel moves, with a G-VAE's and with both,
    several seeds of each, and tests them on held-out images (`trial.Answer`; also OUT/augment-test.json).

    `options` are those of `reparam augment-test`, with underscores: labels_per_class, seeds, strength, ... `say` is told first
    how many minutes it will take. An interruption keeps what has ended; the same call goes on from there. Raises ConfigError for
    unknown options and for a folder of another test, DataError for images without classes.
    """
    chosen = chosen_progress(progress)
    trial = Trial(data, out, AugmentTestOptions.of(options), chosen)
    (say or chosen.note)(trial.estimate())
    return trial.run()


@checked
def resume(
    run: str | Path, progress: Shown = None, damaged: Damaged | None = None, trust: bool = False, *, data: Data = None
) -> Run:
    """Continues a run from its last checkpoint, exactly as if it had not stopped; a finished run is left as it is.

    `damaged`: from here on, and in evaluation, what becomes of images on disk that cannot be read (None: as it was). `trust`,
    `data`: see `load`."""
    folder = RunFolder(user_path(run), trust)
    config, chosen = folder.config(), chosen_progress(progress)
    given = _given("resume", data, config.data)
    if folder.ended() and config.recipe != ADOPTED:
        chosen.note(
            f"{folder.path} has ended; reparam.train(..., init_from={str(folder.path)!r}) goes on from its weights"
        )
    folder, _ = continue_run(folder, chosen, damaged, given)
    return load(folder.path, config.training.device, trust, data=given)


@checked
def relocate(run: str | Path, path: str | Path, trust: bool = False) -> Run:
    """Says where the data of a run lies now, for good. Raises DataError for other images than it was trained on. `trust`: see
    `load`."""
    relocation.relocate(RunFolder(user_path(run), trust), path)
    return load(run, trust=trust)


@checked
def evaluate(
    run: str | Path,
    metrics: str | Sequence[str] | None = None,
    trust: bool = False,
    *,
    data: Data = None,
    **options: Any,
) -> dict[str, Measure]:
    """`reparam.load(run, trust=trust, data=data).evaluate(metrics, **options)`."""
    return load(run, trust=trust, data=data).evaluate(metrics, **options)
