"""Several cycles as one CUDA graph: recorded once, replayed with a single launch.

What the host decides for a cycle (which images, the learning rate, the average's share) is in tensors that are filled before each
replay; everything else is on the device already. Random numbers advance as they do without a graph, so the numbers are
those of uncaptured training up to the rounding of the average.

Shapes: `R` cycles a replay, `P` parts of batches a cycle, `b` images a part.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from reparam.data import Images
from reparam.data.io.on_disk import OnDiskImages
from reparam.errors import StepError
from reparam.training import processes
from reparam.training.cycle import Cycle
from reparam.training.plan import Moments

CYCLES = 10  # of a replay; what is left before the next event is done one by one
WARM_UP = 3  # cycles without a graph, in which optimisers and libraries allocate what they keep


def obstacle(cycle: Cycle) -> str:
    """Why cycles cannot be captured, before anything is tried; empty where nothing is in the way."""
    if cycle.device.type != "cuda":
        return "graphs are for CUDA devices"
    if processes.world() > 1:
        return "several processes average their gradients between the kernels"
    if cycle.augment:
        return "augmentations (--augment) look at values between the kernels"
    if isinstance(cycle.split.images, OnDiskImages):
        return "images are read from disk during training"
    return ""


class Capture:
    """`replay()` takes `CYCLES` cycles; on a device without graphs it runs what a graph would hold, so that this can be tested
    anywhere. `stream`: where cycles were warmed up. Raises RuntimeError where something cannot be recorded."""

    def __init__(self, cycle: Cycle, stream: "torch.cuda.Stream | None" = None) -> None:
        self.cycle = cycle
        options, device = cycle.options, cycle.device
        parts = cycle.images_per_cycle // options.batch_size * options.accumulate
        self.rates, self.shares = torch.zeros(CYCLES, device=device), torch.zeros(CYCLES, device=device)
        part = options.batch_size // options.accumulate
        self.indices = torch.zeros(CYCLES, parts, part, dtype=torch.int64, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda":
            self.graph = torch.cuda.CUDAGraph()
            torch.cuda.synchronize(device)
            with torch.cuda.graph(self.graph, stream=stream):
                self._work()

    def replay(self) -> None:
        cycle, state = self.cycle, self.cycle.state
        position, count = state.step * cycle.images_per_cycle, CYCLES * cycle.images_per_cycle
        self.indices.copy_(cycle.order(position, count).view_as(self.indices))
        rates, shares = zip(*(cycle.rates(state.step + number) for number in range(CYCLES)), strict=True)
        for held, values in ((self.rates, rates), (self.shares, shares)):
            held.copy_(torch.tensor(values), non_blocking=True)
        if self.graph:
            self.graph.replay()
        else:
            self._work()
        state.step += CYCLES
        cycle.stop_reading()

    def _work(self) -> None:
        for number in range(CYCLES):
            batches = self._batches(self.indices[number])
            self.cycle.train_players(batches, self.rates[number], self.shares[number])

    def _batches(self, indices: Tensor) -> Iterator[tuple[Tensor, Images]]:
        for index in indices:
            yield index, self.cycle.split.take(index)


class CycleRunner:
    """Runs single cycles, or replays where they are requested and possible; says why where they are not. `events`: the steps,
    besides log points, at which the host looks or acts; the last step is one. Raises StepError where recording fails."""

    def __init__(self, cycle: Cycle, events: Sequence[Moments], note: Callable[[str], None]) -> None:
        self.cycle, self.events = cycle, events
        self.capture: Capture | None = None
        self.warm = 0
        self.requested = cycle.options.capture
        if self.requested and (why := obstacle(cycle)):
            self.requested = False
            note(f"not captured, for {why}: training goes on step by step")
        self.stream = torch.cuda.Stream(cycle.device) if self.requested and cycle.device.type == "cuda" else None

    def advance(self) -> None:
        """One cycle, or several if nothing is to happen in between."""
        if self.requested and self.capture is None and self.warm >= WARM_UP:
            try:
                self.capture = Capture(self.cycle, self.stream)
            except RuntimeError as error:
                cause = error.__context__ or error  # a recording that is broken off ends with an error of its own
                reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
                raise StepError(f"the step cannot be captured ({reason}): leave --capture out") from error
        if self.capture and self._free() >= CYCLES:
            self.capture.replay()
            return
        self.warm += 1
        if self.stream is None or self.capture:
            self.cycle()
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.cycle.device))
        with torch.cuda.stream(self.stream):
            self.cycle()
        torch.cuda.current_stream(self.cycle.device).wait_stream(self.stream)

    def _free(self) -> int:
        """Cycles before the next event or log point."""
        step, every = self.cycle.state.step, self.cycle.options.log_every
        event = min(moments.next_from(step + 1) for moments in self.events)
        return min(event, (step // every + 1) * every) - step
