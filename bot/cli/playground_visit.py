"""A visit to the playground: its Discord, its Slack and the real bot in one event loop, and a
person played by the program.
"""

import asyncio
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bot.app import App, MakeHome, discord_home
from bot.cli.ending import Ending
from bot.cli.pictures import output_folder, save_named
from bot.cli.slack_visit import home_in, loopback_slack
from bot.config.sections import Config, HealthConfig, PlaygroundConfig
from bot.core.card import FAILURE_MARK, is_preview
from bot.errors import ConfigError, PlaygroundError
from bot.ledgers.sqlite.database import is_in_use
from bot.shared.secret import Secret
from sdxl_engine import Pipeline
from standins.base.ports import PortTakenError
from standins.discord import page_server as discord_page
from standins.discord.components import files_of, text_of
from standins.discord.errors import CommandRefused, InteractionFailed
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import varied_world
from standins.slack import page_server as slack_page
from standins.slack.loopback import LoopbackSlack

Message = dict[str, Any]

_LAST_WORDS: Final = "The playground ends here; its queue is not kept."


@dataclass(frozen=True, slots=True)
class Visit:
    """What to do in the playground.

    options  of one /imagine to be asked right away; None: nobody asks
    out      the folder that gets its pictures
    stay     go on afterwards, until somebody stops it
    show_address  of the pages, once they are there; without it there is a Discord alone
    start_empty   if the ledger is lost or damaged
    """

    options: Mapping[str, object] | None
    out: Path
    stay: bool
    show_address: bool
    start_empty: bool = False


async def run_playground(
    config: Config,
    visit: Visit,
    start_pipeline: Callable[[], Pipeline],
    stop: asyncio.Event,
    ending: Ending,
) -> None:
    """Run the playground as the visit says, or until `stop` is set.

    Its Discord forgets its channels when it ends; the bot's records and pictures stay in
    [playground] folder. Raises BotError, EngineError.
    """
    chats = _Chats.with_pages() if visit.show_address else _Chats.of_discord()
    with _records(config) as folder:
        await chats.start(config.playground)
        config, homes = chats.homes(config)
        app = App(
            config,
            start_pipeline,
            homes,
            folder,
            last_words=_LAST_WORDS,
            start_empty=visit.start_empty,
        )
        ending.minds(app)
        await _stay(chats, app, visit, stop)
        if visit.stay:
            _say(_last_word(config.playground.folder))


@dataclass(frozen=True, slots=True)
class _Chats:
    """The chat systems of one playground.

    slack  None: there is none
    """

    discord: LoopbackDiscord
    slack: LoopbackSlack | None

    @classmethod
    def of_discord(cls) -> "_Chats":
        """A Discord that nobody looks at."""
        return cls(LoopbackDiscord(token=secrets.token_urlsafe(), world=varied_world()), None)

    @classmethod
    def with_pages(cls) -> "_Chats":
        """Both, each with its page beside the other's."""
        slack = loopback_slack()
        chats = cls(cls.of_discord().discord, slack)
        discord_page.add_page(chats.discord, chats.addresses)
        slack_page.add_page(slack, chats.addresses)
        return chats

    def addresses(self) -> dict[str, str]:
        """Of the pages, by the chats' names; they must have started."""
        shown = {"Discord": f"{self.discord.base_url}/"}
        return shown if self.slack is None else {**shown, "Slack": f"{self.slack.base_url}/"}

    async def start(self, ports: PlaygroundConfig) -> None:
        """Listen; raises PlaygroundError."""
        try:
            await self.discord.start(port=ports.port)
        except PortTakenError as error:
            raise PlaygroundError(
                f"The port {ports.port} is taken or not allowed. Choose another with "
                "--port, or set IMAGINE_PLAYGROUND__PORT=0 for any free one."
            ) from error
        if self.slack is None:
            return
        try:
            await self.slack.start(port=ports.slack_port)
        except PortTakenError:  # its address is said, and Discord's page leads there
            await self.slack.start()

    def homes(self, config: Config) -> tuple[Config, list[MakeHome]]:
        """The configuration of a bot that lives here, and its homes."""
        discord = replace(
            config.discord,
            api_url=self.discord.api_url,
            gateway_url=self.discord.gateway_url,
            guild_ids=(),
        )
        config = replace(config, discord=discord, health=HealthConfig(port=0))
        # This Discord forgets what it was told of commands, and every card.
        homes = [discord_home(config, Secret(self.discord.token), None)]
        if self.slack is not None:
            config, home = home_in(self.slack, config)
            homes.append(home)
        return config, homes

    async def close(self) -> None:
        """Stop listening."""
        await self.discord.close()
        if self.slack is not None:
            await self.slack.close()


@contextmanager
def _records(config: Config) -> Iterator[Path]:
    """The folder of the ledger and the pictures; raises ConfigError, PlaygroundError."""
    folder = config.playground.folder
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="imagine-") as name:
            yield Path(name)
        return
    if folder.resolve() == config.storage.folder.resolve():
        raise ConfigError(
            f"[playground] folder and [storage] folder are both {folder}: the jobs of a Discord "
            "that forgets would stand among those of the real one. Set one to another."
        )
    if is_in_use(folder):
        raise PlaygroundError(
            f"Another playground works in the folder {folder}. Stop it, or set "
            "IMAGINE_PLAYGROUND__FOLDER to another; empty, nothing is kept."
        )
    yield folder


def _last_word(folder: Path | None) -> str:
    if folder is None:
        return "The playground ends here, and nothing of it is kept."
    return (
        "The playground ends here; its queue is not kept. What was drawn is: "
        f"IMAGINE_STORAGE__FOLDER={folder} imagine jobs list"
    )


async def _stay(chats: _Chats, app: App, visit: Visit, stop: asyncio.Event) -> None:
    over = asyncio.Event()
    serving = asyncio.create_task(app.run(over), name="app")
    visiting = asyncio.create_task(_visit(chats, app, visit, stop), name="visit")
    try:
        await asyncio.wait([serving, visiting], return_when=asyncio.FIRST_COMPLETED)
        if visiting.done():
            visiting.result()
    finally:
        over.set()
        visiting.cancel()
        await asyncio.gather(serving, visiting, return_exceptions=True)
        await chats.close()
    serving.result()


async def _visit(chats: _Chats, app: App, visit: Visit, stop: asyncio.Event) -> None:
    loopback = chats.discord
    if visit.show_address:
        _say(f"The playground is at {loopback.base_url}/")
        if chats.slack is not None:
            _say(f"Its Slack is at {chats.slack.base_url}/")
    if visit.options is not None:
        _whisper(f"Seed {visit.options['seed']}")
        asking = asyncio.create_task(
            imagine_once(loopback, visit.options, visit.out, on_card=_whisper)
        )
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([asking, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise PlaygroundError("It was stopped before the pictures were there. Ask again.")
            for path in asking.result():
                _say(str(path))
        finally:
            for task in (asking, stopping):
                task.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)
    if visit.stay:
        warm = asyncio.create_task(app.engine.warm())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([warm, stopping], return_when=asyncio.FIRST_COMPLETED)
        warm.cancel()
        if not stop.is_set():
            # Said last, where a person looks.
            _say(f"Open {loopback.base_url}/ in a browser and type /imagine. Ctrl-C ends it.")
        await stopping


async def imagine_once(
    loopback: LoopbackDiscord,
    options: Mapping[str, object],
    folder: Path,
    *,
    on_card: Callable[[str], None],
) -> list[Path]:
    """Type /imagine, wait for its pictures, save them.

    options  of the command, by name
    folder   gets the attachments under their own names
    on_card  told the card's first line whenever the card changes

    Returns the paths. Raises PlaygroundError with the sentence that a person would have read.
    """
    output_folder(folder)
    await loopback.wait_ready()
    await loopback.wait_commands()

    def over(message: Message) -> bool:
        content = text_of(message)
        if _pictures(message):
            return True
        if content:
            on_card(content.splitlines()[0])
        return content.startswith(FAILURE_MARK)

    try:
        interaction = await loopback.slash("imagine", options)
        message = await interaction.until(over)
    except (CommandRefused, InteractionFailed) as error:
        raise PlaygroundError(str(error)) from error
    if not _pictures(message):
        raise PlaygroundError(text_of(message).removeprefix(FAILURE_MARK).strip().splitlines()[0])
    return [
        save_named(folder, file["filename"], loopback.attachment_bytes(int(file["id"])))
        for file in _pictures(message)
    ]


def _pictures(message: Message) -> list[dict[str, Any]]:
    return [file for file in files_of(message) if not is_preview(file["filename"])]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _whisper(text: str) -> None:
    sys.stderr.write(text + "\n")
