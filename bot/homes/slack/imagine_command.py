"""/imagine and a mention of the bot: a prompt with flags, or one of a few words."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from bot.core.defaults import Defaults
from bot.core.heard import Heard
from bot.core.studio import Studio
from bot.homes.slack import typed
from bot.homes.slack.editing import Editing
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.lists import Lists
from bot.homes.slack.privacy_command import PrivacyCommand
from bot.homes.slack.settings import Settings
from sdxl_engine.sentence import say, sentences

_HELP: Final = say(
    "Type /imagine and what the pictures should show. Flags may follow: --ar 16:9, --no dogs, "
    "--seed 7, --steps 30, --count 2, --style, --size, --model, --lora, --private (you alone see "
    "them), --spoiler, --tell-me. /imagine jobs lists what you asked for, /imagine queue says how "
    "long it takes, /imagine settings changes what is usual for you. In a thread, mention the bot "
    "instead."
)
_MORE_HELP: Final = say(
    "/imagine privacy show, export or erase is about what the bot keeps of you. /imagine-admin is "
    "for those who keep order here."
)

Word = Callable[[Asked], Awaitable[object]]


class ImagineCommand:
    """Turns what was typed into wishes."""

    def __init__(
        self,
        studio: Studio,
        intake: Intake,
        editing: Editing,
        lists: Lists,
        privacy: PrivacyCommand,
        settings: Settings,
    ) -> None:
        self._studio = studio
        self._intake = intake
        self._words: dict[str, Word] = {
            "": editing.begin,
            "help": self._help,
            "jobs": lists.show_jobs,
            "queue": lists.show_queue,
            "privacy": privacy.show,
            "privacy show": privacy.show,
            "privacy export": privacy.export,
            "privacy erase": privacy.erase,
            "settings": partial(settings.begin, whose="person"),
            "settings channel": partial(settings.begin, whose="channel"),
            "settings workspace": partial(settings.begin, whose="community"),
        }

    async def run(self, asked: Asked, text: str) -> None:
        """Do what was typed behind the command, as Slack sends it."""
        said = typed.as_typed(text)
        word = self._words.get(" ".join(said.casefold().split()))
        if word is not None:
            await self._intake.told(asked, partial(word, asked))
            await self._intake.answered(asked)
            return
        await self._intake.take(asked, lambda heard: self._ask(heard, said))

    async def mentioned(self, asked: Asked, text: str) -> None:
        """Do what was said behind a mention; of none nothing can be opened, so it is explained."""
        if typed.as_typed(text).strip():
            await self.run(asked, text)
            return
        await self.explain(asked)
        await self._intake.answered(asked)

    async def explain(self, asked: Asked) -> None:
        """Say what can be typed."""
        await self._intake.told(asked, partial(self._help, asked))

    async def _ask(self, heard: Heard, text: str) -> None:
        read = typed.read(text)
        wish = read.wish(self._studio.sizes).seeded()
        venue = heard.origin.venue
        said = await self._studio.settled(
            Defaults(wish, read.manner), heard.person, venue, heard.around
        )
        await self._studio.ask(heard, said.wish, showing=said.manner.showing)

    async def _help(self, asked: Asked) -> None:
        await self._intake.answer(asked, sentences(_HELP, _MORE_HELP))
