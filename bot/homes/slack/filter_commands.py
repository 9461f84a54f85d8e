"""/imagine-admin filter: the workspace's own list, beside those of whoever runs the bot."""

from typing import Final

from bot.core import term_list
from bot.core.desk_card import found
from bot.core.moderators import Moderators
from bot.core.term_list import MAX_CATEGORY_CHARS, MAX_TERM_CHARS
from bot.core.verdict import UNNAMED, Term
from bot.homes.slack import render
from bot.homes.slack.admin_text import Words
from bot.homes.slack.direct_files import SENT, DirectFiles
from bot.homes.slack.intake import Asked, Intake
from sdxl_engine.request import MAX_PROMPT_CHARS
from sdxl_engine.sentence import say, sentences

_OPTIONS: Final = ("measure", "category", "kind")


class FilterCommands:
    """Changes the list, shows it, and tries it out."""

    def __init__(self, moderators: Moderators, intake: Intake, files: DirectFiles) -> None:
        self._moderators = moderators
        self._intake = intake
        self._files = files
        self._commands = {
            "add": self._add,
            "remove": self._remove,
            "list": self._list,
            "test": self._test,
        }

    async def run(self, asked: Asked, words: Words) -> None:
        """Do what follows; raises BotError, EngineError."""
        name = words.command_of(self._commands)
        if not name:
            raise words.wrong(say("Say what to do with the list."))
        words.command = f"filter {name}"
        await self._commands[name](asked, words)

    async def _add(self, asked: Asked, words: Words) -> None:
        options = words.options_in(_OPTIONS)
        said = Term(
            self._term(words),
            words.one_of("kind", options.get("kind", "word"), term_list.KINDS, str),
            words.one_of("measure", options.get("measure", "block"), term_list.MEASURES, str),
            options.get("category", UNNAMED),
        )
        if len(said.category) > MAX_CATEGORY_CHARS:
            too_long = say("That is longer than {most} characters.", most=MAX_CATEGORY_CHARS)
            raise words.wrong(too_long)
        by = await self._intake.actor(asked)
        count = await self._moderators.change_terms([said], (), by)
        await self._intake.answer(asked, term_list.added(said.text, count))

    async def _remove(self, asked: Asked, words: Words) -> None:
        term, by = self._term(words), await self._intake.actor(asked)
        count = await self._moderators.change_terms((), [term], by)
        await self._intake.answer(asked, term_list.removed(term, count))

    async def _list(self, asked: Asked, words: Words) -> None:
        words.end()
        house = await self._moderators.house(await self._intake.actor(asked))
        sentence = term_list.there_are(len(house.terms))
        if not house.terms:
            await self._intake.answer(asked, sentence)
            return
        # As a file, where nothing of it is markup, however long it is.
        text = (await self._intake.voice(asked)).say(sentence)
        files = {term_list.FILENAME: term_list.written(house.terms)}
        await self._files.send(asked.user, files, text)
        await self._intake.answer(asked, sentences(sentence, SENT))

    async def _test(self, asked: Asked, words: Words) -> None:
        text = words.rest(MAX_PROMPT_CHARS)
        if not text:
            raise words.wrong(say("Say what somebody could ask for."))
        findings = await self._moderators.tested(text, await self._intake.actor(asked))
        if not findings:
            await self._intake.answer(asked, term_list.NOTHING_FOUND)
            return
        voice = await self._intake.voice(asked)
        lines = [
            f"*{voice.say(term_list.MEASURES[one.measure])}* · "
            f"{render.harmless(voice.plain(found(one)))}"
            for one in findings
        ]
        await self._intake.tell(asked, lines[0], render.sections(lines))

    def _term(self, words: Words) -> str:
        """What is left, in quotes or not."""
        term = words.rest(MAX_TERM_CHARS)
        if len(term) > 1 and term[0] == term[-1] == '"':
            term = term[1:-1].strip()
        if not term:
            raise words.wrong(say("Say the term."))
        return term
