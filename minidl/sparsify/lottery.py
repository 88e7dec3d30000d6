"""Lottery tickets: train, prune, put what is left back to where it was early on, and again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import to_device, to_numpy
from ..checks import number, whole_number
from ..nn import Module
from ..optim import Optimizer
from .magnitude import check_settled, chosen_weights
from .scopes import Pruner, check_scope, prune

CONTROLS = ("winner", "random", "reinitialised")


def lottery_ticket(
    model: Module,
    optimizer: Optimizer,
    sparsity: float,
    steps: int,
    part: float = 0.2,
    rewind: int = 0,
    scope: str = "global",
    control: str = "winner",
    rng: np.random.Generator | None = None,
) -> LotteryTicket:
    """What follows the steps of a training in rounds: after each, prune, rewind what is left, and go on.

    A round prunes about ``part`` of the remaining weights, those of least magnitude; as many rounds, of equal parts, as
    it takes to come to the sparsity; then a last one trains the ticket. It is one training, of ``(rounds + 1) * steps``
    steps, with a learning rate that begins anew in each round (``LotteryTicket.schedule``), and can be stopped and
    resumed as any.

    Parameters
    ----------
    model : Module
    optimizer : optim.Optimizer
        Whose momentum begins anew in each round.
    sparsity : float in (0, 1)
        Of the ticket.
    steps : int
        Training iterations in a round.
    part : float in (0, 1)
        Of the remaining weights, in a round. Sparsities of 50, 80, 90 and 98 % take 4, 8, 11 and 18 rounds of 0.2.
    rewind : int
        The iteration of the first round to whose weights, and running statistics, all rounds go back; 0 is the start.
        Large networks need some (Frankle et al. 2020).
    scope : {"layer", "global", "erk"}
        As for ``MagnitudePruner``.
    control : {"winner", "random", "reinitialised"}
        What is trained in the last round: the ticket; as many weights in each layer, at random places; or the ticket's
        mask over other initial weights, those of each kernel in another order.
    rng : numpy.random.Generator
        Of the controls.

    Returns
    -------
    LotteryTicket
        For ``fit``'s ``after_step``.

    Raises
    ------
    TypeError, ValueError
        When a number is out of its range, the scope or control unknown, or the model has nothing to prune.

    References
    ----------
    Frankle and Carbin, "The lottery ticket hypothesis", ICLR 2019, arXiv:1803.03635. Frankle, Dziugaite, Roy and
    Carbin, "Linear mode connectivity and the lottery ticket hypothesis", ICML 2020, arXiv:1912.05671.

    Examples
    --------
    >>> import minidl as md
    >>> images, labels = md.data.digits("train")
    >>> batches = md.data.Loader(images, labels, batch_size=128)
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    >>> ticket = md.compress.lottery_ticket(model, optimizer, sparsity=0.75, steps=len(batches), part=0.5)
    >>> curve = md.fit(
    ...     model, batches, optimizer, epochs=ticket.rounds + 1, after_step=[ticket], progress=False,
    ...     schedule=ticket.schedule(md.optim.one_cycle(0.05, len(batches))),
    ... )
    >>> ticket.rounds, [round(row.sparsity, 2) for row in curve]
    (2, [0.5, 0.75, 0.75])
    """
    who = "lottery_ticket"
    sparsity, part = (number(v, k, "(0, 1)", who) for k, v in (("sparsity", sparsity), ("part", part)))
    steps = whole_number(steps, "steps", 1, who, "training iterations")
    rewind = whole_number(rewind, "rewind", 0, who, "training iterations")
    if rewind >= steps:
        raise ValueError(f"{who}: rewind is {rewind}, and must be an iteration of the first round, 0 to {steps - 1}")
    if control not in CONTROLS:
        raise ValueError(f"{who}: unknown control {control!r}: choose from {', '.join(map(repr, CONTROLS))}")
    if control != "winner" and any(weight.mask is not None for weight in chosen_weights(model, (), who).values()):
        raise ValueError(
            f"{who}: the model has masks already, and control={control!r} would draw among the places that they hide: "
            "give it a dense model"
        )
    return LotteryTicket(model, optimizer, sparsity, steps, part, rewind, check_scope(scope, who), control, rng)


def rounds_to(sparsity: float, part: float) -> int:
    """How many rounds of about ``part`` of the remaining weights it takes; 1e-9 forgives the logarithms' rounding."""
    return max(1, math.ceil(math.log(1 - sparsity) / math.log(1 - part) - 1e-9))


class LotteryTicket(Pruner):
    """What ``lottery_ticket`` makes, which says what its parameters are.

    Parameters
    ----------
    model, optimizer, sparsity, steps, part, rewind, scope, control, rng : as for ``lottery_ticket``

    Attributes
    ----------
    rounds : int
        After which the ticket is there.
    sparsity : float
        The part of the weights that are pruned now.
    start : array
        The weights and statistics to go back to, all in one.

    Examples
    --------
    >>> import minidl as md
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> md.compress.lottery_ticket(model, md.optim.SGD(model.parameters(), 0.1), sparsity=0.98, steps=100).rounds
    18
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        sparsity: float,
        steps: int,
        part: float,
        rewind: int,
        scope: str,
        control: str,
        rng: np.random.Generator | None,
    ) -> None:
        self.weights = chosen_weights(model, (), "lottery_ticket")
        check_settled(model, self.weights, "lottery_ticket")
        self._model, self._optimizer = model, optimizer
        self.final_sparsity, self.steps, self.rewind, self.scope, self.control = sparsity, steps, rewind, scope, control
        self.rounds = rounds_to(sparsity, part)
        self.rng = rng or np.random.default_rng(0)
        self.initial, self.start = self._flat(), self._flat()  # two arrays, as a state is put back into each

    def schedule(self, of_a_round: Any) -> Any:
        """A schedule that begins anew in each round."""
        return lambda t: of_a_round(t % self.steps)

    def check(self, total_steps: int) -> None:
        """Raise a ValueError unless the training has all rounds, and one more for the ticket."""
        if total_steps < (self.rounds + 1) * self.steps:
            raise ValueError(
                f"LotteryTicket: {self.rounds} rounds and one more for the ticket, of {self.steps} steps each, take "
                f"{(self.rounds + 1) * self.steps} steps, and training has {total_steps}"
            )

    def step(self, t: int) -> None:
        """At ``rewind`` take down the weights; at the end of a round, but for the last, prune and go back to them."""
        t = whole_number(t, "t", 0, "LotteryTicket.step", "training iterations") + 1  # steps that are behind
        if t == self.rewind:
            self.start = self._flat()
        done, rest = divmod(t, self.steps)
        if rest or not 1 <= done <= self.rounds:
            return
        sparsity = 1 - (1 - self.final_sparsity) ** (done / self.rounds)
        prune(self.weights, sparsity, self.scope, lambda weight: abs(weight.data), "LotteryTicket.step")
        last = done == self.rounds
        if last and self.control == "random":
            self._shuffle_masks()
        anew = last and self.control == "reinitialised"
        self._put_back(self.initial if anew else self.start, anew)
        self._optimizer.begin_anew()

    def _shuffle_masks(self) -> None:
        for weight in self.weights.values():
            if weight.mask is not None:
                mask = self.rng.permutation(to_numpy(weight.mask).reshape(-1)).reshape(weight.shape)
                weight.mask = to_device(mask, weight.device)

    def _flat(self) -> np.ndarray:
        """All that ``state_dict`` has, in a row: one array, as a training's state keeps it."""
        return np.concatenate([value.reshape(-1).astype(np.float64) for value in self._model.state_dict().values()])

    def _put_back(self, flat: np.ndarray, anew: bool) -> None:
        kernels = {name for name, weight in self._model.named_parameters() if weight in self.weights.values()}
        state, place = self._model.state_dict(), 0
        for name, value in state.items():
            row = flat[place : place + value.size]
            row = self.rng.permutation(row) if anew and name in kernels else row
            state[name] = row.reshape(value.shape).astype(value.dtype)
            place += value.size
        self._model.load_state_dict(state)
