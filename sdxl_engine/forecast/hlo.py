"""What a compiled TPU or GPU program costs, read from its scheduled text.

The compiler's own estimate of a program (`cost_analysis`) counts the body of a loop once, however
often it runs, and for a GPU there is none. Here each instruction is priced by itself and counted as
often as it runs:

    seconds = max(multiplications / the chip's rate, bytes through HBM / the chip's bandwidth)

a roofline (Williams et al. 2009) an instruction. An operand or result that lies in VMEM costs
nothing; one that the compiler copies there ahead of time (`copy-start`, `slice-start`) costs its
bytes once, hidden behind what runs meanwhile. A GPU has no such memory; what its caches keep from
one instruction to the next is counted as if it were read anew.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

_ITEM_BYTES: Final = {
    **dict.fromkeys(("pred", "s8", "u8"), 1),
    **dict.fromkeys(("bf16", "f16", "s16", "u16"), 2),
    **dict.fromkeys(("f32", "s32", "u32"), 4),
    **dict.fromkeys(("f64", "s64", "u64"), 8),
}
_SHAPE: Final = re.compile(rf"\b({'|'.join(_ITEM_BYTES)})\[([\d,]*)\](\{{[^}}]*\}})?")
_HEADER: Final = re.compile(r"^(ENTRY )?%([\w.\-]+) \(.*\) -> .* \{$")
_INSTRUCTION: Final = re.compile(r"^\s+(?:ROOT )?%([\w.\-]+) = (.*)$")
_OPCODE: Final = re.compile(r"\s*([a-z][\w\-]*)\(")
_CALLED: Final = re.compile(r"(?:calls|to_apply)=%([\w.\-]+)")
_IN_VMEM: Final = re.compile(r"S\([1-9]\)")  # a layout's memory space; none is HBM
_KERNEL_COST: Final = re.compile(r'"cost_estimate":\{([^}]*)\}')
_VIEW: Final = "output_to_operand_aliasing={{}: (0, {})}"
_WORKSPACE: Final = re.compile(r", [su]8\[\d*\][^)]*\)$")
_LIBRARY: Final = re.compile(r'custom_call_target="__(cudnn|cublas)\$(\w+)')
_PRODUCTS: Final = frozenset({"convolution", "dot", "custom-call"})
# What may hold matrix products within a fusion.
_MULTIPLIES: Final = frozenset({"convolution", "dot", "fusion"})
# They compute and move nothing.
_FREE: Final = frozenset(
    {"after-all", "bitcast", "constant", "copy-done", "get-tuple-element", "iota", "parameter"}
    | {"partition-id", "reshape", "slice-done", "tuple"}
)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a computation.

    name, opcode  as the compiler calls them
    shape         text of its result's shape, or of all of a tuple's
    operands      names
    rest          the text behind the opcode
    """

    name: str
    opcode: str
    shape: str
    operands: tuple[str, ...]
    rest: str


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one instruction, as often as it runs, or of several.

    flops             multiplications and additions of matrix products
    hbm_bytes         through the chip's main memory, what is copied ahead of time included
    seconds           by the roofline of each instruction
    floor_s           of the products alone, at the chip's rate for them
    """

    flops: float = 0.0
    hbm_bytes: float = 0.0
    seconds: float = 0.0
    floor_s: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.flops + other.flops,
            self.hbm_bytes + other.hbm_bytes,
            self.seconds + other.seconds,
            self.floor_s + other.floor_s,
        )

    def __mul__(self, times: float) -> "Cost":
        return Cost(
            self.flops * times,
            self.hbm_bytes * times,
            self.seconds * times,
            self.floor_s * times,
        )


class Run(NamedTuple):
    """An instruction that is scheduled, how often it runs, and its cost each time."""

    instruction: Instruction
    times: int
    cost: Cost


class ScheduledProgram:
    """A compiled program's text, `compiled.as_text()`.

    flops_per_s, hbm_bytes_per_s  of the chip
    int8_factor                   how much faster it multiplies whole numbers of 8 bits
    """

    def __init__(
        self, text: str, *, flops_per_s: float, hbm_bytes_per_s: float, int8_factor: float = 1.0
    ) -> None:
        self._computations, self._entry = _parse(text)
        self._flops_per_s, self._hbm_bytes_per_s = flops_per_s, hbm_bytes_per_s
        self._int8_factor = int8_factor

    def cost(self, *, rounds: Sequence[int] = (), loops_once: bool = False) -> Cost:
        """Of one run.

        rounds      of loops whose count is not known at compile time, the outermost first; 1 of
                    those beyond
        loops_once  count every loop once, as the compiler's own estimate does
        """
        runs = self.runs(rounds)
        return sum((run.cost * (1 if loops_once else run.times) for run in runs), Cost())

    def runs(self, rounds: Sequence[int] = ()) -> Iterator[Run]:
        """Every instruction of one run; `rounds` as of `cost`."""
        return self._runs_of(self._entry, 1, rounds)

    def _runs_of(self, computation: str, times: int, rounds: Sequence[int]) -> Iterator[Run]:
        instructions = self._computations[computation]
        for instruction in instructions.values():
            if instruction.opcode == "while":
                body = _attribute(instruction.rest, "body")
                trips = self._trips(instruction)
                if trips is None:
                    yield from self._runs_of(body, times * next(iter(rounds), 1), rounds[1:])
                else:
                    yield from self._runs_of(body, times * trips, rounds)
            elif instruction.opcode in {"call", "conditional"}:
                for called in _CALLED.findall(instruction.rest):
                    yield from self._runs_of(called, times, rounds)
            else:
                yield Run(instruction, times, self._price(instruction, instructions))

    def _price(self, instruction: Instruction, instructions: Mapping[str, Instruction]) -> Cost:
        if instruction.opcode in _FREE or "ConcatBitcast" in instruction.rest:
            return Cost()
        if instruction.opcode in {"copy-start", "slice-start"}:
            # Its shape is a tuple of both ends; it waits for nobody.
            ends = [size for size, _ in _sizes(instruction.shape)]
            return Cost(hbm_bytes=min(ends[:2]))
        flops, given = self._flops(instruction, instructions), None
        if kernel := _KERNEL_COST.search(instruction.rest):
            facts = dict(re.findall(r'"(\w+)":"?(\d+)', kernel[1]))
            flops, given = float(facts.get("flops", 0)), float(facts.get("bytes_accessed", 0))
        hbm_bytes = self._hbm_bytes(instruction, instructions)
        if given is not None:
            hbm_bytes = min(hbm_bytes, given)
        rate = self._flops_per_s * (self._int8_factor if self._whole(instruction) else 1)
        seconds = max(flops / rate, hbm_bytes / self._hbm_bytes_per_s)
        return Cost(flops, hbm_bytes, seconds, flops / rate)

    def _hbm_bytes(
        self, instruction: Instruction, instructions: Mapping[str, Instruction]
    ) -> float:
        """Of a result and of its operands; of an operand that is only sliced, of the slices."""
        total = float(_hbm_size(_without_workspace(instruction)))
        if instruction.opcode == "dynamic-slice":
            return 2 * total
        called = _CALLED.search(instruction.rest)
        for place, name in enumerate(instruction.operands):
            if name in instructions and (size := _hbm_size(instructions[name].shape)):
                sliced = self._sliced_bytes(called[1], place) if called else None
                total += size if sliced is None else sliced
        return total

    def _sliced_bytes(self, computation: str, place: int) -> int | None:
        """Of a parameter what is read, if it is only sliced; None for all of it."""
        inside = self._computations.get(computation, {})
        name = next(
            (
                one.name
                for one in inside.values()
                if one.opcode == "parameter" and f"parameter({place})" in one.rest
            ),
            None,
        )
        total, views = 0, {name}
        for user in inside.values():
            read = views.intersection(user.operands)
            if not read:
                continue
            if _VIEW in user.rest:  # the same memory, its tiles taken otherwise
                views.add(user.name)
            elif user.opcode == "dynamic-slice":
                if user.operands[0] in views:  # and not one of the indices
                    total += sum(size for size, _ in _sizes(user.shape))
            elif user.opcode == "fusion" and (called := _CALLED.search(user.rest)):
                deeper = self._sliced_bytes(called[1], user.operands.index(read.pop()))
                if deeper is None:
                    return None
                total += deeper
            else:
                return None
        return total

    def _flops(self, instruction: Instruction, beside: Mapping[str, Instruction]) -> float:
        """Of the matrix products in an instruction and in what it calls.

        beside  the computation that it stands in
        """
        match instruction.opcode:
            case "convolution":
                return _convolution_flops(instruction, beside)
            case "dot":
                return _dot_flops(instruction, beside)
            case "custom-call":
                return _library_flops(instruction, beside)
        total = 0.0
        for called in _CALLED.findall(instruction.rest):
            inside = self._computations.get(called, {})
            for inner in inside.values():
                if inner.opcode in _MULTIPLIES:
                    total += self._flops(inner, inside)
        return total

    def _whole(self, instruction: Instruction) -> bool:
        """Whether its products are of whole numbers, whose sums are, too."""
        inside = [
            inner
            for called in _CALLED.findall(instruction.rest)
            for inner in self._computations.get(called, {}).values()
        ]
        return any(
            one.opcode in _PRODUCTS and _kind(one.shape) == "s32" for one in (instruction, *inside)
        )

    def _trips(self, loop: Instruction) -> int | None:
        """How often a loop runs, from its condition: a counter below a constant."""
        condition = self._computations[_attribute(loop.rest, "condition")]
        text = list(condition.values())
        for called in [called for one in text for called in _CALLED.findall(one.rest)]:
            text += self._computations.get(called, {}).values()
        constants = [
            int(match[1])
            for one in text
            if one.opcode == "constant"
            and (match := re.match(r"constant\((\d+)\)", one.rest.strip()))
        ]
        return constants[0] if len(constants) == 1 else None


def _parse(text: str) -> tuple[dict[str, dict[str, Instruction]], str]:
    computations: dict[str, dict[str, Instruction]] = {}
    current: dict[str, Instruction] = {}
    entry = ""
    for line in text.splitlines():
        if header := _HEADER.match(line):
            current = computations.setdefault(header[2], {})
            entry = header[2] if header[1] else entry
        elif line[:1].isspace() and (found := _INSTRUCTION.match(line)):
            instruction = _read(found[1], found[2])
            current[instruction.name] = instruction
    return computations, entry


def _read(name: str, text: str) -> Instruction:
    end = _closing(text, 0) + 1 if text.startswith("(") else text.index(" ")
    shape, rest = text[:end], text[end:]
    opcode = _OPCODE.match(rest)
    if opcode is None:
        return Instruction(name, "?", shape, (), rest)
    inside = rest[opcode.end() : _closing(rest, opcode.end() - 1)]
    return Instruction(name, opcode[1], shape, tuple(re.findall(r"%([\w.\-]+)", inside)), rest)


def _closing(text: str, start: int) -> int:
    """Where the bracket that opens at `start` closes."""
    depth = 0
    for place in range(start, len(text)):
        depth += text[place] in "({["
        depth -= text[place] in ")}]"
        if depth == 0:
            return place
    return len(text)


def _attribute(text: str, name: str) -> str:
    match = re.search(rf"\b{name}=%([\w.\-]+)", text)
    if match is None:
        raise ValueError(f"the instruction has no {name}: {text[:80]}")
    return match[1]


def _dimensions(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def _sizes(shape: str) -> Iterator[tuple[int, bool]]:
    """(bytes, whether it lies in VMEM) of each array of a shape."""
    for kind, dimensions, layout in _SHAPE.findall(shape):
        in_vmem = bool(layout) and _IN_VMEM.search(layout) is not None
        yield _ITEM_BYTES[kind] * math.prod(_dimensions(dimensions)), in_vmem


def _kind(shape: str) -> str:
    """The type of an array, the first of a tuple."""
    found = _SHAPE.search(shape)
    return "" if found is None else found[1]


def _without_workspace(instruction: Instruction) -> str:
    """Its shape, of a library's call without the memory that it only works in."""
    if _LIBRARY.search(instruction.rest) is None:
        return instruction.shape
    return _WORKSPACE.sub(")", instruction.shape)


def _hbm_size(shape: str) -> int:
    return sum(size for size, in_vmem in _sizes(shape) if not in_vmem)


def _shape_of(name: str, instructions: Mapping[str, Instruction]) -> list[int]:
    """Of the array that an instruction results in, the first of a tuple."""
    shape = _SHAPE.search(instructions[name].shape)
    return [] if shape is None else _dimensions(shape[2])


def _dot_flops(instruction: Instruction, instructions: Mapping[str, Instruction]) -> float:
    output = _SHAPE.search(instruction.shape)
    summed = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.rest)
    if output is None or summed is None:
        return 0.0
    left = _shape_of(instruction.operands[0], instructions)
    return (
        2.0 * math.prod(_dimensions(output[2])) * math.prod(left[i] for i in _dimensions(summed[1]))
    )


def _library_flops(instruction: Instruction, instructions: Mapping[str, Instruction]) -> float:
    """Of a call of one of NVIDIA's libraries; 0 of any other call."""
    library = _LIBRARY.search(instruction.rest)
    output = _SHAPE.search(instruction.shape)
    if library is None or output is None:
        return 0.0
    if "conv" in library[2]:
        return _convolution_flops(instruction, instructions)
    first, second = (_shape_of(name, instructions) for name in instruction.operands[:2])
    if "fmha" in library[2]:  # (batch, tokens, heads, dim) of queries and keys
        return 4.0 * math.prod(first) * second[1]
    summed = re.search(r'"lhs_contracting_dimensions":\["(\d+)"\]', instruction.rest)
    return (
        0.0 if summed is None else 2.0 * math.prod(_dimensions(output[2])) * first[int(summed[1])]
    )


def _convolution_flops(instruction: Instruction, instructions: Mapping[str, Instruction]) -> float:
    """A TPU's matrix products are all written as convolutions."""
    output = _SHAPE.search(instruction.shape)
    kernel = _SHAPE.search(instructions[instruction.operands[1]].shape)
    labels = re.search(r"dim_labels=\w+_(\w+)->", instruction.rest)
    if output is None or kernel is None or labels is None:
        return 0.0
    of_kernel = _dimensions(kernel[2])
    features = of_kernel[labels[1].index("o")]
    taps = math.prod(of_kernel) / features
    if dilation := re.search(r"lhs_dilate=([\dx]+)", instruction.rest):
        taps /= math.prod(int(number) for number in dilation[1].split("x"))
    return 2 * math.prod(_dimensions(output[2])) * taps
