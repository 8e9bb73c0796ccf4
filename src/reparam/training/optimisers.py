"""One optimiser a player, fused, with its learning rate in a device tensor."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from reparam.run.config import TrainingOptions

ADAM_STATE = ("exp_avg", "exp_avg_sq", "step")


def _plain(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of torch's optimisers without what keeps the compiler from looking into it, which imports the compiler."""
    return getattr(method, "__wrapped__", method)


class _Adam(torch.optim.Adam):
    """torch's, to the bit, without what its class does besides: at every step it gathers tensors and settings anew, which takes
    as long as a small network's update, and its first one imports torch's compiler, which takes a second or more."""

    gathered: dict[str, Any] | None = None  # the arguments of an update of those parameters that have a gradient
    has_gradient: tuple[bool, ...] = ()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        _plain(torch.optim.Optimizer.add_param_group)(self, param_group)

    def state_dict(self) -> dict[str, Any]:
        return _plain(torch.optim.Optimizer.state_dict)(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.gathered = None
        _plain(torch.optim.Optimizer.load_state_dict)(self, state_dict)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        (group,) = self.param_groups
        gradients: list[Any] = [parameter.grad for parameter in group["params"]]
        has_gradient = tuple(gradient is not None for gradient in gradients)
        if self.gathered is None or has_gradient != self.has_gradient:
            if any(one is not None and (one.is_sparse or one.is_complex()) for one in gradients):
                return super().step(closure)  # which says what is wrong
            self.gathered, self.has_gradient = self._gather(), has_gradient
        if any(has_gradient):
            adam(grads=[gradient for gradient in gradients if gradient is not None], lr=group["lr"], **self.gathered)
        return None

    def _gather(self) -> dict[str, Any]:
        (group,) = self.param_groups
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        for parameter in parameters:
            if parameter not in self.state:
                zeros = (torch.zeros_like(parameter) for _ in range(2))
                count = torch.zeros((), dtype=torch.float32, device=parameter.device)
                self.state[parameter] = dict(zip(ADAM_STATE, (*zeros, count), strict=True))
        settings = ("fused", "capturable", "weight_decay", "decoupled_weight_decay", "eps", "amsgrad", "maximize")
        arguments = zip(("exp_avgs", "exp_avg_sqs", "state_steps"), ADAM_STATE, strict=True)
        beta1, beta2 = group["betas"]
        return {
            "params": parameters,
            **{argument: [self.state[parameter][name] for parameter in parameters] for argument, name in arguments},
            **{name: group[name] for name in settings},
            **{"beta1": beta1, "beta2": beta2, "max_exp_avg_sqs": []},
        }


def make_optimiser(
    parameters: Iterable[nn.Parameter], options: TrainingOptions, device: torch.device
) -> torch.optim.Optimizer:
    """Adam(W) or SGD with momentum, fused where the device has a fused kernel; the loop fills its learning-rate tensor."""
    shared: dict[str, Any] = {
        "lr": torch.zeros((), device=device),
        "weight_decay": options.weight_decay,
        "fused": device.type in ("cpu", "cuda", "mps"),
    }
    if options.optimiser == "sgd":
        return torch.optim.SGD(list(parameters), momentum=options.momentum, **shared)
    return _Adam(
        list(parameters),
        betas=(options.adam_beta1, options.adam_beta2),
        decoupled_weight_decay=options.optimiser == "adamw",
        capturable=device.type == "cuda",
        **shared,
    )


def kept_state(options: TrainingOptions) -> tuple[str, ...]:
    """The names of what an optimiser keeps of a parameter."""
    if options.optimiser == "sgd":
        return ("momentum_buffer",) if options.momentum else ()
    return ADAM_STATE


def state_of(optimiser: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """What it keeps of each parameter that has had a gradient, by the parameter's number."""
    (group,) = optimiser.param_groups
    states = {n: optimiser.state[one] for n, one in enumerate(group["params"]) if one in optimiser.state}
    return {number: {k: v for k, v in state.items() if v is not None} for number, state in states.items()}


def learning_rate(step: int, steps: int, steps_per_epoch: float, options: TrainingOptions) -> float:
    """Linear warm-up from 0, then constant, or half a cosine from the peak at the warm-up's end to 0 behind the last step."""
    warmup = options.warmup * steps_per_epoch
    if step < warmup:
        return options.learning_rate * (step + 1) / (warmup + 1)
    if options.schedule == "constant":
        return options.learning_rate
    done = (step - warmup) / max(steps - warmup, 1)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
