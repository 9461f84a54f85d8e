"""What `draw` takes to draw from a picture, and the whole way with the embedded model."""

import argparse
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bot.cli.main import main
from bot.cli.picture_options import add_picture_options, brought
from bot.errors import UsageError
from sdxl_engine import InvalidRequestError
from sdxl_engine.request import CHANGING, PAINTING, PICTURE_VARIATIONS, UPSCALING, VARIATIONS

Capture = pytest.CaptureFixture[str]

SMALL = ("--steps=2", "--count=1", "--seed=5", "--json")


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_picture_options(parser)
    return parser.parse_args(words)


@pytest.fixture
def cat() -> str:
    levels = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    Image.fromarray(levels).save("cat.png")
    return "--image=cat.png"


@pytest.mark.parametrize(
    ("words", "strength"),
    [
        ((), CHANGING),
        (("--mask=alpha",), PAINTING),
        (("--zoom=2",), PAINTING),
        (("--upscale=2",), UPSCALING),
        (("--upscale=2", "--strength=0"), 0.0),
        (("--vary=subtle",), PICTURE_VARIATIONS["subtle"]),
        (("--vary=0.25",), 0.25),
        (("--strength=0.9", "--mask=alpha"), 0.9),
    ],
)
def test_how_strongly_where_nobody_says(cat: str, words: tuple[str, ...], strength: float) -> None:
    given = brought(parsed(cat, *words))
    assert given.source is not None
    assert given.source[1] == strength
    assert given.shape == (96, 64)
    assert given.files == (cat,)


def test_zooming_out_paints_around(cat: str) -> None:
    given = brought(parsed(cat, "--zoom=2"))
    assert given.source is not None
    assert given.source[3:5] == (2.0, "around")


def test_a_variation_without_a_picture() -> None:
    given = brought(parsed("--vary=strong", "--vary-seed=3", "--vary-index=2"))
    assert given.variation == (3, VARIATIONS["strong"], 2)
    assert given.source is None
    first, second = (brought(parsed("--vary=0.1")).variation for _ in range(2))
    assert first != second  # their seeds are random


@pytest.mark.parametrize("option", ["--strength=1", "--mask=alpha", "--zoom=2", "--upscale=2"])
def test_options_that_need_a_picture(option: str) -> None:
    with pytest.raises(UsageError, match="needs a picture: give one with --image"):
        brought(parsed(option))


@pytest.mark.parametrize("words", [("--vary-seed=1",), ("--vary=subtle", "--vary-index=1")])
def test_a_seed_that_would_change_nothing(cat: str, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="goes with --vary, and without --image"):
        brought(parsed(*words, *([cat] if len(words) > 1 else [])))
    with pytest.raises(UsageError, match="two wishes"):
        brought(parsed(cat, "--vary=subtle", "--upscale=2"))


def test_a_mask_that_paints_nothing_is_said_before_compiling(cat: str, capsys: Capture) -> None:
    Image.new("RGB", (96, 64)).save("black.png")
    assert main(["draw", "x", cat, "--mask=black.png", *SMALL]) == 2
    err = capsys.readouterr().err
    assert "black all over" in err
    assert "Compiling" not in err


def test_files_that_are_none(cat: str) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.png cannot be read: No such file"):
        brought(parsed("--image=nowhere.png"))
    Path("text.png").write_text("hello")
    with pytest.raises(InvalidRequestError, match="is no picture"):
        brought(parsed(cat, "--mask=text.png"))
    with pytest.raises(InvalidRequestError, match="zoom must lie between 1 and 4"):
        brought(parsed(cat, "--zoom=9"))


def seen(path: str) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


# Over 2 s: what draws from pictures is compiled for the embedded model, once for all that follow.
def test_a_picture_is_changed_and_enlarged_and_each_again(capsys: Capture) -> None:
    assert main(["draw", "a red cat", *SMALL, "--size=64x64", "--out=a"]) == 0
    capsys.readouterr()
    for words in (("--zoom=2", "--strength=0.5"), ("--upscale=2", "--strength=0.4")):
        argv = ["draw", "a red cat", "--image=a/0.png", "--size=64x64", *SMALL, "--out=b", *words]
        assert main(argv) == 0
        (image,) = json.loads(capsys.readouterr().out)["images"]
        _, _, *again = shlex.split(image["again"])
        assert main(["draw", "--json", "--out=c", *again]) == 0
        (other,) = json.loads(capsys.readouterr().out)["images"]
        assert seen(other["path"]) == seen(image["path"])
    with Image.open("c/1.png") as large:
        assert large.size == (128, 128)
        assert "Denoising strength: 0.4" in large.info["parameters"]
        assert "Hires upscale: 2" in large.info["parameters"]


def test_several_prompts_are_confirmed(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["draw", "a {red|blue} circle --v 6", *SMALL, "--size=64x64"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "Left out of the prompt, as nobody here knows it: --v 6." in err
    assert "This is 2 requests with 2 pictures in all:\n    a red circle\n    a blue circle" in err
    assert "Say --yes to have them all drawn." in err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "no\n")
    assert main(words) == 2
    assert "Draw them? [y/N] imagine: Nothing was drawn." in capsys.readouterr().err
    assert main([*words, "--yes"]) == 0
    requests = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    prompts = [one["request"]["prompt"] for one in requests]
    assert prompts == ["a red circle", "a blue circle"]
    assert len({seen(one["images"][0]["path"]) for one in requests}) == 2


def test_flags_in_the_prompt(capsys: Capture) -> None:
    words = ["a circle --steps 2 --cfg 2 --no red --size 64x64 --seed 9", "--seed=4", "--count=1"]
    assert main(["draw", "--json", *words]) == 0
    request = json.loads(capsys.readouterr().out)["request"]
    assert request["prompt"] == "a circle"
    assert request["negative_prompt"] == "red"
    assert (request["num_inference_steps"], request["guidance_scale"]) == (2, 2.0)
    assert (request["width_px"], request["seed"]) == (64, 4)


def test_a_variation_says_itself_how_strongly(cat: str) -> None:
    with pytest.raises(UsageError, match="leave --strength out"):
        brought(parsed(cat, "--vary=subtle", "--strength=0.5"))


def test_an_address_is_not_fetched(capsys: Capture) -> None:
    assert main(["draw", "x", "--image=https://example.com/cat.png"]) == 2
    assert "nothing is fetched" in capsys.readouterr().err


def test_a_file_that_is_no_picture_is_named(capsys: Capture) -> None:
    Path("words.png").write_text("words")
    assert main(["draw", "x", "--image=words.png"]) == 2
    assert "words.png: The file is no picture" in capsys.readouterr().err


def test_a_variation_of_no_name(capsys: Capture) -> None:
    assert main(["draw", "x", "--vary=medium"]) == 2
    assert "nor one of: subtle, strong" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--ar", "--no", "--cfg"])
def test_what_belongs_into_the_prompt_is_said(flag: str, capsys: Capture) -> None:
    assert main(["draw", "a", "boat", flag, "3"]) == 2
    assert "within the prompt's quotes" in capsys.readouterr().err
