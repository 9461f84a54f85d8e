"""`imagine playground`: the real bot in a Discord of its own, which leaves what it promised to."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest

from bot.cli.ending import Ending
from bot.cli.main import main
from bot.cli.playground_visit import Visit, run_playground
from bot.config.sections import Config, EngineConfig, JobsConfig, PlaygroundConfig
from bot.core.job import FINAL, State
from bot.errors import ConfigError, PlaygroundError
from bot.ledgers import book
from bot.ledgers.sqlite.database import connect
from bot.shared.data_folder import IMAGES, LEDGER
from sdxl_engine import ImageRequest, Pipeline, Progress
from sdxl_engine.request import NO_PICTURES, Pictures
from standins.discord.loopback import DEFAULT_TOKEN, LoopbackDiscord
from tests.fakes import FakePipeline, Gate

Capture = pytest.CaptureFixture[str]

SIZES = ((64, 64),)
KEPT = Path("kept")
OPTIONS = {"prompt": "a red circle", "seed": 4}


class StopOnceStaying(asyncio.Event):
    """Set when the visit has its pictures and waits for nothing but its end."""

    def __init__(self) -> None:
        super().__init__()
        self._waits = 0

    async def wait(self) -> Literal[True]:
        self._waits += 1
        if self._waits == 2:  # the first was while the pictures were drawn
            self.set()
        return await super().wait()


def configured(folder: Path | None, *, grace_s: float = 20) -> Config:
    return Config(
        engine=EngineConfig(sizes=SIZES, default_steps=2),
        jobs=JobsConfig(shutdown_grace_s=grace_s),
        playground=PlaygroundConfig(port=0, slack_port=0, folder=folder),
    )


async def visit_once(
    config: Config,
    start_pipeline: Callable[[], Pipeline] = lambda: FakePipeline(SIZES),
    *,
    stay: bool = False,
    stop: asyncio.Event | None = None,
) -> None:
    """One /imagine in a playground, which ends with the pictures, or is stopped after them."""
    visit = Visit(options=OPTIONS, out=Path("out"), stay=stay, show_address=False)
    stop = stop or (StopOnceStaying() if stay else asyncio.Event())
    await run_playground(config, visit, start_pipeline, stop, Ending())


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def states() -> list[State]:
    with closing(connect(KEPT / LEDGER)) as connection:
        return [record.state for record in book.find(connection)]


async def test_what_was_drawn_is_kept_and_only_that_is_promised(capsys: Capture) -> None:
    await visit_once(configured(KEPT), stay=True)
    out = capsys.readouterr().out
    assert out.endswith(
        "The playground ends here; its queue is not kept. What was drawn is: "
        "IMAGINE_STORAGE__FOLDER=kept imagine jobs list\n"
    )
    assert states() == [State.DELIVERED]
    assert len(list((KEPT / IMAGES).glob("*/*.png"))) == 4


async def test_no_two_playgrounds_have_the_same_token(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = list[LoopbackDiscord]()

    def made(**options: Any) -> LoopbackDiscord:
        servers.append(LoopbackDiscord(**options))
        return servers[-1]

    monkeypatch.setattr("bot.cli.playground_visit.LoopbackDiscord", made)
    for _ in range(2):
        await visit_once(configured(None))
    tokens = {server.token for server in servers}
    assert len(tokens) == 2
    assert all(len(token) > 32 for token in tokens)
    assert DEFAULT_TOKEN not in tokens


async def test_without_a_folder_nothing_is_kept_and_nothing_promised(capsys: Capture) -> None:
    await visit_once(configured(None), stay=True)
    assert "The playground ends here, and nothing of it is kept." in capsys.readouterr().out
    assert names(Path()) == ["out"]


class HeldUp(FakePipeline):
    """Says when it was given something to draw, and draws it when it may.

    begun  is set then
    """

    def __init__(self, gate: Gate) -> None:
        super().__init__(SIZES, gate=gate)
        self.begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        self._loop.call_soon_threadsafe(self.begun.set)
        return super().generate(request, pictures=pictures, previews=previews)


async def test_what_one_playground_left_undone_does_not_haunt_the_next() -> None:
    gate, stop = Gate(), asyncio.Event()
    pipeline = HeldUp(gate)
    broken_off = asyncio.create_task(
        visit_once(configured(KEPT, grace_s=0), lambda: pipeline, stop=stop)
    )
    await pipeline.begun.wait()
    stop.set()
    gate.open()
    with pytest.raises(PlaygroundError, match="stopped before the pictures were there"):
        await broken_off
    await visit_once(configured(KEPT))
    assert len(names(Path("out"))) == 4  # of the second alone
    newest, left = states()
    assert newest is State.DELIVERED
    assert left in FINAL


async def test_two_playgrounds_do_not_share_a_folder() -> None:
    gate = Gate()
    pipeline = HeldUp(gate)
    first = asyncio.create_task(visit_once(configured(KEPT), lambda: pipeline))
    await pipeline.begun.wait()
    with pytest.raises(PlaygroundError, match="Another playground works in the folder kept"):
        await visit_once(configured(KEPT))
    gate.open()
    await first
    assert states() == [State.DELIVERED]


async def test_the_records_of_a_real_bot_are_left_alone() -> None:
    with pytest.raises(ConfigError, match="both data"):
        await visit_once(configured(Path("data")))
    assert names(Path()) == []


def test_once_saves_four_different_pictures_and_leaves_nothing_else(capsys: Capture) -> None:
    argv = ("--steps", "2", "--size", "64x64", "--sampler", "DPM++ 2M")
    assert main(["playground", "--once", "a red circle", *argv]) == 0
    paths = capsys.readouterr().out.splitlines()
    data = [Path(path).read_bytes() for path in paths]
    assert len(set(data)) == 4
    assert all(one.startswith(b"\x89PNG") for one in data)
    assert not Path("playground").exists()


def test_a_taken_port_is_a_sentence(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["playground", "--port", str(port)]) == 1
    assert f"The port {port} is taken or not allowed" in capsys.readouterr().err


async def test_both_chats_stand_beside_each_other_with_one_engine(capsys: Capture) -> None:
    stop = asyncio.Event()
    visit = Visit(options=None, out=Path("out"), stay=True, show_address=True)
    pipelines: list[FakePipeline] = []

    def start_pipeline() -> Pipeline:
        pipelines.append(FakePipeline(SIZES))
        return pipelines[-1]

    running = asyncio.create_task(
        run_playground(configured(None), visit, start_pipeline, stop, Ending())
    )
    said = ""
    while "Open http" not in said:
        said += capsys.readouterr().out
        await asyncio.sleep(0)
    urls = {name: said.split(f"{words} is at ")[1].split()[0] for name, words in PAGES.items()}
    for own, url in urls.items():
        state = await state_of(url)
        assert {one["name"]: one["url"] for one in state["chats"]} == urls
        assert [one["name"] for one in state["chats"] if one["is_here"]] == [own]
    while not (state := await state_of(urls["Slack"]))["online"]:
        pass
    assert [one["command"] for one in state["commands"]] == ["/imagine", "/imagine-admin"]
    stop.set()
    await running
    assert len(pipelines) == 1


PAGES = {"Discord": "The playground", "Slack": "Its Slack"}


async def state_of(url: str) -> Any:
    """What a page is told first."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}page/api/events") as answer:
        async for line in answer.content:
            if line.startswith(b"data: "):
                return json.loads(line.removeprefix(b"data: "))
    raise AssertionError("the page was told nothing")


def test_its_pictures_are_not_where_the_real_bots_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Config] = []

    async def run(config: Config, *_: object) -> None:
        seen.append(config)

    monkeypatch.setattr("bot.cli.playground_visit.run_playground", run)
    monkeypatch.setenv("IMAGINE_STORAGE__PICTURES", "s3://the-real-bots")
    assert main(["playground", "--once", "a fox"]) == 0
    assert [config.storage.pictures for config in seen] == [None]
