"""`imagine prompt`: how a model reads a text, in chunks, tokens and weights."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from bot.cli.arguments import whole
from bot.cli.exit_codes import OK
from bot.config.reading import load_config
from bot.config.sections import EngineConfig
from bot.core import loras
from bot.core.styles import style_named
from bot.engines.styles import read_styles
from bot.shared.shown import one_line
from sdxl_engine.flags import left_out, read_flags
from sdxl_engine.prompt import at_steps, expanded, num_unclosed
from sdxl_engine.request import MAX_CHUNKS, ImageRequest

if TYPE_CHECKING:
    from sdxl_engine.tokenizer import PromptTokenizer

_STEPS: Final = 20
_SHOWN_CHARS: Final = 200
_RESET: Final = "\x1b[0m"
# What counts less is cooler, what counts more warmer: the weight below which a colour is taken.
_COLOURS: Final = ((0.7, "\x1b[34m"), (1.0, "\x1b[36m"), (1.2, "\x1b[33m"), (1.5, "\x1b[91m"))
_HOTTEST: Final = "\x1b[1;91m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    parser.add_argument("prompt", nargs="+", metavar="PROMPT", help="the text")
    parser.add_argument(
        "--model", help="doodle, a .safetensors file, a folder, or a Hugging Face repo id"
    )
    parser.add_argument(
        "--steps",
        type=whole(),
        metavar="N",
        help=f"of what changes by the step; default: {_STEPS}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Show it; raises BotError, EngineError."""
    config = load_config(args.config, os.environ)
    said = read_flags(" ".join(args.prompt))
    prompt, tagged = loras.read_out(said.prompt)
    # Refuses what no request could say; of a prompt that is not read at all, whose steps it has.
    steps = ImageRequest("x", num_inference_steps=_chosen(args.steps, said.steps))
    tokenizer = _tokenizer(config.engine, args.model)
    prompts = [ImageRequest(one).prompt for one in expanded(prompt)]
    if said.style is not None:
        style = style_named(said.style, read_styles(config.styles))
        prompts = [style.around(one, None)[0] for one in prompts]
    readings = [_reading(tokenizer, one, steps.num_inference_steps) for one in prompts]
    flags = {
        name: value
        for name, value in asdict(said).items()
        if name not in {"prompt", "unknown"} and value is not None
    }
    if args.json:
        report = {
            "requests": [asdict(one) for one in readings],
            "flags": flags,
            "loras": tagged,
            "left_out": said.unknown,
        }
        sys.stdout.write(json.dumps(report) + "\n")
        return OK
    for sentence in (*left_out(said), *_unclosed(prompt)):
        sys.stdout.write(f"{sentence}\n")
    if flags:
        words = (f"{name} {_plain(value)}" for name, value in flags.items())
        sys.stdout.write(f"Flags: {', '.join(words)}\n")
    if tagged:
        sys.stdout.write(f"LoRAs: {loras.written(tagged)}\n")
    if len(readings) > 1:
        sys.stdout.write(f"{len(readings)} prompts in one:\n")
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for reading in readings:
        for line in _lines(reading, coloured=coloured):
            sys.stdout.write(line + "\n")
    return OK


def _unclosed(prompt: str) -> Iterator[str]:
    number = num_unclosed(prompt)
    if number:
        what = "A bracket is" if number == 1 else f"{number} brackets are"
        yield f"{what} never closed: all that follows is weighed, and a number in it is text."


def _chosen(*steps: int | None) -> int:
    return next((count for count in steps if count is not None), _STEPS)


@dataclass(frozen=True, slots=True)
class Token:
    """One token, and how much it counts; `ends_word` is where the next begins another."""

    text: str
    id: int
    ends_word: bool
    weight: float


@dataclass(frozen=True, slots=True)
class Span:
    """What is said from one step to another, counted from 1, in chunks of tokens."""

    first_step: int
    last_step: int
    chunks: tuple[tuple[Token, ...], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How one prompt is read; `room` is how many tokens a chunk holds."""

    prompt: str
    room: int
    spans: tuple[Span, ...]


def _tokenizer(engine: EngineConfig, model: str | None) -> "PromptTokenizer":
    # Late: no other command needs a model's files without its weights.
    from sdxl_engine.checkpoint.checkpoint import Checkpoint  # noqa: PLC0415
    from sdxl_engine.checkpoint.embeddings import LearntWord, read_embeddings  # noqa: PLC0415
    from sdxl_engine.tokenizer import PromptTokenizer  # noqa: PLC0415

    own = model is None
    found = Checkpoint.find(
        engine.all_models[0] if model is None else model,
        revision=(engine.revision or None) if own else None,
        half=False,
    )
    learnt: list[LearntWord] = []
    if engine.embeddings is not None:
        learnt, _ = read_embeddings(engine.embeddings, found.config)
    return PromptTokenizer(found.home, found.config, learnt)


def _reading(tokenizer: "PromptTokenizer", prompt: str, steps: int) -> Reading:
    first, spans = 1, []
    for end, text in at_steps(prompt, steps):
        spans.append(Span(first, end, tuple(_chunks(tokenizer, text))))
        first = end + 1
    return Reading(prompt, tokenizer.max_tokens - 2, tuple(spans))


def _chunks(tokenizer: "PromptTokenizer", text: str) -> Iterator[tuple[Token, ...]]:
    chunks, ends = tokenizer.chunks(text, MAX_CHUNKS), set(tokenizer.empty()[0, 1:].tolist())
    # Both encoders read the same words, so the first tells all.
    for ids, weights in zip(chunks.token_ids[0].tolist(), chunks.weights[0].tolist(), strict=True):
        # Not at the first end: somebody may have written "<|endoftext|>", and more behind it.
        end = len(ids)
        while end > 1 and ids[end - 1] in ends:
            end -= 1
        yield tuple(
            Token(*tokenizer.spelled(0, token), weight)
            for token, weight in zip(ids[1:end], weights[1:end], strict=True)
        )


def _lines(reading: Reading, *, coloured: bool) -> Iterator[str]:
    yield one_line(reading.prompt, _SHOWN_CHARS)
    for span in reading.spans:
        indent = "  "
        if len(reading.spans) > 1:
            yield f"  steps {span.first_step} to {span.last_step}"
            indent = "    "
        for number, chunk in enumerate(span.chunks, start=1):
            of = f"chunk {number} of {len(span.chunks)}, " if len(span.chunks) > 1 else ""
            yield f"{indent}{of}{len(chunk)} of {reading.room} tokens"
            yield indent + "".join(_shown(chunk, coloured=coloured)).rstrip()


def _shown(chunk: Iterable[Token], *, coloured: bool) -> Iterator[str]:
    for token in chunk:
        # What a terminal would obey is shown as what it is.
        text = one_line(token.text, _SHOWN_CHARS)
        if token.weight != 1:
            text = f"{text}:{token.weight:.3g}"
            if coloured:
                below = (colour for most, colour in _COLOURS if token.weight <= most)
                text = f"{next(below, _HOTTEST)}{text}{_RESET}"
        yield text + (" " if token.ends_word else "·")


def _plain(value: object) -> str:
    return ":".join(f"{one:g}" for one in value) if isinstance(value, tuple) else str(value)
