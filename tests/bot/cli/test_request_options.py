"""What is asked for on the command line is the request that it says."""

import argparse
import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cli.arguments import Parser
from bot.cli.request_options import (
    add_encoding_options,
    add_request_options,
    command_line,
    command_options,
    is_asked_for,
    wish_of,
)
from bot.core.wish import Usual, Wish
from sdxl_engine import InvalidRequestError
from sdxl_engine.flags import Flags, read_flags


def parsed(*argv: str) -> argparse.Namespace:
    parser = Parser()
    parser.add_argument("prompt", nargs="*")
    parser.add_argument("--index", type=int)
    add_request_options(parser)
    return parser.parse_args(argv)


@pytest.mark.parametrize(
    ("sampler", "spacing"),
    [("dpmpp_2m", "ays"), ("DPM++ 2M", "Align Your Steps"), ("dpm++_2M", "align-your-steps")],
)
def test_names_are_taken_as_here_and_as_on_discord(sampler: str, spacing: str) -> None:
    args = parsed("--sampler", sampler, "--spacing", spacing)
    wish = wish_of(args, Flags("x"))
    assert (wish.sampler, wish.spacing) == ("dpmpp_2m", "ays")
    options = command_options(wish)
    assert (options["sampler"], options["spacing"]) == ("dpmpp_2m", "ays")


def test_an_unknown_name_is_answered_with_all_there_are() -> None:
    with pytest.raises(InvalidRequestError, match=r"no sampler 'huen'.*euler_ancestral.*tcd"):
        parsed("--sampler", "huen")


def test_whether_anything_is_asked_for() -> None:
    assert not is_asked_for(parsed("--out", "x"))
    assert is_asked_for(parsed("--negative", ""))
    assert is_asked_for(parsed("--lora", "film"))
    assert is_asked_for(parsed("--guidance-stop", "0.5"))
    assert not is_asked_for(parsed("--size", "64x64"))


def test_loras_of_options_and_of_the_prompt_are_one_list() -> None:
    args = parsed("--lora", "film:0.5", "--lora", "a, b:-1")
    wish = wish_of(args, Flags("a cat <lora:ink>, asleep"))
    assert wish.prompt == "a cat , asleep"
    assert wish.loras == (("ink", 1.0), ("film", 0.5), ("a, b", -1.0))
    assert command_options(wish)["lora"] == "ink:1, film:0.5, <lora:a, b:-1>"


@pytest.mark.parametrize("text", ["film:", "film:x", "film:1:2", "a, b:1:"])
def test_a_lora_without_a_number_is_answered_with_how_it_is_written(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"no LoRA with a strength.*film:0\.8"):
        parsed("--lora", text)


@pytest.mark.parametrize("negative", [None, "", "-blue 'ones'"])
def test_the_command_for_one_picture_asks_for_the_same(negative: str | None) -> None:
    argv = ["--seed=5", "--guidance=4.3", "--sampler=lcm", "--size=64x128", "--steps=9"]
    argv += ["--guidance-rescale=0.5", "--guidance-start=0.2", "--guidance-stop=0.9"]
    argv += ["--lora=film:0.123456789", "--lora=a, b:-4"]
    argv += [] if negative is None else [f"--negative={negative}"]
    wish = wish_of(parsed(*argv), Flags('-a\n"red" $HOME')).settled(Usual())
    words = shlex.split(shlex.join(command_line(wish.resolve((8, 8)), 3)))
    args = parsed(*words)
    assert args.index == 3
    again = wish_of(args, Flags(" ".join(args.prompt)), index=args.index)
    assert again == replace(wish, num_images=1, first_index=3)


parts = st.floats(0, 1)


@given(
    parts, st.tuples(parts, parts).map(sorted).map(tuple), st.sets(st.integers(0, 999), max_size=50)
)
def test_the_command_holds_how_it_was_guided_and_stepped(
    rescale: float, interval: tuple[float, float], timesteps: set[int]
) -> None:
    steps = tuple(sorted(timesteps, reverse=True)) or None
    asked = Wish("x", guidance_rescale=rescale, guidance_interval=interval, timesteps=steps)
    wish = asked.settled(Usual(num_images=1))
    args = parsed(*command_line(wish.resolve((64, 64)), 0))
    assert replace(wish_of(args, Flags("x"), index=0), size_px=None) == wish


def test_a_list_of_timesteps_says_how_many_steps() -> None:
    args = parsed("--timesteps", "999,749,499,249")
    wish = wish_of(args, Flags("x")).settled(Usual(spacing="karras"))
    assert (wish.num_inference_steps, wish.timesteps) == (4, (999, 749, 499, 249))
    request = wish.resolve((64, 64))
    assert request.spacing is None
    assert "--timesteps=999,749,499,249" in command_line(request, 0)
    with pytest.raises(InvalidRequestError, match="'4;3' are no timesteps"):
        parsed("--timesteps", "4;3")


def test_a_lora_behind_what_is_not_wanted() -> None:
    wish = wish_of(parsed(), read_flags("a cat --no dogs <lora:ink:0.5>"))
    assert (wish.prompt, wish.negative_prompt, wish.loras) == ("a cat", "dogs", (("ink", 0.5),))


def test_options_are_stronger_than_what_stands_in_the_prompt() -> None:
    parser = Parser()
    add_request_options(parser)
    add_encoding_options(parser)
    said = read_flags("a cat --style ink --size 64x64")
    wish = wish_of(parser.parse_args(["--style", "clay", "--aspect", "wide"]), said)
    assert (wish.prompt, wish.style, wish.size_px) == ("a cat", "clay", None)
    wish = wish_of(parser.parse_args(["--aspect", "wide", "--size", "64x128"]), said)
    assert (wish.style, wish.size_px) == ("ink", (64, 128))
    with pytest.raises(InvalidRequestError, match="no shape of a picture"):
        parser.parse_args(["--aspect", "huge"])
