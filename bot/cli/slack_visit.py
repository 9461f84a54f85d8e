"""One command in a Slack of one's own: the loopback and the real bot in one event loop."""

import asyncio
import secrets
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.app import App, MakeHome, slack_home
from bot.cli.ending import Ending
from bot.cli.pictures import output_folder, save_named
from bot.config.reading import SlackTokens
from bot.config.sections import Config, HealthConfig
from bot.core.card import FAILURE_MARK
from bot.errors import PlaygroundError
from bot.homes.slack import render
from bot.homes.slack.manifest import COMMAND, manifest
from bot.shared.secret import Secret
from sdxl_engine import Pipeline
from standins.slack.loopback import LoopbackSlack

Message = dict[str, Any]


async def imagine_in_slack(
    config: Config,
    text: str,
    folder: Path,
    start_pipeline: Callable[[], Pipeline],
    stop: asyncio.Event,
    ending: Ending,
) -> None:
    """Type /imagine and a text there, wait for its pictures, save them in a folder.

    Nothing else of it is kept. Raises PlaygroundError with the sentence that a person would have
    read, BotError, EngineError.
    """
    output_folder(folder)
    slack = loopback_slack()
    await slack.start()
    with tempfile.TemporaryDirectory(prefix="imagine-") as name:
        config, home = home_in(slack, replace(config, health=HealthConfig(port=0)))
        app = App(config, start_pipeline, [home], Path(name))
        ending.minds(app)
        over = asyncio.Event()
        serving = asyncio.create_task(app.run(over), name="app")
        asking = asyncio.create_task(_imagine(slack, text, folder), name="asking")
        stopping = asyncio.create_task(stop.wait(), name="stopping")
        try:
            await asyncio.wait([serving, asking, stopping], return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                asking.result()
            elif stopping.done():
                raise PlaygroundError("It was stopped before the pictures were there. Ask again.")
        finally:
            over.set()
            for task in (asking, stopping):
                task.cancel()
            await asyncio.gather(serving, asking, stopping, return_exceptions=True)
            await slack.close()
        serving.result()


def loopback_slack() -> LoopbackSlack:
    """A Slack in which the app is installed, with tokens of its own."""
    bot_token, app_token = (f"{kind}-{secrets.token_hex(16)}" for kind in ("xoxb", "xapp"))
    slack = LoopbackSlack(bot_token=bot_token, app_token=app_token)
    slack.world.install(manifest())
    slack.world.is_internal = (
        True  # as an app is that somebody makes of the manifest for themselves
    )
    return slack


def home_in(slack: LoopbackSlack, config: Config) -> tuple[Config, MakeHome]:
    """The configuration of a bot that lives in it, and its home; the Slack must have started."""
    here = replace(config.slack, api_url=slack.api_url, moderators=tuple(slack.world.user_groups))
    config = replace(config, slack=here)
    return config, slack_home(config, SlackTokens(Secret(slack.bot_token), Secret(slack.app_token)))


async def _imagine(slack: LoopbackSlack, text: str, folder: Path) -> None:
    await slack.wait_connected()
    who, where = slack.world.person("ben").id, slack.world.channel("imagine").id

    def answers() -> list[Message]:
        return slack.history(where, viewer=who)

    def is_over() -> bool:
        return any(render.files_of(one) or _failure(one) for one in answers())

    await slack.slash(COMMAND, text, user=who, channel=where)
    await slack.until(is_over)
    for message in answers():
        if (sentence := _failure(message)) is not None:
            raise PlaygroundError(sentence)
        for name, file_id in render.files_of(message).items():
            path = save_named(folder, name, slack.file_bytes(file_id))
            sys.stdout.write(f"{path}\n")


def _failure(message: Message) -> str | None:
    """Why there are no pictures; None: it does not say so."""
    text = str(message.get("text") or "")
    return text.removeprefix(FAILURE_MARK).strip() if text.startswith(FAILURE_MARK) else None
