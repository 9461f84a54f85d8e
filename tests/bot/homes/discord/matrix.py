"""Every call of a job's life times every answer that it may get, and what the person sees then.

The table: python -m tests.bot.homes.discord.matrix
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bot.app import App, discord_home
from bot.config.sections import Config, DiscordConfig, EngineConfig, HealthConfig, JobsConfig
from bot.core.card import FAILURE_MARK, is_preview
from bot.core.job import Record, State
from bot.homes.discord import render
from bot.ledgers import book
from bot.shared.secret import Secret
from sdxl_engine import DrawError, ImageRequest, Progress
from sdxl_engine.request import NO_PICTURES, Pictures
from standins.base.faults import Fault
from standins.base.timers import ManualClock
from standins.discord.components import files_of, text_of
from standins.discord.interactions import Interaction
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import READ_MESSAGE_HISTORY
from tests.bot.conftest import NO_LIMITS, SIZES, OpenThrottle, ShutThrottle
from tests.fakes import FakePipeline, Gate

Message = dict[str, Any]

CALLBACK = "/interactions/*/*/callback"
BY_TOKEN = "/webhooks/*/*/messages/*"
BY_ID = "/channels/*/messages/*"
MESSAGES = "/channels/*/messages"
FOLLOW_UP = "/webhooks/*/*"

_TOKEN_LIVES_S: Final = 15 * 60
_LIMIT_S: Final = 0.25
_PATIENCE_S: Final = 60.0
_PAGE: Final = "<html><head><title>{0}</title></head><body>a proxy of somebody's</body></html>"


def _json(status: int, code: int) -> dict[str, Any]:
    return {"kind": "status", "status": status, "body": {"code": code, "message": "?"}}


def _page(status: int) -> dict[str, Any]:
    return {"kind": "status", "status": status, "body": _PAGE.format(status)}


_GARBAGE: Final[Mapping[str, dict[str, Any]]] = {
    "empty": {"body": ""},
    "a page": {"body": _PAGE.format(200)},
    "cut off": {"body": '{"id": "1", "conte', "content_type": "application/json"},
    "a list": {"body": [1, 2, 3]},
    "nothing in it": {"body": {}},
}

ANSWERS: Final[Mapping[str, dict[str, Any]]] = {
    "10003 unknown channel": _json(404, 10003),
    "10008 unknown message": _json(404, 10008),
    "10015 unknown webhook": _json(404, 10015),
    "10062 unknown interaction": _json(404, 10062),
    "20028 written too often": _json(429, 20028),
    "30046 edited too often": _json(429, 30046),
    "40005 too large": _json(413, 40005),
    "40060 acknowledged before": _json(400, 40060),
    "40062 limited": _json(429, 40062),
    "50001 no access": _json(403, 50001),
    "50013 no permission": _json(403, 50013),
    "50027 token ended": _json(401, 50027),
    "50035 wrong form": _json(400, 50035),
    "130000 overloaded": _json(503, 130000),
    "401 of JSON, no code": _json(401, 0),
    **{
        f"{status} of a proxy": _page(status)
        for status in (400, 401, 403, 404, 405, 408, 413, 421, 429, 500, 502, 503)
    },
    "429 for a year": {
        **_page(429),
        "headers": {"Retry-After": "31536000"},
    },
    "429": {"kind": "rate_limit"},
    **{
        f"200, {name}, {'done' if kind == 'status_after' else 'not done'}": {
            "kind": kind,
            "status": 200,
            **more,
        }
        for name, more in _GARBAGE.items()
        for kind in ("status", "status_after")
    },
    "never": {"kind": "latency"},
    "late": {"kind": "latency"},
    "done, then 502": {"kind": "status_after", "status": 502, "body": _PAGE.format(502)},
    "done, then 400 of a proxy": {"kind": "status_after", "status": 400, "body": _PAGE.format(400)},
    "done, then broken off": {"kind": "drop_after"},
    "broken off": {"kind": "drop_before"},
}


class Stage:
    """A bot and its Discord, for one call after another.

    failing  prompts whose drawing fails
    """

    def __init__(self, loopback: LoopbackDiscord, clock: ManualClock, app: App, gate: Gate) -> None:
        self.loopback, self.clock, self.app, self.gate = loopback, clock, app, gate
        self.fault = Fault(kind="latency")

    async def ask(self, prompt: str = "x") -> Interaction:
        return await self.loopback.slash("imagine", {"prompt": prompt})

    async def asked(self, prompt: str = "x") -> Interaction:
        """Ask, and wait for the first words."""
        interaction = await self.ask(prompt)
        await interaction.until(lambda message: bool(text_of(message)))
        return interaction

    def put(self, answer: str, method: str, route: str, nth: int = 1) -> Fault:
        """Have the call answered so, once."""
        options = dict(ANSWERS[answer])
        if answer == "late":
            options["gate"] = late = asyncio.Event()
            asyncio.get_running_loop().call_later(2 * _LIMIT_S, late.set)
        self.fault = Fault(method=method, route=route, nth=nth, **options)
        return self.loopback.faults.add(self.fault)

    def token_ends(self) -> None:
        self.clock.advance(_TOKEN_LIVES_S + 1)


Scene = Callable[[Stage, str], Awaitable[Interaction]]


@dataclass(frozen=True)
class Call:
    """One call of a job's life.

    scene     brings the job there, with the answer put in, and returns what was asked
    throttle  holds every edit up that is not wanted at once, or none
    """

    scene: Scene
    throttle: Callable[[], Any] = ShutThrottle


async def _acknowledgement(stage: Stage, answer: str) -> Interaction:
    stage.put(answer, "POST", CALLBACK)
    interaction = await stage.ask()
    stage.gate.let_through(4)
    return interaction


async def _first_words(stage: Stage, answer: str) -> Interaction:
    stage.put(answer, "PATCH", BY_TOKEN)
    interaction = await stage.ask()
    stage.gate.let_through(4)
    return interaction


async def _progress(stage: Stage, answer: str) -> Interaction:
    interaction = await stage.asked()
    fault = stage.put(answer, "PATCH", BY_TOKEN)
    stage.gate.let_through(1)
    await fault.wait_fired()
    stage.gate.let_through(3)
    return interaction


def _at_delivery(method: str, route: str, *, token_ends: bool = False) -> Scene:
    """The pictures go out, or are looked for, because the answer to that was lost."""

    async def scene(stage: Stage, answer: str) -> Interaction:
        interaction = await stage.asked()
        if token_ends:
            stage.token_ends()
        if method == "GET":
            stage.put("done, then broken off", "PATCH", route)
        stage.put(answer, method, route)
        stage.gate.let_through(4)
        return interaction

    return scene


async def _unknown_card(stage: Stage) -> Interaction:
    """No answer said which message is the card, and the token has ended."""
    stage.put("done, then broken off", "POST", CALLBACK)
    held = asyncio.Event()
    edit = stage.loopback.faults.add(
        Fault(kind="latency", method="PATCH", route=BY_TOKEN, gate=held, count=None)
    )
    interaction = await stage.ask()
    await edit.wait_fired()
    stage.token_ends()
    held.set()
    return interaction


def _at_unknown_card(method: str, route: str, *, may_read: bool) -> Scene:
    """The card is looked for or, where nobody may read, a new message takes its place."""

    async def scene(stage: Stage, answer: str) -> Interaction:
        if not may_read:
            stage.loopback.world.first_channel.bot_permissions &= ~READ_MESSAGE_HISTORY
        interaction = await _unknown_card(stage)
        stage.put(answer, method, route)
        stage.gate.let_through(4)
        return interaction

    return scene


async def _last_words(stage: Stage, answer: str) -> Interaction:
    interaction = await stage.asked("fails")
    stage.put(answer, "PATCH", BY_TOKEN)
    stage.gate.let_through(1)
    return interaction


def _when_refused(method: str, route: str) -> Scene:
    """As many wait already as may."""

    async def scene(stage: Stage, answer: str) -> Interaction:
        stage.put(answer, method, route)
        return await stage.ask()

    return scene


CALLS: Final[Mapping[str, Call]] = {
    "acknowledgement": Call(_acknowledgement),
    "first words": Call(_first_words),
    "progress": Call(_progress, OpenThrottle),
    "pictures": Call(_at_delivery("PATCH", BY_TOKEN)),
    "pictures, by id": Call(_at_delivery("PATCH", BY_ID, token_ends=True)),
    "reading back": Call(_at_delivery("GET", BY_TOKEN)),
    "reading back, by id": Call(_at_delivery("GET", BY_ID, token_ends=True)),
    "search for the card": Call(_at_unknown_card("GET", MESSAGES, may_read=True)),
    "new message": Call(_at_unknown_card("POST", MESSAGES, may_read=False)),
    "pictures on it": Call(_at_unknown_card("PATCH", BY_ID, may_read=False)),
    "last words": Call(_last_words),
    "taking back": Call(_when_refused("DELETE", BY_TOKEN)),
    "refusal": Call(_when_refused("POST", FOLLOW_UP)),
}
REFUSED: Final = frozenset({"taking back", "refusal"})


class _Failing(FakePipeline):
    def generate(
        self,
        request: ImageRequest,
        *,
        pictures: Pictures = NO_PICTURES,
        previews: bool = False,
    ) -> Iterator[Progress]:
        if request.prompt == "fails":
            return self._fail(request)
        return super().generate(request, pictures=pictures, previews=previews)

    def _fail(self, request: ImageRequest) -> Iterator[Progress]:
        yield next(iter(super().generate(request)))
        raise DrawError("Drawing failed on the device. Try again.")


@dataclass
class Cell:
    """What came of one call that was answered so.

    seen      in the channel, or by the one who asked, in the end
    problems  what must not be
    """

    seen: str = ""
    problems: list[str] = field(default_factory=list)


async def hasty(_: float) -> None:
    """A sleep that lets others go on, for a moment."""
    await asyncio.sleep(0.002)


@asynccontextmanager
async def opened(folder: Path, call: Call, *, refuses: bool) -> AsyncIterator[Stage]:
    """A bot and its Discord."""
    clock, gate = ManualClock(), Gate()
    loopback = LoopbackDiscord(clock=clock, rate_limits=False, heartbeat_interval_s=10**9)
    await loopback.start()
    config = Config(
        health=HealthConfig(port=0),
        limits=NO_LIMITS,
        engine=EngineConfig(sizes=SIZES, default_steps=4, stuck_after_s=0),
        discord=DiscordConfig(api_url=loopback.api_url, gateway_url=loopback.gateway_url),
        jobs=JobsConfig(max_queued=8, shutdown_grace_s=0),
    )
    home = discord_home(
        config,
        Secret(loopback.token),
        None,
        throttle=call.throttle,
        call_limit_s=_LIMIT_S,
        sleep=hasty,
    )
    app = App(config, lambda: _Failing(SIZES, gate=gate), [home], folder)
    stop = asyncio.Event()
    task = asyncio.create_task(app.run(stop))
    try:
        await asyncio.gather(loopback.wait_ready(), loopback.wait_commands())
        stage = Stage(loopback, clock, app, gate)
        if refuses:
            await _fill(stage)
        yield stage
    finally:
        stop.set()
        await asyncio.gather(task, return_exceptions=True)
        await loopback.close()


async def _fill(stage: Stage) -> None:
    """Let as many wait as may."""
    for n in range(9):
        await stage.asked(f"waits {n}")


async def play(stage: Stage, name: str, answer: str) -> Cell:
    """One cell."""
    cell = Cell()
    known = await _ids(stage)
    interaction: Interaction | None = None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            interaction = await CALLS[name].scene(stage, answer)
            await stage.fault.wait_fired()
            while not await _is_at_rest(stage, known):  # noqa: ASYNC110 - the ledger tells no one
                await asyncio.sleep(0.005)
    except TimeoutError:
        cell.problems.append("it never came to an end")
    finally:
        stage.loopback.faults.clear()
        stage.loopback.world.first_channel.bot_permissions |= READ_MESSAGE_HISTORY
    if interaction is not None:
        records = await stage.app.ledger.find(limit=999)
        _judge(cell, stage, interaction, [one for one in records if one.job.id not in known])
        if answer in _LIES:
            cell.problems.clear()  # about a message that is there, that it is not
        elif is_passing(answer) and cell.seen != _WANTED.get(name, "pictures"):
            cell.problems.append(f"an answer that says nothing ended in: {cell.seen}")
    return cell


# Where a call is answered in a way that says nothing of what was asked.
_LIES: Final = frozenset({"10008 unknown message"})
_WANTED: Final = {"last words": "why not", "taking back": "why not", "refusal": "why not"}


def is_passing(answer: str) -> bool:
    """Whether the same may succeed later: all but Discord's own JSON with a code of its own."""
    body, status = ANSWERS[answer].get("body"), ANSWERS[answer].get("status", 500)
    says = isinstance(body, dict) and body.get("code", 0) > 0
    return not says or status == 429 or status >= 500


async def _ids(stage: Stage) -> set[str]:
    return {record.job.id for record in await stage.app.ledger.find(limit=9_999)}


async def _is_at_rest(stage: Stage, known: set[str]) -> bool:
    """Whether everybody has an answer, and every job is over and told."""
    if await stage.app.ledger.database.read(book.unanswered):
        return False
    records = await stage.app.ledger.find(limit=9_999)
    return all(one.told for one in records if one.job.id not in known)


def _judge(cell: Cell, stage: Stage, interaction: Interaction, records: list[Record]) -> None:
    """What stands there, and whether it agrees with what is on record."""
    history = stage.loopback.history(stage.loopback.world.first_channel.id)
    shown = [
        message
        for message in history
        if any(_is_picture_of(file, records) for file in files_of(message))
    ]
    said = [
        message
        for message in history
        for record in records
        if render.is_end(text_of(message), record.job.id)
    ]
    answer = interaction.answer
    text = "" if answer is None else text_of(answer)
    if shown:
        cell.seen = "pictures"
        if not text_of(shown[0]).startswith("```"):
            cell.problems.append(f"beside pictures: {text_of(shown[0])[:40]!r}")
    elif said or text.startswith(FAILURE_MARK):
        cell.seen = "why not"
    elif text:
        cell.seen = text.splitlines()[0][:40]
    elif not interaction.acknowledged:
        cell.seen = "Discord says so: no answer"
    elif records and records[0].state is State.CANCELLED:
        cell.seen = "nothing: its message is gone"
    else:
        cell.seen = "thinking" if interaction.thinking else "nothing"
        cell.problems.append(f"it says {cell.seen}")
    if len(shown) > 1:
        cell.problems.append(f"pictures on {len(shown)} messages")
    delivered = any(record.state is State.DELIVERED for record in records)
    if delivered != bool(shown):
        cell.problems.append(f"on record as delivered: {delivered}")


def _is_picture_of(file: Message, records: list[Record]) -> bool:
    name = str(file["filename"])
    return not is_preview(name) and any(name.startswith(record.job.id) for record in records)


async def row(name: str, folder: Path) -> dict[str, Cell]:
    """One call, with every answer, in one bot."""
    call = CALLS[name]
    async with opened(folder, call, refuses=name in REFUSED) as stage:
        return {answer: await play(stage, name, answer) for answer in ANSWERS}


async def _table() -> None:
    failed = 0
    sys.stdout.write("| call | answer | what the person sees |\n| --- | --- | --- |\n")
    for name in CALLS:
        with tempfile.TemporaryDirectory() as folder:
            cells = await row(name, Path(folder))
        alike: dict[str, list[str]] = {}
        for answer, cell in cells.items():
            alike.setdefault("; ".join([cell.seen, *cell.problems]), []).append(answer)
            failed += bool(cell.problems)
        for seen, answers in alike.items():
            which = "every other" if len(answers) > len(ANSWERS) / 2 else ", ".join(answers)
            sys.stdout.write(f"| {name} | {which} ({len(answers)}) | {seen} |\n")
    sys.stdout.write(f"{len(CALLS) * len(ANSWERS)} cells, {failed} with a problem\n")
    sys.exit(failed > 0)


if __name__ == "__main__":
    asyncio.run(_table())
