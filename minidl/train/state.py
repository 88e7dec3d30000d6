"""All that a training is made of, between two of its steps: taken down, put back whole or not at all, and compared.

It is what a failed epoch goes back to, what a checkpoint's file holds, what a study goes on from, and what tells that a
step which a card has recorded must be recorded anew. Everything has a name: parameters that of the model, what an
optimiser remembers of them the names in its ``memory``, other things those of their attributes.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array, default_rng, is_array, to_device, to_numpy
from ..nn import Module
from ..objectives.plain import objectives_in
from ..optim import Optimizer
from . import values
from .reads import Reads

DRAWN_FROM = ("dropout", "attack")  # the default streams that a training draws from


class StateError(ValueError):
    """What was taken down is not of this training: every difference, a line each. Nothing was changed."""


class Snapshot(NamedTuple):
    """A state as it was, by names.

    Attributes
    ----------
    arrays : {name: NumPy array}
        "model/conv1.weight", "mask/conv1.weight", "memory/conv1.weight/velocity", "objective/centre",
        "after_step/0/averages/conv1.weight" ...
    rest : {name: what JSON can hold, but for tuples}
        "optimizer", "objective", "after_step/0" ...: the kind, numbers and texts of each; "streams": random generators.
    """

    arrays: dict[str, np.ndarray]
    rest: dict[str, Any]


class State:
    """A training's model with its masks, its optimiser, objective, what follows its steps, batches and random streams.

    Of the objective, of those within it and of what follows a step, all attributes that are numbers, texts, truth
    values, arrays, random generators, or lists, tuples and dictionaries (by texts) of these, belong to the state; so do
    the optimiser's. Of others that hold such things a ``StateWarning`` tells, unless the class names them in
    ``transient``. What has ``get_state``, ``state_problems`` and ``set_state`` is asked for its own instead; so are
    batches alone.

    Parameters
    ----------
    model : Module
    optimizer : optim.Optimizer
    objective : object, optional
    after_step : sequence of objects
    batches : iterable, optional
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        objective: Any = None,
        after_step: Sequence[Any] = (),
        batches: Any = None,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        parts = {"optimizer": optimizer, **dict(objectives_in(objective))}
        parts |= {f"after_step/{i}": follower for i, follower in enumerate(after_step)}
        parts["batches"] = batches if hasattr(batches, "get_state") else None
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._reads = Reads(model, optimizer, [*self._objectives().values()])

    def capture(self) -> Snapshot:
        """Copies of everything, on the CPU."""
        arrays = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            if parameter.mask is not None:
                arrays[f"mask/{name}"] = to_numpy(parameter.mask).copy()
        for name, array in self._memory():
            arrays[f"memory/{name}"] = to_numpy(array).copy()
        rest: dict[str, Any] = {"streams": {name: g.bit_generator.state for name, g in self._streams().items()}}
        for name, part in self._parts.items():
            if hasattr(part, "get_state"):
                rest[name] = {"kind": type(part).__name__, "state": part.get_state()}
                continue
            found, rest[name] = values.taken(part)
            arrays |= {f"{name}/{place}": array for place, array in found.items()}
        rest["optimizer"]["parameters"] = list(self._names())
        return Snapshot(arrays, rest)

    def problems(self, snapshot: Snapshot) -> list[str]:
        """Why ``restore`` would refuse, a difference a line; empty where it would not."""
        problems = self.model.state_problems(_within("model/", snapshot.arrays))
        parameters = dict(self.model.named_parameters())
        for name, mask in _within("mask/", snapshot.arrays).items():
            if name not in parameters:
                problems.append(f"unknown: the mask of {name}")
            elif mask.shape != parameters[name].shape or mask.dtype != bool:
                problems.append(f"wrong: the mask of {name} is {mask.dtype} of shape {mask.shape}")
        problems += self._memory_problems(snapshot)
        for name, part in self._parts.items():
            there = snapshot.rest.get(name)
            if not isinstance(there, dict) or there.get("kind") != type(part).__name__:
                kind = there.get("kind", "damaged") if isinstance(there, dict) else "nothing"
                problems.append(f"{name}: {kind} there, {type(part).__name__} here")
            elif hasattr(part, "get_state"):
                problems += [f"{name}: {problem}" for problem in part.state_problems(there.get("state", {}))]
            else:
                problems += [f"{name}.{line}" for line in values.problems(part, there)]
        for name, generator in self._streams().items():
            try:
                type(generator.bit_generator)().state = snapshot.rest["streams"][name]
            except (KeyError, TypeError, ValueError) as error:
                problems.append(f"random stream {name}: {type(error).__name__} {error}")
        return problems

    def restore(self, snapshot: Snapshot) -> None:
        """Put everything back to where ``capture`` found it; arrays in place, where recorded steps read them.

        Raises
        ------
        StateError
            When the snapshot is of another training; nothing is then changed.
        """
        problems = self.problems(snapshot)
        if problems:
            raise StateError("\n  ".join(["the states differ, and nothing was changed:", *problems]))
        for name, parameter in self.model.named_parameters():
            parameter.mask = snapshot.arrays.get(f"mask/{name}")
        self.model.load_state_dict(_within("model/", snapshot.arrays))
        self._restore_memory(snapshot)
        for name, part in self._parts.items():
            there = snapshot.rest[name]
            if hasattr(part, "set_state"):
                part.set_state(copy.deepcopy(there["state"]))
                continue
            values.put_back(part, there, _within(f"{name}/", snapshot.arrays))
        for name, generator in self._streams().items():
            generator.bit_generator.state = snapshot.rest["streams"][name]

    def reads(self) -> tuple[Hashable, ...]:
        """What a step computes with besides what it is given: where this differs, a recording of it no longer holds."""
        return self._reads()

    def writes(self) -> dict[str, Array]:
        """The arrays that a step changes in place, by name."""
        arrays = {f"model/{name}": parameter.data for name, parameter in self.model.named_parameters()}
        for name, module in self.model.named_modules("model"):
            arrays |= {f"{name}.{buffer}": getattr(module, buffer) for buffer in module.buffers}
        arrays |= {f"memory/{name}": array for name, array in self._memory()}
        for name, part in self._objectives().items():
            arrays |= {f"{name}/{place}": array for place, array in values.arrays(part)}
        return arrays

    def _objectives(self) -> dict[str, Any]:
        return {name: part for name, part in self._parts.items() if name.startswith("objective")}

    def _names(self) -> dict[str, int]:
        """{name of a parameter: its place in the optimiser}."""
        known = {parameter: name for name, parameter in self.model.named_parameters()}
        return {known.get(p, f"parameter {i}"): i for i, p in enumerate(self.optimizer.parameters)}

    def _memory(self) -> Iterator[tuple[str, Array]]:
        """(parameter's name/kind, array) of what the optimiser remembers."""
        kinds = self.optimizer.memory
        for name, i in self._names().items():
            for j, array in enumerate(self.optimizer.state[i]):
                yield f"{name}/{kinds[j] if j < len(kinds) else j}", array

    def _place_of(self, kind: str) -> int:
        kinds = self.optimizer.memory
        return kinds.index(kind) if kind in kinds else int(kind)

    def _memory_problems(self, snapshot: Snapshot) -> list[str]:
        there = snapshot.rest.get("optimizer")
        names = list(there.get("parameters", ())) if isinstance(there, dict) else []
        ours = self._names()
        if sorted(names) != sorted(ours):
            only_there, only_here = sorted({*names} - {*ours}), sorted({*ours} - {*names})
            return [
                f"optimizer: made of {len(names)} parameters there and of {len(ours)} here; only there: "
                f"{', '.join(only_there[:5]) or 'none'}; only here: {', '.join(only_here[:5]) or 'none'}"
            ]
        problems = []
        for key, array in _within("memory/", snapshot.arrays).items():
            name, _, kind = key.rpartition("/")
            if name not in ours:
                problems.append(f"unknown: the optimiser's {kind} of {name}")
                continue
            shape = self.optimizer.parameters[ours[name]].shape
            if kind in self.optimizer.memory and array.shape != shape:
                problems.append(f"wrong shape: the optimiser's {kind} of {name} is {array.shape}, and must be {shape}")
        return problems

    def _restore_memory(self, snapshot: Snapshot) -> None:
        for name, i in self._names().items():
            parameter, state = self.optimizer.parameters[i], self.optimizer.state[i]
            by_kind = _within(f"memory/{name}/", snapshot.arrays)
            there = [by_kind[kind] for kind in sorted(by_kind, key=self._place_of)]  # not the order of the alphabet
            del state[len(there) :]
            for j, array in enumerate(there):
                if j < len(state) and is_array(state[j]) and state[j].shape == array.shape:
                    state[j][...] = to_device(array, parameter.device)
                else:
                    state[j:] = [to_device(array.copy(), parameter.device)]

    def _streams(self) -> dict[str, np.random.Generator]:
        """The random generators that the training draws from, by name."""
        found = {name: default_rng(name) for name in DRAWN_FROM}
        owners = [*self.model.named_modules("model"), *self._parts.items()]
        for prefix, owner in owners:
            if not hasattr(owner, "get_state"):
                found |= {f"{prefix}.{place}": generator for place, generator in values.streams(owner)}
        return found


def _within(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
