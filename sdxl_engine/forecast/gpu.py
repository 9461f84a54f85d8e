"""What the GPU compiler makes of the production programs, on a machine that has no GPU.

    python -m sdxl_engine.forecast.gpu h100x8 [--size 1024x1024] [--images 4] [--model FOLDER]
                                       [--json]

compiles every program ahead of time for cards of one kind, with abstract weights, and prints a
table: whether it was accepted, its memory, whose kernels it calls, and what it will cost. Needs
jax's CUDA plugin, which `make gpu-proof` sets up, on Linux x86-64; neither a card nor a driver.

Seconds are a roofline by `sdxl_engine.forecast.hlo`, which counts the operations of what was
compiled. Which algorithm of cuDNN and cuBLAS multiplies is chosen on the card, when it first runs.
"""

import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

if __name__ == "__main__":
    # What it is compiled with is the plugin's; what runs meanwhile is the CPU's.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from jax.experimental import topologies

from sdxl_engine.devices import OUTSIDE_BYTES, POOL_SHARE
from sdxl_engine.errors import EngineError, InvalidRequestError
from sdxl_engine.forecast.cards import CARDS, Card
from sdxl_engine.forecast.full_size import STEPS, FullSize, arguments_of, first_line
from sdxl_engine.forecast.hlo import ScheduledProgram
from sdxl_engine.models.layers import Target
from sdxl_engine.programs.compiler import working_bytes
from sdxl_engine.request import format_size, parse_size

# Whose kernels a program calls, by what its text calls them.
_KERNELS: Final[Mapping[str, str]] = {
    "cuDNN attention": r'custom_call_target="__cudnn\$fmha',
    "cuDNN convolutions": r'custom_call_target="__cudnn\$conv',
    "cuBLAS products": r'custom_call_target="__cublas\$',
    "Triton products": r'"kind":"__triton(_nested)?_gemm',
    "plain products": r"= \S+ (dot|convolution)\(",
}


@dataclass(frozen=True, slots=True)
class Forecast:
    """One program on one card; of those that denoise, one step.

    failure          why the compiler refused it, or ""
    compile_s        on this machine
    arguments_bytes  weights, and all else that it is given
    working_bytes    what it takes beside them
    flops            multiplications and additions of matrix products
    moved_bytes      between the card and its memory
    seconds          by the roofline
    floor_s          of the products alone, at the card's full rate for them
    kernels          calls of each kind
    """

    program: str
    failure: str = ""
    compile_s: float = 0.0
    arguments_bytes: float = 0.0
    working_bytes: float = 0.0
    flops: float = 0.0
    moved_bytes: float = 0.0
    seconds: float = 0.0
    floor_s: float = 0.0
    kernels: Mapping[str, int] = field(default_factory=dict)


def parse_cards(text: str) -> tuple[Card, int]:
    """What "h100" or "h100x8" means; raises InvalidRequestError for cards that nobody described."""
    for name, card in CARDS.items():
        if found := re.fullmatch(rf"{name}(?:x([1-9]\d?))?", text.lower()):
            return card, int(found[1] or 1)
    raise InvalidRequestError(
        f"There is no GPU {text!r:.60} here. Write one of {', '.join(CARDS)}, and xN behind it for "
        "several, such as h100x8."
    )


def devices_of(card: Card, count: int) -> tuple[jax.Device, ...]:
    """Cards that need not be there; raises InvalidRequestError without their compiler."""
    try:
        description = topologies.get_topology_desc(
            platform="cuda", target_config=card.description(), topology=f"1x1x{count}"
        )
    except Exception as error:  # jax gives up in many ways
        raise InvalidRequestError(
            f"The GPU compiler does not start: {first_line(error)}. "
            "Its compiler comes with `make setup ACCELERATOR=cuda`, on Linux x86-64."
        ) from error
    return tuple(description.devices)


def forecasts(full_size: FullSize, card: Card) -> Iterator[Forecast]:
    """Program after program, each as soon as it is compiled."""
    for name, program in full_size.programs().items():
        begin_s = time.perf_counter()
        try:
            compiled = program.compile()
        except Exception as error:  # noqa: BLE001 - whatever the compiler has against it
            yield Forecast(name, failure=first_line(error))
            continue
        yield _priced(name, compiled, card, time.perf_counter() - begin_s)


def _priced(name: str, compiled: Any, card: Card, compile_s: float) -> Forecast:  # noqa: ANN401 - jax.stages.Compiled is untyped
    text = compiled.as_text()
    cost = ScheduledProgram(
        text,
        flops_per_s=card.flops_per_s,
        hbm_bytes_per_s=card.bandwidth_bytes_s,
        int8_factor=card.int8_per_s / card.flops_per_s,
    ).cost()
    calls = Counter({kind: len(re.findall(own, text)) for kind, own in _KERNELS.items()})
    return Forecast(
        name,
        compile_s=compile_s,
        arguments_bytes=compiled.memory_analysis().argument_size_in_bytes,
        working_bytes=working_bytes(compiled),
        flops=cost.flops,
        moved_bytes=cost.hbm_bytes,
        seconds=cost.seconds,
        floor_s=cost.floor_s,
        kernels=+calls,
    )


def main() -> int:
    """Print the table; 0 if the compiler accepts everything and it fits the cards."""
    arguments = arguments_of(
        __doc__.partition("\n")[0], "cards", f"h100x8; one of {', '.join(CARDS)}"
    )
    say = sys.stderr if arguments.json else sys.stdout
    try:
        size_px = parse_size(arguments.size)
        card, count = parse_cards(arguments.cards)
        pool_bytes = round(POOL_SHARE * card.memory_bytes)
        named = pool_bytes if arguments.memory is None else arguments.memory - OUTSIDE_BYTES
        limit_bytes = min(named, pool_bytes)
        devices = devices_of(card, count)
        target = replace(Target.of(devices[0]), quantised=arguments.quantise != "none")
        images, chunks = arguments.images, arguments.chunks
        full_size = FullSize(arguments.model, devices, target, size_px, images, chunks, limit_bytes)
    except EngineError as error:
        sys.stderr.write(f"imagine: {error}\n")
        return 2
    say.write(
        f"{images} images of {format_size(*size_px)} on {count} x {card.name}, bfloat16\n"
        f"{'program':<20}{'accepted':>9}{'given':>10}{'takes':>10}{'TFLOP':>9}{'moved':>10}"
        f"{'ms':>9}{'floor ms':>10}{'compiled s':>12}  kernels\n"
    )
    made = []
    for forecast in forecasts(full_size, card):
        made.append(forecast)
        say.write(_row(forecast) + "\n")
        say.flush()
    accepted = all(not one.failure for one in made)
    report: dict[str, Any] = {"programs": [asdict(one) for one in made]}
    good = accepted
    if accepted:
        peak_bytes = full_size.memory.peak_bytes(
            {one.program: one.arguments_bytes for one in made},
            {one.program: one.working_bytes for one in made},
        )
        good = peak_bytes <= limit_bytes
        whole_s = full_size.request_s({one.program: one.seconds for one in made})
        plan = full_size.plan
        report |= {"request_s": whole_s, "peak_bytes": peak_bytes, "limit_bytes": limit_bytes}
        report |= {"estimated_bytes": plan.bytes, "images_at_once": plan.num_images}
        report |= {"visits": sorted(full_size.memory.visitors), "tiled": plan.tiled}
        say.write(
            f"{peak_bytes / 1e9:.2f} GB of a card ({plan.bytes / 1e9:.2f} estimated), "
            f"{'within' if good else 'MORE THAN'} the {limit_bytes / 1e9:.1f} that may be taken of "
            f"its {card.memory_bytes / 1e9:.1f}: {full_size.memory.told(plan)}\n"
            f"{images} images, {STEPS} guided steps: {whole_s:.2f} s by the roofline"
            f"{', without the way of what comes' if full_size.memory.visitors else ''}\n"
        )
    if arguments.json:
        sys.stdout.write(json.dumps(report) + "\n")
    return 0 if good else 1


def _row(forecast: Forecast) -> str:
    if forecast.failure:
        return f"{forecast.program:<20}{'no':>9}  {forecast.failure}"
    kernels = ", ".join(f"{calls} {kind}" for kind, calls in forecast.kernels.items())
    given, takes, moved = (
        f"{size / 1e9:.2f} GB"
        for size in (forecast.arguments_bytes, forecast.working_bytes, forecast.moved_bytes)
    )
    return (
        f"{forecast.program:<20}{'yes':>9}{given:>10}{takes:>10}{forecast.flops / 1e12:>9.3f}"
        f"{moved:>10}{forecast.seconds * 1e3:>9.2f}{forecast.floor_s * 1e3:>10.2f}"
        f"{forecast.compile_s:>12.1f}  {kernels}"
    )


if __name__ == "__main__":
    sys.exit(main())
