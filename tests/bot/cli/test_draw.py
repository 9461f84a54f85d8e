"""`imagine draw`: pictures into a folder, over nobody else's, and each of them once more."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image

from bot.cli.draw import Drawing, draw
from bot.cli.main import main
from bot.core.wish import Usual, Wish
from sdxl_engine import ImageRequest
from sdxl_engine.marks.xmp import PNG_KEYWORD, TRAINED_MODEL
from sdxl_engine.programs.kept import KEPT_IN
from tests.bot.cli.conftest import ENVIRONMENT, start
from tests.fakes import FakePipeline

Capture = pytest.CaptureFixture[str]

SMALL = ("--steps", "2", "--size", "64x64")


class FakeDrawing(FakePipeline):
    """A pipeline as `draw` needs it."""

    native_size = (64, 64)
    size_multiple_px = 8
    device = "1 x fake"

    def check_settings(self, request: ImageRequest) -> None:
        self.check(request)

    def warm_up_for(self, requests: Sequence[ImageRequest]) -> float:
        return 0.0


def pixels(image: Mapping[str, str]) -> bytes:
    with Image.open(image["path"]) as picture:
        return picture.tobytes()


def test_prints_one_object_and_each_picture_is_drawn_again_alone(capsys: Capture) -> None:
    prompt = '-a "red" circle\'s $HOME'
    argv = ("--negative=-blue", *SMALL, "--count", "2", "--seed", "5", "--out", "pictures")
    assert main(["draw", "--json", *argv, "--", prompt]) == 0
    out, err = capsys.readouterr()
    assert "Compiled in " in err
    assert "Inference in " in err
    first = json.loads(out)
    assert [(image["index"], image["seed"]) for image in first["images"]] == [(0, 5), (1, 5)]
    assert [image["path"] for image in first["images"]] == ["pictures/0.png", "pictures/1.png"]
    assert first["request"]["num_inference_steps"] == 2
    assert set(first["timings_s"]) == {"load", "compile", "inference", "encode"}
    assert "cpu" in first["device"]
    for image in first["images"]:
        with Image.open(image["path"]) as picture:
            assert picture.size == (64, 64)
            assert picture.info["parameters"].startswith(f"{prompt}\nNegative prompt: -blue\nSteps")
            assert TRAINED_MODEL in picture.info[PNG_KEYWORD]

    program, command, *argv_again = shlex.split(first["images"][1]["again"])
    assert (program, command) == ("imagine", "draw")
    assert main(["draw", "--json", "--out=pictures", *argv_again]) == 0
    again = json.loads(capsys.readouterr().out)
    (alone,) = again["images"]
    assert (alone["index"], alone["path"]) == (1, "pictures/2.png")
    assert {**again["request"], "num_images": 2, "first_index": 0} == first["request"]
    assert pixels(alone) == pixels(first["images"][1]) != pixels(first["images"][0])


def test_a_person_reads_the_commands_before_the_paths(capsys: Capture) -> None:
    wish = Wish("a\ncat", "", size_px=(64, 64), num_images=2, seed=7).settled(Usual())
    drawing = Drawing((wish,), Path("out"), False, ("--model=m",))
    draw(drawing, "m", lambda *_: FakeDrawing())
    lines = capsys.readouterr().out
    options = (
        "imagine draw --model=m --negative= --seed=7 --steps=20 --guidance=5.0 --sampler=euler "
        "--size=64x64 --index={} -- 'a\ncat'"
    )
    assert lines.endswith(
        "Seed 7\nEach again, alone:\n"
        f"    {options.format(0)}\n    {options.format(1)}\nout/0.png\nout/1.png\n"
    )


def test_what_cannot_be_drawn_is_said_before_compiling(capsys: Capture) -> None:
    assert main(["draw", "x", *SMALL, "--lora=nope"]) == 2
    err = capsys.readouterr().err
    assert "There is no LoRA 'nope'" in err
    assert "Compiling" not in err


def test_two_in_one_folder_overwrite_nothing() -> None:
    for seed in (1, 2):
        wish = Wish("x", seed=seed, size_px=(64, 64), num_images=2).settled(Usual())
        draw(Drawing((wish,), Path("out"), True), "m", lambda *_: FakeDrawing())
    assert sorted(path.name for path in Path("out").iterdir()) == [f"{k}.png" for k in range(4)]
    assert len({path.read_bytes() for path in Path("out").iterdir()}) == 4


def test_another_model_is_drawn_without_what_was_meant_for_the_first(capsys: Capture) -> None:
    Path("config.toml").write_text('[engine]\nmodel = "m"\nvae = "./none"\nunet = "./none"')
    assert main(["draw", "x", "--model=doodle", *SMALL, "--steps=1", "--count=1"]) == 0
    assert capsys.readouterr().out.endswith("out/0.png\n")


def test_a_model_that_is_not_there(capsys: Capture) -> None:
    assert main(["draw", "x", "--model", "./nothing-here"]) == 1
    assert "There is no model './nothing-here'" in capsys.readouterr().err


async def test_ctrl_c_ends_a_compilation_at_once_and_without_a_trace() -> None:
    # Nothing may be kept from before, or there is nothing to be broken off.
    environ = {name: text for name, text in ENVIRONMENT.items() if name != KEPT_IN}
    process = await start("draw", "x", environ=environ)
    assert process.stderr is not None
    line = b""
    while not line.startswith(b"Compiling for"):
        line = await process.stderr.readline()
        assert line
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == -signal.SIGINT
    assert b"Traceback" not in err


def test_a_reader_that_leaves_costs_nobody_their_pictures() -> None:
    command = f"{sys.executable} -m bot draw several words --steps 1 --size 64x64 | head -n 1"
    said = subprocess.run(  # noqa: S602 - a pipe that breaks needs a shell
        command, shell=True, env=dict(ENVIRONMENT), capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("Compiled in")
    assert "Traceback" not in said.stderr
    pictures = sorted(Path("out").iterdir())
    assert [path.name for path in pictures] == ["0.png", "1.png", "2.png", "3.png"]
    with Image.open(pictures[0]) as picture:
        assert picture.info["parameters"].startswith("several words\n")
