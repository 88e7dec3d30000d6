"""Layers whose weights are random while they are trained, until a mask says which of them stay."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..backend import Array, array_module
from ..spectral import spectral_norm
from ..tensor import Parameter, Tensor
from .layers import Conv2d, Linear
from .module import Module

FIRST_LOG_VARIANCE = -10.0


class Noisy(Module):
    """What these layers share. ``noise``, a Parameter of one axis, is neither decayed nor counted among the kernels.

    A mask ends the randomness: from ``settle`` on a layer computes as its plain twin does, which ``plain`` gives.
    """

    weight: Parameter
    noise: Parameter
    rng: np.random.Generator | None = None  # of the randomness; by default the stream "dropout"
    affine: Any  # with bias and formula, of Linear or Conv2d
    bias: Any
    drawn: Any  # what it gives in training; with penalty, importance and keeps, of a subclass
    penalty: Any
    importance: Any
    keeps: Any

    def is_random(self) -> bool:
        return self.weight.mask is None

    def expected(self) -> Tensor:
        """The weights of an evaluation."""
        return self.weight

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.is_random():
            return self.drawn(x)
        return self.affine(x, self.expected(), self.bias)

    def formula(self, x: Tensor) -> str:
        formula = super().formula(x)  # type: ignore[misc]
        return formula + (", of random weights in training" if self.is_random() else "")

    def lipschitz(self, x: Tensor) -> Any:
        return None if self.training and self.is_random() else spectral_norm(self, x)

    def spread(self, radius: Tensor) -> Tensor:
        return self.affine(radius, self.expected().abs())

    def settle(self, mask: Array) -> None:
        """Keep these weights, as they are in evaluation, and end the randomness."""
        self.weight.data[...] = self.expected().data
        self.weight.mask = mask

    def plain(self) -> Linear | Conv2d:
        """The same layer without noise, with the same Parameters; settled by its own rule if it was not yet."""
        if self.is_random():
            self.settle(self.keeps())
        kind = next(kind for kind in type(self).__mro__ if kind in (Linear, Conv2d))
        twin: Any = kind.__new__(kind)
        vars(twin).update({name: value for name, value in vars(self).items() if name not in ("noise", "rng")})
        return twin

    @classmethod
    def of(cls, layer: Linear | Conv2d, noise: float, rng: np.random.Generator | None) -> Noisy:
        """A noisy layer with the Parameters of a plain one."""
        twin = cls.__new__(cls)
        vars(twin).update(vars(layer))
        twin.rng = rng
        twin.noise = Parameter(array_module(layer.weight.data).full_like(layer.weight.data.reshape(-1), noise))
        return twin


class Variational(Noisy):
    """Weights of N(w, sigma^2); ``noise`` is log sigma^2."""

    def drawn(self, x: Tensor) -> Tensor:
        mean, variance = self.affine(x, self.weight, self.bias), self.noise.exp().reshape(self.weight.shape)
        return F.gaussian(mean, self.affine(x * x, variance), self.rng)

    def log_alpha(self) -> Tensor:
        return F.log_alpha(self.weight, self.noise.reshape(self.weight.shape))

    def penalty(self) -> Tensor | float:
        """Their divergence from the prior, summed; 0 from when the randomness has ended."""
        return F.variational_kl(self.log_alpha()).sum() if self.is_random() else 0.0

    def importance(self) -> Array:
        return -self.log_alpha().data

    def keeps(self) -> Array:
        """log alpha <= 3: of the others nine parts in ten and more are noise."""
        return self.log_alpha().data <= 3


class VariationalLinear(Variational, Linear):
    """A fully-connected layer whose weights learn how much noise they bear (Molchanov et al. 2017).

    In training it gives N(x W + b, x^2 sigma^2), drawn for each image anew; in evaluation x W + b. Its ``penalty``, the
    divergence from a prior that favours noise, is added to the loss by ``objectives.Penalized``; weights that are noise
    (log alpha = log sigma^2 / w^2 > 3) are then pruned by ``compress.NoisePruner``.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    rng : numpy.random.Generator
        As for ``Linear``. The noise comes from ``layer.rng``, by default the stream "dropout" of ``md.manual_seed``.

    Attributes
    ----------
    weight, bias : Parameter
        As ``Linear`` has them.
    noise : Parameter (in_features * out_features,)
        log sigma^2, at first -10.

    References
    ----------
    Molchanov, Ashukha and Vetrov, "Variational dropout sparsifies deep neural networks", 2017, arXiv:1701.05369.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> layer = nn.VariationalLinear(3, 2)
    >>> x = np.ones((1, 3), np.float32)
    >>> bool((layer(x).data == layer(x).data).any()), bool((layer.eval()(x).data == layer(x).data).all())
    (False, True)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, rng: np.random.Generator | None = None
    ) -> None:
        super().__init__(in_features, out_features, bias, rng)
        self.noise = Parameter(np.full(self.weight.size, FIRST_LOG_VARIANCE, np.float32))


class VariationalConv2d(Variational, Conv2d):
    """A convolution whose weights learn how much noise they bear, as ``VariationalLinear``'s do.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, bias, rng : as for ``Conv2d``

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import nn
    >>> layer = nn.VariationalConv2d(3, 8, kernel_size=3, padding=1)
    >>> layer.noise.shape, layer(np.zeros((1, 6, 6, 3), np.float32)).shape
    ((216,), (1, 6, 6, 8))
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.noise = Parameter(np.full(self.weight.size, FIRST_LOG_VARIANCE, np.float32))
