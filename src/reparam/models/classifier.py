"""Plain convolutional classifiers: feature network, judge, and one trained with ISDA; by the same loop as everything else.

Shapes: `B` batch, `C H W` image, `F` features, `D` classes.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Categorical

from reparam.conditionals import ClassCovariance
from reparam.core.model import Model
from reparam.core.spec import Schedule, Spec
from reparam.errors import ConfigError
from reparam.models.family import Family, Recipe
from reparam.objectives import ISDA, CrossEntropy


@dataclass(frozen=True)
class ClassifierOptions:
    """Size of the network."""

    channels: Annotated[int, Field(ge=4, le=512, description="channels of the first convolution")] = 32
    features: Annotated[int, Field(ge=2, le=4096, description="size of the last hidden layer")] = 64


@dataclass(frozen=True)
class ISDAOptions(ClassifierOptions):
    """And the strength of the augmentation."""

    isda_lambda: Annotated[
        float, Field(ge=0, description="lambda_0, a factor on the classes' covariances, reached at the end of training")
    ] = 0.5


class ConvolutionalClassifier(nn.Module):
    """x [B, C, H, W] -> Categorical over D; `features` [B, F] is its last hidden layer, `covariance` what ISDA knows of them.

    Three 3 x 3 convolutions with a max pool after each of the first two, an average over 4 x 4 regions, two linear layers.
    """

    def __init__(
        self, channels: int, width: int, features: int, classes: int, covariance: ClassCovariance | None = None
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(2 * width * 16, features),
            nn.ReLU(),
        )
        self.classify = nn.Linear(features, classes)
        self.covariance = covariance

    def features(self, x: Tensor) -> Tensor:
        return self.body(2 * x - 1).float()

    def forward(self, x: Tensor) -> Categorical:
        return Categorical(logits=self.classify(self.features(x)).float(), validate_args=False)


def _build(options: ClassifierOptions, spec: Spec, covariance: ClassCovariance | None) -> Model:
    if spec.classes < 2:
        raise ConfigError(
            "a classifier needs images of at least two classes: give labels (class folders, a 'labels' array)"
        )
    head = ConvolutionalClassifier(spec.image_shape[0], options.channels, options.features, spec.classes, covariance)
    return Model(head=head)


def build(options: ClassifierOptions, spec: Spec) -> Model:
    return _build(options, spec, None)


def build_isda(options: ISDAOptions, spec: Spec) -> Model:
    return _build(options, spec, ClassCovariance(spec.classes, options.features))


def objective(options: ClassifierOptions, schedule: Schedule) -> CrossEntropy:
    return CrossEntropy()


def isda_objective(options: ISDAOptions, schedule: Schedule) -> ISDA:
    return ISDA(options.isda_lambda, schedule.steps)


_RECIPES = {"default": Recipe("three convolutions (32, 64, 64), 64 features", {"epochs": 4, "learning_rate": 2e-3})}

CLASSIFIER = Family(
    name="classifier",
    summary="plain convolutional classifier: the feature network of fid_classifier, a judge of generated images",
    citation="LeCun et al. 1998, Gradient-based learning applied to document recognition",
    options=ClassifierOptions,
    build=build,
    objective=objective,
    recipes=_RECIPES,
)

ISDA_CLASSIFIER = Family(
    name="isda",
    summary="the same classifier, its features augmented within their class's covariance, in closed form",
    citation="Wang et al. 2019, Regularizing deep networks with semantic data augmentation",
    options=ISDAOptions,
    build=build_isda,
    objective=isda_objective,
    recipes=_RECIPES,
)
