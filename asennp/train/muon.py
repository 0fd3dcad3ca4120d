"""Descent along orthogonalised momentum."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

#: Coefficients of the quintic iteration of K. Jordan et al. (2024): steep at zero, within 0.7 and 1.2 at one.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
#: Root mean square of AdamW's steps, in units of its rate.
_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Muon: every step has all singular values near one, whatever the gradient's are.

    With M <- m M + (1 - m) g and the Nesterov combination U = (1 - m) g + m M, a weight matrix W of shape
    (in, out) goes to W (1 - rate decay) - 0.2 rate sqrt(max(in, out)) U (U^T U)^(-1/2): the size of AdamW's
    steps, so that rates and decay mean the same. The root is approximated by five steps of
    X <- a X + (b X X^T + c (X X^T)^2) X. `torch.optim.Muon` takes single matrices in bfloat16, which CPUs
    multiply slowly; this one takes stacks (n, in, out), matrix by matrix alike, in their own type.

    Parameters
    ----------
    params
        Tensors (n, in, out), or groups of them with a ``weight_decay`` of their own.
    lr
        Rate.
    momentum
        m.
    weight_decay
        Decoupled decay.

    References
    ----------
    K. Jordan et al., Muon: an optimizer for hidden layers in neural networks (2024),
    https://kellerjordan.github.io/posts/muon. J. Liu et al., arXiv:2502.16982 (the size of the steps).
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; parameters of one shape go together."""
        value = None if closure is None else closure()
        for group in self.param_groups:
            momentum: float = group["momentum"]
            shapes: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                mean = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                mean.lerp_(parameter.grad, 1.0 - momentum)
                update = parameter.grad.lerp(mean, momentum)
                shapes.setdefault(parameter.shape[1:], []).append((parameter, update))
            for (fan_in, fan_out), found in shapes.items():
                steps = orthogonalise(torch.cat([update for _, update in found]))
                scale = -_RMS * group["lr"] * max(fan_in, fan_out) ** 0.5
                parts = steps.split([len(parameter) for parameter, _ in found])
                for (parameter, _), part in zip(found, parts):
                    parameter.mul_(1.0 - group["lr"] * group["weight_decay"]).add_(part, alpha=scale)
        return value


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return X (X^T X)^(-1/2) of matrices (n, rows, columns), singular values to within about 0.3."""
    transposed = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if transposed else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if transposed else x
