"""A command line somewhere else, and the command line as a process."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ENVIRONMENT: Mapping[str, str] = {
    **{name: text for name, text in os.environ.items() if not name.startswith("IMAGINE_")},
    "JAX_PLATFORMS": "cpu",
    # Seconds of compiling that no test of a process looks at.
    "IMAGINE_ENGINE__PROMPT_CHUNKS": "1",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without a config.toml, without a token."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)


async def start(*argv: str, environ: Mapping[str, str] = ENVIRONMENT) -> asyncio.subprocess.Process:
    """`imagine` with these words, as a process."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        *argv,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*argv: str, environ: Mapping[str, str] = ENVIRONMENT) -> tuple[int | None, str, str]:
    """Its exit code, its standard output, its standard error."""
    process = await start(*argv, environ=environ)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()
