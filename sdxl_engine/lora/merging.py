"""The weights on the devices, with the LoRAs of the moment in them.

What a LoRA changes is computed on the host and exchanged on the devices: no program knows of LoRAs,
and none is compiled for one. A changed parameter is always made anew of the model's own, which the
host keeps once it has been changed. Nothing is ever subtracted, so without LoRAs the devices hold
the same bytes as before; and of each parameter is known what is in it, so that whatever breaks off
an exchange, the next one makes good.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

import jax
import ml_dtypes
import numpy as np
from flax import nnx

from sdxl_engine.checkpoint.load import ExpectedParameter
from sdxl_engine.checkpoint.safetensors_file import Array
from sdxl_engine.errors import CheckpointError, InvalidRequestError
from sdxl_engine.hashes import Version
from sdxl_engine.host_copy import HostCopy
from sdxl_engine.lora.file import LoraFile, unusable
from sdxl_engine.lora.kinds import F32, Change
from sdxl_engine.lora.names import PARTS, Expected, Module
from sdxl_engine.programs.compiler import Weights
from sdxl_engine.sentence import all_of, say

_MAX_THREADS: Final = 8  # more wait for the memory
_AT_ONCE: Final = 2**18  # numbers that are added while they lie in a core's cache


class Chosen(NamedTuple):
    """A LoRA as a request wants it."""

    name: str
    file: LoraFile
    strength: float

    def read(self) -> dict[Module, Change]:
        """What it does; raises InvalidRequestError."""
        try:
            return self.file.read()
        except CheckpointError as error:
            raise InvalidRequestError(unusable(self.file.path, error)) from error


# What is in a parameter: of each LoRA its name, its file's version and its strength.
_Held = tuple[tuple[str, Version, float], ...]


class _Parameter:
    """One parameter, and what is in it."""

    def __init__(
        self, expected: ExpectedParameter, variable: nnx.Variable[jax.Array], host: HostCopy
    ) -> None:
        self.expected = expected
        self.held: _Held = ()
        self._variable = variable
        self._host = host

    @property
    def own(self) -> Array:
        """The model's, which the host keeps from now on."""
        return self._host.own(self._variable)

    def exchange(self, array: Array, held: _Held) -> None:
        """Have this where it lives, and nothing of what was there."""
        self._host.put(self._variable, array)
        self.held = held


@dataclass(slots=True)
class _Plan:
    """What shall be in one parameter.

    loras    by name, in the order in which they are added
    modules  of each of its tensors, what each LoRA changes with it
    """

    loras: dict[str, Chosen] = field(default_factory=dict)
    modules: dict[str, dict[str, Module]] = field(default_factory=dict)

    @property
    def held(self) -> _Held:
        """Equal for what comes to the same bytes."""
        return tuple((one.name, one.file.version, one.strength) for one in self.loras.values())


class MergedWeights:
    """The weights of a model, in which LoRAs come and go.

    weights   whose arrays are exchanged
    expected  the parameters of each of `names.PARTS`
    host      has the model's own
    """

    def __init__(self, weights: Weights, expected: Expected, host: HostCopy) -> None:
        self._of_tensor: dict[tuple[str, str], _Parameter] = {}
        for part in PARTS:
            variables = dict(nnx.to_flat_state(getattr(weights, part)))
            for each in expected[part]:
                parameter = _Parameter(each, variables[each.path], host)
                self._of_tensor.update(((part, tensor.name), parameter) for tensor in each)

    def switch(self, loras: Iterable[Chosen]) -> None:
        """Have these LoRAs in the weights and no others; costs nothing where they are already.

        Raises InvalidRequestError for one that holds no numbers, or makes none of the model's.
        """
        # In one order, so that sums are the same in whatever order they were asked for.
        chosen = sorted((one for one in loras if one.strength), key=lambda one: one.name)
        plans = self._plans(chosen)
        nothing = _Plan()
        stale = [
            parameter
            for parameter in dict.fromkeys(self._of_tensor.values())
            if parameter.held != plans.get(parameter, nothing).held
        ]
        needed = {name for parameter in stale for name in plans.get(parameter, nothing).loras}
        # Everything that a file can be blamed for, before anything is exchanged.
        changes = {one.name: one.read() for one in chosen if one.name in needed}
        work = [
            partial(_merged, each.expected, each.own, plans.get(each, nothing), changes)
            for each in stale
        ]
        for parameter, whole in zip(stale, _computed(work), strict=True):
            parameter.exchange(whole, plans.get(parameter, nothing).held)

    def forget(self) -> None:
        """Somebody else has put the model's own back, everywhere."""
        for parameter in self._of_tensor.values():
            parameter.held = ()

    def _plans(self, chosen: Iterable[Chosen]) -> dict[_Parameter, _Plan]:
        plans: dict[_Parameter, _Plan] = {}
        for one in chosen:
            for module, roles in one.file.modules.items():
                for name in module.tensors(roles):
                    plan = plans.setdefault(self._of_tensor[module.part, name], _Plan())
                    plan.loras[one.name] = one
                    plan.modules.setdefault(name, {})[one.name] = module
        return plans


def _merged(
    expected: ExpectedParameter,
    own: Array,
    plan: _Plan,
    changes: Mapping[str, Mapping[Module, Change]],
) -> Array:
    """The model's parameter with what the plan adds, summed in float32 and rounded once."""
    if not plan.loras:
        return own
    whole = own.copy()
    # What overflows is found in `_add`.
    with np.errstate(over="ignore", invalid="ignore"):
        # Of a table of words that has grown, those that the checkpoint had.
        for tensor, slot in expected.slots(whole[: expected.shape[0]]):
            deltas = []
            for name, module in plan.modules.get(tensor.name, {}).items():
                change, strength = changes[name][module], plan.loras[name].strength
                if tensor.name.endswith(".bias"):
                    deltas.append(change.of_bias(strength))
                else:
                    own_weight = partial(_weight, expected, slot)
                    delta = change.of_weight(strength, tensor.shape, own_weight)
                    deltas.append(expected.to_engine(delta))
            if not _add(slot, deltas):
                raise InvalidRequestError(
                    say(
                        "With {loras}, {tensor} has numbers beyond those that the model can hold. "
                        "Ask for less strength, or for another LoRA.",
                        loras=all_of(plan.loras),
                        tensor=tensor.name,
                    )
                )
    return whole


def _add(slot: Array, deltas: Sequence[F32]) -> bool:
    """Add all of these to a weight, rounding once; returns whether it can hold what comes of it."""
    largest = float(ml_dtypes.finfo(slot.dtype).max)  # type: ignore[no-untyped-call] # has no types
    rows = max(1, _AT_ONCE * len(slot) // slot.size)
    for first in range(0, len(slot) if deltas else 0, rows):
        some = slice(first, first + rows)
        total = slot[some].astype(np.float32)
        for delta in deltas:
            total += delta[some]
        if not (total.max() <= largest and total.min() >= -largest):
            return False
        slot[some] = total
    return True


def _weight(expected: ExpectedParameter, slot: Array) -> Array:
    return expected.to_checkpoint(slot.astype(np.float32))


def _computed(work: Sequence[Callable[[], Array]]) -> Iterator[Array]:
    """The results in order, by some threads that are never far ahead of who takes them."""
    threads = min(_MAX_THREADS, os.cpu_count() or 1)
    waiting: deque[Future[Array]] = deque()
    with ThreadPoolExecutor(threads, "lora") as pool:
        for compute in work:
            waiting.append(pool.submit(compute))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
