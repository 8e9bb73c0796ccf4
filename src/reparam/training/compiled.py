"""A player's step and its gradients as one compiled function of tensors.

`torch.compile` makes two functions, forward and backward, with checks and bookkeeping around both at every call: a millisecond a
step, which is a fifth of a small network's. Here the step is run once under a tracer, forward and backward, with everything
that it reads and writes as an argument, and the whole is compiled. As in a capture, what the host decides is baked in.

Shapes: `B` batch, `T` logged terms.
"""

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from reparam.core.batch import Batch
from reparam.errors import ConfigError, StepError
from reparam.objectives import Objective
from reparam.training.step import Step

Function = Callable[..., Sequence[Any]]  # of state, batch and clock: (means, gradients)


class Compiled:
    """`compiled(batch, clock)` adds d total / d parameter / `parts` to the gradients of `own` and returns the means [1 + T].

    Random numbers are torch's own, in the order of the plain step: the same seed gives the same numbers up to rounding.
    A batch of another form (shapes, fields) is compiled anew. Raises StepError where something cannot be traced or compiled,
    or where a step changes anything but buffers in place.
    """

    def __init__(self, step: Step, own: Sequence[nn.Parameter], parts: int = 1) -> None:
        self.step, self.parts = step, parts
        self.state = dict(step.named_parameters()) | dict(step.named_buffers())
        owned = {id(parameter) for parameter in own}
        self.own = {name: parameter for name, parameter in step.named_parameters() if id(parameter) in owned}
        self.functions: dict[Any, Function] = {}

    def __call__(self, batch: Batch, clock: Tensor) -> Tensor:
        given = {name: value for name, value in vars(batch).items() if value is not None}
        form = tuple((name, value.shape) for name, value in given.items())
        if form not in self.functions:
            self.functions[form] = self._compile(given, clock)
        with torch.no_grad():
            means, *gradients = self.functions[form](*self.state.values(), *given.values(), clock)
            for parameter, gradient in zip(self.own.values(), gradients, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        return means

    def _compile(self, given: dict[str, Tensor], clock: Tensor) -> Function:
        from torch._inductor import compile as compile_graph  # takes two seconds
        from torch.fx.experimental.proxy_tensor import make_fx

        # The tracer runs the step once: on copies of what it would change, and with random numbers put back.
        copies = [tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in self.state.values()]
        tensors = [*copies, *given.values(), clock]
        with torch.random.fork_rng(devices=[clock.device] if clock.device.type == "cuda" else []):
            before = _attributes(self.step)
            try:
                graph = make_fx(lambda *tensors: self._traced(tensors, list(given)))(*tensors)
            except Exception as error:
                tracers = type(error).__module__.startswith(("torch._subclasses", "torch.fx"))
                if not tracers and "tracing tensor" not in str(error):
                    raise  # not of the tracer
                raise StepError(
                    f"the step cannot be compiled: {_place(error)} needs values of tensors, which are not known while it is "
                    "traced; keep to operations on tensors, or leave --compile out"
                ) from error
            _check_attributes(before, _attributes(self.step))
            # Without gradients it is taken for inference, which gets channels_last on a CPU: no gain with a backward pass.
            options = {"fallback_random": True, "layout_optimization": clock.device.type != "cpu"}
            try:
                with torch.no_grad(), warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "TensorFloat32")  # float32 is meant, or tf32 is on
                    plain: list[Any] = [tensor.detach() for tensor in tensors]
                    return compile_graph(graph, plain, options=options)
            except Exception as error:
                raise StepError(f"the step cannot be compiled ({_reason(error)}): leave --compile out") from error

    def _traced(self, tensors: Sequence[Tensor], fields: list[str]) -> list[Tensor | None]:
        """What is traced: (means, gradients), None of a parameter that the total does not depend on."""
        state = dict(zip(self.state, tensors, strict=False))
        batch: dict[str, Any] = dict.fromkeys(Batch.__dataclass_fields__)
        batch.update(zip(fields, tensors[len(state) : -1], strict=True))
        check = self.step.register_forward_hook(partial(_check_buffers, state))
        try:
            total, means = functional_call(self.step, state, (Batch(**batch), tensors[-1]))
        finally:
            check.remove()

        own = [state[name] for name in self.own]
        found = torch.autograd.grad(total / self.parts, own, allow_unused=True)
        return [means, *_unshared(map(_laid_out_as, found, own))]


def _check_buffers(state: dict[str, Tensor], step: nn.Module, *_: Any) -> None:
    for name, buffer in step.named_buffers():
        if buffer is not state[name]:
            raise StepError(
                f"the step cannot be compiled: it assigns '{name.removeprefix('model.')}' anew, which would be lost; change it "
                "in place, or leave --compile out"
            )


def _attributes(step: Step) -> dict[str, tuple[Any, int]]:
    """What the modules of a step and its objective hold besides parameters and buffers; of tensors also their version."""
    owners: dict[str, Any] = {name: module for name, module in step.named_modules() if name}
    owners["objective"] = step.objective
    owners |= {f"objective.{name}": part for name, part in vars(step.objective).items() if isinstance(part, Objective)}
    return {
        f"{name}.{key}".removeprefix("model."): (value, value._version if isinstance(value, Tensor) else 0)
        for name, owner in owners.items()
        for key, value in vars(owner).items()
        if key not in ("_parameters", "_buffers", "_modules")
    }


def _check_attributes(before: dict[str, tuple[Any, int]], after: dict[str, tuple[Any, int]]) -> None:
    for name, (value, version) in after.items():
        if name not in before or before[name][0] is not value or before[name][1] != version:
            raise StepError(
                f"the step cannot be compiled: it changes '{name}', which would stay as it was in the first step; take the time "
                "from the objective's step, what is learned from a buffer that is changed in place, or leave --compile out"
            )


def _place(error: Exception) -> str:
    """The line that was running in code that is not torch's."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if Path(torch.__file__).parent not in Path(frame.filename).parents]
    return f"{outside[-1].filename}, line {outside[-1].lineno},"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"


def check_compiler(device: torch.device) -> None:
    """Raises ConfigError where there is no C++ compiler for a CPU, or no folder for what is compiled."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler  # needs the folder already
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        cache_dir()
        if device.type == "cpu":
            get_cpp_compiler()
    except OSError as error:
        raise ConfigError(
            f"the folder for compiled code, '{error.filename}', cannot be made ({error.strerror}): set TORCHINDUCTOR_CACHE_DIR "
            "to one that can be written to"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"a step cannot be compiled ({_reason(error)}): install a C++ compiler, or leave --compile out"
        ) from error


def _unshared(gradients: Iterable[Tensor | None]) -> Iterator[Tensor | None]:
    """Each in its own memory, as backward() leaves them: what is added to one must not be added to another. Parameters that are
    used as a sum have one gradient."""
    seen = set()
    for gradient in gradients:
        if gradient is None:
            yield None
            continue
        where = gradient.untyped_storage().data_ptr()
        yield gradient.clone() if where in seen else gradient
        seen.add(where)


def _laid_out_as(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    """With the parameter's strides, as backward() leaves a gradient: fused optimisers pair elements by their place in memory."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
