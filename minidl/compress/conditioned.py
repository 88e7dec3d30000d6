"""Low rank that stays well conditioned: no singular value of V or H falls below a part of the largest."""

from __future__ import annotations

from typing import Any

from ..backend import Array, array_module
from ..checks import number, whole_number
from ..nn import LowRankConv2d, Module
from ..tensor import Parameter
from .proximal import on_singular_values


class WellConditioned:
    """After each step, raise the singular values s of V and H to s_1 / condition at least (Savostianova et al. 2023).

    V counts as the (C * KH) x K matrix and H as the K x (KW * N) one whose product is the kernel's (``factorize``). The
    bounds are those that ``low_rank(..., condition=...)`` has left at the layers, where it has also applied them once.

    Parameters
    ----------
    model : Module
        With at least one layer that has a bound.

    Attributes
    ----------
    weights : {name: Parameter}
        The V and H that are watched.

    Raises
    ------
    ValueError
        When no layer has a bound, or one that has is pruned: its zeros would be filled.

    Notes
    -----
    Where batch normalisation stands between V and H, it scales V's outputs once more, outside of this bound.

    References
    ----------
    Savostianova, Zangrando, Ceruti and Tudisco, "Robust low-rank training via approximate orthonormal constraints",
    NeurIPS 2023, arXiv:2306.01485.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.compress.low_rank(md.models.resnet18(), [8] * 17, condition=10)
    >>> after_step = [md.compress.WellConditioned(model)]  # for md.fit
    >>> after_step[0].step(0)
    """

    def __init__(self, model: Module) -> None:
        self.weights: dict[str, Parameter] = {}
        self.bounds: dict[str, float] = {}
        for name, layer in model.named_modules():
            if isinstance(layer, LowRankConv2d) and layer.condition is not None:
                for half in ("vertical", "horizontal"):
                    key = f"{name}.{half}" if name else half
                    self.weights[key], self.bounds[key] = getattr(layer, half).weight, layer.condition
        if not self.weights:
            raise ValueError(
                "WellConditioned: no low-rank layer of this model has a bound: use low_rank(model, ranks, condition=10)"
            )
        self._check_dense()

    def step(self, t: int) -> None:
        """Clip; the iteration is that of the training and changes nothing."""
        whole_number(t, "t", 0, "WellConditioned.step", "training iterations")
        self._check_dense()
        for name, weight in self.weights.items():
            weight.data[...] = clipped(weight.data, self.bounds[name])

    def _check_dense(self) -> None:
        pruned = [name for name, weight in self.weights.items() if weight.mask is not None]
        if pruned:
            raise ValueError(
                f"WellConditioned: {', '.join(pruned)} are pruned, and clipping singular values would fill the zeros: "
                "prune, or keep the condition"
            )


def clipped(weight: Array, condition: float) -> Array:
    """V (K, KH, 1, C) or H (N, 1, KW, K) with all singular values in [s_1 / condition, s_1]."""
    rows = weight.shape[0] * weight.shape[2]  # V^T is K x (KH C), H^T is (N KW) x K
    return on_singular_values(
        weight.reshape(rows, -1), lambda s: array_module(s).maximum(s, s[..., :1] / condition)
    ).reshape(weight.shape)


def checked_condition(condition: Any) -> float | None:
    """At least 1, or None."""
    return None if condition is None else number(condition, "condition", "[1, inf)", "low_rank")
