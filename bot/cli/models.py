"""`imagine models`: what each file of a folder is, or a single one, and whether it can be used."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bot.cli.amounts import amount
from bot.cli.arguments import path
from bot.cli.exit_codes import OK
from bot.errors import UsageError
from bot.shared.shown import one_line, shown, triggers

if TYPE_CHECKING:
    from sdxl_engine.look import Finding

_MOST: Final = 500  # entries: more than anybody reads, and a walk through a whole disk ends
_SUFFIXES: Final = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".pkl")
_INDEX: Final = "model_index.json"
_NAME_CHARS: Final = 200
_PROBLEM_CHARS: Final = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    parser.add_argument(
        "folder",
        nargs="?",
        type=path,
        default=Path(),
        metavar="FOLDER",
        help="where to look, also in its folders; default: this one; or a file",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """List what there is; raises UsageError where there is nothing."""
    from sdxl_engine.look import look_at  # noqa: PLC0415 - for this command alone

    folder: Path = args.folder.expanduser()
    if not folder.exists():
        raise UsageError(
            f"There is no folder or file {shown(str(folder))}. Give one that holds models."
        )
    places = list(islice(_places(folder), _MOST + 1)) if folder.is_dir() else [folder]
    findings = [look_at(place) for place in places[:_MOST]]
    more = len(places) > _MOST
    sys.stdout.write(_as_json(findings, more=more) if args.json else _table(findings, more=more))
    return OK


def _places(folder: Path) -> Iterator[Path]:
    """Files of weights, and folders that are a model; what lies in such a folder is its own.

    Links are followed, into each folder once.
    """
    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        place = os.path.realpath(here)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        if _INDEX in files:
            folders.clear()
            yield Path(here)
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(_SUFFIXES):
                yield Path(here) / name


def _as_json(findings: "list[Finding]", *, more: bool) -> str:
    entries = [{**asdict(each), "path": str(each.path)} for each in findings]
    return json.dumps({"models": entries, "more": more}) + "\n"


def _table(findings: "list[Finding]", *, more: bool) -> str:
    """A line each, and below it what is wrong with it or is drawn in another way."""
    rows = [("NAME", "KIND", "PREDICTION", "SIZE", "LICENCE")]
    rows += [
        (
            one_line(str(each.path), _NAME_CHARS),
            each.kind.value,
            each.prediction or "-",
            amount(each.size_bytes),
            one_line(each.licence or "-", _NAME_CHARS),
        )
        for each in findings
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row, each in zip(rows, [None, *findings], strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
        below = () if each is None else (triggers(each.words), each.problem, *each.told)
        lines += [f"    {one_line(said, _PROBLEM_CHARS)}" for said in below if said]
    if not findings:
        lines = ["There are no models here."]
    if more:
        lines.append(f"There are more than these {_MOST}: name a folder further in.")
    return "\n".join(lines) + "\n"
