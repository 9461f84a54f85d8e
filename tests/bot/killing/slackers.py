"""People who ask and press in Slack while the bot is killed, and what was promised to them."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bot.homes.slack import posted, render
from standins.base.faults import Fault, RestKind
from standins.slack.blocks import every_element
from standins.slack.errors import ActionRefused
from standins.slack.invocations import Invocation
from standins.slack.loopback import LoopbackSlack
from tests.bot.ledgers.databases import records_in

Message = dict[str, Any]

_PEOPLE: Final = ("ada", "ben", "cleo", "mia", "gus")
_CHANNELS: Final = ("imagine", "gallery")
_LONGEST_WAIT_S: Final = 0.25
_PRESSED: Final = ("v1:reroll", "v1:upscale:0", "v1:strong:1", "v1:cancel", "v1:delete")
_METHODS: Final = (
    "chat.postMessage",
    "chat.update",
    "conversations.history",
    "files.getUploadURLExternal",
    "files.completeUploadExternal",
    "users.info",
)
_FAULTS: Final[tuple[RestKind, ...]] = ("drop_before", "drop_after", "status", "rate_limit")


class Slackers:
    """A crowd in Slack.

    asked  every command and every press that makes a job, as Slack took it
    """

    def __init__(self, slack: LoopbackSlack, chance: random.Random) -> None:
        self._slack = slack
        self._chance = chance
        self.asked: list[Invocation] = []

    async def keep_busy(self) -> None:
        """Ask and press until cancelled."""
        while True:
            await asyncio.sleep(self._chance.uniform(0, _LONGEST_WAIT_S))
            with suppress(ActionRefused):  # no socket is open, or the message is gone
                await self._do_something()

    async def ask(self, text: str) -> Invocation:
        """Somebody types /imagine somewhere."""
        world = self._slack.world
        where = world.channel(self._chance.choice(_CHANNELS))
        people = [world.person(one).id for one in _PEOPLE]
        who = self._chance.choice([one for one in people if one in where.member_ids])
        asked = await self._slack.slash("/imagine", text, user=who, channel=where.id)
        self.asked.append(asked)
        return asked

    def break_network(self) -> None:
        """Have some of the next calls fail."""
        while self._chance.random() < 0.5:
            route = f"/{self._chance.choice(_METHODS)}"
            kind = self._chance.choice(_FAULTS)
            nth = self._chance.randint(1, 4)
            self._slack.faults.add(Fault(kind=kind, route=route, nth=nth))

    async def end(self) -> None:
        """Ask once more, of a bot that nobody kills."""
        self._slack.faults.clear()
        await self._slack.wait_connected()
        await self.ask("the last one --seed 1")

    def messages(self) -> Iterator[Message]:
        """Every message that anybody sees."""
        for name in _CHANNELS:
            yield from self._slack.history(self._slack.world.channel(name).id)

    def job_of(self, message: Message) -> object:
        """Of which job a message is the card; None: of none."""
        return posted.about(message, "job", self._slack.world.bot_user_id)

    async def _do_something(self) -> None:
        cards = [one for one in self.messages() if one.get("blocks")]
        if not cards or self._chance.random() < 0.6:
            number = self._chance.randrange(10_000)
            await self.ask(f"picture {number} --seed {number} --steps 3")
            return
        card = self._chance.choice(cards[-20:])
        there = {element["action_id"] for _, element in every_element(card["blocks"])}
        wanted = [one for one in _PRESSED if one in there]
        if wanted:
            action = self._chance.choice(wanted)
            who = self._slack.world.person(self._chance.choice(_PEOPLE)).id
            pressed = await self._slack.press(card, action, user=who)
            if action not in {"v1:cancel", "v1:delete"}:
                self.asked.append(pressed)


def broken(slackers: Slackers, folder: Path) -> Iterator[str]:
    """Every promise that was not kept."""
    with records_in(folder).reading() as connection:
        rows = connection.execute(
            "SELECT id, event, state, told, deleted, message FROM jobs WHERE home = 'slack'"
        ).fetchall()
    cards = [one for one in slackers.messages() if slackers.job_of(one) is not None]
    shown = Counter(map(slackers.job_of, cards))
    yield from (f"shown twice: {job}" for job, count in shown.items() if count > 1)
    of_job = {slackers.job_of(one): one for one in cards}
    for job_id, _, state, told, deleted, message in rows:
        card = of_job.get(job_id)
        if not told:
            yield f"lost: {job_id} {state}"
        elif card is None:
            yield f"lost: {job_id} {state} has no card, and had {message}"
        elif state == "delivered" and deleted is None and not render.files_of(card):
            yield f"lost: {job_id} has no pictures"
        elif deleted is not None and render.files_of(card):
            yield f"not deleted: {job_id}"
    events = Counter(event for _, event, *_ in rows)
    yield from (f"two jobs: {event}" for event, count in events.items() if count > 1)
    for asked in slackers.asked:
        if asked.acked and not events[asked.trigger_id] and not asked.responses:
            yield f"silent: {asked.trigger_id}"


def are_answered(folder: Path) -> bool:
    """Whether everybody who was heard in Slack has an answer."""
    with records_in(folder).reading() as connection:
        (unanswered,) = connection.execute(
            "SELECT count(*) FROM unanswered WHERE home = 'slack'"
        ).fetchone()
    return not unanswered
