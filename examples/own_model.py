"""A model of one's own: a VAE whose prior is learned. It trains by its import path; nothing in Reparam is touched.

cd examples
reparam train own_model:LEARNED_PRIOR --data digits --epochs 5
"""

import torch
from torch import nn
from torch.distributions import Independent, Normal

import reparam
from reparam import Family, Model, Prior, Recipe, Spec
from reparam.models import vae
from reparam.testing import check_model


class LearnedPrior(Prior):
    """p(z) = N(loc, diag(exp(log_scale))^2): its forward returns a distribution over [K]."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.loc, self.log_scale = nn.Parameter(torch.zeros(latent)), nn.Parameter(torch.zeros(latent))

    def forward(self) -> Independent:
        return Independent(Normal(self.loc, self.log_scale.exp(), validate_args=False), 1, validate_args=False)


def build(options: vae.VAEOptions, spec: Spec) -> Model:
    model = vae.build(options, spec)
    model.prior = LearnedPrior(options.latent)  # the one field that changes
    return model


recipes = {"default": Recipe("one hidden layer, 8 latents", {"hidden": (128,), "latent": 8})}
LEARNED_PRIOR = Family("learned-prior", "VAE, learned prior", "", vae.VAEOptions, build, vae.objective, recipes)

if __name__ == "__main__":
    check_model(LEARNED_PRIOR, Spec((1, 8, 8), classes=10))
    print("trained:", reparam.train("own_model:LEARNED_PRIOR", data="digits", epochs=5).path)
