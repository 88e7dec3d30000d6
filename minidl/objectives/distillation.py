"""Distillation: a network learns what another one answers, which is softer than the labels (Hinton et al. 2015)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from .. import functional as F
from ..checks import number
from ..nn import Module, evaluation_mode
from ..tensor import Tensor, no_grad


@dataclass
class Distillation:
    """The cross-entropy of a network at a temperature with what its teacher answers there; or mixed with the labels'.

    With q = softmax(teacher / T), p = softmax(model / T) and a for ``mix``: at a = 1, L = -sum_k q[k] log p[k],
    Papernot's defensive distillation; below, Hinton's (1 - a) cross-entropy of the labels at T = 1 + a T^2 KL(q, p).

    Parameters
    ----------
    teacher : Module
        From images to logits, of as many classes. It answers in evaluation mode, to the same images as the model, and
        is not trained; who defends by distillation trains it at the same T.
    temperature : float > 0
        T.
    mix : float in [0, 1]
        a, the teacher's part.

    Raises
    ------
    TypeError, ValueError
        When the teacher is no Module, is the model itself or has other classes; when T or the mix is out of range.

    Notes
    -----
    The factor T^2 keeps the teacher's part of the gradient as large as the labels', whatever T is; where there is no
    other part, it would only change the learning rate. The teacher's weights are no part of the training's state, which
    knows them by their hash: a training goes on only with the teacher that it began with.

    A network that was trained so answers at T = 1 with logits T times as large as its labels asked for: gradients
    vanish, and attacks by them fail, while the network is no more robust (Carlini and Wagner 2017, arXiv:1608.04644).
    ``robustness.diagnose`` tells.

    References
    ----------
    Papernot et al. 2016, "Distillation as a defense to adversarial perturbations against deep neural networks",
    arXiv:1511.04508; Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network", arXiv:1503.02531.

    Examples
    --------
    >>> import minidl as md
    >>> model, teacher = (md.models.fc5(image_size=8, channels=1, seed=seed) for seed in (0, 1))
    >>> images, labels = md.data.digits("val")
    >>> loss, logits = md.objectives.Distillation(teacher, temperature=20.0)(model, md.Tensor(images[:5]), labels[:5])
    >>> loss.shape, logits.shape
    ((), (5, 10))
    """

    teacher: Module
    temperature: float
    mix: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.teacher, Module):
            raise TypeError(
                f"Distillation: the teacher must be a minidl.nn.Module, and is a {type(self.teacher).__name__}"
            )
        self.temperature = number(self.temperature, "temperature", "(0, inf)", "Distillation")
        self.mix = number(self.mix, "mix", "[0, 1]", "Distillation")

    def __call__(self, model: Module, images: Tensor, labels: Any) -> tuple[Tensor, Tensor]:
        T, logits = self.temperature, model(images)
        answers, q = self._taught(model, images)
        if answers.shape != logits.shape:
            raise ValueError(
                f"Distillation: the teacher answers {answers.shape} and the model {logits.shape}: they must have the "
                "same classes"
            )
        soft = F.cross_entropy(logits, q, T)
        if self.mix == 1:
            return soft, logits
        with no_grad():
            entropy = F.cross_entropy(answers, q, T)  # of q: its cross-entropy with itself
        return (1 - self.mix) * F.cross_entropy(logits, labels) + self.mix * T**2 * (soft - entropy), logits

    def _taught(self, model: Module, images: Tensor) -> tuple[Tensor, Any]:
        """The teacher's logits, and its probabilities at the temperature, (B, classes) each."""
        if model is self.teacher:
            raise ValueError("Distillation: the teacher is the model itself: use copy.deepcopy(model)")
        with no_grad(), evaluation_mode(self.teacher):
            answers = self.teacher(images)
            return answers, F.softmax(answers, self.temperature).data

    def get_state(self) -> dict[str, Any]:
        """The settings, and the teacher by the hash of its weights."""
        return {"teacher": _hash_of(self.teacher), "temperature": self.temperature, "mix": self.mix}

    def state_problems(self, state: dict[str, Any]) -> list[str]:
        """Why a training would not go on as it began, a line each."""
        ours = self.get_state()
        there = {name: state.get(name) for name in ours}
        return [f"{name}: {there[name]!r} there, {ours[name]!r} here" for name in ours if there[name] != ours[name]]

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing: all of it is the same, or was refused."""


def _hash_of(model: Module) -> str:
    """Of all weights and buffers, with their names."""
    digest = hashlib.sha256()
    for name, array in model.state_dict().items():
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
