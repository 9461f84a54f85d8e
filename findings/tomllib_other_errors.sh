#!/usr/bin/env bash
# tomllib (Python 3.11.7; the standard library, so nothing is installed) raises other errors than its
# TOMLDecodeError for text that is TOML by its grammar: a plain ValueError for a whole number of more
# than 4,300 digits, which Python refuses to read, and a RecursionError for brackets in brackets. "It
# raises TOMLDecodeError for whatever is wrong" is what one remembers.
#
# Seen: 5,000 digits -> ValueError, not TOMLDecodeError; 5,000 brackets, closed -> RecursionError.
#
# What it means for a program: whoever catches TOMLDecodeError alone shows people a traceback for a key
# that a cat has walked over. Catch ValueError and RecursionError as well, after it.
set -euo pipefail
python3 - <<'PYTHON'
import sys
import tomllib


def raised(text: str) -> str:
    try:
        tomllib.loads(text)
    except Exception as error:
        return type(error).__name__
    return "nothing"


seen = [raised("a = " + "9" * 5_000), raised("a = " + "[" * 5_000 + "]" * 5_000)]
print(sys.version.split()[0], seen)
assert seen == ["ValueError", "RecursionError"], seen
PYTHON
