"""A gate for each weight, which learns to close: l0 regularisation by the hard concrete distribution."""

from __future__ import annotations

import math

import numpy as np

from ..backend import Array, array_module, default_rng
from ..checks import check_real
from ..functional.activation import s_shaped, sigmoid
from ..functional.arithmetic import Result
from ..functional.noise import open_uniform
from ..nn import Conv2d, Linear
from ..nn.noisy import Noisy
from ..tensor import Tensor, op

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1  # Louizos et al. 2018, section 4


def hard_concrete(log_alpha: Tensor, training: bool = True, rng: np.random.Generator | None = None) -> Tensor:
    """Gates z in [0, 1], of which many are 0 or 1 exactly, with a gradient all the same.

    In training z = min(1, max(0, s (zeta - gamma) + gamma)) with s = sigmoid((log u - log(1 - u) + log alpha) / beta)
    for a uniform u; else the same of s = sigmoid(log alpha), the gate's own estimate. beta = 2/3, gamma = -0.1, zeta =
    1.1.

    Parameters
    ----------
    log_alpha : Tensor of any shape
    training : bool
    rng : numpy.random.Generator
        By default the "dropout" stream that ``md.manual_seed`` resets.

    References
    ----------
    Louizos, Welling and Kingma, "Learning sparse neural networks through L0 regularization", ICLR 2018,
    arXiv:1712.01312.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.compress import hard_concrete
    >>> hard_concrete(np.array([-5.0, 0.0, 5.0]), training=False).data.round(3)
    array([0. , 0.5, 1. ])
    """
    return _hard_concrete(log_alpha, (rng or default_rng("dropout")) if training else None)


@op
def _hard_concrete(log_alpha: Array, rng: np.random.Generator | None) -> Result:
    check_real(log_alpha, "hard_concrete", "log_alpha")
    xp, alike, beta = array_module(log_alpha), log_alpha.dtype.type, 1.0
    drawn = log_alpha
    if rng is not None:
        u, beta = open_uniform(log_alpha, rng), BETA
        drawn = (xp.log(u) - xp.log(1 - u) + log_alpha) / alike(beta)
    s = s_shaped(drawn)
    wide = s * alike(ZETA - GAMMA) + alike(GAMMA)
    inside = (wide > 0) & (wide < 1)
    return wide.clip(0, 1), (lambda dy: dy * inside * (s * (1 - s) * alike((ZETA - GAMMA) / beta)),)


def hard_concrete_open(log_alpha: Tensor) -> Tensor:
    """The probability that a gate is not 0: sigmoid(log alpha - beta log(-gamma / zeta)).

    Parameters
    ----------
    log_alpha : Tensor of any shape

    References
    ----------
    Louizos, Welling, Kingma, "Learning sparse neural networks through L0 regularization", eq. (12), 2018,
    arXiv:1712.01312.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.compress import hard_concrete_open
    >>> hard_concrete_open(np.array([-5.0, 0.0, 5.0])).data.round(3)
    array([0.032, 0.832, 0.999])
    """
    log_alpha = log_alpha if isinstance(log_alpha, Tensor) else Tensor(log_alpha)
    check_real(log_alpha.data, "hard_concrete_open", "log_alpha")
    return sigmoid(log_alpha + -BETA * math.log(-GAMMA / ZETA))


class Gated(Noisy):
    """Weights w z, with a gate z each; ``noise`` is log alpha of the gates. Made by ``compress.l0``."""

    def gates(self, training: bool) -> Tensor:
        return hard_concrete(self.noise, training, self.rng).reshape(self.weight.shape)

    def expected(self) -> Tensor:
        return self.weight * self.gates(False) if self.is_random() else self.weight

    def drawn(self, x: Tensor) -> Tensor:
        return self.affine(x, self.weight * self.gates(True), self.bias)

    def penalty(self) -> Tensor | float:
        """How many gates are expected to be open; 0 from when the randomness has ended."""
        return hard_concrete_open(self.noise).sum() if self.is_random() else 0.0

    def importance(self) -> Array:
        return self.noise.data.reshape(self.weight.shape)

    def keeps(self) -> Array:
        """Gates that are not 0 in evaluation."""
        return self.gates(False).data > 0


class GatedLinear(Gated, Linear):
    """A fully-connected layer with a gate for each weight."""


class GatedConv2d(Gated, Conv2d):
    """A convolution with a gate for each weight."""
