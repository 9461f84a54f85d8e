"""The hooks before a commit call the tools that `make check` calls."""

import shlex
import sys
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # PyYAML brings no types

ROOT = Path(__file__).parents[2]


def test_every_hook_calls_a_tool_of_this_environment() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    [repository] = yaml.safe_load(text)["repos"]
    assert repository["repo"] == "local"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        program, *arguments = shlex.split(hook["entry"])
        tool = Path(program)
        assert tool.parent == Path(".venv/bin")
        assert Path(sys.executable).with_name(tool.name).exists()
        command = " ".join([tool.name, *(one for one in arguments if not one.startswith("--"))])
        assert f"$(VENV)/bin/{command}" in makefile
