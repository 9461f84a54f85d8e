"""The arrows that are a list of what is allowed; what is forbidden stands in pyproject.toml."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BOT = Path(__file__).parents[1] / "bot"
# Of the standard library nothing that reaches files, threads, processes or the network.
CORE = {
    *("asyncio", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib"),
    *(
        "heapq",
        "itertools",
        "json",
        "logging",
        "math",
        "re",
        "secrets",
        "struct",
        "time",
        "typing",
        "zlib",
    ),
    *("bot.core", "bot.errors", "bot.shared"),
    *("sdxl_engine.errors", "sdxl_engine.flags", "sdxl_engine.prompt", "sdxl_engine.request"),
    "sdxl_engine.sentence",
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None  # no relative ones
            yield node.module


def strangers(room: str, allowed: set[str]) -> list[str]:
    return sorted(
        f"{path.relative_to(BOT)}: {name}"
        for path in (BOT / room).rglob("*.py")
        for name in imports(path)
        if not any(name == one or name.startswith(f"{one}.") for one in allowed)
    )


def test_the_core_imports_what_is_on_its_list_alone() -> None:
    assert strangers("core", CORE) == []


def test_the_shared_room_is_the_standard_library_alone() -> None:
    assert strangers("shared", {*sys.stdlib_module_names, "bot.shared"}) == []


@pytest.mark.parametrize("word", ["discord", "slack", "sqlite", "prometheus", "guild"])
def test_no_chat_and_no_tool_is_spoken_of_in_the_core(word: str) -> None:
    assert not [path for path in (BOT / "core").rglob("*.py") if word in path.read_text().lower()]
