"""One part, in a process of its own: `python -m benchmarks.gpu_check.part NAME`."""

import argparse
import importlib
import os
import sys
import time
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

from benchmarks.gpu_check.setting import FULL, TINY, Part, failure


def main() -> int:
    """Run the part; what it finds goes to stdout, a JSON object a line, all else to stderr."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    ends_s = time.monotonic() + arguments.seconds
    # Libraries print, too: their prints are not findings.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    part = Part(TINY if arguments.tiny else FULL, ends_s, channel)
    _do_without_pillow()
    try:
        importlib.import_module(f"benchmarks.gpu_check.{arguments.name}").run(part)
    except Exception as error:  # noqa: BLE001 - the report is where it is read
        part.tell(**failure(error))
        return 1
    return 0


def _do_without_pillow() -> None:
    """The engine opens and writes files with it, and imports it for that; nothing here does."""
    try:
        import PIL.Image  # noqa: F401, PLC0415 - only whether it is there
    except ImportError:
        nothing = MagicMock()
        nothing.__spec__ = ModuleSpec("PIL", None)  # transformers asks for it
        sys.modules |= {"PIL": nothing, "PIL.Image": nothing.Image}


if __name__ == "__main__":
    sys.exit(main())
