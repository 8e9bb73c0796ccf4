"""A plain convolutional classifier: the feature network of `fid_classifier`, and a judge of generated images.

Shapes: `B` batch, `C H W` image, `F` features, `D` classes.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Categorical

from reparam.core.conditional import Head
from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.errors import ConfigError
from reparam.models.family import Family, Recipe
from reparam.objectives import CrossEntropy

LARGEST_MAP = 7  # regions a side, of --regions 0


@dataclass(frozen=True)
class ClassifierOptions:
    """Size of the network, and what it leaves out in training."""

    channels: Annotated[int, Field(ge=4, le=512, description="channels of the first convolution")] = 32
    convolutions: Annotated[
        Literal[2, 3], Field(description="how many, with a max pool after each of the first two")
    ] = 3
    regions: Annotated[
        int,
        Field(
            ge=0,
            le=64,
            description=f"a side, that convolutions are averaged over (0: as they are, up to {LARGEST_MAP})",
        ),
    ] = 4
    features: Annotated[int, Field(ge=2, le=4096, description="size of the last hidden layer")] = 64
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="share of the inputs of each linear layer that a training step leaves out")
    ] = 0.0


class ConvolutionalClassifier(Head):
    """x [B, C, H, W] -> Categorical over D; `features` [B, F] is its last hidden layer.

    Two or three 3 x 3 convolutions with a max pool after each of the first two, an average over `regions` x `regions` of what
    they give, two linear layers. Weights are laid out with channels last, in which pooling takes a seventh of the time on a CPU.
    In training, `dropout` is the share of the inputs of both linear layers that are left out.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        features: int,
        classes: int,
        convolutions: int = 3,
        regions: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        third = [nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.ReLU()] if convolutions == 3 else []
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.MaxPool2d(2),  # before the nonlinearity, which then has a quarter of the work: the values are the same
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            *third,
            nn.AdaptiveAvgPool2d(regions),
            nn.Sequential(nn.Flatten(), nn.Dropout(dropout)),
            nn.Linear(2 * width * regions**2, features),
            nn.ReLU(),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.left_out = nn.Dropout(dropout)
        self.classify = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        return self.body(2 * x - 1).float()

    def forward(self, x: Tensor) -> Categorical:
        return Categorical(logits=self.classify(self.left_out(self.features(x))).float(), validate_args=False)


def build(
    options: ClassifierOptions, spec: Spec, kind: type[ConvolutionalClassifier] = ConvolutionalClassifier
) -> Model:
    """`kind`: of the classifier. Raises ConfigError for images of fewer than two classes."""
    if spec.classes < 2:
        raise ConfigError(
            "a classifier needs images of at least two classes: give labels (class folders, a 'labels' array)"
        )
    channels, *sides = spec.image_shape
    regions = options.regions or max(1, min(LARGEST_MAP, min(sides) // 4))
    return Model(
        head=kind(
            channels,
            options.channels,
            options.features,
            spec.classes,
            options.convolutions,
            regions,
            options.dropout,
        )
    )


def objective(options: ClassifierOptions, schedule: Schedule) -> CrossEntropy:
    return CrossEntropy()


RECIPES = {
    "default": Recipe(
        "two convolutions (32, 64), 128 features, dropout of a half, at least 600 steps of 64, the last weights",
        {
            "convolutions": 2,
            "regions": 0,
            "features": 128,
            "dropout": 0.5,
            "unlabelled": "drop",
            "epochs": 4,
            "least_steps": 600,
            "batch_size": 64,
            "learning_rate": 2e-3,
            # With 50 clothes a class, validation cross-entropy is lowest early, where accuracy is three points lower.
            "keep": "last",
        },
    )
}

CLASSIFIER = Family(
    name="classifier",
    summary="plain convolutional classifier: the feature network of fid_classifier, a judge of generated images",
    citation="LeCun et al. 1998, Gradient-based learning applied to document recognition",
    options=ClassifierOptions,
    build=build,
    objective=objective,
    recipes=RECIPES,
)
