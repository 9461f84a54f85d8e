"""Muon, the optimiser of matrices (Jordan et al. 2024), beside AdamW for everything else.

A gradient's momentum is replaced by the nearest orthogonal matrix, so that every direction of a
layer learns at the same pace; README.md has what that gained here.
"""

from collections.abc import Iterable
from typing import Any, Final

import torch
from precision import NARROW
from torch import Tensor, nn

_MOMENTUM: Final = 0.95
_DECAY: Final = 0.01
# Of the quintic that takes singular values towards 1 in few steps (Jordan et al. 2024).
_QUINTIC: Final = (3.4445, -4.7750, 2.0315)
_QUINTIC_STEPS: Final = 5
# An orthogonal update times this, times the square root of its longer side, is about as large as
# one of AdamW: both take the same learning rate (Liu et al. 2025).
_AS_ADAMW: Final = 0.2


class Muon(torch.optim.Optimizer):
    """Muon for matrices and convolution kernels; a kernel is a matrix of its output channels.

    learning_rate  the same as suits AdamW
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> None:
        super().__init__(parameters, {"lr": learning_rate})

    @torch.no_grad()
    def step(self) -> None:
        """Take one step along the gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:  # a layer that the output does not depend on has none
                    self._update(weight, self.state[weight], group["lr"])

    def _update(self, weight: nn.Parameter, state: dict[str, Any], rate: float) -> None:
        momentum = state.setdefault("momentum", torch.zeros_like(weight))
        momentum.lerp_(weight.grad, 1 - _MOMENTUM)
        ahead = weight.grad.lerp(momentum, _MOMENTUM).flatten(1)  # Nesterov's
        change = orthogonal(ahead).view_as(weight)
        weight.mul_(1 - rate * _DECAY)
        weight.sub_(change, alpha=rate * _AS_ADAMW * max(ahead.shape) ** 0.5)


def matrices_of(modules: nn.Module) -> list[nn.Parameter]:
    """The weights that are for Muon: all but embeddings and the outermost convolutions."""
    outermost = ("embedding.weight", "conv_in.weight", "conv_out.weight")
    return [
        parameter
        for name, parameter in modules.named_parameters()
        if parameter.ndim >= 2 and not name.endswith(outermost)
    ]


def orthogonal(matrix: Tensor) -> Tensor:
    """Of f32[m, n], about the nearest f32[m, n] whose singular values are all near 1."""
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-7)
    wide = wide.to(NARROW)  # as published: the iteration forgives it, and it is twice as fast
    a, b, c = _QUINTIC
    for _ in range(_QUINTIC_STEPS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    wide = wide.to(matrix.dtype)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
