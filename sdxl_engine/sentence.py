"""Sentences for people, which can be said in another language than the English they are written in.

Each is one template with the names of its values in braces; no sentence is put together of parts
that mean nothing alone. What is said so is found in the source by `make messages`, so a template is
a literal.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, reduce
from itertools import groupby
from string import Formatter
from typing import Any, Self


class Sentence(str):
    """An English text that remembers what it was made of.

    template  with the names of its values in braces, each perhaps with a format as `str.format`
              has it; where something is counted, the one for 1
    plural    the template for any other count; None where nothing is counted
    values    numbers, texts that are the same in every language, other sentences, and what each
              home shows in its own way; `count`, a whole number, where there is a plural

    Raises ValueError if they do not go together.
    """

    __slots__ = ("plural", "template", "values")

    template: str
    plural: str | None
    values: Mapping[str, object]

    def __new__(
        cls, template: str, values: Mapping[str, object], plural: str | None = None
    ) -> Self:
        """The text, of its template in English."""
        english = template if plural is None or values["count"] == 1 else plural
        said = super().__new__(cls, "".join(map(str, _filled(english, values, str))))
        said.template, said.plural, said.values = template, plural, values
        return said

    def __reduce__(self) -> tuple[type["Sentence"], tuple[object, ...]]:
        return Sentence, (self.template, self.values, self.plural)


def say(template: str, /, **values: object) -> Sentence:
    """A sentence with these values."""
    return Sentence(template, values)


def say_many(one: str, many: str, /, count: int, **values: object) -> Sentence:
    """A sentence of so many: `one` where the count is 1, else `many`."""
    return Sentence(one, {"count": count, **values}, many)


def sentences(first: str, *more: str) -> str:
    """Several, one after the other; empty ones are left out."""
    said = ""
    for one in filter(None, (first, *more)):
        # How two sentences are set apart differs, too.
        said = say("{first} {then}", first=said, then=one) if said else one
    return said


def either(choices: Iterable[str]) -> str:
    """One or the other of them, of which there is one at least."""
    return reduce(lambda one, other: say("{one} or {other}", one=one, other=other), choices)


def all_of(things: Iterable[object]) -> object:
    """All of them, of which there is one at least, as a sentence's value."""
    return reduce(lambda one, other: say("{one} and {other}", one=one, other=other), things)


def sentence_of(error: BaseException) -> str:
    """What an error says, as it was said: `str` of it forgets how that was made."""
    said = error.args[0] if error.args else None
    return said if isinstance(said, Sentence) else str(error)


def english(sentence: Sentence) -> str:
    """Its template in English."""
    if sentence.plural is None or sentence.values["count"] == 1:
        return sentence.template
    return sentence.plural


def pieces(text: str, template_of: Callable[[Sentence], str] = english) -> Iterator[object]:
    """What a text is put together of: stretches of text, and what each home shows in its own way.

    template_of  a sentence's template in some language, with the same names
    """
    for is_text, some in groupby(_pieces(text, template_of), lambda one: isinstance(one, str)):
        if is_text:
            yield "".join(map(str, some))
        else:
            yield from some


def names_in(template: str) -> set[tuple[str, str, str]]:
    """The names of the values in a template, each with its format and conversion.

    Raises ValueError.
    """
    return {
        (name, spec or "", conversion or "")
        for _, name, spec, conversion in Formatter().parse(template)
        if name is not None
    }


def to_json(text: str) -> str:
    """A text, as `from_json` reads it."""
    return json.dumps(_to_data(text))


def from_json(written: str) -> str:
    """The text, with what it remembers; raises ValueError for what is none."""
    try:
        said = _from_data(json.loads(written))
    except (AttributeError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"no sentence: {written[:100]!r}") from error
    if not isinstance(said, str):
        raise ValueError(f"no sentence: {written[:100]!r}")  # noqa: TRY004 - as of any other text
    return said


def _pieces(text: str, template_of: Callable[[Sentence], str]) -> Iterator[object]:
    if isinstance(text, Sentence):
        nested = partial(_pieces, template_of=template_of)
        yield from _filled(template_of(text), text.values, nested)
    elif text:
        yield text


def _filled(
    template: str, values: Mapping[str, object], nested: Callable[[Sentence], Any]
) -> Iterator[object]:
    """The template's pieces; `nested` says a sentence within it, in pieces or as one text."""
    # Not `str.format`: names are names, and reach into nothing.
    for text, name, spec, conversion in Formatter().parse(template):
        if text:
            yield text
        if name is None:
            continue
        if conversion is not None:
            raise ValueError(f"a value of {template!r} is to be converted before")
        value = values[name]
        if isinstance(value, Sentence):
            yield from nested(value)
        elif isinstance(value, str | int | float):
            yield format(value, spec or "")
        else:
            yield value


def _to_data(value: object) -> object:
    if isinstance(value, Sentence):
        values = {name: _to_data(one) for name, one in value.values.items()}
        data: dict[str, object] = {"say": value.template, "with": values}
        return data if value.plural is None else {**data, "many": value.plural}
    return value if isinstance(value, str | int | float) else str(value)


def _from_data(data: object) -> object:
    if not isinstance(data, dict):
        return data
    values = {name: _from_data(one) for name, one in data["with"].items()}
    return Sentence(data["say"], values, data.get("many"))
