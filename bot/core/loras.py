"""LoRAs as people write them: `<lora:film:0.8>` in a prompt, `film:0.8` in an option, several there
with commas between them.

A name holds no colon; one with a comma stands in a list as it does in a prompt. Only the writing is
checked here: what a LoRA may be, `ImageRequest` says.
"""

import re
from collections.abc import Iterable
from typing import Final

from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.sentence import say

Loras = tuple[tuple[str, float], ...]  # names and strengths

# A LyCORIS file is a LoRA here, as to A1111, which reads either name.
_TAG: Final = re.compile(r" ?<(?:lora|lyco):([^<>]*)> ?", re.IGNORECASE)
_OPEN_TAG: Final = re.compile(r"<(?:lora|lyco):.*", re.IGNORECASE | re.DOTALL)
_IN_LIST: Final = re.compile(rf"\s*{_TAG.pattern}\s*|([^,]+)", re.IGNORECASE)
_SHOWN_CHARS: Final = 60


def read_out(prompt: str) -> tuple[str, Loras]:
    """The prompt without its tags, and what they ask for; a text without tags is returned as it is.

    Raises InvalidRequestError.
    """
    loras: Loras = ()
    while tags := _TAG.findall(prompt):  # again: a tag within a tag leaves one
        loras += tuple(map(read_one, tags))
        prompt = _TAG.sub(" ", prompt).strip()
    if unclosed := _OPEN_TAG.search(prompt):
        raise InvalidRequestError(
            say(
                "{tag} begins a LoRA and does not end it. Write its name, its strength and >, such "
                "as <lora:film:0.8>.",
                tag=repr(unclosed[0][:_SHOWN_CHARS]),
            )
        )
    return prompt, loras


def read_list(text: str) -> Loras:
    """What "film:0.8, <lora:a, b:1>, other" asks for; raises InvalidRequestError."""
    found = _IN_LIST.finditer(text)
    return tuple(read_one(each[1] or each[2] or "") for each in found if each[0].strip())


def read_one(text: str) -> tuple[str, float]:
    """What "film:0.8" or "film", which has strength 1, asks for; raises InvalidRequestError."""
    name, *strengths = (part.strip() for part in text.split(":"))
    try:
        (strength,) = map(float, strengths or ("1",))
    except ValueError:
        raise InvalidRequestError(
            say(
                "{text} is no LoRA with a strength. Write its name, a colon and one number, such "
                "as film:0.8.",
                text=repr(text[:_SHOWN_CHARS]),
            )
        ) from None
    return name, strength


def completions(text: str, names: Iterable[str]) -> list[str]:
    """What the list that somebody types may become: its last one, as far as it is typed, completed.

    names  of the LoRAs there are; those that begin with what is typed come first
    """
    before, _, last = text.rpartition(",")
    begun, colon, _ = last.strip().partition(":")
    taken = {part.partition(":")[0].strip() for part in before.split(",")}
    found = [
        (not name.casefold().startswith(begun.casefold()), name.casefold(), name)
        for name in names
        if begun.casefold() in name.casefold() and name not in taken and "," not in name
    ]
    if colon:  # it is chosen, and its strength is being typed
        return [text.strip()] if any(name == begun.strip() for *_, name in found) else []
    head = f"{before.strip()}, " if before.strip() else ""
    return [head + name for *_, name in sorted(found)]


def written(loras: Iterable[tuple[str, float]]) -> str:
    """What `read_list` reads as these."""
    each = ((name, written_one(name, strength)) for name, strength in loras)
    return ", ".join(f"<lora:{text}>" if "," in name else text for name, text in each)


def written_one(name: str, strength: float) -> str:
    """What `read_one` reads as this."""
    # All digits that a person may have written, and none that floating point made of them.
    return f"{name}:{strength:.15g}"
