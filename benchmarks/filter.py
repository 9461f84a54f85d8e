"""How long does the prompt filter take a prompt, with many terms? And how long to compile them?

    .venv/bin/python benchmarks/filter.py [--terms 5000] [--rounds 2000]

Prompts of a line, prompts of 2,000 characters and the longest there are, of words that people use,
with weights, numbers and hyphens among them; the same disguised; and the terms beside the starter
list, made of syllables, with twenty regular expressions among them.
"""

import argparse
import random
import statistics
import time

from bot.core.verdict import Term
from bot.moderation.lists import STARTER, read_terms
from bot.moderation.prompt_filter import ListFilter
from sdxl_engine.request import MAX_PROMPT_CHARS

WORDS = (
    "masterpiece, best quality, a girl in the forest, cinematic lighting, 8k, (detailed face:1.2), "
    "summer meadow, blue hair, [blurry], volumetric light, 35mm photograph, f/1.8, trending, café, "
    "a cup of coffee, wooden table, rain-soaked street, neon signs, portrait of an old sailor, "
    "self-portrait, bees, moon, balloon, tall grass, mountain pass, {red|green} apple, misty hills"
)
RUSSIAN = "девушка в лесу, мягкий свет, старая книга на столе, зимний вечер, город на море"
HOSTILE = "{a|b}" * 4 + "x[y|z] BREAK n*d* " * 200
SYLLABLES = "ka ro mi tel ban dus for gri pen lo sha vek tor nim ula"


def prompt(chars: int, words: str, chance: random.Random) -> str:
    """A prompt of about so many characters."""
    text = ""
    while len(text) < chars:
        text += chance.choice(words.split()) + " "
    return text[:chars]


def disguised(text: str) -> str:
    """The text with a dot behind each letter."""
    return ".".join(text)


def times_ms(prompts: list[str], terms: tuple[Term, ...], prompt_filter: ListFilter) -> str:
    """Half of them, 99 of 100 and all take at most so long."""
    taken = []
    for one in prompts:
        started = time.thread_time()
        prompt_filter.findings({"prompt": one}, terms)
        taken.append((time.thread_time() - started) * 1e3)
    hundredths = statistics.quantiles(taken, n=100)
    return f"{hundredths[49]:8.3f} {hundredths[98]:8.3f} {max(taken):8.3f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--terms", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=2_000)
    args = parser.parse_args()
    chance = random.Random(1)  # noqa: S311 - prompts, not secrets
    made: dict[str, None] = {}
    while len(made) < args.terms - 20:
        made["".join(chance.choices(SYLLABLES.split(), k=chance.randint(2, 5)))] = None
    regexes = (Term(f"{word}[0-9]+(ing|ed)?", "regex") for word in list(made)[:20])
    terms = (*map(Term, made), *regexes)
    prompt_filter = ListFilter(read_terms(STARTER))
    started = time.thread_time()
    prompt_filter.findings({"prompt": "a cat"}, terms)
    print(
        f"compiling {len(terms):,} terms and the starter list: {time.thread_time() - started:.3f} s"
    )
    print(f"{'milliseconds':34} {'p50':>8} {'p99':>8} {'max':>8}")
    kinds = {
        "a line, 120 characters": [prompt(120, WORDS, chance) for _ in range(args.rounds)],
        "2,000 characters": [prompt(2_000, WORDS, chance) for _ in range(args.rounds)],
        "2,000 characters of Russian": [prompt(2_000, RUSSIAN, chance) for _ in range(args.rounds)],
        "the longest": [prompt(MAX_PROMPT_CHARS, WORDS, chance) for _ in range(args.rounds)],
        "120 characters, dots between": [
            disguised(prompt(60, WORDS, chance)) for _ in range(args.rounds)
        ],
        "2,000 characters, dots between": [
            disguised(prompt(1_000, WORDS, chance)) for _ in range(args.rounds)
        ],
        "the longest, hostile braces": [HOSTILE] * (args.rounds // 10),
    }
    for name, prompts in kinds.items():
        print(f"{name:34} {times_ms(prompts, terms, prompt_filter)}")


if __name__ == "__main__":
    main()
