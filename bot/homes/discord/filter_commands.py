"""/imagine-admin filter: the server's own list, beside those of whoever runs the bot."""

from itertools import islice

from discord import app_commands
from discord.app_commands import Choice, Range, locale_str

from bot.core import order, term_list
from bot.core.desk_card import found
from bot.core.moderators import Moderators
from bot.core.term_list import MAX_CATEGORY_CHARS, MAX_TERM_CHARS
from bot.core.verdict import Term
from bot.errors import BotError
from bot.homes.discord import render
from bot.homes.discord.acknowledgement import acknowledge_press
from bot.homes.discord.answers import answer, answer_file, answer_lines
from bot.homes.discord.buttons import Interaction
from bot.homes.discord.commands import offered
from bot.homes.discord.intake import actor_of
from bot.homes.discord.translator import described
from bot.homes.discord.voice import voice_of
from sdxl_engine.request import MAX_PROMPT_CHARS
from sdxl_engine.sentence import say

TermText = Range[str, 1, MAX_TERM_CHARS]
Category = Range[str, 1, MAX_CATEGORY_CHARS]
Text = Range[str, 1, MAX_PROMPT_CHARS]


class FilterCommands:
    """Changes the list, shows it, and tries it out."""

    def __init__(self, moderators: Moderators) -> None:
        self._moderators = moderators

    def add_to(self, parent: app_commands.Group) -> None:
        """Put the commands into a group of their own."""
        group = app_commands.Group(
            name="filter",
            description=locale_str(order.COMMANDS["filter"]),
            parent=parent,
        )

        @group.command(name="add", description=locale_str(order.COMMANDS["filter add"]))
        @described(
            term=say("Words, or a regular expression"),
            measure=say("What is done about it; left out, it is refused"),
            category=say("What it is about, such as violence"),
            kind=say("What it is; left out, words"),
        )
        @app_commands.choices(
            measure=[
                Choice(name=locale_str(name), value=one) for one, name in term_list.MEASURES.items()
            ],
            kind=[
                Choice(name=locale_str(name), value=one) for one, name in term_list.KINDS.items()
            ],
        )
        async def add(
            interaction: Interaction,
            term: TermText,
            measure: str = "block",
            category: Category = "other",
            kind: str = "word",
        ) -> None:
            await acknowledge_press(interaction, unseen=True)
            said = Term(
                term,
                next(one for one in term_list.KINDS if one == kind),
                next(one for one in term_list.MEASURES if one == measure),
                category,
            )
            count = await self._moderators.change_terms([said], (), actor_of(interaction))
            await answer(interaction, term_list.added(term, count))

        @group.command(name="remove", description=locale_str(order.COMMANDS["filter remove"]))
        @described(term=say("As the list has it"))
        async def remove(interaction: Interaction, term: TermText) -> None:
            await acknowledge_press(interaction, unseen=True)
            count = await self._moderators.change_terms((), [term], actor_of(interaction))
            await answer(interaction, term_list.removed(term, count))

        @group.command(name="list", description=locale_str(order.COMMANDS["filter list"]))
        async def list_(interaction: Interaction) -> None:
            await acknowledge_press(interaction, unseen=True)
            house = await self._moderators.house(actor_of(interaction))
            sentence = term_list.there_are(len(house.terms))
            if house.terms:  # as a file, where nothing of it is markup, however long it is
                data = term_list.written(house.terms)
                await answer_file(interaction, sentence, term_list.FILENAME, data)
            else:
                await answer(interaction, sentence)

        @group.command(name="test", description=locale_str(order.COMMANDS["filter test"]))
        @described(text=say("What somebody could ask for"))
        async def test(interaction: Interaction, text: Text) -> None:
            await acknowledge_press(interaction, unseen=True)
            findings = await self._moderators.tested(text, actor_of(interaction))
            if not findings:
                await answer(interaction, term_list.NOTHING_FOUND)
                return
            voice = voice_of(interaction)
            lines = []
            for one in findings:
                what = render.plain(voice.say(found(one)))
                lines.append(f"**{voice.say(term_list.MEASURES[one.measure])}** · {what}")
            await answer_lines(interaction, lines)

        remove.autocomplete("term")(self._complete)

    async def _complete(self, interaction: Interaction, current: str) -> list[Choice[str]]:
        """The terms that hold what is typed, for those who may see them."""
        try:
            house = await self._moderators.house(actor_of(interaction))
        except BotError:
            return []
        alike = (one for one in house.terms if current.casefold() in one.text.casefold())
        return offered((one.text, one.category) for one in islice(alike, 25))
