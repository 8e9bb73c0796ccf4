"""Which images come when: an endless stream of shuffled epochs, a pure function of (seed, position).

Nothing of it needs to be saved: a resumed run that knows its position sees the images that an uninterrupted one would.
Batches are always full (a batch may straddle two epochs), so shapes are static and every image is used equally often.
"""

import torch
from torch import Tensor

from reparam.distributions import keyed_generator


class DataOrder:
    """Positions count images; epoch e holds positions e * n to (e + 1) * n in an order keyed by (seed, e)."""

    def __init__(self, n: int, seed: int, device: torch.device) -> None:
        self.n, self.seed, self.device = n, seed, device
        self._orders: dict[int, Tensor] = {}

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            self._orders = {kept: order for kept, order in self._orders.items() if kept >= epoch - 1}
            # Drawn on the CPU, so that the order is the same whatever the device.
            order = torch.randperm(self.n, generator=keyed_generator("cpu", self.seed, "order", epoch))
            self._orders[epoch] = order.to(self.device)
        return self._orders[epoch]

    def __call__(self, position: int, count: int) -> Tensor:
        """int64 [count]: the images at positions `position` to `position + count`."""
        epoch, start = divmod(position, self.n)
        parts = []
        while count > 0:
            part = self._order(epoch)[start : start + count]
            parts.append(part)
            count -= len(part)
            epoch, start = epoch + 1, 0
        return parts[0] if len(parts) == 1 else torch.cat(parts)
