"""What Discord itself shows of the commands, in the languages of those who read it."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from discord import Locale, app_commands
from discord.app_commands import TranslationContextLocation, TranslationContextTypes, locale_str

from bot.homes.discord.render import cut
from bot.languages.languages import Languages
from sdxl_engine.sentence import Sentence

T = TypeVar("T")

# What Discord takes, in the places where there are sentences.
_MAX_UNITS: Final[Mapping[TranslationContextLocation, int]] = {
    TranslationContextLocation.command_name: 32,  # of what stands in a menu
    TranslationContextLocation.command_description: 100,
    TranslationContextLocation.group_description: 100,
    TranslationContextLocation.parameter_description: 100,
    TranslationContextLocation.choice_name: 100,
}


class CommandTranslator(app_commands.Translator):
    """Translates descriptions, choices that are words, and what stands in menus.

    The names of commands and of their options stay English: they are what is typed, what refusals
    and recipes give back to be pasted, by whomever, and what help and tutorials call them.
    """

    def __init__(self, languages: Languages) -> None:
        self._languages = languages
        # Of each text all of Discord's languages are asked for; few are spoken here.
        self._spoken = {locale: languages.nearest(locale.value) for locale in Locale}

    async def translate(
        self, string: locale_str, locale: Locale, context: TranslationContextTypes
    ) -> str | None:
        """See `app_commands.Translator`; None: Discord shows it in English."""
        spoken = self._spoken[locale]
        if spoken is None or not isinstance(string.message, Sentence):
            return None
        said = self._languages.say(string.message, spoken)
        return None if said == string.message else cut(said, _MAX_UNITS[context.location])


def described(**sentences: str) -> Callable[[T], T]:
    """Say what options are for, by their names, to be translated."""
    return app_commands.describe(**{name: locale_str(said) for name, said in sentences.items()})
