"""Dialogs in which something is asked for: anew, or as a job with other words and settings."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from bot.core import offspring
from bot.core.defaults import Defaults
from bot.core.heard import Heard
from bot.core.options import read_lines
from bot.core.policy import Viewer
from bot.core.studio import Studio
from bot.core.wish import Wish
from bot.errors import UnknownJobError
from bot.homes.slack import dialogs
from bot.homes.slack.calls import Calls
from bot.homes.slack.dialogs import Filled
from bot.homes.slack.files import Files, pictures_of
from bot.homes.slack.intake import Asked, Intake
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import Source
from sdxl_engine.sentence import say

_NO_PICTURE: Final = say("There is no picture in this message that the bot can read.")
_TOO_LONG: Final = say(
    "This prompt is too long for a dialog of Slack's. Copy it from the recipe instead."
)


class Editing:
    """Shows the dialogs, and draws what they ask for."""

    def __init__(self, studio: Studio, intake: Intake, calls: Calls, files: Files) -> None:
        self._studio = studio
        self._intake = intake
        self._calls = calls
        self._files = files

    async def begin(self, asked: Asked) -> None:
        """Somebody wants to ask for something in a dialog; raises what the call raises."""
        voice = await self._intake.voice(asked)
        where = [dialogs.where_field(voice)] if asked.place is None else []
        fields = [*where, *dialogs.wish_fields(Wish(""), voice), dialogs.picture_field(voice)]
        await dialogs.show(self._calls, asked, "new", "", say("Imagine"), fields, voice)

    async def begin_from(self, asked: Asked, message: Mapping[str, Any]) -> None:
        """Somebody wants something drawn from a picture of a message; raises as `edit`."""
        found = pictures_of(message)
        if not found:
            raise UnknownJobError(_NO_PICTURE)
        voice = await self._intake.voice(asked)
        fields = list(dialogs.wish_fields(Wish(""), voice))
        await dialogs.show(
            self._calls, asked, "from", found[0], say("Imagine from this"), fields, voice
        )

    async def edit(self, asked: Asked, job_id: str) -> None:
        """Somebody wants to edit a job; raises BotError, and what the call raises."""
        person = (await self._intake.actor(asked)).person
        record = await self._studio.record(job_id, Viewer(person, asked.venue))
        if not dialogs.holds(record.job.wish):
            raise InvalidRequestError(_TOO_LONG)
        voice = await self._intake.voice(asked)
        fields = [
            *dialogs.wish_fields(record.job.wish, voice),
            dialogs.picture_field(voice, say("In the place of the one before, if any.")),
            dialogs.mask_field(voice),
        ]
        title = say("Edit and draw again")
        await dialogs.show(self._calls, asked, "edit", job_id, title, fields, voice)

    async def sent(self, asked: Asked, filled: Filled) -> None:
        """Somebody filled one in."""
        ask = self._ask_edited if filled.kind == "edit" else self._ask_new
        await self._intake.take(asked, lambda heard: ask(heard, filled))

    async def _ask_edited(self, heard: Heard, filled: Filled) -> None:
        record = await self._studio.record(filled.about, heard.viewer)
        settings, sizes = read_lines(filled.texts.get("settings", "")), self._studio.sizes
        settings.read_into(record.job.wish, sizes)  # said before anything is fetched
        of = partial(
            offspring.edited,
            prompts=filled.prompts(record.job.wish.negative_prompt),
            settings=settings,
            sizes=sizes,
        )
        await self._studio.make(
            heard,
            filled.about,
            partial(of, **await self._brought(heard, filled)),
            private=record.job.showing.private,
        )

    async def _ask_new(self, heard: Heard, filled: Filled) -> None:
        settings, sizes = read_lines(filled.texts.get("settings", "")), self._studio.sizes
        prompt, unwanted = filled.prompts(None)
        wish = settings.read_into(Wish(prompt, unwanted), sizes).seeded()
        venue = heard.origin.venue
        said = await self._studio.settled(Defaults(wish), heard.person, venue, heard.around)
        wish = said.wish
        picture: Source | None
        if filled.kind == "from":
            (picture,) = await self._files.bring(heard, [filled.about])
        else:
            brought = await self._brought(heard, filled)
            picture = brought.get("picture")
        if picture is not None:
            wish = offspring.started(wish, settings, picture)
        await self._studio.ask(heard, wish, showing=said.manner.showing)

    async def _brought(self, heard: Heard, filled: Filled) -> dict[str, Source]:
        """What was sent along: a picture, and a mask perhaps."""
        sent = {name: filled.files.get(name, ())[:1] for name in ("picture", "mask")}
        ids = [*sent["picture"], *sent["mask"]]
        if not ids:
            return {}
        sources = await self._files.bring(heard, ids)
        # A picture that is its own mask was brought once.
        places = {"picture": 0, "mask": -1}
        return {name: sources[places[name]] for name in sent if sent[name]}
