"""How the weights of a model folder become arrays.

Strict (every tensor missing, unexpected, set twice or misshapen is named in one error), reads
safetensors only, and streams: a few parameters at a time go from the file to the device, each read
in small blocks, so the host holds little more than the weights themselves.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
import numpy.typing as npt
from flax import nnx

from sdxl_engine.checkpoint.casting import copy, empty
from sdxl_engine.checkpoint.folder import listed
from sdxl_engine.checkpoint.names import (
    CODES,
    FUSED,
    KERNELS,
    QUARTERS,
    SCALES,
    SPARE,
    STACKED,
    family,
    own_dtype,
    tensor_name,
)
from sdxl_engine.checkpoint.parts import Part
from sdxl_engine.checkpoint.safetensors_file import DTYPES, Array, StoredTensor
from sdxl_engine.errors import CheckpointError
from sdxl_engine.models.layers import KernelLayout, Network, quarter_kernels, whole_kernel
from sdxl_engine.models.quantised import codes_of, scales_of

# Parameters that are made at the same time, and so held beside the weights: more threads than
# cores would take Python's lock from each other between blocks.
_AT_ONCE: Final = min(4, os.cpu_count() or 1)
_STORED: Final = "OIHW"  # how PyTorch keeps a convolution's kernel
# Puts one tensor, already in its final dtype and layout, where it will be used.
Place = Callable[[Array], jax.Array]


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """One tensor as a checkpoint holds it.

    name   what the checkpoint calls it
    shape  in PyTorch's layout
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExpectedParameter:
    """One parameter of a network, and what a checkpoint keeps of it.

    path    where the network holds it
    shape   as the network holds it
    pieces  [layer][part]: a parameter of stacked layers has all of theirs along its first axis, one
            of a fused linear has those of its parts along its last
    layout  of a convolution's kernel there
    """

    path: tuple[Any, ...]
    shape: tuple[int, ...]
    pieces: tuple[tuple[ExpectedTensor, ...], ...]
    layout: KernelLayout

    def __iter__(self) -> Iterator[ExpectedTensor]:
        return (tensor for parts in self.pieces for tensor in parts)

    def assemble(self, read: Callable[[str], Iterable[Array]], dtype: npt.DTypeLike) -> Array:
        """The parameter from its tensors.

        read  gives the values of the tensor of this name, in blocks of whole rows
        """
        whole = empty(self.shape, own_dtype(self.path[-1], dtype))
        for tensor, slot in self.slots(whole):
            if make := _MADE.get(self.path[-1]):
                stored = np.empty(tensor.shape, np.float32)
                copy(read(tensor.name), stored)
                slot[...] = make(self, stored)
            else:
                copy(read(tensor.name), self.to_checkpoint(slot))
        return whole

    def slots(self, whole: Array) -> Iterator[tuple[ExpectedTensor, Array]]:
        """Each tensor and the part of the parameter that is its, a view in our layout."""
        layers = whole if STACKED in self.path else whole[None]
        for layer, parts in zip(layers, self.pieces, strict=True):
            yield from zip(parts, np.split(layer, len(parts), axis=-1), strict=True)

    def to_engine(self, array: Array) -> Array:
        """PyTorch's layout to ours: (out, in) to (in, out), OIHW to that of the target."""
        if self.path[-1] not in KERNELS:
            return array
        if array.ndim == 2:  # noqa: PLR2004 - a matrix
            return array.T
        if self.path[-1] == QUARTERS:
            return _turned(quarter_kernels(_turned(array, _STORED, "HWIO")), "HWIO", self.layout)
        return _turned(array, _STORED, self.layout)

    def to_checkpoint(self, array: Array) -> Array:
        """The inverse of `to_engine`, of float32."""
        if self.path[-1] not in KERNELS:
            return array
        if array.ndim == 2:  # noqa: PLR2004 - a matrix
            return array.T
        if self.path[-1] == QUARTERS:
            return _turned(whole_kernel(_turned(array, self.layout, "HWIO")), "HWIO", _STORED)
        return _turned(array, self.layout, _STORED)


def _turned(array: Array, old: str, new: str) -> Array:
    """A view of kernels whose last axes are called so, with these in another order."""
    first = array.ndim - len(old)
    return array.transpose(*range(first), *(first + old.index(axis) for axis in new))


# Parameters that are no copy of a tensor, by the end of their path, and how they are made of one.
_MADE: Final[Mapping[str, Callable[[ExpectedParameter, Array], Array]]] = {
    QUARTERS: ExpectedParameter.to_engine,
    CODES: lambda _, weight: codes_of(weight.T),
    SCALES: lambda _, weight: scales_of(weight.T),
}


def expected_parameters(part: str, network: Network) -> list[ExpectedParameter]:
    """Every parameter of a network, under the names and in the shapes of its checkpoint."""
    layout, expected = network.target.kernels, []
    flat = dict(nnx.to_flat_state(nnx.state(network, nnx.Param)))
    for keys, leaf in flat.items():
        path = tuple(map(str, keys))
        shape = tuple(leaf.shape)
        layers = shape[0] if STACKED in path else 1
        made_of = flat[*keys[:-1], CODES] if path[-1] == SCALES else leaf
        own = tuple(made_of.shape[1:] if STACKED in path else made_of.shape)
        names = FUSED.get(path[-2], (path[-2],))
        own = (*own[:-1], own[-1] // len(names))
        if path[-1] in {*KERNELS, SCALES}:
            own = _stored_shape(own, layout)
        pieces = tuple(
            tuple(
                ExpectedTensor(tensor_name(part, (*path[:-2], name, path[-1]), layer), own)
                for name in names
            )
            for layer in range(layers)
        )
        expected.append(ExpectedParameter(tuple(keys), shape, pieces, layout))
    return expected


def parameter_bytes(
    network: Network, dtype: npt.DTypeLike
) -> Iterator[tuple[tuple[Any, ...], int]]:
    """The path of each parameter of a network, and its bytes where it is loaded in this dtype."""
    for path, leaf in nnx.to_flat_state(nnx.state(network, nnx.Param)):
        own = np.dtype(own_dtype(str(path[-1]), dtype))
        yield path, math.prod(leaf.shape) * own.itemsize


def _stored_shape(shape: tuple[int, ...], layout: KernelLayout) -> tuple[int, ...]:
    """Of a matrix or a kernel in PyTorch's layout; quarters are made of one of 3x3."""
    if len(shape) == 2:  # noqa: PLR2004 - a matrix
        return shape[::-1]
    sides = dict(zip(layout, shape[-len(layout) :], strict=True))
    if len(shape) > len(layout):
        sides |= {"H": 3, "W": 3}
    return tuple(sides[axis] for axis in _STORED)


def load_part(
    folder: Path,
    part: str,
    network: Network,
    *,
    dtype: npt.DTypeLike,
    place: Place,
    on_bytes: Callable[[int], None] | None = None,
) -> nnx.State[Any, Any]:
    """`load_weights` of one part of a model's folder; below float32 of its smaller fp16 files."""
    half = np.dtype(dtype).itemsize < np.dtype(np.float32).itemsize
    stored = Part.of_folder(folder, part, half=half)
    return load_weights(stored, network, dtype=dtype, place=place, on_bytes=on_bytes)


def load_weights(
    part: Part,
    network: Network,
    *,
    dtype: npt.DTypeLike,
    place: Place,
    visits: Callable[[tuple[Any, ...]], bool] = lambda _: False,
    on_bytes: Callable[[int], None] | None = None,
) -> nnx.State[Any, Any]:
    """Read the weights of one part into the state of its network.

    network   built from the part's JSON; only its shapes are used
    dtype     what every weight is cast to, but for those that are always float32
    place     puts one array on the device
    visits    whether a parameter at this path lives on the host instead, as NumPy's
    on_bytes  told the size in the file of each parameter that was read

    Raises CheckpointError.
    """
    check_weights(part, network)
    expected = expected_parameters(part.name, network)

    def read(name: str) -> Iterator[Array]:
        return part.tensors[name][0].blocks()

    def load(parameter: ExpectedParameter) -> jax.Array | Array:
        whole = parameter.assemble(read, dtype)
        return whole if visits(parameter.path) else place(whole)

    loaded = []
    # Casting and turning take longer than reading, and NumPy lets others run meanwhile.
    with ThreadPoolExecutor(_AT_ONCE, "weights") as pool:
        for parameter, array in zip(expected, pool.map(load, expected), strict=True):
            if on_bytes is not None and parameter.path[-1] != SCALES:  # read once more
                on_bytes(sum(part.tensors[tensor.name][0].size for tensor in parameter))
            loaded.append((parameter.path, nnx.Param(array)))
    return nnx.from_flat_state(loaded)


def check_weights(part: Part, network: Network) -> None:
    """Raise CheckpointError, naming every tensor, unless the part holds what its network has."""
    expected = [each for parameter in expected_parameters(part.name, network) for each in parameter]
    names, spare = {tensor.name for tensor in expected}, SPARE[family(part.name)]
    # Those that are expected, and those that nobody has a reason to keep there.
    stored = {
        name: found
        for name, found in part.tensors.items()
        if name in names or not spare.fullmatch(name)
    }
    wrong = dict(_misfits(expected, stored))
    problems = {
        "missing": sorted(names - set(stored)),
        "unexpected": sorted(set(stored) - names),
        "set twice": sorted(name for name, found in stored.items() if len(found) > 1),
        "misshapen": [f"{name} {what}" for name, what in sorted(wrong.items())],
    }
    found = [f"{kind}: {listed(which)}" for kind, which in problems.items() if which]
    if found:
        raise CheckpointError(
            f"The weights in {part.where} are not {part.wanted}. "
            + "; ".join(found)
            + ". Fetch the model again; do not mix files of two models."
        )


def _misfits(
    expected: list[ExpectedTensor], stored: Mapping[str, list[StoredTensor]]
) -> Iterator[tuple[str, str]]:
    for tensor in expected:
        for found in stored.get(tensor.name, []):
            if found.shape != tensor.shape:
                yield tensor.name, f"{list(found.shape)} instead of {list(tensor.shape)}"
            elif found.dtype not in DTYPES:
                yield tensor.name, f"of type {found.dtype} instead of {', '.join(DTYPES)}"
