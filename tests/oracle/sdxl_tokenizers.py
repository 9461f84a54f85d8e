"""Both tokenizers of SDXL from CLIP's vocabulary, as they come with the package.

    .venv/bin/python tests/oracle/sdxl_tokenizers.py bpe_simple_vocab_16e6.txt.gz

The vocabulary (MIT, see sdxl_engine/sdxl_base/TOKENIZERS) is in the wheel of open_clip_torch. Its
tokens are 256 bytes, the same at the end of a word, a token a merge, and two that begin and end a
text: 49,408 (open_clip/tokenizer.py). The two tokenizers differ in what they pad with.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Final

BASE: Final = Path(__file__).parents[2] / "sdxl_engine" / "sdxl_base"
START, END = "<|startoftext|>", "<|endoftext|>"
TOKENS: Final = 49_408
PADDING: Final = {"tokenizer": END, "tokenizer_2": "!"}


def bytes_in_letters() -> list[str]:
    """A printable letter for each of the 256 bytes, the printable ones first (GPT-2's table)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    printable += range(ord("®"), ord("ÿ") + 1)
    others = len(set(range(256)) - set(printable))
    return [chr(code) for code in [*printable, *range(256, 256 + others)]]


def write(merges: list[str]) -> None:
    """Write both folders."""
    letters = bytes_in_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += [merge.replace(" ", "") for merge in merges]
    tokens += [START, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    assert len(vocabulary) == TOKENS
    for folder, padding in PADDING.items():
        names = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": padding}
        special = {str(vocabulary[name]): name for name in {START, END, padding}}
        facts = dict.fromkeys(("lstrip", "rstrip", "single_word"), False)
        config = {
            "add_prefix_space": False,
            "added_tokens_decoder": {
                number: {"content": special[number], **facts, "normalized": True, "special": True}
                for number in sorted(special, key=int)
            },
            **names,
            "do_lower_case": True,
            "errors": "replace",
            "model_max_length": 77,
            "tokenizer_class": "CLIPTokenizer",
        }
        place = BASE / folder
        place.mkdir(exist_ok=True)
        short = json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":"))
        (place / "vocab.json").write_text(short + "\n", encoding="utf-8")
        text = "\n".join(["#version: 0.2", *merges])
        (place / "merges.txt").write_text(text + "\n", encoding="utf-8")
        for name, content in (("tokenizer_config", config), ("special_tokens_map", names)):
            (place / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    lines = gzip.decompress(Path(sys.argv[1]).read_bytes()).decode().split("\n")
    write(lines[1 : TOKENS - 512 - 2 + 1])
