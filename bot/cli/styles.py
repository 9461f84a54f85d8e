"""`imagine styles`: the styles that prompts can be drawn in, and what each adds."""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from bot.cli.exit_codes import OK
from bot.config.reading import load_config
from bot.core import loras
from bot.core.styles import PLACE, Style
from bot.engines.styles import read_styles
from bot.shared.shown import one_line
from sdxl_engine.request import SAMPLERS, SPACINGS

_ADDED_CHARS: Final = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """List them; raises ConfigError."""
    styles = read_styles(load_config(args.config, os.environ).styles).values()
    if args.json:
        text = json.dumps({"styles": [asdict(style) for style in styles]}) + "\n"
    else:
        text = _table(styles)
    sys.stdout.write(text)
    return OK


def _table(styles: Iterable[Style]) -> str:
    """A line each, and below it what it adds."""
    rows = [("NAME", "DESCRIPTION")]
    rows += [(style.name, style.description or style.title) for style in styles]
    width = max(len(name) for name, _ in rows)
    lines = []
    for (name, about), style in zip(rows, [None, *styles], strict=True):
        lines.append(f"{name.ljust(width)}  {about}")
        lines += [
            f"    {one_line(said, _ADDED_CHARS)}" for said in (_added(style) if style else ())
        ]
    if len(rows) == 1:
        lines = ["There are no styles here: [styles] hides them all."]
    return "\n".join(lines) + "\n"


def _added(style: Style) -> list[str]:
    added = [style.prompt if PLACE in style.prompt else f"{PLACE}, {style.prompt}"]
    if style.negative_prompt:
        added.append(f"not: {style.negative_prompt}")
    settings = []
    if style.num_inference_steps is not None:
        settings.append(f"steps {style.num_inference_steps}")
    if style.guidance_scale is not None:
        settings.append(f"guidance {style.guidance_scale:g}")
    if style.sampler is not None:
        sampler, spacing = style.sampler
        settings.append(f"{SAMPLERS[sampler]} {SPACINGS[spacing] if spacing else ''}".rstrip())
    if style.loras:
        settings.append(f"LoRA {loras.written(style.loras)}")
    return [*added, ", ".join(settings)] if settings else added
