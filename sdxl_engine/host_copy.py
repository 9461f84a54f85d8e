"""A model's own weights on the host: what its devices can be given again."""

from collections.abc import Callable
from typing import Any

import numpy as np
from flax import nnx

from sdxl_engine.checkpoint.load import Place
from sdxl_engine.checkpoint.safetensors_file import Array
from sdxl_engine.programs.compiler import Weights


class HostCopy:
    """The model's own numbers of each parameter, kept from the first time that they are needed.

    Whoever puts others into a parameter asks for its own first.

    weights  on the devices
    """

    def __init__(self, weights: Weights) -> None:
        states = map(nnx.to_flat_state, weights)
        self._variables: list[Any] = [variable for state in states for _, variable in state]
        self._own: dict[int, Array] = {}  # by the variable's identity: a variable equals its value

    @property
    def size_bytes(self) -> int:
        """Of the weights, on each device that has them."""
        return sum(variable.get_value().nbytes for variable in self._variables)

    def own(self, variable: Any) -> Array:  # noqa: ANN401 - nnx's variables of any kind
        """The model's own numbers of one parameter."""
        array = self._own.get(id(variable))
        if array is None:  # so nothing else has been in it yet
            array = self._own[id(variable)] = np.asarray(variable.get_value())
        return array

    def leave(self) -> None:
        """Have the weights on the host alone: the devices keep nothing of them."""
        self._fill(lambda own: own)

    def arrive(self, place: Place) -> None:
        """Have them on the devices again, as they were loaded."""
        self._fill(place)

    def _fill(self, place: Callable[[Array], Any]) -> None:
        for variable in self._variables:
            variable.set_value(place(self.own(variable)))
