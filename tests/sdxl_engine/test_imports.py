"""What importing does, and what it leaves alone."""

import json
import subprocess
import sys
from typing import Any

# jax sets TPU_SKIP_MDS_QUERY when it is imported where no TPU is: that is its own affair. A None in
# sys.modules makes an import fail: with libtpu jax would set more.
IMPORT_ALL = """
import sys
sys.modules["libtpu"] = None
import jax
import importlib, json, os, pkgutil
import bot, sdxl_engine
# The command line, which runs, and what Ray Serve imports, which needs not be here.
others = {"bot.__main__", "bot.engines.pool.routing"}
before = dict(os.environ)
for package in (bot, sdxl_engine):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name not in others:
            importlib.import_module(module.name)
print(json.dumps(sorted(set(before.items()) ^ set(os.environ.items()))))
"""
IMPORT_PACKAGE = """
import json, sys
import sdxl_engine
print(json.dumps(sorted(sys.modules)))
"""


def run(script: str) -> Any:  # what the script prints as JSON
    done = subprocess.run(  # noqa: S603 - the texts above
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={},  # what is set already would hide that it is set again
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_every_module_leaves_the_environment_as_it_was() -> None:
    assert run(IMPORT_ALL) == []


def test_the_package_alone_brings_nothing_heavy() -> None:
    modules = set(run(IMPORT_PACKAGE))
    assert "sdxl_engine.request" in modules
    assert not modules & {"jax", "flax", "numpy", "PIL", "transformers", "huggingface_hub"}
