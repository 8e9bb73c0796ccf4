"""`FIGURES`: what a report shows, in its order. One function and one row add a figure."""

from reparam.core.abilities import Ability
from reparam.reports import options
from reparam.reports.figures import latent_moves, latents, predictions, reconstructions, samples, training
from reparam.reports.figures.figure import Figure
from reparam.reports.run_view import RunView


def _pairs(view: RunView) -> options.InterpolationOptions:
    """Images of classes that are not neighbours: the first half of the examples with the second."""
    index = view.examples(2 * (view.page.noisy_rows + 1)).index.tolist()
    half = len(index) // 2
    pairs = zip(index[:half], index[half : 2 * half], strict=True)
    return options.InterpolationOptions(steps=view.page.across - 2, index=tuple(i for pair in pairs for i in pair))


FIGURES: dict[str, Figure] = {
    "samples": Figure(
        "Samples",
        "Generated images: random latents, decoded. Look for variety, and for images that could pass for real.",
        Ability.SAMPLE,
        samples.samples,
        lambda view: options.SampleOptions(n=view.page.across * view.page.rows, across=view.page.across),
    ),
    "neighbours": Figure(
        "Nearest training images",
        "Samples above the training images that they are nearest to, pixel by pixel. A sample that is one of them again was "
        "memorised, not generated.",
        Ability.SAMPLE,
        samples.neighbours,
        lambda view: options.SampleOptions(n=view.page.across),
    ),
    "predictions": Figure(
        "Predictions",
        "A row for each test image: what the model was given; its first guess from that alone, of a model that makes one; the "
        "prediction at the mean latent z*; predictions at random latents, which should differ where the truth is open and agree "
        "where it is not; their average; the truth; and their standard deviation, bright where they differ.",
        Ability.PREDICT,
        predictions.predictions,
        lambda view: options.PredictionOptions(n=view.page.across, samples=view.page.predictions),
    ),
    "classes": Figure(
        "Images of each class",
        "A column for each class: random latents, decoded for that class.",
        Ability.SAMPLE_BY_CLASS,
        samples.classes,
    ),
    "components": Figure(
        "Components of the prior",
        "A row for each of the heaviest components of the mixture, with its weight: random latents of that component, decoded. "
        "Where a component has found a cluster, its row shows one kind of image; rows that look alike share one cluster.",
        Ability.CLUSTER,
        samples.components,
        lambda view: options.SampleOptions(n=view.page.across),
    ),
    "reliability": Figure(
        "Reliability",
        "The share of pixels that are right, against the confidence of their prediction. On the diagonal the two agree; below it "
        "the model is overconfident. Bars: the share of all pixels.",
        Ability.SEGMENT,
        predictions.reliability,
    ),
    "latent-moves": Figure(
        "Perturbations that should keep the class",
        "Above, a row for each test image, moved along the top tenth of its posterior's scales together, up to 3 sigma to both "
        "sides; below, one image along the single latents of most effect. The image is in the middle; the last column is noise "
        "in z. Under each: the class that a judge classifier reads, and the change (L2). Last, once measured, how often a "
        "change of a given size flips the judge's class. Look for visible changes that keep the class.",
        Ability.KEEP_CLASS,
        latent_moves.page_figure,
    ),
    "reconstructions": Figure(
        "Reconstructions",
        "Test images, which training never saw, above their reconstructions. What is lost, the latent does not hold or the "
        "decoder does not draw.",
        Ability.RECONSTRUCT,
        reconstructions.reconstructions,
        lambda view: options.ReconstructionOptions(n=2 * view.page.across, across=view.page.across),
    ),
    "latents": Figure(
        "Latent space",
        "Each point is a test image, at the mean of its latent, coloured by its class. Of more than two latents, the plane of "
        "most variance.",
        Ability.ENCODE,
        latents.latents,
    ),
    "information": Figure(
        "Information in each latent",
        "The KL of each latent to the prior, averaged over test images: how much it says about an image. Bars near 0 are latents "
        "that the model does not use.",
        Ability.FACTORISE,
        latents.information,
    ),
    "grid": Figure(
        "A map of the latent space",
        "Decodings of evenly spaced latents from -5 to 5. Neighbours should change into each other smoothly.",
        Ability.DECODE,
        reconstructions.grid,
        lambda view: options.GridOptions(steps=view.page.grid),
    ),
    "traversals": Figure(
        "One latent at a time",
        "One test image; in each row one latent runs from one end to the other and the others stay. A row that hardly changes is "
        "a latent that the model does not use for this image.",
        Ability.RECONSTRUCT,
        reconstructions.traversals,
        lambda view: options.TraversalOptions(index=None, count=view.page.walks, steps=view.page.walk),
    ),
    "interpolations": Figure(
        "From one image to another",
        "The straight line between the latents of two test images, which are at the ends. Believable images in between are a "
        "good sign, a double exposure is a bad one.",
        Ability.RECONSTRUCT,
        reconstructions.interpolations,
        _pairs,
    ),
    "posterior": Figure(
        "Uncertainty of the latent",
        "An input, the decoding of its mean latent, and decodings of latents drawn from its posterior. The last column is the "
        "standard deviation of these: bright where the latent leaves the image open.",
        Ability.LIKELIHOOD,
        reconstructions.posterior,
    ),
    "draws": Figure(
        "Samples with pixel noise",
        "The latents of the first samples again, with each pixel drawn from p(x|z) instead of its mean. Grain is noise that the "
        "model attributes to the pixels, not to the content of the image.",
        Ability.DRAW,
        samples.samples,
        lambda view: options.SampleOptions(
            n=view.page.across * view.page.noisy_rows, draw=True, across=view.page.across
        ),
    ),
    "curves": Figure(
        "Training curves",
        "Every term that was minimised; lower is better, except where terms trade off against each other. Validation that "
        "rises while training falls is overfitting.",
        None,
        training.curves,
        section="training",
    ),
    "samples-by-epoch": Figure(
        "Samples by epoch",
        "Each column is one latent, decoded by the model of that epoch.",
        Ability.SAMPLE,
        training.samples_by_epoch,
        section="training",
    ),
    "predictions-by-epoch": Figure(
        "Predictions by epoch",
        "The same validation images, predicted by the model of each epoch: one prediction each.",
        Ability.COMPLETE,
        training.predictions_by_epoch,
        section="training",
    ),
    "reconstructions-by-epoch": Figure(
        "Reconstructions by epoch",
        "The same validation images, reconstructed by the model of each epoch.",
        Ability.RECONSTRUCT,
        training.reconstructions_by_epoch,
        section="training",
    ),
}
