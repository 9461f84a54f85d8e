"""`imagine recipe`: what a picture's file says of how it was drawn, here or by another program."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Final

from bot.cli.arguments import path
from bot.cli.exit_codes import OK
from bot.cli.pictures import read_picture
from bot.cli.request_options import command_line, command_options
from bot.core.recipe.reading import read_recipe
from bot.core.recipe.recipe import Recipe
from bot.core.recipe.texts import MAX_FILE_BYTES
from bot.core.wish import SOME_SIZE, WHOLE, Usual, Wish
from bot.shared.shown import one_line
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import (
    ALPHA,
    AROUND,
    EMPHASES,
    MAX_PROMPT_CHARS,
    SAMPLERS,
    SPACINGS,
    USUAL_EMPHASIS,
)

_SHOWN_CHARS: Final = MAX_PROMPT_CHARS
_INDENT: Final = "    "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    parser.add_argument("file", type=path, metavar="FILE", help="a PNG, JPEG or WebP picture")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Show it; raises UsageError, NoRecipeError."""
    recipe = read_recipe(read_picture(args.file, MAX_FILE_BYTES))
    again = _again(recipe.wish)
    if args.json:
        sys.stdout.write(json.dumps({**asdict(recipe), "again": again}) + "\n")
    else:
        for line in _lines(recipe, again):
            sys.stdout.write(line + "\n")
    return OK


def _again(wish: Wish | None) -> str | None:
    """The command that draws it; None if it cannot be drawn here."""
    if wish is None:
        return None
    # A command is one line; to the model, all blanks are one.
    prompt, negative = _one_line(wish.prompt), wish.negative_prompt
    wish = replace(
        wish, prompt=prompt, negative_prompt=None if negative is None else _one_line(negative)
    )
    try:
        request = wish.settled(Usual()).resolve(SOME_SIZE)
    except InvalidRequestError:
        return None
    chosen = {
        "--seed": wish.seed,
        "--steps": wish.num_inference_steps,
        "--guidance": wish.guidance_scale,
        "--size": wish.size_px,
    }
    left_open = {option for option, value in chosen.items() if value is None}
    words = command_line(request, wish.first_index, left_open=left_open)
    if request.source is not None:  # files that nobody here knows the names of
        drawn = request.source.mask not in {None, ALPHA, AROUND}
        words = ["--image=PICTURE", *(["--mask=MASK"] if drawn else []), *words]
    return shlex.join(["imagine", "draw", *words])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _lines(recipe: Recipe, again: str | None) -> Iterator[str]:
    rows = [("Drawn by", recipe.program or "a program that is not known here"), *_rows(recipe)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name:{width}}  {one_line(value, _SHOWN_CHARS)}"
    if recipe.text:
        yield "The file says:"
        for line in recipe.text.splitlines():
            yield f"{_INDENT}{one_line(line, _SHOWN_CHARS)}"
    if recipe.left_out:
        yield "Besides:" if recipe.is_ours else "What is not carried over, or differs:"
        for sentence in recipe.left_out:
            yield f"{_INDENT}{one_line(sentence, _SHOWN_CHARS)}"
    if again is not None:
        yield "Again:" if recipe.is_ours else "The like of it:"
        yield f"{_INDENT}{again}"  # which a request took, so there is nothing that reorders it


def _rows(recipe: Recipe) -> Iterator[tuple[str, str]]:
    if recipe.model is not None or recipe.model_hash is not None:
        digest = "" if recipe.model_hash is None else f"({recipe.model_hash})"
        yield "Model", " ".join(filter(None, (recipe.model, digest)))
    if recipe.wish is None:
        return
    wish = recipe.wish
    titles = {**SAMPLERS, **SPACINGS, **EMPHASES}
    told = {
        **command_options(wish),
        "clip skip": wish.clip_skip,
        "emphasis": wish.emphasis,
        "upscale": wish.upscale,
        "picture of the seed": wish.first_index or None,
    }
    for name, value in told.items():
        if value is not None and value != _USUAL.get(name):
            shown = titles.get(str(value), str(value)) or "(empty)"
            yield name.replace("_", " ").capitalize(), shown


# What need not be said.
_USUAL: Final = {
    "guidance_rescale": 0.0,
    "guidance_start": WHOLE[0],
    "guidance_stop": WHOLE[1],
    "emphasis": USUAL_EMPHASIS,
}
