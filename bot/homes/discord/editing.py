"""Edit: a dialog with a job's words and settings, from which another is drawn."""

from functools import partial
from typing import Final

from bot.core import offspring
from bot.core.heard import Heard
from bot.core.options import read_lines
from bot.core.studio import Studio
from bot.homes.discord import dialogs
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.dialogs import Filled
from bot.homes.discord.intake import Intake, viewer_of
from bot.homes.discord.uploads import Uploads
from bot.homes.discord.voice import voice_of
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.sentence import say

_TOO_LONG: Final = say(
    "This prompt is too long for a dialog of Discord's. Copy it from the recipe instead."
)


class Editing:
    """Shows the dialog, and draws what it asks for."""

    def __init__(self, studio: Studio, intake: Intake, uploads: Uploads) -> None:
        self._studio = studio
        self._intake = intake
        self._uploads = uploads

    async def open(self, interaction: Interaction, job_id: str) -> None:
        """Somebody wants to edit a job.

        Raises BotError for the one who does, and what Discord says of the answer.
        """
        record = await self._studio.record(job_id, viewer_of(interaction))
        if not dialogs.holds(record.job.wish):
            raise InvalidRequestError(_TOO_LONG)
        voice = voice_of(interaction)
        fields = (
            *dialogs.wish_fields(record.job.wish, voice),
            dialogs.upload(
                "picture",
                say("A picture to start from"),
                say("In the place of the one before, if any."),
                voice,
            ),
            dialogs.upload(
                "mask",
                say("A mask for it"),
                say("What is white is painted, the rest stays."),
                voice,
            ),
        )
        title = voice.say(say("Edit, and draw it again"))
        await dialogs.show(interaction, dialogs.dialog("edit", job_id, title, fields))

    async def sent(self, interaction: Interaction, filled: Filled) -> None:
        """Somebody filled it in."""
        job_id = filled.about

        async def ask(heard: Heard) -> None:
            record = await self._studio.record(job_id, heard.viewer)
            settings, sizes = read_lines(filled.settings), self._studio.sizes
            settings.read_into(record.job.wish, sizes)  # said before anything is fetched
            of = partial(
                offspring.edited,
                prompts=filled.prompts(record.job.wish.negative_prompt),
                settings=settings,
                sizes=sizes,
            )
            sent = {name: filled.uploads.get(name, ())[:1] for name in ("picture", "mask")}
            files = [*sent["picture"], *sent["mask"]]
            sources = await self._uploads.bring(heard, files) if files else ()
            # A picture that is its own mask was brought once.
            places = {"picture": 0, "mask": -1}
            brought = {name: sources[places[name]] for name in sent if sent[name]}
            await self._studio.make(heard, job_id, partial(of, **brought), private=heard.unseen)

        await self._intake.take(
            interaction,
            ask,
            lambda: filled.typed,  # nothing that was written is lost
            lambda: self._studio.is_private(job_id),
        )
