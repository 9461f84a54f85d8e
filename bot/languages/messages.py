"""`make messages`: everything that is said, written into the catalogues to be translated.

The same source gives the same files: no dates, no lines, sorted. What is said no more goes, what is
new comes empty, and a translation is never guessed.
"""

import ast
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import write_po

from bot.languages.languages import ENDING, catalogue_of, ids_of, strings_of

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "bot" / "data" / "languages"
PACKAGES: Final = ("bot", "sdxl_engine")
# Each language with its forms of a counted word: Babel's own know one more, for whole millions.
LOCALES: Final[Mapping[str, str]] = {
    "de": "nplurals=2; plural=(n != 1);",
    "fr": "nplurals=2; plural=(n > 1);",
    "es-ES": "nplurals=2; plural=(n != 1);",
    "pt-BR": "nplurals=2; plural=(n > 1);",
    "ja": "nplurals=1; plural=0;",
    "zh-CN": "nplurals=1; plural=0;",
}
# How many literals each takes: a template, or the one for 1 and the one for more.
_TEMPLATES: Final[Mapping[str, int]] = {"say": 1, "say_many": 2}
_SENTENCES: Final = "sdxl_engine.sentence"  # where these are
_WIDTH: Final = 100
# Of what stands at the head of a catalogue only this says something about it.
_HEAD: Final = ("Language:", "MIME-Version:", "Content-", "Plural-Forms:")

Said = tuple[str, ...]  # the template, or both where something is counted


def said_in(path: Path) -> Iterator[Said]:
    """What a file of ours says; raises ValueError for a template that is no literal."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    known = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == _SENTENCES
        for alias in node.names
    }
    if ".".join(path.with_suffix("").parts).endswith(_SENTENCES):  # its own
        known |= _TEMPLATES.keys()
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id not in known or node.func.id not in _TEMPLATES:
            continue
        wanted = _TEMPLATES[node.func.id]
        literals = tuple(
            one.value
            for one in node.args[:wanted]
            if isinstance(one, ast.Constant) and isinstance(one.value, str)
        )
        if len(literals) != wanted:
            raise ValueError(f"{path}:{node.lineno}: a template is a literal, or is not found")
        yield literals


def said_everywhere(root: Path = ROOT) -> dict[Said, list[str]]:
    """All that is said in the packages, sorted, and in which files."""
    found: dict[Said, set[str]] = {}
    for package in PACKAGES:
        for path in (root / package).rglob("*.py"):
            for said in said_in(path):
                found.setdefault(said, set()).add(path.relative_to(root).as_posix())
    return {said: sorted(found[said]) for said in sorted(found)}


def catalogue(locale: str, said: Mapping[Said, list[str]], known: Catalog | None) -> Catalog:
    """A language's catalogue of all that is said, with the translations that there are."""
    made = Catalog(locale.replace("-", "_"), header_comment="", fuzzy=False)
    made.mime_headers = [("Plural-Forms", LOCALES[locale])]
    for one, places in said.items():
        message = None if known is None else known.get(one[0])
        made.add(
            one[0] if len(one) == 1 else one,
            _kept(message, one, made.num_plurals),
            locations=[(place, 0) for place in places],
        )
    return made


def written(catalogue: Catalog) -> str:
    """The file of a catalogue."""
    stream = io.BytesIO()
    write_po(stream, catalogue, width=_WIDTH, sort_output=True, include_lineno=False)
    head, _, body = stream.getvalue().decode().partition("\n\n")
    kept = [
        line
        for line in head.lstrip("#\n").splitlines()
        if line.startswith(("msg", *(f'"{name}' for name in _HEAD)))
    ]
    return "\n".join(kept) + "\n\n" + body.rstrip("\n") + "\n"


def main() -> None:
    """Bring every catalogue up to what the source says."""
    said = said_everywhere()
    FOLDER.mkdir(exist_ok=True)
    for locale in LOCALES:
        path = FOLDER / f"{locale}{ENDING}"
        known = catalogue_of(path) if path.exists() else None
        path.write_text(written(catalogue(locale, said, known)))


def _kept(message: Message | None, said: Said, plurals: int) -> str | tuple[str, ...]:
    """The translation, if it is still one of this."""
    if message is not None and not message.fuzzy and ids_of(message) == said:
        return strings_of(message)[0] if len(said) == 1 else strings_of(message)
    return "" if len(said) == 1 else ("",) * plurals


if __name__ == "__main__":
    main()
