"""What is asked for on the command line is the request that it says."""

import argparse
import shlex

import pytest

from bot.cli.arguments import Parser
from bot.cli.request_options import (
    add_request_options,
    command_line,
    command_options,
    is_asked_for,
    request_of,
)
from bot.config.sections import EngineConfig
from sdxl_engine import InvalidRequestError


def parsed(*argv: str) -> argparse.Namespace:
    parser = Parser()
    parser.add_argument("prompt", nargs="*")
    parser.add_argument("--index")
    add_request_options(parser)
    return parser.parse_args(argv)


@pytest.mark.parametrize(
    ("sampler", "spacing"),
    [("dpmpp_2m", "ays"), ("DPM++ 2M", "Align Your Steps"), ("dpm++_2M", "align-your-steps")],
)
def test_names_are_taken_as_here_and_as_on_discord(sampler: str, spacing: str) -> None:
    args = parsed("--sampler", sampler, "--spacing", spacing)
    request = request_of(args, EngineConfig(), "x", 4)
    assert (request.sampler, request.spacing) == ("dpmpp_2m", "ays")
    options = command_options(args, request)
    assert (options["sampler"], options["spacing"]) == ("dpmpp_2m", "ays")


def test_an_unknown_name_is_answered_with_all_there_are() -> None:
    with pytest.raises(InvalidRequestError, match=r"no sampler 'heun'.*euler_ancestral.*tcd"):
        parsed("--sampler", "heun")


def test_whether_anything_is_asked_for() -> None:
    assert not is_asked_for(parsed("--out", "x"))
    assert is_asked_for(parsed("--negative", ""))


def test_left_out_options_are_the_configurations_and_a_seed_is_drawn() -> None:
    engine = EngineConfig(default_steps=7, default_guidance=2.0)
    one, other = (request_of(parsed(), engine, "x", 4) for _ in range(2))
    assert (one.num_inference_steps, one.guidance_scale) == (7, 2.0)
    assert one.seed != other.seed


@pytest.mark.parametrize("negative", [None, "", "-blue 'ones'"])
def test_the_command_for_one_picture_asks_for_the_same(negative: str | None) -> None:
    argv = ["--seed=5", "--guidance=4.3", "--sampler=lcm", "--size=64x128", "--steps=9"]
    argv += [] if negative is None else [f"--negative={negative}"]
    request = request_of(parsed(*argv), EngineConfig(), '-a\n"red" $HOME', 4)
    words = shlex.split(shlex.join(command_line(request, 3)))
    args = parsed(*words)
    assert args.index == "3"
    assert request_of(args, EngineConfig(), " ".join(args.prompt), 4) == request
