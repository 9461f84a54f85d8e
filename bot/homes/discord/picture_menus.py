"""What a right click on a message with a picture offers, and /recipe.

Imagine from this: a dialog, and a job that starts from the picture. Recipe: how it was drawn.
"""

import asyncio
import itertools
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import discord
from discord import CheckboxGroupOption, RadioGroupOption, app_commands
from discord.app_commands import locale_str
from discord.ui import CheckboxGroup, Label, RadioGroup

from bot.core import offspring
from bot.core.defaults import Defaults, Manner
from bot.core.heard import Heard
from bot.core.job import Record, new_job_id
from bot.core.offspring import Prompts
from bot.core.options import Settings, read_lines
from bot.core.recipe.facts import check_shown
from bot.core.recipe.reading import read_recipe
from bot.core.studio import Studio
from bot.core.wish import Wish
from bot.errors import NoRecipeError, UnknownJobError, UsageError
from bot.homes.discord import dialogs, render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.dialogs import DialogKind, Filled
from bot.homes.discord.intake import Intake, circumstances_of, person_of, venue_of, viewer_of
from bot.homes.discord.translator import described
from bot.homes.discord.uploads import Sent, Uploads, name_of
from bot.homes.discord.voice import Voice, voice_of
from sdxl_engine.request import CHANGING, Source
from sdxl_engine.sentence import say

_OURS: Final = re.compile(r"([a-z2-7]{8})_([0-9])\.[a-z]+")  # what the gallery calls its files
_NOTED: Final = 1_000  # people with dialogs over pictures of others; a few kilobytes each
_NOTED_OF_ONE: Final = 5
_MOST_PICTURES: Final = 10  # that a group of choices holds
_MAX_OPTION_UNITS: Final = 100
_ANY: Final = "0" * 64  # a picture that is not known yet
_CHANGED: Final = offspring.source_fields(Source(_ANY, CHANGING))
_NO_PICTURE: Final = say("There is no picture in this message that the bot can read.")
_GONE: Final = say("The bot no longer knows which picture that was. Choose it again.")
_MANNERS: Final = {
    "private": say("Show them to me alone"),
    "spoiler": say("Blur them until somebody looks"),
    "mention": say("Mention me when they are there"),
}
# What stands in the menu of a message.
BEGIN: Final = say("Imagine from this")
RECIPE: Final = say("Recipe")


@dataclass(frozen=True, slots=True)
class _Said:
    """What somebody filled in, read."""

    prompts: Prompts
    settings: Settings
    manner: Manner


class PictureMenus:
    """Begins from pictures of messages, and says how they were drawn."""

    def __init__(self, studio: Studio, intake: Intake, uploads: Uploads) -> None:
        self._studio = studio
        self._intake = intake
        self._uploads = uploads
        # By the person, and by what their dialogs are called.
        self._noted: OrderedDict[str, dict[str, tuple[Sent, ...]]] = OrderedDict()

    def build(self) -> "list[app_commands.Command[Any, ..., None] | app_commands.ContextMenu]":
        """The commands as Discord shall offer them."""

        async def begin(interaction: Interaction, message: discord.Message) -> None:
            await self._open(interaction, message)

        async def recipe_of(interaction: Interaction, message: discord.Message) -> None:
            await acknowledge_press(interaction, unseen=True)
            await self._tell(interaction, message)

        @app_commands.command(name="recipe", description=locale_str(say("How a picture was drawn")))
        @described(
            image=say("A picture's file, of this bot or of another program"),
            job=say("A job of this bot, by the eight letters on its card"),
        )
        async def recipe(
            interaction: Interaction,
            image: discord.Attachment | None = None,
            job: str | None = None,
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            if job is not None:
                await self._tell_job(interaction, job.strip().casefold())
            elif image is not None:
                await self._tell_file(interaction, image)
            else:
                raise UsageError(say("Send a picture along, or name a job."))

        return [
            app_commands.ContextMenu(name=locale_str(BEGIN), callback=begin),
            app_commands.ContextMenu(name=locale_str(RECIPE), callback=recipe_of),
            recipe,
        ]

    async def sent(self, interaction: Interaction, filled: Filled) -> None:
        """Somebody filled in the dialog."""
        begin = self._begin_ours if filled.kind == "begin" else self._begin_theirs
        manner = _manner(filled)

        async def ask(heard: Heard) -> None:
            settings = read_lines(filled.settings)
            usual = await self._studio.settled(
                Defaults(), heard.person, heard.origin.venue, heard.around
            )
            prompts = filled.prompts(usual.wish.negative_prompt)
            said = _Said(prompts, settings, replace(manner, private=heard.unseen))
            await begin(heard, filled, said)

        async def unseen() -> bool:
            ours = filled.kind == "begin"
            return bool(manner.private) or (ours and await self._studio.is_private(filled.about))

        await self._intake.take(interaction, ask, lambda: filled.typed, unseen)

    async def _begin_ours(self, heard: Heard, filled: Filled, said: "_Said") -> None:
        record = await self._studio.record(filled.about, heard.viewer)
        indices = [one.index for one in record.images]
        index = _chosen(filled, indices)
        await self._studio.make(
            heard,
            filled.about,
            partial(
                offspring.begun,
                index=index,
                prompts=said.prompts,
                settings=said.settings,
                sizes=self._studio.sizes,
            ),
            private=heard.unseen,
            manner=said.manner,
        )

    async def _begin_theirs(self, heard: Heard, filled: Filled, said: "_Said") -> None:
        attachments = self._noted.get(heard.person.id, {}).get(filled.about)
        if attachments is None:
            raise UnknownJobError(_GONE)
        wish = said.settings.read_into(Wish(*said.prompts), self._studio.sizes)
        wish = offspring.started(wish, said.settings, Source(_ANY))  # said before it is fetched
        settled = await self._studio.settled(
            Defaults(wish, said.manner), heard.person, heard.origin.venue, heard.around
        )
        attachment = attachments[_chosen(filled, range(len(attachments)))]
        (source,) = await self._uploads.bring(heard, [attachment])
        await self._studio.ask(
            heard,
            offspring.started(settled.wish, said.settings, source),
            showing=settled.manner.showing,
        )

    async def _open(self, interaction: Interaction, message: discord.Message) -> None:
        person, venue, voice = person_of(interaction), venue_of(interaction), voice_of(interaction)
        ours = await shown_by(self._studio, interaction, message)
        if ours is not None:
            record, index = ours
            kind: DialogKind = "begin"
            about, prompt = record.job.id, record.job.wish.prompt
            pictures = {
                one.index: voice.say(say("Picture {number}", number=one.index + 1))
                for one in record.images
            }
        else:
            attachments = _pictures(message)
            if not attachments:
                raise UnknownJobError(_NO_PICTURE)
            kind, index, prompt = "start", 0, ""
            about = self._note(person.id, attachments)
            pictures = {place: name_of(one) for place, one in enumerate(attachments)}
        around = circumstances_of(interaction)
        usual = await self._studio.settled(Defaults(), person, venue, around)
        negative_prompt = usual.wish.negative_prompt
        wish = Wish(prompt, negative_prompt, source=_CHANGED)
        fields = [*dialogs.wish_fields(wish, voice)]
        if len(pictures) > 1:
            fields.append(_which(pictures, index, voice))
        fields.append(_manners(usual.manner, voice))
        title = voice.say(say("Imagine from this picture"))
        modal = dialogs.dialog(kind, about, title, fields)
        await dialogs.show(interaction, modal)

    async def _tell(self, interaction: Interaction, message: discord.Message) -> None:
        ours = await shown_by(self._studio, interaction, message)
        if ours is not None:
            await self._tell_job(interaction, ours[0].job.id)
            return
        attachments = _pictures(message)
        if not attachments:
            raise UnknownJobError(_NO_PICTURE)
        await self._tell_file(interaction, *attachments)

    async def _tell_job(self, interaction: Interaction, job_id: str) -> None:
        line = await self._studio.lineage(job_id, viewer_of(interaction))
        await _answer(interaction, render.recipe_text(line, voice_of(interaction)))

    async def _tell_file(self, interaction: Interaction, *attachments: Sent) -> None:
        """What the first of the files says that says anything."""
        silent: NoRecipeError | None = None
        for attachment in attachments:
            data = await self._uploads.read(attachment)
            try:
                recipe = await asyncio.to_thread(read_recipe, data)
            except NoRecipeError as error:
                silent = silent or error
            else:
                venue, around = venue_of(interaction), circumstances_of(interaction)
                await check_shown(self._studio, recipe, venue, around)
                await _answer(interaction, render.file_recipe_text(recipe, voice_of(interaction)))
                return
        assert silent is not None  # noqa: S101 - there was one file at least
        raise silent

    def _note(self, person_id: str, attachments: tuple[Sent, ...]) -> str:
        """Note what a dialog is about; of one person, and of all, the oldest is forgotten."""
        key = new_job_id()
        noted = self._noted.setdefault(person_id, {})
        noted[key] = attachments
        self._noted.move_to_end(person_id)
        if len(noted) > _NOTED_OF_ONE:
            del noted[next(iter(noted))]
        if len(self._noted) > _NOTED:
            self._noted.popitem(last=False)
        return key


async def shown_by(
    studio: Studio, interaction: Interaction, message: discord.Message
) -> tuple[Record, int] | None:
    """The job whose pictures a message of this bot shows, and which of them comes first.

    Raises NotAllowedError where they are not shown to the one who wants to know, LedgerError.
    """
    if message.author != interaction.client.user:
        return None
    for match in filter(None, map(_OURS.fullmatch, render.files_of(message))):
        try:
            return await studio.record(match[1], viewer_of(interaction)), int(match[2])
        except UnknownJobError:  # forgotten: its files are as good as anybody's
            continue
    return None


def _pictures(message: discord.Message) -> tuple[Sent, ...]:
    """The pictures of a message, also of one that was forwarded, and those of a layout."""
    every: list[Sent] = [*message.attachments, *render.media_of(message)]
    for snapshot in message.message_snapshots:
        every += snapshot.attachments
    found = (one for one in every if (one.content_type or "").startswith("image/"))
    return tuple(itertools.islice(found, _MOST_PICTURES))


def _which(pictures: Mapping[int, str], first: int, voice: Voice) -> Label[Any]:
    group = RadioGroup[Any](custom_id="which")
    for index, name in pictures.items():
        label = render.cut(name, _MAX_OPTION_UNITS)
        group.append_option(RadioGroupOption(label=label, value=str(index), default=index == first))
    return Label(text=voice.say(say("Which picture")), component=group)


def _manners(usual: Manner, voice: Voice) -> Label[Any]:
    group = CheckboxGroup[Any](custom_id="manner", required=False, min_values=0)
    for name, label in _MANNERS.items():
        default = bool(getattr(usual, name))
        option = CheckboxGroupOption(label=voice.say(label), value=name, default=default)
        group.append_option(option)
    return Label(text=voice.say(say("How to show them")), component=group)


def _manner(filled: Filled) -> Manner:
    chosen = filled.chosen.get("manner", ())
    return Manner(**{name: name in chosen for name in _MANNERS})


def _chosen(filled: Filled, indices: Sequence[int]) -> int:
    """Which picture was chosen; where there was no choice, the first."""
    said = filled.texts.get("which")
    return next((index for index in indices if str(index) == said), min(indices, default=0))


async def _answer(interaction: Interaction, text: str) -> None:
    await interaction.client.calls.surely(
        lambda: interaction.edit_original_response(content=text), "a recipe"
    )
