"""The engines of several bots, in processes of their own, which can be killed as well."""

import asyncio
import os
import random
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from bot.engines.pool.cluster import TOKEN_VARIABLE

_REPLICA: Final = b"ray::ServeReplica:imagine:engine"
_CALM_S: Final = (2.0, 8.0)  # between two engines that die
# Of the bots alone: Ray says much of what is killed, and this is about what people see.
_QUIET: Final = {"RAY_LOG_TO_STDERR": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


class Engines:
    """So many of them, on a cluster that only who has its token reaches."""

    def __init__(self, engines: int) -> None:
        self._engines = engines
        self.killed = 0
        self.environ: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        token = {TOKEN_VARIABLE: secrets.token_hex(32), "RAY_AUTH_MODE": "token", **_QUIET}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bot.killing.engines",
            str(self._engines),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **token},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"0\n")  # none is stuck, however busy the machine is
        address = (await self._process.stdout.readline()).decode().strip()
        self.environ = {**token, "POOL_ADDRESS": address}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._process.communicate(b"")  # nothing, and the end of it

    async def keep_dying(self, chance: random.Random) -> None:
        """Kill one after the other; Ray Serve starts another each time."""
        while True:
            await asyncio.sleep(chance.uniform(*_CALM_S))
            there = list(self._replicas())
            if there:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(there), signal.SIGKILL)
                    self.killed += 1

    def _replicas(self) -> Iterator[int]:
        """Their processes, and nobody else's."""
        parents: dict[int, int] = {}
        engines: list[int] = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    stat = (folder / "stat").read_text().rpartition(")")[2].split()
                    parents[int(folder.name)] = int(stat[1])
                    if (folder / "cmdline").read_bytes().startswith(_REPLICA):
                        engines.append(int(folder.name))
        for pid in engines:
            above = pid
            while above in parents and above != self._process.pid:
                above = parents[above]
            if above == self._process.pid:
                yield pid
