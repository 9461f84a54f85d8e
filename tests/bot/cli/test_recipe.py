"""`imagine recipe`: what is shown of a file, and the command that it ends with."""

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from bot.cli import draw
from bot.cli.arguments import Parser
from bot.cli.main import main
from bot.cli.request_options import wish_of
from bot.core.recipe.reading import read_recipe
from sdxl_engine.flags import read_flags
from sdxl_engine.images import describe, encode_png
from sdxl_engine.request import GeneratedImage, ImageRequest, Lora, Source, Variation
from tests.bot.core.recipe.files import png

Capture = pytest.CaptureFixture[str]

IMAGE = GeneratedImage(index=2, seed=7, width_px=8, height_px=8, rgb=bytes(8 * 8 * 3))
REQUEST = ImageRequest(
    "a 'red' cat",
    "",
    7,
    30,
    6.5,
    832,
    1216,
    1,
    "dpmpp_2m",
    "karras",
    first_index=2,
    loras=(Lora("film", 0.8),),
    emphasis="mean",
)


def written(request: ImageRequest) -> Path:
    path = Path("cat.png")
    path.write_bytes(encode_png(IMAGE, describe(request, request.first_index, model="doodle")))
    return path


def test_our_own(capsys: Capture) -> None:
    assert main(["recipe", str(written(REQUEST))]) == 0
    assert capsys.readouterr().out == (
        "Drawn by             imagine\n"
        "Model                doodle\n"
        "Prompt               a 'red' cat\n"
        "Negative prompt      (empty)\n"
        "Seed                 7\n"
        "Steps                30\n"
        "Guidance             6.5\n"
        "Sampler              DPM++ 2M\n"
        "Spacing              Karras\n"
        "Lora                 film:0.8\n"
        "Size                 832x1216\n"
        "Emphasis             Mean-restoring\n"
        "Picture of the seed  2\n"
        "Again:\n"
        "    imagine draw --negative= --seed=7 --steps=30 --guidance=6.5 --sampler=dpmpp_2m "
        "--spacing=karras --size=832x1216 --emphasis=mean --lora=film:0.8 --index=2 -- "
        "'a '\"'\"'red'\"'\"' cat'\n"
    )


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        replace(REQUEST, negative_prompt=None, loras=(), clip_skip=1, guidance_interval=(0.2, 0.9)),
        replace(REQUEST, spacing=None, num_inference_steps=2, timesteps=(999, 499)),
    ],
)
def test_the_command_asks_for_the_same(request_: ImageRequest, capsys: Capture) -> None:
    assert main(["recipe", "--json", str(written(request_))]) == 0
    told = json.loads(capsys.readouterr().out)
    words = shlex.split(told["again"])
    assert words[:2] == ["imagine", "draw"]
    parser = Parser()
    draw.add_arguments(parser)
    args = parser.parse_args(words[2:])
    asked = wish_of(args, read_flags(" ".join(args.prompt)), index=args.index)
    read = read_recipe(written(request_).read_bytes()).wish
    assert read is not None
    # The command leaves out what is usual.
    assert replace(asked, emphasis=asked.emphasis or "interpolation") == read
    assert (told["program"], told["model"], told["left_out"]) == ("imagine", "doodle", [])
    assert told["wish"]["prompt"] == "a 'red' cat"


def test_what_is_drawn_from_a_file_names_its_place(capsys: Capture) -> None:
    source = Source("0" * 64, 0.6, mask="1" * 64)
    request = replace(REQUEST, source=source, variation=Variation(1, 0.2))
    assert main(["recipe", str(written(request))]) == 0
    out = capsys.readouterr().out
    assert "imagine draw --image=PICTURE --mask=MASK --negative= --seed=7" in out
    assert "--strength=0.6 --vary=0.2 --vary-seed=1 --vary-index=0" in out
    assert "Besides:\n    The picture that it was drawn from (not in the file)\n" in out


def test_another_programs(capsys: Capture) -> None:
    Path("x.png").write_bytes(png(parameters="a \x07cat\nSteps: 30, Sampler: Restart, Model: m"))
    assert main(["recipe", "x.png"]) == 0
    out = capsys.readouterr().out
    assert out == (
        "Drawn by  a program that writes as AUTOMATIC1111 does\n"
        "Model     m\n"
        "Prompt    a \\x07cat\n"
        "Steps     30\n"
        "What is not carried over, or differs:\n"
        "    Sampler Restart (there is none of that name here)\n"
        "    The prompt holds an invisible control character (U+0007) at place 3. Delete it, or "
        "type the text anew.\n"
    )
    Path("x.png").write_bytes(png(parameters="a\ncat\nSteps: 30, Sampler: Euler a, Model: m"))
    assert main(["recipe", "x.png"]) == 0
    out = capsys.readouterr().out
    # What it does not say is left to whoever draws it.
    assert out.endswith(
        "The like of it:\n"
        "    imagine draw --steps=30 --sampler=euler_ancestral --index=0 -- 'a cat'\n"
    )


def test_a_program_that_is_not_known(capsys: Capture) -> None:
    Path("x.png").write_bytes(png(Comment="drawn by hand\nin \x1b[31mink"))
    assert main(["recipe", "x.png"]) == 0
    assert capsys.readouterr().out == (
        "Drawn by  a program that is not known here\n"
        "The file says:\n"
        "    Comment: drawn by hand\n"
        "    in \\x1b[31mink\n"
    )
    assert main(["recipe", "x.png", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["wish"], told["again"]) == (None, None)


def test_what_cannot_be_read(capsys: Capture) -> None:
    Path("empty.png").write_bytes(png())
    Path("text.png").write_text("a cat")
    os.mkfifo("pipe")
    for file, sentence in (
        ("none.png", "none.png cannot be read: No such file or directory."),
        ("pipe", "pipe is no file. Name a picture's file."),
        (".", ". is no file."),
        ("x" * 5_000, "is longer than any path"),
        ("text.png", "This is no PNG, JPEG or WebP file"),
        ("empty.png", "The picture's file says nothing of how it was drawn."),
    ):
        assert main(["recipe", file]) == 2
        assert sentence in capsys.readouterr().err
