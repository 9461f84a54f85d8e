"""What is usual for a person, a channel, a workspace: shown, and set in a dialog."""

from typing import Final

from bot.core import policy, settings_list
from bot.core.defaults import Defaults, Manner, Whose
from bot.core.job import Person, Venue
from bot.core.options import lines_of, read_lines
from bot.core.studio import Studio
from bot.core.wish import Wish
from bot.errors import NotAllowedError
from bot.homes.slack import dialogs, render
from bot.homes.slack.calls import Calls
from bot.homes.slack.dialogs import CHOICES, MANNERS, Filled
from bot.homes.slack.intake import Asked, Intake
from bot.homes.slack.voice import Voice
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.sentence import say

# A dialog's title has 24 characters.
_TITLES: Final[dict[Whose, str]] = {
    "person": say("What is usual for you"),
    "channel": say("Usual in this channel"),
    "community": say("Usual in the workspace"),
}
# Of the settings of a wish, by their names, those that may be usual.
_USUAL: Final = frozenset(
    {"steps", "guidance", "count", "size", "aspect", "sampler", "spacing", "style", "lora", "model"}
)


class Settings:
    """Shows them and changes them."""

    def __init__(self, studio: Studio, intake: Intake, calls: Calls) -> None:
        self._studio = studio
        self._intake = intake
        self._calls = calls

    async def begin(self, asked: Asked, whose: str) -> None:
        """Open the dialog; raises BotError."""
        actor, voice = await self._intake.actor(asked), await self._intake.voice(asked)
        scope = settings_list.scope_of(whose, actor.person, asked.venue)
        if not policy.may_set(scope, actor):
            raise NotAllowedError(policy.NOT_YOURS_TO_SET)
        now = await self._studio.defaults(scope)
        fields = list(dialogs.usual_fields(now, voice))
        title = _TITLES[scope.whose]
        await dialogs.show(self._calls, asked, "settings", whose, title, fields, voice)

    async def sent(self, asked: Asked, filled: Filled) -> None:
        """Somebody filled it in: what the dialog left open is open from now on.

        Raises InvalidRequestError, BotError.
        """
        actor = await self._intake.actor(asked)
        scope = settings_list.scope_of(filled.about, actor.person, asked.venue)
        said = Defaults(_wish(filled, self._studio.sizes), _manner(filled))
        await self._studio.set_defaults(scope, said, actor, take_back=settings_list.EVERYTHING)
        voice = await self._intake.voice(asked)
        text = await shown(self._studio, actor.person, asked.venue, voice)
        await self._intake.tell(asked, text)


async def shown(studio: Studio, person: Person, venue: Venue, voice: Voice) -> str:
    """What is usual for somebody there, as mrkdwn; raises LedgerError."""
    lines = (
        f"*{voice.say(one.title)}*: "
        + render.harmless(" · ".join(voice.plain(word) for word in one.words))
        for one in await settings_list.said(studio, person, venue)
    )
    return render.cut("\n".join(lines), render.MAX_SECTION_CHARS)


def _wish(filled: Filled, sizes: tuple[tuple[int, int], ...]) -> Wish:
    text = filled.texts.get("settings", "")
    settings = read_lines(text)
    for name in lines_of(text):
        if name not in _USUAL:
            raise InvalidRequestError(
                say("{name} belongs to one wish alone, and cannot be usual.", name=name)
            )
    unwanted = filled.texts.get("negative_prompt", "").strip() or None
    return settings.read_into(Wish("", unwanted), sizes)


def _manner(filled: Filled) -> Manner:
    return Manner(**{name: CHOICES.get(filled.choices.get(name, "")) for name in MANNERS})
