"""`imagine draw`: one request straight to the engine, pictures into a folder, no bot."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol, TextIO

from bot.cli.progress import ProgressBar
from bot.config.reading import EngineConfig
from bot.shared.files import output_folder, write_picture
from sdxl_engine import ImageRequest, Images, Pipeline
from sdxl_engine.images import describe, encode_png

OnBytes = Callable[[int, int], None]


class DrawingPipeline(Pipeline, Protocol):
    """What drawing from the command line needs of a pipeline beyond the engine thread's needs."""

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels that the model was trained for."""

    @property
    def device(self) -> str:
        """What draws, such as "4 x TPU v5 lite"."""

    def tokenize(self, request: ImageRequest) -> object:
        """Raise InvalidRequestError for a prompt with more tokens than the model reads."""

    def warm_up(self, sizes: Sequence[tuple[int, int]] = (), *, num_images: int = 4) -> float:
        """Compile for these sizes; returns the seconds it took."""


LoadPipeline = Callable[[EngineConfig, OnBytes], DrawingPipeline]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What to draw and where to put it.

    request     checked already; its size is a stand-in unless `size_given`
    folder      gets 0.png, 1.png, ...
    as_json     one JSON object on standard output, all other words on standard error
    """

    request: ImageRequest
    size_given: bool
    folder: Path
    as_json: bool


def draw(drawing: Drawing, engine: EngineConfig, load: LoadPipeline) -> None:
    """Load, compile, draw, write, and say how long each took.

    Raises EngineError, OutputError.
    """
    say = _Voice(sys.stderr if drawing.as_json else sys.stdout)
    folder = output_folder(drawing.folder)
    request = drawing.request

    begin_s = time.perf_counter()
    with ProgressBar(f"Loading {engine.model_name}", "B") as bar:
        pipeline = load(engine, bar.show)
    load_s = time.perf_counter() - begin_s
    if not drawing.size_given:
        width_px, height_px = pipeline.native_size
        request = replace(request, width_px=width_px, height_px=height_px)

    sys.stderr.write(f"Compiling for {pipeline.device}\n")
    pipeline.tokenize(request)  # a prompt that is too long is said before minutes of compiling
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
    for image in images:
        path = folder / f"{image.index}.png"
        parameters = describe(request, image.index, model=engine.model_name)
        write_picture(path, encode_png(image, parameters))
        paths.append(path)
    encode_s = time.perf_counter() - begin_s

    say(f"Seed {request.seed}")
    if drawing.as_json:
        result = {
            "images": [
                {"path": str(path), "index": image.index, "seed": image.seed}
                for path, image in zip(paths, images, strict=True)
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
