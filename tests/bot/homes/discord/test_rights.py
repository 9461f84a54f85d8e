"""Who may do what, and where: one table. What it does not state is refused.

Ids say which job or case is meant and are not to be trusted, so all that is pressed or sent here is
forged: on a message of one's own, wherever one is, with the id of what is another's.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from bot.core.card import FAILURE_MARK
from bot.core.job import Person, Record, State, Venue
from bot.core.policy import (
    NOT_SHOWN_TO_YOU,
    NOT_YOURS,
    NOT_YOURS_TO_PUBLISH,
    NOT_YOURS_TO_SET,
    Actor,
)
from bot.homes.discord.buttons import DeskPress, PressKind
from bot.homes.discord.dialogs import DialogKind
from bot.ledgers import book
from bot.ledgers.sqlite.database import connect
from bot.shared.data_folder import LEDGER
from standins.base.timers import ManualClock
from standins.discord import messages
from standins.discord import world as worlds
from standins.discord.commands import CHAT_INPUT, GROUP, SUBCOMMAND
from standins.discord.components import text_of
from standins.discord.interactions import Dialog, Interaction
from standins.discord.loopback import LoopbackDiscord
from standins.discord.world import DM, MANAGE_MESSAGES, VIEW_CHANNEL, Channel, Overwrite
from tests.bot.conftest import SIZES, Bot, RunBot, make_config
from tests.bot.homes.discord.test_options import picture
from tests.bot.homes.discord.test_places import everywhere
from tests.fakes import FakePipeline
from tests.standins.discord.people import ADA, BEN, CLEO, MAX, MIA, MOD_LOG, TESS

Message = dict[str, Any]
Json = dict[str, Any]

EPHEMERAL: Final = 64
AT_ONCE: Final = 8  # more, and the bot has no time to answer within Discord's three seconds
ROW, BUTTON = 1, 2
BLAKE, OLA, DORA, SUE = range(901, 905)
WHO: Final = {
    "asker": BEN,
    "other": CLEO,
    "trusted": TESS,
    "blocked": BLAKE,
    "moderator of the channel": OLA,
    "moderator of the desk": DORA,
    "moderator": MIA,
    "manager": MAX,
    "owner": ADA,
}
NOBODY: Final[frozenset[str]] = frozenset()
ASKER: Final = frozenset({"asker"})
EVERYBODY: Final = frozenset(WHO)
UNBLOCKED: Final = EVERYBODY - {"blocked"}
MANAGERS: Final = frozenset({"manager", "owner"})
MODERATORS: Final = MANAGERS | {"moderator", "moderator of the desk"}
KEEPERS: Final = MANAGERS | {"asker", "moderator", "moderator of the channel"}

# Where the pictures are; the moderators' desk in the same server; another server with the bot;
# direct messages with the bot; those with others, and a server without it, by one's own install.
HERE: Final = 900_000_000_000_000_301
OTHER_SERVER, STRANGE = 911, 912
BOT_DM, OTHER_DM = 10_000, 20_000  # and the person's place in `WHO`
PLACES: Final = {
    "here": HERE,
    "desk": MOD_LOG,
    "other server": OTHER_SERVER,
    "strange server": STRANGE,
    "bot's dm": BOT_DM,
    "others' dm": OTHER_DM,
}
SERVER: Final = ("here", "desk")
OUTSIDE: Final = tuple(one for one in PLACES if one not in SERVER)
ANYWHERE: Final = tuple(PLACES)
PRIVATE_PLACES: Final = ("bot's dm", "others' dm")

# Of the one who asked: a job whose pictures all see, a draft, one that waits for a moderator, one
# that found no place. Besides there is "own", of the one who is blocked, from before that; "case",
# at the desk; and "self", nothing but oneself.
JOBS: Final = ("shown", "draft", "held", "stray")

BLOCKED: Final = "a moderator has blocked you"
IN_REVIEW: Final = "A moderator looks at these pictures before anybody sees them."
NOT_TO_SEE: Final = "Only the one who asked for these pictures can see them here."
NOT_A_MODERATOR: Final = "Only those who moderate this server can do that."
NOT_A_MANAGER: Final = "Only those who manage this server can do that."


@dataclass(frozen=True)
class Right:
    """Who may do these things to a subject in these places, and why others may not."""

    what: str
    subjects: tuple[str, ...]
    places: tuple[str, ...]
    may: frozenset[str]
    why: str = ""


MAKING: Final = "upscale strong subtle reroll edit: begin:"
SEEING: Final = "edit recipe open look like unlike"
RIGHTS: Final = (
    # What is shown is for all in its server, but nothing is drawn for who is blocked.
    Right(MAKING, ("shown", "stray"), SERVER, UNBLOCKED, BLOCKED),
    Right(SEEING, ("shown", "stray"), SERVER, EVERYBODY),
    Right(f"{MAKING} {SEEING}", ("shown", "draft"), OUTSIDE, ASKER, NOT_SHOWN_TO_YOU),
    Right(f"{MAKING} {SEEING}", ("draft",), SERVER, ASKER, NOT_SHOWN_TO_YOU),
    Right(f"{MAKING} {SEEING}", ("held",), SERVER, NOBODY, IN_REVIEW),
    # Those who keep order do it where the pictures are, and not to what they cannot see.
    Right("blur unblur delete", ("shown",), ("here",), KEEPERS, NOT_YOURS),
    Right("blur unblur delete", ("shown",), ("desk", *OUTSIDE), ASKER, NOT_YOURS),
    Right("blur unblur delete", ("draft",), ANYWHERE, ASKER, NOT_YOURS),
    Right("delete", ("stray",), ("here",), KEEPERS, NOT_YOURS),
    Right("cancel drop", ("held",), ("here",), KEEPERS, NOT_YOURS),
    Right("publish", ("draft",), ANYWHERE, ASKER, NOT_YOURS_TO_PUBLISH),
    Right("show", ("stray",), ("here",), ASKER, NOT_TO_SEE),
    # Who is blocked sees and deletes what is theirs.
    Right(MAKING, ("own",), SERVER, NOBODY, BLOCKED),
    Right(f"{SEEING} blur unblur delete", ("own",), SERVER, frozenset({"blocked"})),
    # A block holds in its server alone.
    Right(
        f"{MAKING} {SEEING} blur unblur delete report:",
        ("own",),
        OUTSIDE,
        frozenset({"blocked"}),
    ),
    Right("page mention keep erase", ("self",), ANYWHERE, EVERYBODY),
    # A picture of anybody's, which the one alone who chose it begins from.
    Right("start:", ("self",), SERVER, ASKER, "Choose it again"),
    Right("report:", ("shown", "stray", "own"), SERVER, EVERYBODY),
    Right("report:", ("draft",), SERVER, ASKER, NOT_SHOWN_TO_YOU),
    Right("report:", ("shown", "draft"), OUTSIDE, ASKER, NOT_SHOWN_TO_YOU),
    Right("report:", ("held",), SERVER, NOBODY, IN_REVIEW),
    # At the desk, those who moderate it; managers decide in all of their server.
    Right(
        "approve veil strike warn block unblock strike: warn: block:",
        ("case",),
        ("desk",),
        MODERATORS,
        NOT_A_MODERATOR,
    ),
    Right(
        "approve veil strike warn block unblock strike: warn: block:",
        ("case",),
        ("here",),
        MANAGERS,
        NOT_A_MODERATOR,
    ),
)
# A dialog's name ends with a colon: `block` is a button, `block:` what is filled in after it.
PRESSES: Final[tuple[str, ...]] = get_args(PressKind)
DIALOGS: Final = tuple(f"{kind}:" for kind in get_args(DialogKind))
ON_CASES: Final = (*get_args(DeskPress), "strike:", "warn:", "block:")
ON_ONESELF: Final = ("page", "mention", "keep", "erase", "start:")
# What a message that is written anew is made of: a layout, or words.
IN_LAYOUTS: Final = frozenset({"page", "blur", "unblur", "delete"})
MAKES_JOBS: Final = frozenset({*MAKING.split(), "publish", "start:"}) - {"edit"}
# What is done to its subject once: each has one of its own.
ONCE: Final = frozenset(
    {"blur", "unblur", "delete", "cancel", "drop", "publish", "approve", "veil", "strike:"}
)
# What changes the card that is meant: the one that was forged cannot become it.
BY_CARD: Final = frozenset({"cancel", "drop", "blur", "unblur"})
EFFECTS: Final[dict[str, Callable[[Record], bool]]] = {
    "blur": lambda record: record.job.showing.spoiler,
    "unblur": lambda record: not record.job.showing.spoiler,
    "delete": lambda record: record.deleted is not None,
    "cancel": lambda record: record.state is State.CANCELLED,
    "drop": lambda record: record.state is State.CANCELLED,
    "approve": lambda record: not record.job.showing.spoiler,
    "veil": lambda record: record.job.showing.spoiler and record.job.showing.held,
    "strike:": lambda record: record.deleted is not None,
}


@dataclass(frozen=True)
class Cell:
    """Somebody does something to a subject, somewhere; `may` and `why` are as the table states."""

    who: str
    what: str
    subject: str
    place: str
    may: bool = False
    why: str = ""

    def __str__(self) -> str:
        return f"{self.who} / {self.what} / {self.subject} / {self.place}"


def stated(cell: Cell) -> Cell:
    """With what the table states of it; of what it does not, that it is refused."""
    found = [
        right
        for right in RIGHTS
        if cell.what in right.what.split()
        and cell.subject in right.subjects
        and cell.place in right.places
    ]
    assert len(found) <= 1, f"the table says it twice: {cell}"
    for right in found:
        return replace(cell, may=cell.who in right.may, why=right.why)
    return cell


def subjects_of(what: str) -> tuple[str, ...]:
    if what in ON_CASES:
        return ("case",)
    return ("self",) if what in ON_ONESELF else (*JOBS, "own")


def cells(place: str) -> Iterator[Cell]:
    """All that can be tried there, whether or not the table knows of it."""
    for who, what in product(WHO, (*PRESSES, *DIALOGS)):
        for subject in subjects_of(what):
            is_elsewhere = place != "here"
            if is_elsewhere and (who not in ELSEWHERE or subject in {"held", "stray"}):
                continue
            if subject == "own" and who != "blocked":
                continue
            if subject == "stray" and what not in OF_STRAY:
                continue
            if what == "start:" and place in OUTSIDE:  # it is known of whom, and not where
                continue
            yield stated(Cell(who, what, subject, place))


# Those who try it in other places; at the desk that all of them are let see it.
ELSEWHERE: Final = frozenset(
    {"asker", "other", "blocked", "moderator of the channel", "moderator of the desk", "manager"}
)
# What is otherwise than with pictures that found their place.
OF_STRAY: Final = frozenset({"show", "reroll", "recipe", "delete", "report:"})


def town() -> worlds.World:
    """Everybody in every place; the bot is with them as a server's and as their own."""
    world = worlds.varied_world()
    for id_, name in ((BLAKE, "blake"), (OLA, "ola"), (DORA, "dora"), (SUE, "sue")):
        world.people[id_] = worlds.Person(id_, name, name.title())
    world.channels[HERE].overwrites = {OLA: Overwrite(MANAGE_MESSAGES)}
    sees = {person: Overwrite(VIEW_CHANNEL) for person in WHO.values()}
    world.channels[MOD_LOG].overwrites |= sees
    world.channels[MOD_LOG].overwrites[DORA] = Overwrite(VIEW_CHANNEL | MANAGE_MESSAGES)
    world.channels[OTHER_SERVER] = Channel(OTHER_SERVER, "other", guild_id=8_001)
    world.channels[STRANGE] = Channel(STRANGE, "strange", guild_id=8_000)
    world.strange_guild_ids.add(8_000)
    world.channels = {
        id_: one for id_, one in world.channels.items() if one.kind != DM
    }  # there are those below
    for number, person in enumerate(WHO.values()):
        world.people[person].has_installed = True
        for place, whose in ((BOT_DM, world.bot.id), (OTHER_DM, SUE)):
            id_ = place + number
            world.channels[id_] = Channel(id_, "", kind=DM, member_ids=(person, whose))
    return world


@pytest.fixture
async def loopback(clock: ManualClock) -> AsyncIterator[LoopbackDiscord]:
    server = LoopbackDiscord(
        clock=clock, rate_limits=False, heartbeat_interval_s=10_000, world=town()
    )
    await server.start()
    yield server
    await server.close()


@pytest.fixture(autouse=True)
def much_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same again so soon would be taken for one press, and old messages would be forgotten."""
    monkeypatch.setattr(book, "_TWICE_S", 0.0)
    monkeypatch.setattr(messages, "MAX_MESSAGES_A_CHANNEL", 100_000)


def channel_of(place: str, who: str) -> int:
    id_ = PLACES[place]
    return id_ + list(WHO).index(who) if id_ in {BOT_DM, OTHER_DM} else id_


def refusal_in(asked: Interaction) -> Message | None:
    """What the bot says of why not."""
    for message in (*asked.followups, *filter(None, [asked.answer])):
        if text_of(message).startswith(FAILURE_MARK):
            return message
    return None


@dataclass
class House:
    """A running bot with a subject of each sort, and what people press on."""

    loopback: LoopbackDiscord
    bot: Bot
    pipeline: FakePipeline
    folder: Path
    ids: dict[str, str] = field(default_factory=dict)
    forms: dict[str, Json] = field(default_factory=dict)
    on: dict[tuple[str, str, bool], Interaction] = field(default_factory=dict)

    @property
    def managing(self) -> Actor:
        """Who set all this up."""
        venue = Venue("discord", str(self.loopback.world.guild_id), str(HERE))
        return Actor(Person("discord", str(ADA), "ada"), moderates=venue, manages=venue)

    async def open(self, place: str) -> None:
        """Set everything up for those who act there."""
        await self.bot.app.moderators.set_desk(str(MOD_LOG), self.managing)
        for subject in JOBS:
            self.ids[subject] = await self.fresh(subject)
        self.ids["own"] = await self.fresh("own")
        self.ids["case"] = await self.fresh("case")
        self.ids["self"] = "drawn"
        await self._open_dialogs()
        for who in WHO:
            if place != "here" and who not in ELSEWHERE:
                continue
            for name, in_layout in (("help", False), ("history", True)):
                asked = await self.loopback.slash(
                    name, {}, user_id=WHO[who], channel_id=channel_of(place, who)
                )
                await asked.until(lambda message: bool(text_of(message)))
                self.on[who, place, in_layout] = asked

    async def fresh(self, subject: str) -> str:
        """One more of such, and its id."""
        who = {"own": BLAKE, "case": SUE}.get(subject, BEN)
        person, moderators = Person("discord", str(who)), self.bot.app.moderators
        await moderators.unblock(person, self.managing)
        self.pipeline.scores = {"nsfw": {"held": 0.9, "case": 0.6}.get(subject, 0.0)}
        is_draft = subject == "draft"
        options = {"prompt": subject, "private": is_draft, "count": 1}
        before = self.jobs
        await self.loopback.slash("imagine", options, user_id=who, channel_id=HERE)
        newer = "SELECT id FROM jobs WHERE number > ?"
        while not (found := self._read(newer, before)):  # noqa: ASYNC110 - the ledger has no event
            await asyncio.sleep(0.005)
        new = str(found[0][0])
        await self.idle()
        self.pipeline.scores = {"nsfw": 0.0}
        if who == BLAKE:
            await moderators.block(person, self.managing)
        if subject == "stray":
            await self.bot.app.ledger.database.write(
                lambda connection: connection.execute(
                    "UPDATE jobs SET state = 'undelivered' WHERE id = ?", (new,)
                )
            )
        if subject != "case":
            return new
        ((case,),) = self._read("SELECT id FROM cases WHERE job = ?", new)
        return str(case)

    @property
    def jobs(self) -> int:
        """How many there are."""
        ((jobs,),) = self._read("SELECT count(*) FROM jobs")
        return int(jobs)

    async def idle(self) -> None:
        """Wait until nothing is drawn, and all is told."""
        while self._read(  # noqa: ASYNC110 - as above
            "SELECT 1 FROM jobs WHERE told = 0 AND state != 'review' UNION ALL "
            "SELECT 1 FROM cases WHERE shown < version UNION ALL "
            "SELECT 1 FROM notices"
        ):
            await asyncio.sleep(0.005)

    def _read(self, query: str, *values: object) -> list[Any]:
        with closing(connect(self.folder / LEDGER)) as connection:
            return connection.execute(query, values).fetchall()

    async def _open_dialogs(self) -> None:
        """A form of each dialog, of those who may open it."""
        said = await self.loopback.say("look", picture(), user_id=CLEO, channel_id=HERE)
        used = await self.loopback.use_on_message(int(said["id"]), "Imagine from this", user_id=BEN)
        self.forms["start:"] = (await used.dialog()).form
        self.forms["begin:"] = self.forms["start:"]
        help_ = await self.loopback.slash("help", {}, user_id=BEN, channel_id=HERE)
        shown = await help_.until(lambda message: bool(text_of(message)))
        edited = await self.forge(int(shown["id"]), f"v1:edit:{self.ids['shown']}", BEN)
        self.forms["edit:"] = (await edited.dialog()).form
        help_ = await self.loopback.slash("help", {}, user_id=ADA, channel_id=MOD_LOG)
        shown = await help_.until(lambda message: bool(text_of(message)))
        warned = await self.forge(int(shown["id"]), f"v1:warn:{self.ids['case']}", ADA)
        for kind in ("strike:", "warn:", "block:", "report:"):
            self.forms[kind] = (await warned.dialog()).form

    async def forge(self, message_id: int, custom_id: str, user_id: int) -> Interaction:
        """Somebody presses what their message does not have."""
        loopback, person = self.loopback, self.loopback.world.people[user_id]
        source = loopback._visible(message_id, person)
        pressed = loopback._interactions.press(custom_id, person, source)
        data = {"id": 1, "component_type": BUTTON, "custom_id": custom_id}
        payload = loopback._interactions.payload(pressed, data, 2**20)
        button = {"type": BUTTON, "id": 91, "style": 2, "label": "?", "custom_id": custom_id}
        row = {"type": ROW, "id": 90, "components": [button]}
        payload["message"]["components"] = [*payload["message"]["components"], row]
        loopback.gateway.dispatch("INTERACTION_CREATE", payload)
        return pressed

    async def act(self, cell: Cell, about: str) -> Interaction:
        """Somebody does it."""
        opener = self.on[cell.who, cell.place, cell.what in IN_LAYOUTS]
        if cell.what in DIALOGS:
            form = dict(self.forms[cell.what])
            if cell.what != "start:":
                form["custom_id"] = f"v1:{cell.what}{about}"
            in_words = cell.what in {"edit:", "begin:", "start:"}
            values = {"prompt": "a hen"} if in_words else {"reason": "why"}
            return await self.loopback.submit(Dialog(opener, form), values)
        assert opener.original is not None
        about = "on" if cell.what == "mention" else about
        indexed = {"upscale", "strong", "subtle", "open", "look", "like", "unlike", "page"}
        index = ":0" if cell.what in indexed else ""
        custom_id = f"v1:{cell.what}:{about}{index}"
        return await self.forge(int(opener.original["id"]), custom_id, WHO[cell.who])

    async def outcome(self, asked: Interaction) -> str:
        """Why not, to them alone; empty where it is done."""
        is_list = asked.name.startswith("v1:drop:")  # it is shown anew, done or not
        await asked.settled()
        while True:
            refusal = refusal_in(asked)
            if refusal is not None:
                assert refusal["flags"] & EPHEMERAL, "others see it"
                return text_of(refusal)
            if asked.state == "answered" and not is_list:
                return ""
            await asyncio.sleep(0.005)

    async def effect(self, what: str, about: str) -> None:
        """Wait until it is done to the card that it is about, which is not the one pressed."""
        while not EFFECTS[what](await self.record(about)):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)

    async def blurred(self, job_id: str) -> None:
        """The one who asked blurs it."""
        asker = (await self.record(job_id)).job.person
        await self.bot.app.studio.blur(job_id, Actor(asker), blurred=True)

    async def record(self, about: str) -> Record:
        """Of a job, or of a case's."""
        found = self._read("SELECT job FROM cases WHERE id = ?", about)
        return await self.bot.app.ledger.get(found[0][0] if found else about)

    def order(self) -> list[Any]:
        """What is kept of how order is kept in the server."""
        server = str(self.loopback.world.guild_id)
        return [
            self._read("SELECT * FROM houses WHERE community = ?", server),
            self._read("SELECT * FROM rules WHERE community = ?", server),
            self._read("SELECT * FROM terms WHERE community = ?", server),
            self._read("SELECT * FROM blocks WHERE community = ?", server),
            self._read("SELECT * FROM audit WHERE community = ?", server),
        ]

    def state(self) -> list[str]:
        """All that is kept and shown: rows, files, and messages that everybody sees."""
        with closing(connect(self.folder / LEDGER)) as connection:
            rows = [
                line
                for line in connection.iterdump()
                if not line.startswith(('INSERT INTO "unanswered"', 'INSERT INTO "clock"'))
            ]
        files = [
            str(one) for one in self.folder.rglob("*") if one.is_file() and LEDGER not in one.name
        ]
        shown = [
            f"{message['id']} {text_of(message)}"
            for channel in self.loopback.world.channels
            for message in self.loopback.history(channel)
        ]
        return sorted((*rows, *files, *shown))


async def hold(house: House, tried: list[Cell]) -> list[str]:
    """Have them all tried; returns what is otherwise than the table states."""
    wrong = []
    before = house.state()
    refused = [cell for cell in tried if not cell.may]

    async def attempt(cell: Cell) -> None:
        said = await house.outcome(await house.act(cell, house.ids[cell.subject]))
        if bool(said) == cell.may:
            wrong.append(f"{'refused' if said else 'done'}: {cell}: {said}")
        elif cell.why not in said and not cell.may:
            wrong.append(f"refused with other words: {cell}: {said}")

    async def attempt_all(cells: list[Cell]) -> None:
        for first in range(0, len(cells), AT_ONCE):
            await asyncio.gather(*map(attempt, cells[first : first + AT_ONCE]))

    await attempt_all(refused)
    wrong += [f"changed: {line}" for line in {*before} ^ {*house.state()}]
    jobs = house.jobs
    making = [cell for cell in tried if cell.may and cell.what in MAKES_JOBS - ONCE]
    await attempt_all(making)
    await house.idle()
    if house.jobs != jobs + len(making):
        wrong.append(f"{house.jobs} jobs, and not {len(making)} more than {jobs}")
    for cell in sorted(tried, key=lambda cell: cell.what == "erase"):  # after it nothing is left
        if not cell.may or cell in making:
            continue
        if cell.what not in ONCE:
            await attempt(cell)
            continue
        about = await house.fresh(cell.subject)
        if cell.what == "unblur":
            await house.blurred(about)
        asked = await house.act(cell, about)
        if cell.what in BY_CARD:
            await house.effect(cell.what, about)
            continue
        said = await house.outcome(asked)
        if said:
            wrong.append(f"refused: {cell}: {said}")
        elif cell.what in EFFECTS and not EFFECTS[cell.what](await house.record(about)):
            wrong.append(f"without effect: {cell}")
    return wrong


def checking() -> FakePipeline:
    return FakePipeline(SIZES, checks=("nsfw",), scores={"nsfw": 0.0})


def test_the_table_knows_all_that_can_be_pressed_and_filled_in() -> None:
    known = {one for right in RIGHTS for one in right.what.split()}
    assert known == {*PRESSES, *DIALOGS}


@pytest.mark.parametrize("place", PLACES)
async def test_what_is_pressed_and_sent_is_done_for_those_of_the_table_alone(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path, place: str
) -> None:
    pipeline = checking()
    async with run_bot(lambda: pipeline, config=everywhere(max_queued=1_000)) as bot:
        house = House(loopback, bot, pipeline, tmp_path / "data")
        await house.open(place)
        assert await hold(house, list(cells(place))) == []


async def test_who_is_blocked_and_moderates_does_not_unblock_themselves(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path
) -> None:
    pipeline = checking()
    async with run_bot(lambda: pipeline, config=everywhere()) as bot:
        house = House(loopback, bot, pipeline, tmp_path / "data")
        await house.bot.app.moderators.set_desk(str(MOD_LOG), house.managing)
        offer_to_all(loopback)
        for who, may in (("moderator of the desk", False), ("manager", True)):
            person = Person("discord", str(WHO[who]))
            await bot.app.moderators.block(person, house.managing)
            asked = await loopback.slash(
                "imagine-admin unblock",
                {"person": WHO[who]},
                user_id=WHO[who],
                channel_id=MOD_LOG,
            )
            said = await house.outcome(asked)
            assert (NOT_A_MANAGER in said) != may
            asked = await loopback.slash("imagine", {"prompt": "x"}, user_id=WHO[who])
            assert (BLOCKED in await house.outcome(asked)) != may


@dataclass(frozen=True)
class Command:
    """Who may type a command in these places, and why others may not; $ stands for an id."""

    line: str
    options: dict[str, object]
    places: tuple[str, ...]
    may: frozenset[str]
    why: str = ""


IN_WORDS: Final = ("queue", "about", "help", "history", "favourites", "jobs")
# For those who manage; at the desk those who moderate there keep order as well. In another server
# it is of that server.
ADMIN: Final[dict[str, dict[str, object]]] = {
    "policy": {"spoiler": False},
    "limits": {"daily": 10_000},
    "pause": {"reason": "lunch"},
    "resume": {},
    "keep": {"days": 30},
    "filter add": {"term": "crow"},
    "filter list": {},
    "filter test": {"text": "a crow"},
    "filter remove": {"term": "crow"},
    "audit": {},
    "export": {},
}
KEEPING_ORDER: Final[dict[str, dict[str, object]]] = {
    "block": {"person": SUE, "reason": "why"},
    "unblock": {"person": SUE},
    "purge": {"hours": 1, "person": SUE},
}
OTHER_SERVERS: Final = ("other server", "strange server")
MANAGER: Final = frozenset({"manager"})
COMMANDS: Final = (
    Command("imagine", {"prompt": "x"}, SERVER, UNBLOCKED, BLOCKED),
    Command("imagine", {"prompt": "x"}, OUTSIDE, EVERYBODY),
    *(Command(line, {}, ANYWHERE, EVERYBODY) for line in IN_WORDS),
    *(Command(f"privacy {line}", {}, ANYWHERE, EVERYBODY) for line in ("show", "export", "erase")),
    Command("recipe", {"job": "$shown"}, SERVER, EVERYBODY),
    Command("recipe", {"job": "$shown"}, OUTSIDE, ASKER, NOT_SHOWN_TO_YOU),
    Command("recipe", {"job": "$draft"}, ANYWHERE, ASKER, NOT_SHOWN_TO_YOU),
    Command("recipe", {"job": "$held"}, SERVER, NOBODY, IN_REVIEW),
    Command("settings", {"guidance": 4}, ANYWHERE, EVERYBODY),
    *(
        Command("settings", {"guidance": 4, "whose": whose}, places, may, why)
        for whose in ("channel", "community")
        for places, may, why in (
            (SERVER, MANAGERS, NOT_YOURS_TO_SET),
            (OTHER_SERVERS, MANAGER, NOT_YOURS_TO_SET),
            (PRIVATE_PLACES, NOBODY, ""),
        )
    ),
    Command("imagine-admin desk", {"channel": MOD_LOG}, SERVER, MANAGERS, NOT_A_MANAGER),
    *(
        Command(f"imagine-admin {line}", options, places, may, NOT_A_MANAGER)
        for line, options in ADMIN.items()
        for places, may in (
            (SERVER, MANAGERS),
            (OTHER_SERVERS, MANAGER),
            (PRIVATE_PLACES, NOBODY),
        )
    ),
    *(
        Command(f"imagine-admin {line}", options, places, may, why)
        for line, options in KEEPING_ORDER.items()
        for places, may, why in (
            (("here",), MANAGERS, NOT_A_MODERATOR),
            (("desk",), MODERATORS, NOT_A_MODERATOR),
            (OTHER_SERVERS, MANAGER, NOT_A_MODERATOR),
            (PRIVATE_PLACES, NOBODY, ""),
        )
    ),
)
MENUS: Final = {"Imagine from this", "Recipe", "Report"}


def offer_to_all(loopback: LoopbackDiscord) -> None:
    """A server may offer its commands to whom it likes, and Discord may have been told otherwise:
    what is not to be used is not to be left to what is shown.
    """
    for command in loopback.commands():
        command["default_member_permissions"] = None
        command["contexts"] = [0, 1, 2]
        command["integration_types"] = [0, 1]


def lines_of(command: Json, name: str = "") -> Iterator[str]:
    """What can be typed, with subcommands."""
    name = f"{name} {command['name']}".strip()
    inner = [one for one in command.get("options", ()) if one["type"] in {SUBCOMMAND, GROUP}]
    if not inner:
        yield name
    for one in inner:
        yield from lines_of(one, name)


def typed(place: str) -> Iterator[tuple[str, Command]]:
    """Who types what there."""
    for who, command in product(WHO, COMMANDS):
        if place in command.places and (place == "here" or who in ELSEWHERE):
            yield who, command


@pytest.mark.parametrize("place", PLACES)
async def test_what_is_typed_is_done_for_those_of_the_table_alone(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path, place: str
) -> None:
    pipeline = checking()
    async with run_bot(lambda: pipeline, config=everywhere(max_queued=1_000)) as bot:
        every = loopback.commands()
        slashes = {line for one in every if one["type"] == CHAT_INPUT for line in lines_of(one)}
        assert slashes == {one.line for one in COMMANDS}
        assert {one["name"] for one in every if one["type"] != CHAT_INPUT} == MENUS
        house = House(loopback, bot, pipeline, tmp_path / "data")
        await house.open(place)
        offer_to_all(loopback)
        wrong = []

        async def attempt(one: tuple[str, Command]) -> None:
            who, command = one
            options = {
                name: house.ids[said[1:]] if isinstance(said, str) and said[0] == "$" else said
                for name, said in command.options.items()
            }
            asked = await loopback.slash(
                command.line, options, user_id=WHO[who], channel_id=channel_of(place, who)
            )
            said = await house.outcome(asked)
            may = who in command.may
            if bool(said) == may or (said and command.why not in said):
                wrong.append(f"{who} / {command.line} / {command.options}: {said or 'done'}")

        refused = [one for one in typed(place) if one[0] not in one[1].may]
        before = house.state()
        for first in range(0, len(refused), AT_ONCE):
            await asyncio.gather(*map(attempt, refused[first : first + AT_ONCE]))
        wrong += [f"changed: {line}" for line in {*before} ^ {*house.state()}]
        before = house.order()
        for one in typed(place):
            if one not in refused:
                await attempt(one)
        await house.idle()
        if place == "here":
            wrong += await in_menus(house)
        else:
            assert (house.order() == before) == (place != "desk")
        assert wrong == []


async def in_menus(house: House) -> list[str]:
    """Everybody chooses each entry on a card; returns what was refused."""
    cards = [
        message
        for message in house.loopback.history(HERE)
        if house.ids["shown"] in str(message["components"])
    ]
    wrong = []
    for who, name in product(WHO, sorted(MENUS)):
        used = await house.loopback.use_on_message(int(cards[0]["id"]), name, user_id=WHO[who])
        if said := await house.outcome(used):
            wrong.append(f"{who} / {name}: {said}")
    return wrong


async def test_commands_are_offered_where_they_are_of_use(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    own = {*IN_WORDS, "imagine", "privacy", "recipe", "settings", "Imagine from this", "Recipe"}
    async with run_bot(checking, config=everywhere()):
        for place, who in product(PLACES, ELSEWHERE):
            offered = loopback.offered(user_id=WHO[who], channel_id=channel_of(place, who))
            expected = {*own}
            if place in {*SERVER, "other server"}:
                expected |= {"Report"} | ({"imagine-admin"} if who == "manager" else set())
            assert {one["name"] for one in offered} == expected, (place, who)


async def test_outside_of_servers_nothing_is_done_unless_the_owner_opens_it(
    loopback: LoopbackDiscord, run_bot: RunBot, tmp_path: Path
) -> None:
    pipeline = checking()
    async with run_bot(lambda: pipeline, config=make_config(max_queued=1_000)) as bot:
        house = House(loopback, bot, pipeline, tmp_path / "data")
        await house.open("here")
        places = ("strange server", *PRIVATE_PLACES)
        for place, who in product(places, WHO):
            assert loopback.offered(user_id=WHO[who], channel_id=channel_of(place, who)) == []
        offer_to_all(loopback)
        before = house.state()
        for place, who in product(places, ("asker", "manager")):
            for command in COMMANDS:
                if place not in command.places or "$" in str(command.options):
                    continue
                asked = await loopback.slash(
                    command.line,
                    command.options,
                    user_id=WHO[who],
                    channel_id=channel_of(place, who),
                )
                assert "The bot works" in await house.outcome(asked)
        assert house.state() == before
