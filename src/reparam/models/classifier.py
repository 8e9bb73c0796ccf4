"""A plain convolutional classifier: the feature network of `fid_classifier`, and a judge of generated images.

Shapes: `B` batch, `C H W` image, `F` features, `D` classes.
"""

from dataclasses import dataclass
from typing import Annotated

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


@dataclass(frozen=True)
class ClassifierOptions:
    """Size of the network."""

    channels: Annotated[int, Field(ge=4, le=512, description="channels of the first convolution")] = 32
    features: Annotated[int, Field(ge=2, le=4096, description="size of the last hidden layer")] = 64
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="share of the inputs of each linear layer that a training step leaves out")
    ] = 0.0


class ConvolutionalClassifier(Head):
    """x [B, C, H, W] -> Categorical over D; `features` [B, F] is its last hidden layer.

    Three 3 x 3 convolutions with a max pool after each of the first two, an average over 4 x 4 regions, two linear layers.
    Weights are laid out with channels last, in which pooling takes a seventh of the time on a CPU. In training, `dropout` is the
    share of the inputs of both linear layers that are left out.
    """

    def __init__(self, channels: int, width: int, features: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.MaxPool2d(2),  # before the nonlinearity, which then has a quarter of the work: the values are the same
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Sequential(nn.Flatten(), nn.Dropout(dropout)),
            nn.Linear(2 * width * 16, features),
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
    return Model(head=kind(spec.image_shape[0], options.channels, options.features, spec.classes, options.dropout))


def objective(options: ClassifierOptions, schedule: Schedule) -> CrossEntropy:
    return CrossEntropy()


RECIPES = {"default": Recipe("three convolutions (32, 64, 64), 64 features", {"epochs": 4, "learning_rate": 2e-3})}

CLASSIFIER = Family(
    name="classifier",
    summary="plain convolutional classifier: the feature network of fid_classifier, a judge of generated images",
    citation="LeCun et al. 1998, Gradient-based learning applied to document recognition",
    options=ClassifierOptions,
    build=build,
    objective=objective,
    recipes=RECIPES,
)
