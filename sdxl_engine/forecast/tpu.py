"""What the TPU compiler makes of the production programs, on a machine that has no TPU.

    python -m sdxl_engine.forecast.tpu v5e:2x2 [--size 1024x1024] [--images 4] [--model FOLDER]
                                       [--json]

compiles every program ahead of time for the chips of a topology, with abstract weights, and prints
a table: whether it was accepted, its memory, and what it will cost. Needs libtpu, which
`make tpu-check` sets up.

Seconds are a roofline: the compiler's own estimate (`optimal_seconds` of its cost analysis), put
right where it is known to be wrong. It counts -1 s for every `ConcatBitcast`, which is added back;
and the body of a loop once, so each further round is added: of stacked layers what the compiler
estimates for the stack alone, of any other loop the price by `sdxl_engine.forecast.hlo`.

Beside them stands what the machine code takes, by `sdxl_engine.forecast.bundles`: the estimate
believes a kernel of our own what it says of itself, and prices what is not a product kindly.
"""

import argparse
import json
import math
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sdxl_engine.forecast.environment import dump_bundles, settle_environment

if __name__ == "__main__":
    settle_environment()

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental import topologies
from jax.sharding import PartitionSpec

from sdxl_engine.errors import EngineError, InvalidRequestError
from sdxl_engine.forecast.bundles import MachineCode
from sdxl_engine.forecast.full_size import (
    STEPS,
    FullSize,
    abstract,
    arguments_of,
    first_line,
)
from sdxl_engine.forecast.hlo import ScheduledProgram
from sdxl_engine.models.layers import TPU, Layers, Stacked, run_layers
from sdxl_engine.programs.arithmetic import GUIDANCE, PROMPTS
from sdxl_engine.programs.compiler import Program, make_mesh, replicated
from sdxl_engine.request import format_size, parse_size

if TYPE_CHECKING:
    from sdxl_engine.models.unet import SpatialTransformer

_BROKEN_S: Final = 1.0  # what the compiler takes off for a ConcatBitcast


@dataclass(frozen=True, slots=True)
class Chip:
    """One TPU chip, as Google Cloud's documentation of its generations gives it.

    flops_per_s  in bfloat16
    clock_hz     bundles a second, where counting them has been checked by hand
    int8_factor  how much faster it multiplies in int8
    """

    flops_per_s: float
    hbm_bytes_per_s: float
    hbm_bytes: float
    clock_hz: float | None = None
    int8_factor: float = 2.0


CHIPS: Final = {
    "v4": Chip(275e12, 1228e9, 32e9, int8_factor=1),
    # Its four matrix units of 128 x 128 come to 197 TFLOP/s at this clock.
    "v5e": Chip(197e12, 819e9, 16e9, 1.5e9),
    "v5p": Chip(459e12, 2765e9, 95e9),
    "v6e": Chip(918e12, 1640e9, 32e9),
    # Half a chip each (2,307 TFLOP/s, 7,380 GB/s, 192 GiB): jax sees its two cores as two devices.
    "tpu7x": Chip(2307e12 / 2, 7380e9 / 2, 96 * 2**30),
}
# The two cores of a v4 are one device to jax on such a machine.
_CHIP_CONFIG: Final = {"v4": {"chip_config_name": "megacore"}}
_HOST_CHIPS: Final = 4  # of a whole host; the compiler must be told of fewer


@dataclass(frozen=True, slots=True)
class Forecast:
    """One program on one chip; of the two that denoise, one step.

    failure     why the compiler refused it, or ""
    compile_s   on this machine
    peak_bytes  weights, arguments, results and everything between, at once
    flops       multiplications and additions of matrix products
    hbm_bytes   through the chip's memory
    seconds     by the roofline above
    code_s      by the machine code; None where it is not counted
    floor_s     of the products alone, at the chip's full rate for them
    """

    program: str
    failure: str = ""
    compile_s: float = 0.0
    peak_bytes: float = 0.0
    flops: float = 0.0
    hbm_bytes: float = 0.0
    seconds: float = 0.0
    code_s: float | None = None
    floor_s: float = 0.0


class Forecaster:
    """Compiles one model's programs for one topology.

    topology     such as "v5e:2x2"; one of CHIPS before the colon
    model        a folder in diffusers format; its weights are not read
    size_px      width and height of the images
    num_images   of a request
    chunks       the most chunks of a prompt
    quantised    whether linears are int8
    limit_bytes  of each chip, see `Memory`
    dump         where the compiler writes its machine code (`dump_bundles`); it is emptied. None:
                 it does not

    Raises InvalidRequestError for a topology that the compiler does not know.
    """

    def __init__(
        self,
        topology: str,
        model: Path,
        size_px: tuple[int, int],
        num_images: int,
        chunks: int = 1,
        *,
        quantised: bool = False,
        limit_bytes: int | None = None,
        dump: Path | None = None,
    ) -> None:
        self.chip, self.devices = devices_of(topology)
        self._dump = dump
        target = replace(TPU, quantised=quantised)
        self.full_size = FullSize(
            model, self.devices, target, size_px, num_images, chunks, limit_bytes
        )

    def forecasts(self) -> Iterator[Forecast]:
        """Program after program, each as soon as it is compiled; minutes each."""
        for name, program in self.full_size.programs().items():
            self._forget_code()
            begin_s = time.perf_counter()
            try:
                compiled = program.compile()
            except Exception as error:  # noqa: BLE001 - whatever the compiler has against it
                yield Forecast(name, failure=first_line(error))
                continue
            compile_s = time.perf_counter() - begin_s
            code = MachineCode(self._dump) if self._dump and self.chip.clock_hz else None
            kind, _, chunks = name.partition(" ")
            for one in ("guided", "unguided") if kind == "either" else (kind,):
                forecast = self._forecast(one, int(chunks or 1), compiled, code)
                yield replace(forecast, program=f"{one} {chunks}".strip(), compile_s=compile_s)
                compile_s = 0.0  # the second is the same program
        self._forget_code()

    def _forecast(
        self,
        kind: str,
        chunks: int,
        compiled: Any,  # noqa: ANN401 - jax.stages.Compiled is untyped
        code: MachineCode | None,
    ) -> Forecast:
        # Of the loop over the steps one round, of that over the prompts all.
        rounds = (1, PROMPTS if kind == "guided" else 1)
        all_rounds = kind in {"decode", "fit"}
        forecast = price(kind, compiled, self.chip, rounds=rounds, all_rounds=all_rounds, code=code)
        if kind in {"text_encoder", "text_encoder_2"}:
            return replace(forecast, seconds=forecast.seconds + self._text_rounds_s(kind, chunks))
        if kind == "look":
            return replace(forecast, seconds=forecast.seconds + self._look_rounds_s())
        if kind in {"guided", "unguided", "told"}:
            seconds = (forecast.seconds + self._unet_rounds_s(chunks)) * self._passes(kind)
            return replace(forecast, seconds=seconds)
        return forecast

    def _forget_code(self) -> None:
        for file in self._dump.iterdir() if self._dump else ():
            file.unlink()

    def request_s(self, forecasts: Sequence[Forecast], *, by_code: bool = False) -> float | None:
        """All images of one request: encode, STEPS guided steps, decode, look at them.

        by_code  by the machine code; None where it was not counted
        """
        seconds = {one.program: one.code_s if by_code else one.seconds for one in forecasts}
        known = {name: one for name, one in seconds.items() if one is not None}
        return self.full_size.request_s(known) if len(known) == len(seconds) else None

    def _passes(self, name: str) -> int:
        """How often a step goes through the UNet on one device."""
        halves = self.full_size.mesh.shape[GUIDANCE]
        prompts = PROMPTS // halves if name == "guided" else 1
        return prompts * self.full_size.images_each

    @cache  # noqa: B019 - one forecaster a process
    def _unet_rounds_s(self, chunks: int) -> float:
        """The rounds that the compiler does not count in one pass through the UNet."""
        config, unet = self.full_size.config.unet, self.full_size.networks.unet
        coarsest = len(config.block_out_channels) - 1
        attentions: dict[tuple[int, int], list[SpatialTransformer]] = {}
        ways: list[tuple[int, tuple[int, ...], Any]] = [
            *zip(count(), config.down_transformers, unet.down_blocks, strict=False),
            (coarsest, config.mid_transformers, unet.mid_block),
            *zip(count(coarsest, -1), config.up_transformers, unet.up_blocks, strict=False),
        ]
        for level, counts, part in ways:
            for blocks, attention in zip(counts, part.attentions, strict=True):
                attentions.setdefault((level, blocks), []).append(attention)
        whole = self.full_size.config
        tokens = chunks * whole.text_encoder.max_position_embeddings
        width, height = (side // whole.vae.scale_factor for side in self.full_size.size_px)
        total = 0.0
        for (level, blocks), alike in attentions.items():
            dim = config.block_out_channels[level]
            hidden = (1, (width >> level) * (height >> level), dim)
            total += len(alike) * self._rounds_s(
                alike[0].transformer_blocks,
                lambda block, hidden, key_value: block(hidden, key_value),
                jax.ShapeDtypeStruct(hidden, jnp.bfloat16),
                jax.ShapeDtypeStruct((blocks, 1, tokens, 2 * dim), jnp.bfloat16),
            )
        return total

    def _text_rounds_s(self, part: str, chunks: int) -> float:
        texts = PROMPTS * chunks + 1  # and one without words
        encoder = getattr(self.full_size.networks, part)
        config = getattr(self.full_size.config, part)
        shape = texts, config.max_position_embeddings, config.hidden_size
        hidden = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
        return self._rounds_s(encoder.layers, lambda layer, hidden, _: layer(hidden), hidden)

    def _look_rounds_s(self) -> float:
        tower = self.full_size.checker.vision_model
        shape = (self.full_size.images_each, *tower.position_embedding.embedding.shape)
        hidden = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
        return self._rounds_s(tower.layers, lambda layer, hidden, _: layer(hidden), hidden)

    def _rounds_s(
        self,
        layers: Layers,
        step: Callable[[Any, Any, Any], Any],
        carry: jax.ShapeDtypeStruct,
        inputs: jax.ShapeDtypeStruct | None = None,
    ) -> float:
        """All rounds but the first of one stack."""
        if not isinstance(layers, Stacked):
            return 0.0
        definition, state = nnx.split(layers)
        count: int = jax.tree.leaves(state)[0].shape[0]

        def run(state: Any, carry: jax.Array, inputs: Any) -> jax.Array:  # noqa: ANN401 - pytrees
            return run_layers(nnx.merge(definition, state), step, carry, inputs)

        one = replicated(self.devices[:1])
        arguments = tuple(abstract(part, one) for part in (state, carry, inputs))
        program = Program(make_mesh(self.devices[:1], 1), run, arguments, PartitionSpec())
        return (count - 1) * _estimate_s(program.compile())


def price(
    name: str,
    compiled: Any,  # noqa: ANN401 - jax.stages.Compiled is untyped
    chip: Chip,
    *,
    rounds: Sequence[int] = (),
    all_rounds: bool,
    code: MachineCode | None = None,
) -> Forecast:
    """What a compiled program costs.

    rounds      see `ScheduledProgram.cost`
    all_rounds  add to its seconds all rounds but the first of its loops; bytes, FLOPs and the
                machine code have them
    code        what the compiler wrote of it
    """
    program = ScheduledProgram(
        compiled.as_text(),
        flops_per_s=chip.flops_per_s,
        hbm_bytes_per_s=chip.hbm_bytes_per_s,
        int8_factor=chip.int8_factor,
    )
    cost = program.cost(rounds=rounds)
    seconds = _estimate_s(compiled)
    if all_rounds:
        seconds += cost.seconds - program.cost(loops_once=True).seconds
    memory = compiled.memory_analysis()
    peak_bytes = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    return Forecast(
        name,
        peak_bytes=peak_bytes,
        flops=cost.flops,
        hbm_bytes=cost.hbm_bytes,
        seconds=seconds,
        code_s=code.seconds(program.runs(rounds), chip.clock_hz)
        if code and chip.clock_hz
        else None,
        floor_s=cost.floor_s,
    )


def devices_of(topology: str) -> tuple[Chip, tuple[jax.Device, ...]]:
    """The chips of a topology that need not be there.

    Raises InvalidRequestError for one that the compiler does not know.
    """
    generation = topology.partition(":")[0]
    if generation not in CHIPS:
        raise InvalidRequestError(
            f"There is no TPU {topology!r:.60}. Write a generation and a shape such as v5e:2x2; "
            f"generations are {', '.join(CHIPS)}."
        )
    try:
        description = topologies.get_topology_desc(
            platform="tpu",
            topology_name=topology,
            **_CHIP_CONFIG.get(generation, {}),
            **_part_of_a_host(topology),
        )
    except Exception as error:  # jax gives up in many ways
        raise InvalidRequestError(
            f"The TPU compiler does not start for {topology!r}: {first_line(error)}. "
            "Its compiler comes with `make setup ACCELERATOR=tpu`, on Linux x86-64."
        ) from error
    return CHIPS[generation], tuple(description.devices)


def _part_of_a_host(topology: str) -> dict[str, tuple[int, ...]]:
    """What the compiler must be told of a shape such as "v5e:1x1" beside its name."""
    shape = tuple(map(int, re.findall(r"\d+", topology.partition(":")[2])))
    if not shape or math.prod(shape) >= _HOST_CHIPS:
        return {}
    return {"chips_per_host_bounds": (*shape, 1, 1)[:3]}


def _estimate_s(compiled: Any) -> float:  # noqa: ANN401 - jax.stages.Compiled is untyped
    broken = compiled.as_text().count('custom_call_target="ConcatBitcast"')
    seconds: float = compiled.cost_analysis()["optimal_seconds"] + broken * _BROKEN_S
    return seconds


def main() -> int:
    """Print the table; 0 if the compiler accepts everything and it fits the chip."""
    arguments = arguments_of(__doc__.partition("\n")[0], "topology", "v5e:2x2")
    with tempfile.TemporaryDirectory() as folder:
        dump_bundles(Path(folder))
        try:
            forecaster = Forecaster(
                arguments.topology,
                arguments.model,
                parse_size(arguments.size),
                arguments.images,
                arguments.chunks,
                quantised=arguments.quantise != "none",
                limit_bytes=arguments.memory,
                dump=Path(folder),
            )
        except EngineError as error:
            sys.stderr.write(f"imagine: {error}\n")
            return 2
        return report(forecaster, arguments)


def report(forecaster: Forecaster, arguments: argparse.Namespace) -> int:
    """Print every program as soon as it is compiled, and what a request takes."""
    say, chip = sys.stderr if arguments.json else sys.stdout, forecaster.chip
    say.write(
        f"{arguments.images} images of {format_size(*parse_size(arguments.size))} on "
        f"{arguments.topology}, {len(forecaster.devices)} x {forecaster.devices[0].device_kind}, "
        "bfloat16\n"
        f"{'program':<20}{'accepted':>9}{'memory':>17}{'TFLOP':>9}{'HBM GB':>8}"
        f"{'ms':>9}{'code ms':>9}{'floor ms':>10}{'compiled s':>12}\n"
    )
    forecasts = []
    for forecast in forecaster.forecasts():
        forecasts.append(forecast)
        say.write(_row(forecast, chip) + "\n")
        say.flush()
    good = all(not one.failure and one.peak_bytes <= chip.hbm_bytes for one in forecasts)
    request_s = forecaster.request_s(forecasts) if good else None
    code_s = forecaster.request_s(forecasts, by_code=True) if good else None
    if request_s is not None:
        say.write(f"{arguments.images} images, {STEPS} guided steps: {request_s:.2f} s\n")
    if code_s is not None:
        say.write(f"by the machine code: {code_s:.2f} s\n")
    if arguments.json:
        programs = [asdict(one) for one in forecasts]
        whole = {"programs": programs, "request_s": request_s, "request_code_s": code_s}
        sys.stdout.write(json.dumps(whole) + "\n")
    return 0 if good else 1


def _row(forecast: Forecast, chip: Chip) -> str:
    if forecast.failure:
        return f"{forecast.program:<20}{'no':>9}  {forecast.failure}"
    memory = f"{forecast.peak_bytes / 1e9:.2f} of {chip.hbm_bytes / 1e9:.0f} GB"
    code = "-" if forecast.code_s is None else f"{forecast.code_s * 1e3:.2f}"
    return (
        f"{forecast.program:<20}{'yes':>9}{memory:>17}{forecast.flops / 1e12:>9.3f}"
        f"{forecast.hbm_bytes / 1e9:>8.2f}{forecast.seconds * 1e3:>9.2f}{code:>9}"
        f"{forecast.floor_s * 1e3:>10.2f}{forecast.compile_s:>12.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
