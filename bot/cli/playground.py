"""`imagine playground`: the real bot in a Discord and a Slack of its own, on this machine alone."""

import argparse
import os
import sys
from dataclasses import replace
from typing import Final

from bot.cli.arguments import add_start_empty, whole
from bot.cli.pictures import output_folder
from bot.cli.request_options import (
    add_request_options,
    command_options,
    is_asked_for,
    wish_of,
)
from bot.cli.signals import run_until_stopped
from bot.config.reading import load_config
from bot.core.wish import SOME_SIZE
from bot.engines.loading import start_pipeline, usual_of
from bot.errors import UsageError
from bot.homes.slack import typed
from bot.operations import log as logs
from bot.shared import descriptors
from sdxl_engine import parse_size
from sdxl_engine.flags import Flags

_DEMO_PROMPT: Final = "a red circle on a blue background"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    parser.add_argument(
        "--port",
        type=whole(0, 65_535),
        metavar="N",
        help="of the page of Discord; 0 takes any free ones",
    )
    add_start_empty(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--once", metavar="PROMPT", help="ask once, save the pictures, end")
    parser.add_argument(
        "--home", choices=("discord", "slack"), default="discord", help="where to ask with --once"
    )
    what.add_argument("--demo", action="store_true", help="ask once, then stay on a terminal")
    add_request_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the playground; raises BotError, EngineError."""
    config = load_config(args.config, os.environ)
    logs.set_up(config.log.level, as_json=config.log.format == "json")
    prompt = args.once if args.once is not None else _DEMO_PROMPT if args.demo else None
    options, typed_line = None, ""
    if prompt is not None:
        # What is wrong with the options is found before anything is loaded.
        wish = wish_of(args, Flags(prompt)).settled(usual_of(config))
        wish.resolve(SOME_SIZE)
        options = command_options(wish)
        typed_line = typed.written(wish)
        output_folder(args.out)
    elif is_asked_for(args):
        raise UsageError(
            "Those options say what to ask for, and nobody asks: add --once PROMPT or --demo."
        )
    if args.home == "slack" and args.once is None:
        raise UsageError("With --home slack the playground asks once: add --once PROMPT.")
    playground = config.playground
    if args.once is not None:  # it may run beside another playground, and leaves its pictures alone
        playground = replace(playground, port=0, folder=None)
    if args.port is not None:
        # Who takes any free one wants no other to be taken.
        slack_port = playground.slack_port if args.port else 0
        playground = replace(playground, port=args.port, slack_port=slack_port)
    # What it keeps is in its own folder, wherever the real bot keeps pictures.
    storage = replace(config.storage, pictures=None)
    config = replace(config, playground=playground, storage=storage)
    if args.size is not None:
        config = replace(config, engine=replace(config.engine, sizes=(parse_size(args.size),)))

    if args.home == "slack":
        from bot.cli.slack_visit import imagine_in_slack  # noqa: PLC0415 - late, it brings bolt

        return run_until_stopped(
            lambda stop: imagine_in_slack(
                config, typed_line, args.out, lambda: start_pipeline(config), stop, args.ending
            )
        )

    # Late, for they bring discord.py.
    from bot.cli.playground_visit import Visit, run_playground  # noqa: PLC0415

    descriptors.raise_limit()
    visit = Visit(
        options=options,
        out=args.out,
        stay=args.once is None and (not args.demo or sys.stdout.isatty()),
        show_address=args.once is None,
        start_empty=args.start_empty,
    )
    return run_until_stopped(
        lambda stop: run_playground(
            config, visit, lambda: start_pipeline(config), stop, args.ending
        )
    )
