"""The two wings stay apart: nothing under bot/ brings jax."""

import subprocess
import sys

# A None in sys.modules makes every import of that name fail.
IMPORT_ALL = """
import sys
for name in ("jax", "jaxlib", "flax", "transformers"):
    sys.modules[name] = None
import importlib, pkgutil, bot
for module in pkgutil.walk_packages(bot.__path__, "bot."):
    # The first runs the command line, the other is for Ray to import.
    if module.name not in {"bot.__main__", "bot.engines.pool.routing"}:
        importlib.import_module(module.name)
print("ok")
"""


def test_the_bot_imports_without_jax() -> None:
    result = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False
    )
    assert result.stdout == "ok\n", result.stderr
