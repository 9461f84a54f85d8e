"""A small tokenizer in CLIP's format, made from a list of words.

CLIP's own tokenizer (a table of 49,408 tokens) is lower-casing, byte-level BPE with `</w>` at the
end of a word. This one differs in its table alone: every given word is one token, and any
other text falls into pieces, down to single bytes, so nothing is unknown.

    python training/clip_tokenizer.py FOLDER WORD...      writes one and shows the ids of the words
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

from transformers import CLIPTokenizer

START: Final = "<|startoftext|>"
END: Final = "<|endoftext|>"
END_OF_WORD: Final = "</w>"

Word = tuple[str, ...]
"""A word as the tokens it is made of so far."""
Pair = tuple[str, str]


def write_tokenizer(folder: Path, words: Iterable[str], *, pad_token: str, max_length: int) -> int:
    """Write vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json.

    folder      made if missing
    words       each becomes one token; case, order and repetition do not matter
    pad_token   "<|endoftext|>" for SDXL's first tokenizer, "!" for its second
    max_length  tokens of a padded prompt, start and end included; 77 for SDXL

    The ids are CLIP's: 256 bytes from "!" = 0, the same at the end of a word, the merges, the start
    token, and the end token last, which the text encoders rely on (they look for the largest id).
    The same words always give the same bytes.

    Returns the size of the vocabulary.
    """
    alphabet = list(_byte_symbols().values())
    merges = _merges(_split(word) for word in set(_words(words)))
    tokens = [*alphabet, *(symbol + END_OF_WORD for symbol in alphabet)]
    # Two different pairs may make the same token, such as a + bc and ab + c.
    tokens += [*dict.fromkeys(left + right for left, right in merges), START, END]
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad_token}
    marks = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    added = {
        str(tokens.index(token)): {"content": token, **marks, "special": True}
        for token in dict.fromkeys(special.values())
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "vocab.json", {token: place for place, token in enumerate(tokens)})
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "added_tokens_decoder": dict(sorted(added.items(), key=lambda item: int(item[0]))),
            **special,
            "clean_up_tokenization_spaces": True,
            "do_lower_case": True,
            "errors": "replace",
            "model_max_length": max_length,
            "tokenizer_class": "CLIPTokenizer",
        },
    )
    _write_json(folder / "special_tokens_map.json", special)
    return len(tokens)


def _words(words: Iterable[str]) -> Iterable[str]:
    """The words as CLIP's tokenizer sees them: lower case, cut where it cuts a text."""
    # An empty table suffices: normaliser and pre-tokenizer do not look at it.
    backend = CLIPTokenizer().backend_tokenizer
    for word in words:
        text = backend.normalizer.normalize_str(word)
        for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text):
            yield piece


def _split(word: str) -> Word:
    return (*word[:-1], word[-1] + END_OF_WORD)


def _merges(words: Iterable[Word]) -> list[Pair]:
    """Byte-pair encoding, carried on until each of the words is one token.

    The commonest pair is merged first; among equally common ones the first in code point order, so
    that the result depends on the words alone.
    """
    ranks: dict[Pair, int] = {}
    unfinished = {word for word in words if len(word) > 1}
    while unfinished:
        counts = Counter(pair for word in unfinished for pair in pairwise(word))
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        ranks[best] = len(ranks)
        encoded = (_encode(word, ranks) for word in unfinished)
        unfinished = {word for word in encoded if len(word) > 1}
    return list(ranks)


def _encode(word: Word, ranks: dict[Pair, int]) -> Word:
    """Merge as the finished tokenizer will: always the pair of lowest rank, the leftmost first."""
    while known := [(ranks[pair], i) for i, pair in enumerate(pairwise(word)) if pair in ranks]:
        _, place = min(known)
        word = (*word[:place], word[place] + word[place + 1], *word[place + 2 :])
    return word


def _byte_symbols() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte, in the order in which CLIP numbers them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {
        **{byte: chr(byte) for byte in printable},
        **{byte: chr(256 + place) for place, byte in enumerate(others)},
    }


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Write a tokenizer, read it back, and show what it makes of each word."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("words", nargs="+")
    parser.add_argument("--pad-token", default=END)
    parser.add_argument("--max-length", type=int, default=77)
    arguments = parser.parse_args()
    size = write_tokenizer(
        arguments.folder,
        arguments.words,
        pad_token=arguments.pad_token,
        max_length=arguments.max_length,
    )
    tokenizer = CLIPTokenizer.from_pretrained(arguments.folder)
    print(f"{size} tokens")
    for word in arguments.words:
        print(f"{word}\t{tokenizer(word).input_ids}")


if __name__ == "__main__":
    main()
