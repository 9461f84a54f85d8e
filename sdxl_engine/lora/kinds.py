"""What the tensors of one module in a LoRA's file come to: the change of its weight.

LoRA (Hu et al. 2021), LoHa and FedPara (Hyeon-Woo et al. 2022), LoKr (Yeh et al. 2024, LyCORIS),
DoRA (Liu et al. 2024), and whole differences. Shapes are PyTorch's: (out, in) or OIHW. Everything
is float32: what comes of it is rounded once, when it is added to a weight.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Shape = tuple[int, ...]
Tensors = Mapping[str, F32]  # by the names of LyCORIS and kohya
Shapes = Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to write a change down.

    title  what people call it
    marks  a file that has one of these tensors for a module means this kind
    fits   whether tensors of these shapes come to a change of this shape; raises KeyError for a
           tensor that is missing, IndexError for one of too few axes
    rank   what alpha is divided by; None where nothing is decomposed, and alpha says nothing
    delta  the change before alpha, of this shape. Its memory lies in columns where that is how it
           comes: the engine's matrices are (in, out)
    heads  the first of these that is there is a small tensor by which the change grows evenly
    """

    title: str
    marks: frozenset[str]
    fits: Callable[[Shapes, Shape], bool]
    rank: Callable[[Shapes], int | None]
    delta: Callable[[Tensors, Shape], F32]
    heads: tuple[str, ...]


def kind_of(roles: Mapping[str, object]) -> Kind | None:
    """The kind that these tensors are of, None if they are of none, or of several."""
    found = [kind for kind in KINDS if not kind.marks.isdisjoint(roles)]
    return found[0] if len(found) == 1 else None


def scale(rank: int | None, alpha: float | None) -> float:
    """The factor alpha / rank; kohya and LyCORIS take the rank for no alpha, or one of 0."""
    return alpha / rank if rank and alpha else 1.0


def decomposed(weight: F32, delta: F32, magnitude: F32) -> F32:
    """DoRA's change of a weight that LoRA's `delta` is added to.

    magnitude  what the lengths of the new weight's rows shall be, one an output (out, 1, ...) or
               (out,), or of its columns, one an input (1, in, 1, ...) as older LyCORIS has it
    """
    along = int(magnitude.ndim > 1 and magnitude.shape[0] == 1 != weight.shape[0])
    axes = tuple(axis for axis in range(weight.ndim) if axis != along)
    moved = weight + delta
    lengths = np.sqrt(np.square(moved).sum(axis=axes, keepdims=True))
    wanted = magnitude.reshape(lengths.shape)
    # A row of nothing has no direction, and stays nothing.
    factor = np.divide(wanted, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    changed: F32 = moved * factor - weight
    return changed


def magnitude_fits(magnitude: Shape, weight: Shape) -> bool:
    """Whether a DoRA's magnitudes of this shape belong to a weight of that shape."""
    count = math.prod(magnitude)
    by_input = len(magnitude) > 1 and magnitude[0] == 1 and weight[1:2] == (count,)
    by_output = magnitude[:1] == (weight[0],) and weight[0] == count
    return by_input or by_output


def _product(out: F32, rest: F32) -> F32:
    """The matrix out @ rest, with its memory in columns."""
    product: F32 = (rest.T @ out.T).T
    return product


def _tucker(out: F32, core: F32, inner: F32) -> F32:
    """(out, a), (a, b, height, width) and (b, in) as one kernel, (out, in * height * width)."""
    middle = np.moveaxis(np.tensordot(core, inner, axes=(1, 0)), -1, 1)
    return _product(out, middle.reshape(len(core), -1))


def _flat(array: F32) -> F32:
    return array.reshape(len(array), -1)


def _tucker_fits(
    out: Shape, core: Shape, inner: Shape, weight: Shape, *, turned: bool = False
) -> bool:
    """Whether these come to the weight; `turned` where `out` is (a, out)."""
    wanted = (core[0], weight[0]) if turned else (weight[0], core[0])
    return (
        len(core) == len(weight)
        and core[2:] == weight[2:]
        and _trimmed(out) == _trimmed(wanted)
        and _trimmed(inner) == _trimmed((core[1], weight[1]))
    )


def _trimmed(shape: Shape) -> Shape:
    """A matrix that is written as a 1x1 convolution, as the matrix."""
    return shape[:2] if all(side == 1 for side in shape[2:]) else shape


def _product_fits(out: Shape, rest: Shape, weight: Shape) -> bool:
    rank = rest[0]
    return (
        rank > 0
        and _trimmed(out) == (weight[0], rank)
        and math.prod(rest) == rank * math.prod(weight[1:])
    )


def _lora_fits(shapes: Shapes, weight: Shape) -> bool:
    up, down = shapes["lora_up"], shapes["lora_down"]
    if "lora_mid" in shapes:
        return _tucker_fits(up, shapes["lora_mid"], down, weight)
    return _product_fits(up, down, weight)


def _lora_delta(tensors: Tensors, shape: Shape) -> F32:
    up, down = _flat(tensors["lora_up"]), _flat(tensors["lora_down"])
    if "lora_mid" in tensors:
        return _tucker(up, tensors["lora_mid"], down).reshape(shape)
    return _product(up, down).reshape(shape)


def _loha_fits(shapes: Shapes, weight: Shape) -> bool:
    for number in "12":
        a, b = shapes[f"hada_w{number}_a"], shapes[f"hada_w{number}_b"]
        if ("hada_t1" in shapes) or ("hada_t2" in shapes):
            if not _tucker_fits(a, shapes[f"hada_t{number}"], b, weight, turned=True):
                return False
        elif not _product_fits(a, b, weight):
            return False
    return True


def _loha_delta(tensors: Tensors, shape: Shape) -> F32:
    halves = []
    for number in "12":
        a, b = tensors[f"hada_w{number}_a"], tensors[f"hada_w{number}_b"]
        core = tensors.get(f"hada_t{number}")
        halves.append(_product(_flat(a), _flat(b)) if core is None else _tucker(a.T, core, b))
    delta: F32 = halves[0] * halves[1]
    return delta.reshape(shape)


def _lokr_fits(shapes: Shapes, weight: Shape) -> bool:
    first, second = _lokr_shape(shapes, "1"), _lokr_shape(shapes, "2")
    return (
        0 not in (*first, *second)
        and first[0] * second[0] == weight[0]
        and math.prod(first[1:]) * math.prod(second[1:]) == math.prod(weight[1:])
        and (len(_trimmed(second)) <= 2 or second[2:] == weight[2:])  # noqa: PLR2004 - a matrix
    )


def _lokr_shape(shapes: Shapes, number: str) -> Shape:
    """Of one of the two factors, whole or multiplied out; (0,) if its tensors do not fit."""
    whole = shapes.get(f"lokr_w{number}")
    if whole is not None:
        return whole
    a, b = shapes[f"lokr_w{number}_a"], shapes[f"lokr_w{number}_b"]
    core = shapes.get(f"lokr_t{number}")
    if core is not None:
        fits = core[:2] == (a[0], b[0])
        return (a[1], b[1], *core[2:]) if fits else (0,)
    return (a[0], *b[1:]) if a[1] == b[0] else (0,)


def _lokr_rank(shapes: Shapes) -> int | None:
    # The second one's where both are decomposed; trainers make them equal.
    return next(
        (shapes[name][0] for name in ("lokr_w2_b", "lokr_w1_b") if name in shapes),
        None,
    )


def _lokr_delta(tensors: Tensors, shape: Shape) -> F32:
    first, second = _lokr_factor(tensors, "1"), _lokr_factor(tensors, "2")
    taps = math.prod(shape[2:])
    first = _flat(first)
    second = second.reshape(len(second), -1, taps)
    # kron(first, second), column by column: (in of both, taps, out of both).
    columns = first.T[:, None, None, :, None] * second.transpose(1, 2, 0)[None, :, :, None, :]
    delta: F32 = columns.reshape(-1, shape[0]).T
    return delta.reshape(shape)


def _lokr_factor(tensors: Tensors, number: str) -> F32:
    whole = tensors.get(f"lokr_w{number}")
    if whole is not None:
        return whole
    a, b = tensors[f"lokr_w{number}_a"], tensors[f"lokr_w{number}_b"]
    core = tensors.get(f"lokr_t{number}")
    return _product(a, _flat(b)) if core is None else _tucker(a.T, core, b)


def _whole_fits(shapes: Shapes, weight: Shape) -> bool:
    return _trimmed(shapes["diff"]) == _trimmed(weight)


KINDS: Final = (
    Kind(
        "LoRA",
        frozenset({"lora_up", "lora_down", "lora_mid"}),
        _lora_fits,
        lambda shapes: shapes["lora_down"][0],
        _lora_delta,
        ("lora_up",),
    ),
    Kind(
        "LoHa",
        frozenset(
            {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"},
        ),
        _loha_fits,
        lambda shapes: shapes["hada_w1_b"][0],
        _loha_delta,
        ("hada_w1_a",),
    ),
    Kind(
        "LoKr",
        frozenset(
            f"lokr_{name}" for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2")
        ),
        _lokr_fits,
        _lokr_rank,
        _lokr_delta,
        ("lokr_w1", "lokr_w1_a"),
    ),
    Kind(
        "full",
        frozenset({"diff"}),
        _whole_fits,
        lambda _: None,
        lambda tensors, shape: tensors["diff"].reshape(shape),
        ("diff",),
    ),
)


@dataclass(frozen=True, slots=True)
class Change:
    """What one LoRA does to one module.

    kind     how the change of its weight is written down; None if it is its bias's alone
    tensors  by role, in any dtype
    scale    alpha / rank
    """

    kind: Kind | None
    tensors: Mapping[str, npt.NDArray[Any]]
    scale: float

    def of_weight(self, strength: float, shape: Shape, weight: Callable[[], F32]) -> F32:
        """What is added to a weight of this shape, in PyTorch's layout.

        weight  the model's own, asked for only where the change depends on it
        """
        if self.kind is None:
            raise ValueError("only the bias is changed")
        tensors = {role: tensor.astype(np.float32) for role, tensor in self.tensors.items()}
        magnitude = tensors.get("dora_scale")
        factor = self.scale if magnitude is not None else self.scale * strength
        # Not the whole: that is a hundred times as large.
        head = next(role for role in self.kind.heads if role in tensors)
        tensors[head] = tensors[head] * np.float32(factor)
        delta = self.kind.delta(tensors, shape)
        if magnitude is None:
            return delta
        return decomposed(weight(), delta, magnitude) * np.float32(strength)

    def of_bias(self, strength: float) -> F32:
        """What is added to the bias."""
        bias: F32 = self.tensors["diff_b"].astype(np.float32) * np.float32(strength)
        return bias
