"""/imagine-admin: what those who manage a workspace say, and do, about the bot."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from bot.core import order
from bot.core.case import MAX_REASON_CHARS
from bot.core.desk_card import blocked, unblocked
from bot.core.job import Person
from bot.core.moderators import Moderators
from bot.core.order import MOST_DAYS, MOST_HOURS
from bot.core.policy import DAY_S
from bot.core.studio import Studio
from bot.homes.slack import render
from bot.homes.slack.admin_text import FORMS, Words
from bot.homes.slack.audit_commands import AuditCommands
from bot.homes.slack.channels import Channels
from bot.homes.slack.direct_files import DirectFiles
from bot.homes.slack.filter_commands import FilterCommands
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.policy_commands import PolicyCommands
from sdxl_engine.sentence import say, sentences

Command = Callable[[Asked, Words], Awaitable[None]]

_HOUR_S: Final = 3_600.0


class AdminCommand:
    """Does what was typed; who may is the core's to say."""

    def __init__(
        self,
        studio: Studio,
        moderators: Moderators,
        intake: Intake,
        channels: Channels,
        files: DirectFiles,
    ) -> None:
        self._moderators = moderators
        self._intake = intake
        self._channels = channels
        policy = PolicyCommands(studio, moderators, intake)
        audit = AuditCommands(moderators, intake, files)
        self._commands: dict[str, Command] = {
            "policy": policy.policy,
            "limits": policy.limits,
            "desk": self._desk,
            "pause": self._pause,
            "resume": self._resume,
            "keep": self._keep,
            "filter": FilterCommands(moderators, intake, files).run,
            "block": self._block,
            "unblock": self._unblock,
            "purge": self._purge,
            "audit": audit.audit,
            "export": audit.export,
            "help": self._help,
        }

    async def run(self, asked: Asked, text: str) -> None:
        """Do what was typed behind the command, as Slack sends it."""
        await self._intake.told(asked, partial(self._run, asked, Words(text)))

    async def _run(self, asked: Asked, words: Words) -> None:
        words.command = words.command_of(self._commands) or "help"
        await self._commands[words.command](asked, words)

    async def _desk(self, asked: Asked, words: Words) -> None:
        channel, take_back = words.channel(), words.none()
        words.end()
        by = await self._intake.actor(asked)
        house = await self._moderators.house(by)  # who may not is told that first
        if channel is None:
            if take_back:
                await self._moderators.set_desk(None, by)
            await self._intake.answer(
                asked, order.DESK_TAKEN_BACK if take_back else order.desk(house.desk)
            )
            return
        await self._channels.check(channel)
        await self._moderators.set_desk(channel, by)
        is_private = await self._channels.is_private(channel)
        warning = "" if is_private else order.SEEN_BY_ALL
        await self._intake.answer(asked, sentences(order.desk(channel), warning))

    async def _pause(self, asked: Asked, words: Words) -> None:
        reason = words.rest(MAX_REASON_CHARS)
        said = await self._moderators.pause(await self._intake.actor(asked), reason)
        await self._intake.answer(asked, order.paused(said))

    async def _resume(self, asked: Asked, words: Words) -> None:
        words.end()
        await self._moderators.resume(await self._intake.actor(asked))
        await self._intake.answer(asked, order.RESUMED)

    async def _keep(self, asked: Asked, words: Words) -> None:
        days, take_back = words.number(1, MOST_DAYS), words.none()
        words.end()
        by = await self._intake.actor(asked)
        if days is not None or take_back:
            await self._moderators.set_keep_days(days, by)
        house = await self._moderators.house(by)
        await self._intake.answer(asked, order.kept(house, self._moderators.keep_days))

    async def _block(self, asked: Asked, words: Words) -> None:
        whom = await self._whom(words)
        is_bot = await self._intake.is_bot(whom.id)
        days = words.number(1, MOST_DAYS)
        reason = words.rest(MAX_REASON_CHARS)
        for_s = None if days is None else days * DAY_S
        by = await self._intake.actor(asked)
        await self._moderators.block(whom, by, is_bot=is_bot, for_s=for_s, reason=reason)
        await self._intake.answer(asked, blocked(whom.id, days))

    async def _unblock(self, asked: Asked, words: Words) -> None:
        whom, reason = await self._whom(words), words.rest(MAX_REASON_CHARS)
        await self._moderators.unblock(whom, await self._intake.actor(asked), reason=reason)
        await self._intake.answer(asked, unblocked(whom.id))

    async def _purge(self, asked: Asked, words: Words) -> None:
        hours = words.number(1, MOST_HOURS)
        if hours is None:
            raise words.wrong(say("Say within how many hours."))
        person, channel = words.person(), words.channel()
        person = person or words.person()  # in either order
        words.known_next()
        reason = words.rest(MAX_REASON_CHARS)
        if person is None and channel is None:
            raise words.wrong(order.OF_WHOM)
        count = await self._moderators.purge(
            await self._intake.actor(asked),
            person=None if person is None else await self._intake.person(person),
            channel=channel,
            within_s=hours * _HOUR_S,
            reason=reason,
        )
        await self._intake.answer(asked, order.purged(count))

    async def _help(self, asked: Asked, words: Words) -> None:
        words.end()
        voice = await self._intake.voice(asked)
        head = voice.say(order.DESCRIPTION)
        lines = [
            f"`/imagine-admin {FORMS[name]}` {voice.say(what)}"
            for name, what in order.COMMANDS.items()
            if name != "filter"
        ]
        await self._intake.tell(asked, head, render.sections([f"*{head}*", *lines]))

    async def _whom(self, words: Words) -> Person:
        found = words.person()
        if found is None:
            words.known_next()
            raise words.wrong(say("Say whom, with @ and their name."))
        return await self._intake.person(found)
