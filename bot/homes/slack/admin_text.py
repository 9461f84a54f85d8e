"""What is typed behind /imagine-admin, read word by word.

Slack sends channels, people and groups by their ids, as the command wants them escaped.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from bot.core.suggestion import suggestion
from bot.errors import UsageError
from bot.homes.slack import typed
from bot.shared.shown import one_line
from sdxl_engine.sentence import say, sentences

T = TypeVar("T")

# How each is typed; the same in every language.
FORMS: Final[Mapping[str, str]] = {
    "policy": "policy [#channel] [@group] [use=yes] [private=no] [spoiler=no] [review=no] "
    "[clear=use]",
    "limits": "limits [#channel] [@group] [count=2] [size=1024x1024] [daily=20] [models=a,b] "
    "[loras=none] [clear=daily]",
    "desk": "desk [#channel | none]",
    "pause": "pause [reason]",
    "resume": "resume",
    "keep": "keep [days | none]",
    "filter": "filter add | remove | list | test",
    "filter add": "filter add TERM [measure=block] [category=violence] [kind=word]",
    "filter remove": "filter remove TERM",
    "filter list": "filter list",
    "filter test": "filter test TEXT",
    "block": "block @somebody [days] [reason]",
    "unblock": "unblock @somebody [reason]",
    "purge": "purge HOURS [@somebody] [#channel] [reason]",
    "audit": "audit [before]",
    "export": "export [csv | json]",
    "help": "help",
}
_CHANNEL: Final = re.compile(r"<#([A-Z0-9]+)(?:\|[^<>]*)?>")
_PERSON: Final = re.compile(r"<@([A-Z0-9]+)(?:\|[^<>]*)?>")
_GROUP: Final = re.compile(r"<!subteam\^([A-Z0-9]+)(?:\|[^<>]*)?>")
_WORD: Final = re.compile(r"\S+")
# A value may be quoted, or a list with commas; what a sign follows is the next option's name.
_ITEM: Final = r'[^\s,"=]++(?<!:)(?!\s*[=:])'
_OPTION: Final = re.compile(rf'([A-Za-z][\w-]*)\s*[=:]\s*("[^"]*"|{_ITEM}(?:\s*,\s*{_ITEM})*)?')
_NUMBER: Final = re.compile(r"([0-9]{1,15})\s*(?:d|days?|h|hours?)?(?!\S)", re.IGNORECASE)
_QUOTES: Final = str.maketrans("“”„\N{NO-BREAK SPACE}", '""" ')  # as phones and editors make them
_YES: Final = frozenset({"yes", "y", "on", "true", "1"})
_NO: Final = frozenset({"no", "n", "off", "false", "0"})
_NONE: Final = frozenset({"none", "no", "off", "nothing"})
_SHOWN_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class Said:
    """Of which place something is said, and what, by the names of the options."""

    channel: str | None
    group: str | None
    options: Mapping[str, str] = field(default_factory=dict)


class Words:
    """What is left of what was typed.

    command  for which it was, as in `FORMS`
    """

    def __init__(self, text: str) -> None:
        self.command = "help"
        self._left = text.translate(_QUOTES).strip()

    def command_of(self, names: Iterable[str]) -> str:
        """The next word, which is one of these, or none is left; raises UsageError."""
        word = self._take(_WORD)
        if word is None:
            return ""
        known, said = list(names), word[0].casefold()
        if said not in known:
            self._refuse_command(said, known)
        return said

    def channel(self) -> str | None:
        """The id of a channel, where that is next."""
        return self._id(_CHANNEL)

    def person(self) -> str | None:
        """The id of somebody, where that is next."""
        return self._id(_PERSON)

    def number(self, least: int, most: int) -> int | None:
        """A whole number, where that is next; raises UsageError where it is not one of these."""
        match = self._take(_NUMBER)
        if match is None:
            return None
        return self.within(match[1], least, most)

    def within(self, text: str, least: int, most: int) -> int:
        """A text as a whole number; raises UsageError where it is not one of these."""
        is_number = text.isascii() and text.isdigit()
        if is_number and len(text) <= len(str(most)) and least <= int(text) <= most:
            return int(text)
        raise self.wrong(
            say(
                "{word} is no whole number from {least} to {most}.",
                word=_shown(text),
                least=least,
                most=most,
            )
        )

    def none(self) -> bool:
        """Whether it is taken back: "none" is all that is left."""
        is_none = self._left.casefold() in _NONE
        if is_none:
            self._left = ""
        return is_none

    def rest(self, most_chars: int) -> str:
        """All that is left, as it was typed; raises UsageError for more than that."""
        text, self._left = typed.as_typed(self._left), ""
        if len(text) > most_chars:
            raise self.wrong(say("That is longer than {most} characters.", most=most_chars))
        return text

    def end(self) -> None:
        """Nothing may be left; raises UsageError."""
        word = self._take(_WORD)
        if word is not None:
            raise self._unknown(word[0])

    def said(self, names: Iterable[str]) -> Said:
        """A place and options, in any order; raises UsageError.

        names  of the options that there are
        """
        known = list(names)
        places: dict[str, str] = {}
        options: dict[str, str] = {}
        while self._left:
            for kind, pattern in (("channel", _CHANNEL), ("group", _GROUP)):
                found = self._id(pattern)
                if found is not None:
                    if places.setdefault(kind, found) != found:
                        raise self.wrong(say("Say it of one channel and one group at most."))
                    break
            else:
                self._option(options, known)
            self._left = self._left.lstrip(",").lstrip()
        return Said(places.get("channel"), places.get("group"), options)

    def options_in(self, names: Iterable[str]) -> dict[str, str]:
        """Options among other words, which are left; raises UsageError for one without a value."""
        known = list(names)
        pattern = re.compile(rf'(?<!\S)({"|".join(known)})\s*[=:]\s*("[^"]*"|\S+)?', re.IGNORECASE)
        options = {}
        for match in pattern.finditer(self._left):
            options[match[1].casefold()] = self._value(match[1].casefold(), match[2])
        self._left = " ".join(pattern.sub(" ", self._left).split())
        return options

    def yes_or_no(self, name: str, text: str) -> bool:
        """What an option says; raises UsageError."""
        said = text.casefold()
        if said in _YES | _NO:
            return said in _YES
        raise self.wrong(say("{name}= is yes or no.", name=name))

    def one_of(self, name: str, text: str, choices: Iterable[T], text_of: Callable[[T], str]) -> T:
        """What an option chooses; raises UsageError."""
        every = list(choices)
        for one in every:
            if text_of(one) == text.casefold():
                return one
        there_is_none = say("{word} is nothing for {name}=.", word=_shown(text), name=name)
        raise self.wrong(sentences(there_is_none, suggestion(text, map(text_of, every))))

    def wrong(self, sentence: str) -> UsageError:
        """What is wrong with what was typed, and the right form."""
        form = f"`/imagine-admin {FORMS[self.command]}`"
        return UsageError(sentences(sentence, say("Type {form}.", form=form)))

    def known_next(self) -> None:
        """A name that Slack did not make an id of may not be next; raises UsageError."""
        if self._left.startswith(("#", "@")):
            raise self._unknown(self._left.split()[0])

    def _option(self, options: dict[str, str], known: list[str]) -> None:
        match = self._take(_OPTION)
        if match is None:
            word = self._take(_WORD)
            assert word is not None  # noqa: S101 - something is left
            raise self._unknown(word[0])
        name = match[1].casefold()
        if name == "adult":
            raise self.wrong(say("Slack knows no places for adults, so there is no adult= here."))
        if name not in known:
            there_is_none = say("There is no {name}= here.", name=_shown(match[1]))
            raise self.wrong(sentences(there_is_none, suggestion(name, known)))
        if name in options:
            raise self.wrong(say("{name}= is said twice.", name=name))
        options[name] = self._value(name, match[2])

    def _value(self, name: str, text: str | None) -> str:
        value = typed.as_typed((text or "").strip('"'))
        if not value:
            raise self.wrong(say("{name}= needs something behind it.", name=name))
        return value

    def _id(self, pattern: re.Pattern[str]) -> str | None:
        match = self._take(pattern)
        return None if match is None else match[1]

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._left)
        if match is not None:
            self._left = self._left[match.end() :].lstrip()
        return match

    def _unknown(self, word: str) -> UsageError:
        shown = _shown(typed.as_typed(word))
        if word.startswith(("#", "@")):
            return self.wrong(
                say(
                    "Slack does not know {word}. Choose the name from what Slack offers while you "
                    "type it.",
                    word=shown,
                )
            )
        return self.wrong(say("{word} cannot be read here.", word=shown))

    def _refuse_command(self, word: str, known: list[str]) -> None:
        what = say("There is no {word}.", word=_shown(typed.as_typed(word)))
        how = say("Type {form} for all there is.", form="`/imagine-admin help`")
        raise UsageError(sentences(what, suggestion(word, known), how))


def _shown(text: str) -> str:
    """What somebody typed, so short that a sentence holds it."""
    return f"“{one_line(text, _SHOWN_CHARS)}”"
