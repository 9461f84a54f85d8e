"""`imagine styles`, and pictures that are drawn in one."""

import json
import shlex
from pathlib import Path

import pytest

from bot.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def own() -> None:
    """A style of one's own beside those that come along, one of which is hidden."""
    Path("own.csv").write_text(
        'name,prompt,negative_prompt\nOld Map,old map <lora:rocket:0.5>,"a, b"'
    )
    Path("config.toml").write_text(
        '[styles]\nfile = "own.csv"\nhide = ["clay"]\n[model]\nsize = "64x64"\n'
    )


def test_what_each_adds(own: None, capsys: Capture) -> None:
    assert main(["styles"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "NAME             DESCRIPTION\nphotograph       A plain, sharp photograph\n"
    )
    assert out.endswith(
        "old-map          Old Map\n    {prompt}, old map\n    not: a, b\n    LoRA rocket:0.5\n"
    )
    assert "clay figure" not in out
    assert main(["styles", "--json"]) == 0
    *_, last = json.loads(capsys.readouterr().out)["styles"]
    assert (last["name"], last["loras"]) == ("old-map", [["rocket", 0.5]])


def test_a_file_that_is_wrong_ends_it(capsys: Capture) -> None:
    Path("config.toml").write_text('[styles]\nfile = "none.toml"')
    for words in (["styles"], ["draw", "a cat"], ["playground", "--once", "a cat"]):
        assert main(words) == 2
        assert "There is no file of styles none.toml." in capsys.readouterr().err


def test_a_picture_in_a_style_and_a_shape(own: None, capsys: Capture) -> None:
    """Takes as long as compiling for a shape does."""
    argv = ["--steps=1", "--count=1", "--seed=5", "--style=ink-line-art", "--aspect=9:16"]
    assert main(["draw", "--json", *argv, "a (star"]) == 0
    drawn = json.loads(capsys.readouterr().out)
    request = drawn["request"]
    assert request["prompt"].startswith("ink drawing of a (star), clean black lines")
    assert request["negative_prompt"] == "colour, grey, photograph, render, blur"
    assert (request["width_px"], request["height_px"]) == (96, 160)
    # The command that draws it again needs no style: it holds what was drawn.
    again = shlex.split(drawn["images"][0]["again"])
    assert again[-1] == request["prompt"]
    assert not [word for word in again if word.startswith("--style")]


def test_a_style_that_is_not_there(capsys: Capture) -> None:
    assert main(["draw", "a cat --style pixelart"]) == 2
    assert "no style 'pixelart' here. Did you mean pixel-art?" in capsys.readouterr().err
