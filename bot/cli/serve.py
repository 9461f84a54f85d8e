"""`imagine serve`: the bot in the chat systems that there are tokens for, its engines, or both."""

import argparse
import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bot.cli.arguments import add_start_empty
from bot.cli.signals import run_until_stopped, start_anew
from bot.config.reading import Tokens, chat_tokens, load_config
from bot.config.sections import Config
from bot.errors import ConfigError, EngineStuckError, UsageError
from bot.operations import log as logs
from bot.operations.watch import silence_limit_s
from bot.shared import descriptors

if TYPE_CHECKING:  # these bring jax, or Ray, where there is any
    from bot.app import App
    from bot.engines.pool.cluster import Cluster
    from bot.engines.pool.parts import BotPart
    from sdxl_engine import Pipeline

log = logging.getLogger(__name__)

_ROLES = ("all", "bot", "engine")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    parser.add_argument(
        "--role",
        choices=_ROLES,
        default="all",
        help='with [engine] pool = "ray": what this process is, a bot, the engines, or both (all)',
    )
    add_start_empty(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until the process is told to stop; raises BotError, EngineError."""
    config = load_config(args.config, os.environ)
    _check_role(args.role, config)
    tokens = None if args.role == "engine" else chat_tokens(os.environ)
    secrets = () if tokens is None else tokens.all
    logs.set_up(config.log.level, as_json=config.log.format == "json", secrets=secrets)
    descriptors.raise_limit()
    try:
        if config.engine.pool == "thread":
            from bot.engines.loading import start_pipeline  # noqa: PLC0415 - it brings jax

            app = _app(args, config, tokens, lambda: start_pipeline(config))
            return run_until_stopped(app.run)
        return _serve_in_pool(args, config, tokens)
    except EngineStuckError as error:
        log.critical("%s", error)
        start_anew()


def _check_role(role: str, config: Config) -> None:
    if role == "all":
        return
    if config.engine.pool == "thread":
        raise UsageError(
            f"--role {role} is one part of several, and here bot and engine are one process. Set "
            '[engine] pool to "ray", or leave --role away.'
        )
    if not config.pool.address:
        raise ConfigError(
            f"--role {role} needs a Ray cluster that others can reach, and [pool] address is "
            "empty. Set it to the cluster's head, such as 10.0.0.5:6379, or leave --role away."
        )


def _app(
    args: argparse.Namespace,
    config: Config,
    tokens: Tokens | None,
    draws: "Callable[[], Pipeline] | BotPart",
) -> "App":
    from bot.app import App, discord_home, slack_home  # noqa: PLC0415 - late: it brings jax
    from bot.ledgers.records import records_of  # noqa: PLC0415

    assert tokens is not None  # noqa: S101 - only engines need none
    folder = config.storage.folder
    homes = []
    if tokens.discord is not None:
        homes.append(discord_home(config, tokens.discord, folder))
    if tokens.slack is not None:
        homes.append(slack_home(config, tokens.slack, folder))
    app = App(
        config,
        draws,
        homes,
        folder,
        records=records_of(folder, config.storage.database),
        start_empty=args.start_empty,
    )
    args.ending.minds(app)
    return app


def _serve_in_pool(args: argparse.Namespace, config: Config, tokens: Tokens | None) -> int:
    """Be a part of a pool, until the process is told to stop."""
    from bot.engines.pool.cluster import Cluster  # noqa: PLC0415 - it brings Ray
    from bot.engines.pool.parts import bot_part, watch_pool  # noqa: PLC0415

    cluster = Cluster(config.pool.address)
    has_engines = args.role != "bot"
    app = None
    if args.role != "engine":
        app = _app(args, config, tokens, bot_part(config, outlives=not has_engines))

    async def serve(stop: asyncio.Event) -> None:
        try:
            if has_engines:
                await asyncio.to_thread(_deploy, cluster, config)
                serving = stop.wait() if app is None else app.run(stop)
                await _beside(serving, watch_pool(cluster), stop)
            elif app is not None:
                await app.run(stop)
        finally:
            if has_engines:
                log.info("the engines end, each with what it draws")
                await asyncio.to_thread(cluster.take_down)

    # On a thread that stays: a cluster of the bot's own ends with the thread that began it.
    with ThreadPoolExecutor(1, thread_name_prefix="ray") as thread:
        # Before anything of ours hears signals: with Ray comes a handler of SIGTERM that has the
        # process abort three seconds after it, whatever is done about it.
        thread.submit(cluster.join).result()
        try:
            return run_until_stopped(serve)
        finally:
            thread.submit(cluster.leave).result()


def _deploy(cluster: "Cluster", config: Config) -> None:
    from bot.engines.pool.parts import deploy  # noqa: PLC0415 - as above
    from bot.engines.pool.replica import Patience  # noqa: PLC0415

    stuck_s = config.engine.stuck_after_s
    patience = Patience(
        silence_limit_s(stuck_s, starting=False), silence_limit_s(stuck_s, starting=True)
    )
    deploy(cluster, config, patience)


async def _beside(
    serving: Coroutine[Any, Any, Any], watch: Coroutine[Any, Any, None], stop: asyncio.Event
) -> None:
    """Serve until that ends, or what watches raises: then it is stopped first."""
    watching = asyncio.create_task(watch, name="pool")
    served = asyncio.create_task(serving, name="serving")
    try:
        await asyncio.wait({watching, served}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await served
        if watching.done():
            watching.result()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
