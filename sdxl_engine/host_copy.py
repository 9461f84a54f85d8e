"""A model's own weights on the host: what its devices can be given again."""

from collections.abc import Callable
from typing import Any

import numpy as np
from flax import nnx

from sdxl_engine.checkpoint.safetensors_file import Array
from sdxl_engine.programs.compiler import Weights


class HostCopy:
    """The model's own numbers of each parameter, kept from the first time that they are needed.

    Whoever puts others into a parameter asks for its own first. What is NumPy's when this is made
    lives on the host and stays there: see `Weights`.

    weights  as they were loaded
    place    puts one array on the devices
    """

    def __init__(self, weights: Weights, place: Callable[[Array], Any]) -> None:
        states = map(nnx.to_flat_state, weights)
        self._variables: list[Any] = [variable for state in states for _, variable in state]
        self._stay = {
            id(one) for one in self._variables if not isinstance(one.get_value(), np.ndarray)
        }
        self._place = place
        self._own: dict[int, Array] = {}  # by the variable's identity: a variable equals its value

    @property
    def size_bytes(self) -> int:
        """Of the weights, on each device that has them."""
        return sum(one.get_value().nbytes for one in self._variables if id(one) in self._stay)

    def own(self, variable: Any) -> Array:  # noqa: ANN401 - nnx's variables of any kind
        """The model's own numbers of one parameter."""
        array = self._own.get(id(variable))
        if array is None:  # so nothing else has been in it yet
            array = self._own[id(variable)] = np.asarray(variable.get_value())
        return array

    def leave(self) -> None:
        """Have the weights on the host alone: the devices keep nothing of them."""
        for variable in self._variables:
            variable.set_value(self.own(variable))

    def arrive(self) -> None:
        """Have them where they live again, as they were loaded."""
        for variable in self._variables:
            self.put(variable, self.own(variable))

    def put(self, variable: Any, array: Array) -> None:  # noqa: ANN401 - as of `own`
        """Have these numbers in one parameter, where it lives."""
        variable.set_value(self._place(array) if id(variable) in self._stay else array)
