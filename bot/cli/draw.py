"""`imagine draw`: one request straight to the engine, pictures into a folder, no bot."""

import argparse
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TextIO

from bot.cli.arguments import whole
from bot.cli.exit_codes import OK
from bot.cli.pictures import output_folder, save_numbered
from bot.cli.progress import ProgressBar
from bot.cli.request_options import add_request_options, command_line, wish_of
from bot.config.reading import load_config
from bot.config.sections import ModelConfig
from bot.core.wish import SOME_SIZE, Wish
from bot.engines.loading import OnBytes, load_pipeline, usual_of
from bot.errors import UsageError
from bot.operations import log as logs
from sdxl_engine import ImageRequest, Images, Pipeline


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    parser.add_argument("prompt", nargs="+", metavar="PROMPT", help="what the pictures should show")
    parser.add_argument(
        "--model", help="doodle, a .safetensors file, a folder, or a Hugging Face repo id"
    )
    parser.add_argument("--count", type=whole(), metavar="N", help="how many pictures, 1 to 10")
    parser.add_argument(
        "--index",
        type=whole(),
        metavar="K",
        help="draw picture K of the request alone, counted from 0: the same as among the others",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_request_options(parser)


def run(args: argparse.Namespace) -> int:
    """Draw; raises BotError, EngineError."""
    config = load_config(args.config, os.environ)
    level = max(config.log.level, "warning", key=_severity)
    logs.set_up(level, as_json=config.log.format == "json")
    if args.model is not None:  # [model] speaks of another, and vae and unet are another's
        engine = replace(config.engine, model=args.model, models=(), revision="", vae="", unet="")
        config = replace(config, engine=engine, model=ModelConfig())
    if args.index is not None and args.count is not None:
        raise UsageError("--index means one picture: leave --count out.")
    wish = wish_of(args, " ".join(args.prompt), count=args.count, index=args.index)
    wish = wish.settled(usual_of(config))
    wish.resolve(SOME_SIZE)  # what no model could draw is said before one is loaded
    draw(
        Drawing(wish, args.out, args.json, tuple(_same_model(args))),
        config.engine.model_name,
        partial(load_pipeline, config),
    )
    return OK


def _severity(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _same_model(args: argparse.Namespace) -> list[str]:
    """The options that say which model it was."""
    options = ("--config", args.config), ("--model", args.model)
    return [f"{name}={value}" for name, value in options if value is not None]


class DrawingPipeline(Pipeline, Protocol):
    """What drawing from the command line needs of a pipeline beyond the engine thread's needs."""

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels that the model was trained for."""

    @property
    def device(self) -> str:
        """What draws, such as "4 x TPU v5 lite"."""

    def check_settings(self, request: ImageRequest) -> None:
        """As `check`, whatever is compiled yet."""

    def warm_up(self, sizes: Sequence[tuple[int, int]] = (), *, num_images: int = 4) -> float:
        """Compile for these sizes; returns the seconds it took."""


LoadPipeline = Callable[[OnBytes], DrawingPipeline]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What to draw and where to put it.

    wish        settled but for the size
    folder      gets 0.png, 1.png, ..., after the last number that is there
    as_json     one JSON object on standard output, all other words on standard error
    same_model  the options with which the same model draws again
    """

    wish: Wish
    folder: Path
    as_json: bool
    same_model: tuple[str, ...] = ()


def draw(drawing: Drawing, model: str, load: LoadPipeline) -> None:
    """Load, compile, draw, write, and say how long each took.

    Raises EngineError, OutputError.
    """
    from sdxl_engine.images import describe, encode_png  # noqa: PLC0415 - brings Pillow

    say = _Voice(sys.stderr if drawing.as_json else sys.stdout)
    folder = output_folder(drawing.folder)

    begin_s = time.perf_counter()
    with ProgressBar(f"Loading {model}", "B") as bar:
        pipeline = load(bar.show)
    load_s = time.perf_counter() - begin_s
    request = pipeline.resolved(drawing.wish.resolve(pipeline.native_size))

    pipeline.check_settings(request)  # what cannot be drawn is said before minutes of compiling
    sys.stderr.write(f"Compiling for {pipeline.device}\n")
    compile_s = pipeline.warm_up(
        [(request.width_px, request.height_px)], num_images=request.num_images
    )
    say(f"Compiled in {compile_s:.2f} s")

    begin_s = time.perf_counter()
    images: Images = ()
    with ProgressBar("Drawing", " steps") as bar:
        for progress in pipeline.generate(request):
            bar.show(progress.step, progress.num_inference_steps)
            if progress.fetch is not None:
                images = progress.fetch()
    inference_s = time.perf_counter() - begin_s
    say(f"Inference in {inference_s:.2f} s")

    begin_s = time.perf_counter()
    paths = []
    card = pipeline.card(request)
    for image in images:
        parameters = describe(request, image.index, model=card)
        paths.append(save_numbered(folder, encode_png(image, parameters)))
    encode_s = time.perf_counter() - begin_s

    again = [_again(request, image.index, drawing.same_model) for image in images]
    say(f"Seed {request.seed}")
    say("Each again, alone:" if len(again) > 1 else "Again:")
    for command in again:
        say(f"    {command}")
    if drawing.as_json:
        result = {
            "images": [
                {"path": str(path), "index": image.index, "seed": image.seed, "again": command}
                for path, image, command in zip(paths, images, again, strict=True)
            ],
            "request": asdict(request),
            "timings_s": {
                "load": load_s,
                "compile": compile_s,
                "inference": inference_s,
                "encode": encode_s,
            },
            "device": pipeline.device,
        }
        _Voice(sys.stdout)(json.dumps(result))
    else:
        for path in paths:
            say(str(path))


def _again(request: ImageRequest, index: int, same_model: Sequence[str]) -> str:
    return shlex.join(["imagine", "draw", *same_model, *command_line(request, index)])


class _Voice:
    """Says lines to whoever reads them; one who has heard enough costs nobody their pictures."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._heard = True

    def __call__(self, line: str) -> None:
        if self._heard:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except BrokenPipeError:
                self._heard = False
                # Python flushes once more at the end; there must be something that takes it.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
