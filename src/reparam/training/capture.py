"""Several cycles of a loop as one CUDA graph: recorded once, replayed with a single launch.

What the host decides for a cycle (which images, the learning rate, the share of the average) lies in tensors that are filled
before each replay; everything else is on the device already. Random numbers advance as they do without a graph, so that the
numbers are those of the uncaptured loop up to the rounding of the average.

Shapes: `R` cycles a replay, `P` parts of batches a cycle, `b` images a part.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reparam.data import Images
from reparam.data.io.on_disk import OnDiskImages
from reparam.errors import StepError
from reparam.training import processes

if TYPE_CHECKING:
    from reparam.training.loop import Loop

CYCLES = 10  # a replay; what is left before the next event is done one by one
WARM_UP = 3  # cycles as they are, in which optimisers and libraries make what they keep


def obstacle(loop: "Loop") -> str:
    """Why a loop cannot be captured, before anything is tried; empty where nothing is in the way."""
    if loop.device.type != "cuda":
        return "graphs are for CUDA devices"
    if processes.world() > 1:
        return "several processes average their gradients between the kernels"
    if loop.augment:
        return "what moves the images (--augment) looks at values between the kernels"
    if isinstance(loop.split.images, OnDiskImages):
        return "images are read from disk as training goes"
    return ""


class Capture:
    """`replay()` takes `CYCLES` cycles of the loop; on a device without graphs it runs what a graph would hold, so that this can
    be tested anywhere. `stream`: where the loop was warmed up. Raises RuntimeError where something cannot be recorded."""

    def __init__(self, loop: "Loop", stream: "torch.cuda.Stream | None" = None) -> None:
        self.loop = loop
        parts, device = loop.images_per_cycle // loop.options.batch_size * loop.options.accumulate, loop.device
        self.rates, self.shares = torch.zeros(CYCLES, device=device), torch.zeros(CYCLES, device=device)
        part = loop.options.batch_size // loop.options.accumulate
        self.places = torch.zeros(CYCLES, parts, part, dtype=torch.int64, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda":
            self.graph = torch.cuda.CUDAGraph()
            torch.cuda.synchronize(device)
            with torch.cuda.graph(self.graph, stream=stream):
                self._work()

    def replay(self) -> None:
        loop = self.loop
        images = CYCLES * loop.images_per_cycle
        self.places.copy_(loop.stream(loop.step * loop.images_per_cycle, images).view_as(self.places))
        rates, shares = zip(*(loop.pace(loop.step + cycle) for cycle in range(CYCLES)), strict=True)
        for held, values in ((self.rates, rates), (self.shares, shares)):
            held.copy_(torch.tensor(values), non_blocking=True)
        if self.graph:
            self.graph.replay()
        else:
            self._work()
        loop.step += CYCLES
        loop.rewind()

    def _work(self) -> None:
        for cycle in range(CYCLES):
            self.loop.work(self._batches(self.places[cycle]), self.rates[cycle], self.shares[cycle])

    def _batches(self, places: Tensor) -> Iterator[tuple[Tensor, Images]]:
        for index in places:
            yield index, self.loop.split.take(index)


class CycleRunner:
    """How a run goes on: cycle by cycle, or by replays where that is asked for and possible; says why where it is not.
    `moments`: steps at which the host looks, besides log points. Raises StepError where recording fails."""

    def __init__(self, loop: "Loop", moments: set[int]) -> None:
        interlude = {loop.interlude.step} if loop.interlude else set()
        self.loop, self.moments = loop, sorted(moments | interlude)
        self.capture: Capture | None = None
        self.warm = 0
        self.wanted = loop.options.capture
        if self.wanted and (why := obstacle(loop)):
            self.wanted = False
            loop.progress.note(f"not captured, for {why}: training goes on step by step")
        self.stream = torch.cuda.Stream(loop.device) if self.wanted and loop.device.type == "cuda" else None

    def advance(self) -> None:
        """One cycle, or several if nothing is to happen in between."""
        if self.wanted and self.capture is None and self.warm >= WARM_UP:
            try:
                self.capture = Capture(self.loop, self.stream)
            except RuntimeError as error:
                cause = error.__context__ or error  # a recording that is broken off ends with an error of its own
                reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
                raise StepError(f"the step cannot be captured ({reason}): leave --capture out") from error
        if self.capture and self._free() >= CYCLES:
            self.capture.replay()
            return
        self.warm += 1
        if self.stream is None or self.capture:
            self.loop.cycle()
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.loop.device))
        with torch.cuda.stream(self.stream):
            self.loop.cycle()
        torch.cuda.current_stream(self.loop.device).wait_stream(self.stream)

    def _free(self) -> int:
        """Cycles before the next moment at which the host wants to look, or to act."""
        step, every = self.loop.step, self.loop.options.log_every
        if self.loop.interlude and step == self.loop.interlude.step:
            return 0
        following = bisect_right(self.moments, step)
        moment = self.moments[following] if following < len(self.moments) else self.loop.steps
        return min(moment, (step // every + 1) * every) - step
