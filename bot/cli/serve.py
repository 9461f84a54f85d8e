"""`imagine serve`: the bot in the chat systems that there are tokens for."""

import argparse
import logging
import os

from bot.cli.arguments import add_start_empty
from bot.cli.signals import run_until_stopped, start_anew
from bot.config.reading import chat_tokens, load_config
from bot.errors import EngineStuckError
from bot.operations import log as logs
from bot.shared import descriptors

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    add_start_empty(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until the process is told to stop; raises BotError, EngineError."""
    # Late, for they bring jax.
    from bot.app import App, discord_home, slack_home  # noqa: PLC0415
    from bot.engines.loading import start_pipeline  # noqa: PLC0415
    from bot.ledgers.records import records_of  # noqa: PLC0415

    config = load_config(args.config, os.environ)
    tokens = chat_tokens(os.environ)
    logs.set_up(config.log.level, as_json=config.log.format == "json", secrets=tokens.all)
    descriptors.raise_limit()
    folder = config.storage.folder
    homes = []
    if tokens.discord is not None:
        homes.append(discord_home(config, tokens.discord, folder))
    if tokens.slack is not None:
        homes.append(slack_home(config, tokens.slack, folder))
    app = App(
        config,
        lambda: start_pipeline(config),
        homes,
        folder,
        records=records_of(folder, config.storage.database),
        start_empty=args.start_empty,
    )
    args.ending.minds(app)
    try:
        return run_until_stopped(app.run)
    except EngineStuckError as error:
        log.critical("%s", error)
        start_anew()
