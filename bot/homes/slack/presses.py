"""What people press below cards, and in lists of their jobs."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from bot.core import look, offspring
from bot.core.heard import Heard
from bot.core.job import Record
from bot.core.offspring import Offspring
from bot.core.policy import Viewer
from bot.core.studio import Studio
from bot.errors import PictureLostError, UnknownJobError
from bot.homes.slack.buttons import Press
from bot.homes.slack.editing import Editing
from bot.homes.slack.home_tab import HomeTab, tab_of
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.recipes import Recipes
from bot.homes.slack.shows import Shows
from bot.shared.job_context import in_job
from sdxl_engine.sentence import say

log = logging.getLogger(__name__)

Amend = Callable[[Record], Awaitable[None]]


class Presses:
    """Makes, shows and deletes what somebody pressed for.

    shows  shows pictures to one person alone
    amend  shows a card as its record has it now
    tab    shows what is looked at in the bot's own tab
    """

    def __init__(
        self,
        studio: Studio,
        intake: Intake,
        editing: Editing,
        shows: Shows,
        recipes: Recipes,
        amend: Amend,
        tab: HomeTab,
    ) -> None:
        self._studio = studio
        self._intake = intake
        self._editing = editing
        self._shows = shows
        self._recipes = recipes
        self._amend = amend
        self._tab = tab

    async def press(self, asked: Asked, press: Press) -> None:
        """Somebody pressed a button; whatever cannot be done is said to them alone."""
        await self._intake.told(asked, partial(self._press, asked, press))

    async def _press(self, asked: Asked, press: Press) -> None:
        job_id, index = press.job_id, press.index or 0
        with in_job(job_id):
            match press.kind:
                case "reroll":
                    await self._make(asked, job_id, offspring.rerolled)
                case "upscale":
                    await self._make(asked, job_id, partial(offspring.upscaled, index=index))
                case "subtle" | "strong" as how:
                    of = partial(offspring.varied, index=index, how=how)
                    await self._make(asked, job_id, of)
                case "publish":
                    await self._publish(asked, job_id, press.index)
                case "cancel":
                    await self._studio.cancel(job_id, await self._intake.actor(asked))
                case "delete":
                    await self._delete(asked, job_id)
                case "blur" | "unblur":
                    by, blurred = await self._intake.actor(asked), press.kind == "blur"
                    await self._amend(await self._studio.blur(job_id, by, blurred=blurred))
                case "recipe":
                    await self._recipes.of_job(asked, job_id)
                case "open" | "look":
                    await self._look(asked, job_id, index, anew=press.kind == "open")
                case "like" | "unlike":
                    viewer, liked = await self._viewer(asked), press.kind == "like"
                    await self._studio.like(viewer, job_id, index, liked=liked)
                    await self._look(asked, job_id, index, anew=False)
                case "show":
                    await self._show_pictures(asked, job_id)
                case "edit":
                    await self._editing.edit(asked, job_id)

    async def _make(self, asked: Asked, job_id: str, of: Callable[[Record], Offspring]) -> None:
        private = await self._studio.is_private(job_id)

        async def ask(heard: Heard) -> None:
            await self._studio.make(
                heard,
                job_id,
                of,
                private=private
                or await self._studio.shows_privately(heard.origin.venue, heard.around),
            )

        await self._intake.take(asked, ask)

    async def _delete(self, asked: Asked, job_id: str) -> None:
        record = await self._studio.delete(job_id, await self._intake.actor(asked))
        await self._amend(record)
        if record.job.showing.private:  # which can be changed by what was pressed alone
            voice = await self._intake.voice(asked)
            await self._intake.tell(asked, voice.say(record.deleted or ""), anew=False)

    async def _publish(self, asked: Asked, job_id: str, index: int | None) -> None:
        async def ask(heard: Heard) -> None:
            await self._studio.publish(heard, job_id, index)

        await self._intake.take(asked, ask)

    async def _look(self, asked: Asked, job_id: str, index: int, *, anew: bool) -> None:
        """Show one picture; `anew` beside what is there, else in the place of the one before."""
        if asked.tab is not None:
            tab = replace(tab_of(asked.tab), picture=(job_id, index))
            await self._tab.show(asked, tab)
            return
        viewer = await self._viewer(asked)
        record = await self._studio.record(job_id, viewer)
        try:
            picture = await self._studio.picture(job_id, index, viewer)
        except PictureLostError as error:
            raise UnknownJobError(look.NOT_KEPT) from error
        liked = index in await self._studio.likes(viewer.person, job_id)
        rows = look.without(look.actions(record, index, liked=liked), index)
        await self._shows.alone(asked, [look.slot(record, picture)], rows, anew=anew)

    async def _show_pictures(self, asked: Asked, job_id: str) -> None:
        person = (await self._intake.actor(asked)).person
        try:
            record, pictures = await self._studio.pictures_of(person, job_id)
        except PictureLostError as error:
            gone = say("The pictures of this job are no longer there.")
            raise UnknownJobError(gone) from error
        await self._shows.alone(asked, [look.slot(record, one) for one in pictures])

    async def _viewer(self, asked: Asked) -> Viewer:
        return Viewer((await self._intake.actor(asked)).person, asked.venue)
