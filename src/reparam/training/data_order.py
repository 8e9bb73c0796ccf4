"""Which images come when: an endless sequence of shuffled epochs, a pure function of seed and position.

Nothing of it needs to be saved: a resumed run that knows its position sees the images that an uninterrupted one would.
Batches are always full (one may straddle two epochs): shapes are static, and every image is used equally often.
"""

import torch
from torch import Tensor

from reparam.distributions import keyed_generator


class DataOrder:
    """Positions count images; epoch e holds positions e * n to (e + 1) * n in an order keyed by (seed, e)."""

    def __init__(self, n: int, seed: int, device: torch.device) -> None:
        self.n, self.seed, self.device = n, seed, device
        self._epochs: dict[int, Tensor] = {}

    def __call__(self, position: int, count: int) -> Tensor:
        """int64 [count]: the images at positions `position` to `position + count`."""
        epoch, start = divmod(position, self.n)
        parts = []
        while count > 0:
            part = self._epoch(epoch)[start : start + count]
            parts.append(part)
            count -= len(part)
            epoch, start = epoch + 1, 0
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs = {kept: order for kept, order in self._epochs.items() if kept >= epoch - 1}
            # Drawn on the CPU, so that the order is the same on every device.
            order = torch.randperm(self.n, generator=keyed_generator("cpu", self.seed, "order", epoch))
            self._epochs[epoch] = order.to(self.device)
        return self._epochs[epoch]
