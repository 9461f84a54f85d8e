"""What can be asked for on the command line, by `draw` and most of it by `playground`."""

import argparse
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from bot.cli.arguments import real, whole
from bot.cli.picture_options import picture_words
from bot.core import loras, typed
from bot.core.wish import WHOLE, Wish
from sdxl_engine import ImageRequest, format_size, parse_size
from sdxl_engine.flags import ASPECTS, Flags, parse_aspect
from sdxl_engine.request import (
    EMPHASES,
    SAMPLERS,
    SPACINGS,
    USUAL_EMPHASIS,
    parse_sampler_and_spacing,
    parse_spacing,
    parse_timesteps,
)


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--negative", metavar="TEXT", help="what to stay away from")
    parser.add_argument("--seed", type=whole(), metavar="N", help="default: a random one, printed")
    parser.add_argument("--steps", type=whole(), metavar="N", help="denoising steps, 1 to 50")
    parser.add_argument("--guidance", type=real, metavar="X", help="0 to 20; up to 1 means none")
    parser.add_argument(
        "--guidance-rescale",
        type=real,
        default=0.0,
        metavar="X",
        help="0 to 1: how far the contrast that guidance adds is taken back",
    )
    parser.add_argument(
        "--guidance-start",
        type=real,
        default=WHOLE[0],
        metavar="X",
        help="0 to 1: the part of the steps before the first that is guided",
    )
    parser.add_argument(
        "--guidance-stop",
        type=real,
        default=WHOLE[1],
        metavar="X",
        help="0 to 1: the part of the steps after which none is guided, and each is twice as fast",
    )
    parser.add_argument(
        "--sampler",
        type=parse_sampler_and_spacing,
        metavar="NAME",
        help=f"{', '.join(SAMPLERS)}, or as other programs write them, such as 'DPM++ 2M "
        "Karras'; default: the model's own",
    )
    parser.add_argument(
        "--spacing",
        type=parse_spacing,
        metavar="NAME",
        help=f"of noise levels: {', '.join(SPACINGS)}; default: the model's own",
    )
    parser.add_argument(
        "--timesteps",
        type=parse_timesteps,
        metavar="LIST",
        help="in the place of a spacing, such as 999,749,499,249; a step for each",
    )
    parser.add_argument(
        "--lora",
        type=loras.read_one,
        action="append",
        default=[],
        metavar="NAME:X",
        help="a LoRA with its strength, 1 if none is said; may be repeated. <lora:NAME:X> in the "
        "prompt does the same",
    )
    parser.add_argument("--size", metavar="WxH", help="in pixels; default: the model's own")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help="for the pictures, which overwrite none; default: out",
    )
    parser.set_defaults(emphasis=None, clip_skip=None, style=None, aspect=None)


def add_encoding_options(parser: argparse.ArgumentParser) -> None:
    """Add how the prompt is encoded, in which style and shape: what `/imagine` does not ask for."""
    parser.add_argument(
        "--style", metavar="NAME", help="what the prompt is drawn in: one of `imagine styles`"
    )
    parser.add_argument(
        "--aspect",
        type=parse_aspect,
        metavar="W:H",
        help=f"the shape, such as 16:9, or one of {', '.join(ASPECTS)}; --size is stronger",
    )
    parser.add_argument(
        "--emphasis",
        choices=EMPHASES,
        help=f"what weights such as (word:1.3) do; default: {USUAL_EMPHASIS}",
    )
    parser.add_argument(
        "--clip-skip",
        type=whole(),
        metavar="N",
        help="1 to 12: which layer of the text encoders speaks, from the last; default: the "
        "model's own",
    )


def wish_of(
    args: argparse.Namespace,
    said: Flags,
    *,
    count: int | None = None,
    index: int | None = None,
) -> Wish:
    """What was asked for; raises InvalidRequestError.

    said   the prompt and what stood in it; the command line's own options are stronger
    index  of the one picture that is wanted; None: all of them
    """
    sampler, spacing = args.sampler or (None, None)
    wish = typed.wish_of(said)
    if args.aspect is not None:  # a shape that was chosen is stronger than a size that was typed
        wish = replace(wish, size_px=None)
    return typed.overruled(
        wish,
        {
            "negative_prompt": args.negative,
            "seed": args.seed,
            "num_inference_steps": args.steps,
            "guidance_scale": args.guidance,
            "guidance_rescale": args.guidance_rescale,
            "guidance_interval": (args.guidance_start, args.guidance_stop),
            "size_px": None if args.size is None else parse_size(args.size),
            "num_images": count if index is None else 1,
            "first_index": index or 0,
            "sampler": sampler,
            "spacing": args.spacing or spacing,
            "loras": args.lora or None,
            "timesteps": args.timesteps,
            "emphasis": args.emphasis,
            "clip_skip": args.clip_skip,
            "style": args.style,
        },
    )


def is_asked_for(args: argparse.Namespace) -> bool:
    """Whether any option but the size says what to ask for."""
    return replace(wish_of(args, Flags("")), size_px=None) != Wish("")


def _joined(timesteps: tuple[int, ...]) -> str:
    return ",".join(map(str, timesteps))


def command_options(wish: Wish) -> dict[str, object]:
    """The same as options of /imagine; `wish` is settled."""
    options: dict[str, object] = {
        "prompt": wish.prompt,
        "negative_prompt": wish.negative_prompt,
        "seed": wish.seed,
        "steps": wish.num_inference_steps,
        "guidance": wish.guidance_scale,
        "guidance_rescale": wish.guidance_rescale,
        "guidance_start": wish.guidance_interval[0],
        "guidance_stop": wish.guidance_interval[1],
        "sampler": wish.sampler,
        "spacing": wish.spacing,
        "timesteps": None if wish.timesteps is None else _joined(wish.timesteps),
        "lora": loras.written(wish.loras) or None,
        "size": None if wish.size_px is None else format_size(*wish.size_px),
    }
    return {name: value for name, value in options.items() if value is not None}


def command_line(request: ImageRequest, index: int, *, left_open: Container[str] = ()) -> list[str]:
    """The words behind `imagine draw` that draw picture `index` of the request, alone.

    left_open  options that nobody chose
    """
    start, stop = request.guidance_interval
    options: list[tuple[str, object]] = [
        ("--negative", request.negative_prompt),
        ("--seed", request.seed),
        ("--steps", request.num_inference_steps),
        ("--guidance", request.guidance_scale),
        ("--guidance-rescale", request.guidance_rescale or None),
        ("--guidance-start", start or None),
        ("--guidance-stop", stop if stop < WHOLE[1] else None),
        ("--sampler", request.sampler),
        ("--spacing", request.spacing),
        ("--timesteps", None if request.timesteps is None else _joined(request.timesteps)),
        ("--size", format_size(request.width_px, request.height_px)),
        ("--emphasis", request.emphasis if request.emphasis != USUAL_EMPHASIS else None),
        ("--clip-skip", request.clip_skip),
        *picture_words(request),
        *(("--lora", loras.written_one(one.name, one.strength)) for one in request.loras),
        ("--index", index),
    ]
    # With "=" and "--", texts that begin with a dash are read as what they are.
    words = [
        f"{name}={value}" for name, value in options if value is not None and name not in left_open
    ]
    return [*words, "--", request.prompt]
