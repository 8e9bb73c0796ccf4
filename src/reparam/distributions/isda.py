r"""The cross-entropy of a linear classifier under a Gaussian input, from above, in closed form.

Shapes: `B` batch, `K` latent, `D` classes.
"""

from torch import Tensor


def isda_bound(
    loc: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, y: Tensor, strength: Tensor | float = 1.0
) -> Tensor:
    r"""log sum_j exp(strength / 2 (w_j - w_y)^T Sigma (w_j - w_y) + (w_j - w_y)^T mu + b_j - b_y), [B], in nats.

    At least E[-log softmax(W z + b)_y] for z ~ N(mu, strength Sigma), by Jensen's inequality; the cross-entropy at mu where
    Sigma is 0 (Wang et al. 2019, ISDA, eq. 5; the G-VAE note, eq. 2.4, with the sum over j and the mean put right).

    loc: mu [B, K]. variance: Sigma's diagonal [B, K], or Sigma itself [B, K, K]. weight [D, K], bias [D]. y: int64 [B], from 0 to
    D - 1. strength: ISDA's lambda.
    """
    apart = weight - weight[y][:, None]  # w_j - w_y, [B, D, K]
    spread = apart.square() @ variance[..., None] if variance.dim() == 2 else (apart @ variance * apart).sum(-1, True)
    logits = loc @ weight.mT + bias
    return (logits - logits.gather(1, y[:, None]) + strength / 2 * spread.squeeze(-1)).logsumexp(1)
