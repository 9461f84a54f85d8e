"""What a command's exit code says."""

from typing import Final

OK: Final = 0
FAILED: Final = 1
WRONG_INPUT: Final = 2  # asking the same again cannot help
