"""The languages that the bot speaks besides English, each a catalogue in gettext's form."""

import gettext
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from sdxl_engine.sentence import Sentence, english, names_in, pieces

log = logging.getLogger(__name__)

FOLDER: Final[Traversable] = files("bot") / "data" / "languages"
ENDING: Final = ".po"


@dataclass(frozen=True, slots=True)
class _Language:
    """Templates by the English ones, of which those that count have several.

    form_of  which of them is meant by a count
    """

    templates: Mapping[str, tuple[str, ...]]
    form_of: Callable[[int], int]

    def template_of(self, sentence: Sentence) -> str:
        """In this language; in English where nobody has translated it."""
        count = sentence.values["count"] if sentence.plural is not None else None
        said = self.templates.get(sentence.template)
        if count is None:
            return sentence.template if said is None else said[0]
        assert isinstance(count, int)  # noqa: S101 - `say_many` takes no other
        if said is None:
            return english(sentence)
        return said[min(self.form_of(count), len(said) - 1)]


class Languages:
    """Says in many languages what was said in English.

    folder  with a catalogue a language, named as chat systems name it (BCP 47): "pt-BR.po"
    """

    def __init__(self, folder: Traversable = FOLDER) -> None:
        self._languages = {
            file.name.removesuffix(ENDING): _read(file)
            for file in sorted(folder.iterdir(), key=lambda file: file.name)
            if file.name.endswith(ENDING)
        }

    @property
    def locales(self) -> tuple[str, ...]:
        """Those there are besides English."""
        return tuple(self._languages)

    def nearest(self, locale: str) -> str | None:
        """The one of them that is spoken to somebody of this locale; None: English.

        Another country's is nearer than English: who reads pt-PT is spoken to in pt-BR.
        """
        if locale in self._languages:
            return locale
        language = locale.partition("-")[0].casefold()
        alike = (one for one in self._languages if one.partition("-")[0].casefold() == language)
        return next(alike, None)

    def say(self, text: str, locale: str) -> str:
        """A text in the language of a locale; one that is no `Sentence` stays as it is.

        locale  BCP 47, such as "de" or "es-419"; empty: nobody said
        """
        return "".join(map(str, self.pieces(text, locale)))

    def pieces(self, text: str, locale: str) -> Iterator[object]:
        """What `say` puts together: stretches of text, and what a home shows in its own way."""
        nearest = self.nearest(locale)
        template_of = english if nearest is None else self._languages[nearest].template_of
        return pieces(text, template_of)


@cache
def shipped() -> Languages:
    """Those that come with the bot, which a process reads once."""
    return Languages()


def ids_of(message: Message) -> tuple[str, ...]:
    """The English template, or both where something is counted."""
    return (message.id,) if isinstance(message.id, str) else tuple(message.id)


def strings_of(message: Message) -> tuple[str, ...]:
    """Its translation, or one for each form of what is counted; empty where there is none yet."""
    string = message.string or ""
    return (string,) if isinstance(string, str) else tuple(string)


def catalogue_of(file: Traversable) -> Catalog:
    """What stands in a catalogue's file."""
    with file.open("rb") as stream:
        return read_po(stream, abort_invalid=True)


def _read(file: Traversable) -> _Language:
    catalogue = catalogue_of(file)
    templates: dict[str, tuple[str, ...]] = {}
    for message in catalogue:
        one, said = ids_of(message), strings_of(message)
        if not one[0] or not all(said) or message.fuzzy:
            continue
        # One that could not be filled would be worse than English.
        if all(_fills(each, one[-1]) for each in said):
            templates[one[0]] = said
        else:
            log.warning("%s: not translated, as its values differ: %s", file.name, one[0])
    return _Language(templates, gettext.c2py(catalogue.plural_expr))


def _fills(template: str, like: str) -> bool:
    """Whether a template takes the values of another."""
    try:
        return names_in(template) == names_in(like)
    except ValueError:  # a brace that is not closed
        return False
