"""What the latent space is used for.

Shapes: `N` images, `K` latent.
"""

from torch import Tensor

ACTIVE_VARIANCE = 0.01


def active_units(means: Tensor) -> int:
    """How many latents have Var_x(E_q[z_k|x]) > 0.01 (Burda et al. 2016, section 4.2), from posterior means [N, K]."""
    return int((means.double().var(0) > ACTIVE_VARIANCE).sum())
