"""Weights that are random while they are trained: variational dropout, and what it costs."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..backend import Array, array_module, default_rng
from ..checks import check_real
from ..tensor import Tensor, op
from .activation import s_shaped
from .arithmetic import Result

LARGEST = 8.0  # log alpha is cut to [-8, 8]
TINY = 1e-8
K1, K2, K3 = 0.63576, 1.87320, 1.48695  # of the approximate divergence (Molchanov et al. 2017, eq. (14))


def gaussian(mean: Tensor, variance: Tensor, rng: np.random.Generator | None = None) -> Tensor:
    """Normal random numbers of these means and variances, with gradients by both (the local reparametrisation trick).

    Parameters
    ----------
    mean, variance : Tensor of one shape
        1e-8 is added to the variance.
    rng : numpy.random.Generator
        By default the "dropout" stream that ``md.manual_seed`` resets.

    References
    ----------
    Kingma, Salimans and Welling, "Variational dropout and the local reparameterization trick", 2015, arXiv:1506.02557.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> y = F.gaussian(np.full(10_000, 3.0), np.full(10_000, 4.0), np.random.default_rng(0)).data
    >>> round(float(y.mean()), 1), round(float(y.std()), 1)
    (3.0, 2.0)
    """
    return _gaussian(mean, variance, rng or default_rng("dropout"))


def open_uniform(like: Array, rng: np.random.Generator) -> Array:
    """Random numbers in (0, 1), and at neither end, of which there is no logarithm."""
    alike = like.dtype.type
    return (kernels.of(like).uniform(like, rng) * alike(1 - 2**-22) + alike(1)) * alike(0.5)


@op
def _gaussian(mean: Array, variance: Array, rng: np.random.Generator) -> Result:
    check_real(mean, "gaussian", "mean")
    if check_real(variance, "gaussian", "variance").shape != mean.shape:
        raise ValueError(f"gaussian: the mean has shape {mean.shape} and the variance {variance.shape}: make them one")
    xp = array_module(mean)
    radius = xp.sqrt(-2 * xp.log(open_uniform(mean, rng)))
    normal = radius * xp.cos(2 * math.pi * open_uniform(mean, rng))  # Box and Muller 1958
    deviation = xp.sqrt(variance + variance.dtype.type(TINY))
    return mean + deviation * normal, (lambda dy: dy, lambda dy: dy * normal / (2 * deviation))


@op
def log_alpha(weight: Array, log_variance: Array) -> Result:
    """log alpha = log sigma^2 - log(w^2 + 1e-8), cut to [-8, 8]: how noisy weights are for their size.

    Parameters
    ----------
    weight, log_variance : Tensor of one shape
        w and log sigma^2.

    References
    ----------
    Molchanov, Ashukha and Vetrov, "Variational dropout sparsifies deep neural networks", 2017, arXiv:1701.05369.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.log_alpha(np.array([1.0, 1e-9]), np.array([-2.0, -2.0])).data.round(3)
    array([-2.,  8.])
    """
    check_real(weight, "log_alpha", "weight")
    if check_real(log_variance, "log_alpha", "log_variance").shape != weight.shape:
        raise ValueError(
            f"log_alpha: the weight has shape {weight.shape} and log_variance {log_variance.shape}: they must be one"
        )
    xp, square = array_module(weight), weight * weight + weight.dtype.type(TINY)
    free = log_variance - xp.log(square)
    inside = abs(free) < LARGEST
    return free.clip(-LARGEST, LARGEST), (lambda dy: dy * inside * (-2 * weight / square), lambda dy: dy * inside)


@op
def variational_kl(log_alpha: Array) -> Result:
    """How far N(w, alpha w^2) is from a prior uniform in ``log |w|``, up to a constant; 0 where alpha is infinite.

    k1 + log(1 + 1 / alpha) / 2 - k1 sigmoid(k2 + k3 log alpha), which is the Kullback-Leibler divergence to within
    0.01.

    Parameters
    ----------
    log_alpha : Tensor of any shape
        As ``log_alpha`` gives it.

    References
    ----------
    Molchanov, Ashukha and Vetrov, "Variational dropout sparsifies deep neural networks", 2017, arXiv:1701.05369, eq.
    (14).

    Examples
    --------
    >>> import numpy as np
    >>> from minidl import functional as F
    >>> F.variational_kl(np.array([-8.0, 0.0, 8.0])).data.round(3)
    array([4.636, 0.431, 0.   ])
    """
    check_real(log_alpha, "variational_kl", "log_alpha")
    alike = log_alpha.dtype.type
    gate = s_shaped(alike(K2) + alike(K3) * log_alpha)
    xp = array_module(log_alpha)
    small = xp.exp(-xp.abs(log_alpha))
    inverse = xp.log(1 + small) + xp.maximum(-log_alpha, 0)  # log(1 + 1 / alpha), whose slope is -off
    off = xp.where(log_alpha < 0, 1, small) / (1 + small)
    kl = alike(K1) * (1 - gate) + alike(0.5) * inverse
    return kl, (lambda dy: dy * (-alike(K1 * K3) * gate * (1 - gate) - alike(0.5) * off),)
