"""A latent-variable model: a few named fields, each a conditional or None.

Shapes: `B` batch, `C H W` image, `K` latent, `D` classes.
"""

from typing import Any

from torch import nn


class Model(nn.Module):
    """Fields, never a forward: objectives, estimators and pictures call the fields they need.

    encoder: x [B, C, H, W] -> q(z|x) over [K]; prior: () -> p(z); decoder: z [..., K] -> p(x|z) over [C, H, W];
    context: c -> features and first guess; head: a categorical over D classes.
    """

    # nn.Module's own attribute type is too narrow to call: each is a conditional, or None.
    encoder: Any
    prior: Any
    decoder: Any
    context: Any
    head: Any

    def __init__(
        self,
        *,
        encoder: nn.Module | None = None,
        prior: nn.Module | None = None,
        decoder: nn.Module | None = None,
        context: nn.Module | None = None,
        head: nn.Module | None = None,
        point_encoder: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.prior = prior
        self.decoder = decoder
        self.context = context
        self.head = head
        self.point_encoder = point_encoder

    @property
    def abilities(self) -> frozenset[str]:
        """What the fields allow; a likelihood needs an encoder with a density, not one that returns a point."""
        can = {
            "encode": self.encoder is not None,
            "reconstruct": self.encoder is not None and self.decoder is not None,
            "sample": self.prior is not None and self.decoder is not None,
            "likelihood": None not in (self.encoder, self.prior, self.decoder) and not self.point_encoder,
            "classify": self.head is not None,
        }
        return frozenset(name for name, able in can.items() if able)
