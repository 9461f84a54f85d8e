"""`imagine draw`: one request straight to the engine, pictures into a folder, no bot."""

import argparse
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TextIO

from bot.cli.arguments import Parser, whole
from bot.cli.exit_codes import OK
from bot.cli.picture_options import add_picture_options, brought
from bot.cli.pictures import output_folder, save_numbered
from bot.cli.progress import ProgressBar
from bot.cli.request_options import (
    add_encoding_options,
    add_request_options,
    command_line,
    wish_of,
)
from bot.config.reading import load_config
from bot.config.sections import ModelConfig
from bot.core.styles import style_named
from bot.core.wish import SOME_SIZE, Wish
from bot.engines.loading import OnBytes, load_pipeline, usual_of
from bot.engines.marks import marks_of
from bot.errors import UsageError
from bot.operations import log as logs
from bot.shared.shown import one_line
from sdxl_engine import ImageRequest, Images, Pipeline
from sdxl_engine.flags import known_flags, left_out, read_flags, size_of_aspect
from sdxl_engine.marks.marks import NO_MARKS, Marks
from sdxl_engine.prompt import expanded
from sdxl_engine.request import Pictures

_WITHIN_QUOTES: Final = ' It is read within the prompt\'s quotes: "a boat {} ...".'
_PROMPT_CHARS: Final = 100  # of each of several, to look at


def add_arguments(parser: Parser) -> None:
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
    parser.add_argument(
        "--yes", action="store_true", help="draw all that {braces|in the prompt} stand for"
    )
    add_request_options(parser)
    add_encoding_options(parser)
    add_picture_options(parser)
    parser.hints = {flag: _WITHIN_QUOTES.format(flag) for flag in known_flags()}


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
    said = read_flags(" ".join(args.prompt))
    for sentence in left_out(said):
        sys.stderr.write(f"{sentence}\n")
    given, usual = brought(args), usual_of(config)
    wish = wish_of(args, said, count=args.count, index=args.index).seeded()
    wish = replace(wish, source=given.source, variation=given.variation, upscale=given.upscale)
    if wish.style is not None:
        style_named(wish.style, usual.styles)
    aspect = args.aspect or said.aspect or given.shape
    wishes = tuple(replace(wish, prompt=prompt).settled(usual) for prompt in expanded(wish.prompt))
    if aspect is not None:  # a shape that is asked for is stronger than the usual size
        wishes = tuple(replace(one, size_px=wish.size_px) for one in wishes)
    for one in wishes:
        one.resolve(SOME_SIZE)  # what no model could draw is said before one is loaded
    _agree(wishes, args)
    marks = marks_of(config.marks)
    same = (*_same_model(args), *given.files)
    draw(
        Drawing(wishes, args.out, args.json, same, given.pictures, aspect, marks),
        config.engine.model_name,
        partial(load_pipeline, config),
    )
    return OK


def _agree(wishes: Sequence[Wish], args: argparse.Namespace) -> None:
    """Raise UsageError where several requests were not meant."""
    if len(wishes) == 1 or args.yes:
        return
    pictures = sum(wish.num_images or 1 for wish in wishes)
    sys.stderr.write(f"This is {len(wishes)} requests with {pictures} pictures in all:\n")
    for wish in wishes:
        sys.stderr.write(f"    {one_line(wish.prompt, _PROMPT_CHARS)}\n")
    if not sys.stdin.isatty():
        raise UsageError("Say --yes to have them all drawn.")
    sys.stderr.write("Draw them? [y/N] ")
    if sys.stdin.readline().strip().casefold() not in {"y", "yes"}:
        raise UsageError("Nothing was drawn.")


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
    def size_multiple_px(self) -> int:
        """Sides of its images must be multiples of this."""

    @property
    def device(self) -> str:
        """What draws, such as "4 x TPU v5 lite"."""

    def check_settings(self, request: ImageRequest) -> None:
        """As `check`, whatever is compiled yet."""

    def warm_up_for(self, requests: Sequence[ImageRequest]) -> float:
        """Compile what these call; returns the seconds it took."""


LoadPipeline = Callable[[OnBytes], DrawingPipeline]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What to draw and where to put it.

    wishes    settled but for the size; what else they may be, their sizes are the same
    folder    gets 0.png, 1.png, ..., after the last number that is there
    as_json   one JSON object on standard output, all other words on standard error
    same      the options with which the same model draws again, from the same files
    pictures  those that they start from
    aspect    of the size, if nobody chose one
    marks     what the pictures are marked with
    """

    wishes: tuple[Wish, ...]
    folder: Path
    as_json: bool
    same: tuple[str, ...] = ()
    pictures: Pictures = field(default_factory=dict)
    aspect: tuple[float, float] | None = None
    marks: Marks = NO_MARKS


def draw(drawing: Drawing, model: str, load: LoadPipeline) -> None:
    """Load, compile, draw, write, and say how long each took.

    Raises EngineError, OutputError.
    """
    from sdxl_engine.canvas import canvas_of  # noqa: PLC0415 - brings Pillow

    say = _Voice(sys.stderr if drawing.as_json else sys.stdout)
    folder = output_folder(drawing.folder)

    begin_s = time.perf_counter()
    with ProgressBar(f"Loading {model}", "B") as bar:
        pipeline = load(bar.show)
    load_s = time.perf_counter() - begin_s
    size_px = _size(pipeline, drawing.aspect)
    requests = [pipeline.resolved(wish.resolve(size_px)) for wish in drawing.wishes]
    for request in requests:
        # What cannot be drawn is said before minutes of compiling.
        pipeline.check_settings(request)
        canvas_of(request, drawing.pictures)
    sys.stderr.write(f"Compiling for {pipeline.device}\n")
    compile_s = pipeline.warm_up_for(requests)
    say(f"Compiled in {compile_s:.2f} s")
    took_s = {"load": load_s, "compile": compile_s}
    for request in requests:
        _draw_one(drawing, request, pipeline, folder, took_s, say)


def _size(pipeline: DrawingPipeline, aspect: tuple[float, float] | None) -> tuple[int, int]:
    """The model's own size, or one of these proportions."""
    native_px = pipeline.native_size
    if aspect is None:
        return native_px
    # Of SDXL's 1024 the steps of 64 that it was trained with; of smaller models what they stand.
    multiple_px = max(pipeline.size_multiple_px, native_px[0] // 16)
    return size_of_aspect(aspect, native_px, multiple_px)


def _draw_one(
    drawing: Drawing,
    request: ImageRequest,
    pipeline: DrawingPipeline,
    folder: Path,
    took_s: Mapping[str, float],
    say: "_Voice",
) -> None:
    from sdxl_engine.images import describe, encode_png  # noqa: PLC0415 - brings Pillow

    begin_s = time.perf_counter()
    images: Images = ()
    with ProgressBar("Drawing", " steps") as bar:
        for progress in pipeline.generate(request, pictures=drawing.pictures):
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
        paths.append(save_numbered(folder, encode_png(image, parameters, drawing.marks)))
    encode_s = time.perf_counter() - begin_s

    again = [_again(request, image.index, drawing.same) for image in images]
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
            "timings_s": {**took_s, "inference": inference_s, "encode": encode_s},
            "device": pipeline.device,
        }
        _Voice(sys.stdout)(json.dumps(result))
    else:
        for path in paths:
            say(str(path))


def _again(request: ImageRequest, index: int, same: Sequence[str]) -> str:
    return shlex.join(["imagine", "draw", *same, *command_line(request, index)])


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
