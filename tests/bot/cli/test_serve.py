"""`imagine serve` as a process: how it begins, and how it ends."""

import asyncio
import importlib.util
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from standins.discord.components import files_of, text_of
from standins.discord.loopback import LoopbackDiscord
from tests.bot.cli.conftest import ENVIRONMENT, run, start
from tests.bot.ledgers.databases import server
from tests.sdxl_engine.marks.authority import DAY, elliptic, write_chain, write_key


@pytest.fixture
async def loopback() -> AsyncIterator[LoopbackDiscord]:
    server = LoopbackDiscord()
    await server.start()
    yield server
    await server.close()


def environ_of(loopback: LoopbackDiscord, **more: str) -> dict[str, str]:
    return {
        **ENVIRONMENT,
        "DISCORD_TOKEN": loopback.token,
        "IMAGINE_DISCORD__API_URL": loopback.api_url,
        "IMAGINE_DISCORD__GATEWAY_URL": loopback.gateway_url,
        "IMAGINE_HEALTH__PORT": "0",
        **more,
    }


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(dict, id="file"),
        pytest.param(
            lambda: {"IMAGINE_STORAGE__DATABASE": server().new_database()},
            id="postgres",
            marks=pytest.mark.scale,
        ),
    ],
)
async def test_it_stops_cleanly_and_the_next_one_goes_on(
    loopback: LoopbackDiscord, more: Callable[[], dict[str, str]]
) -> None:
    environ = environ_of(
        loopback,
        **more(),
        IMAGINE_ENGINE__SIZES="64x64",  # in fifty steps slow enough to be stopped in the middle
        IMAGINE_JOBS__SHUTDOWN_GRACE_S="600",  # however busy the machine is
    )
    processes = []

    async def serve() -> asyncio.subprocess.Process:
        processes.append(await start("serve", environ=environ))
        await loopback.wait_ready()
        return processes[-1]

    async def ended(process: asyncio.subprocess.Process) -> None:
        _, err = await process.communicate()
        assert process.returncode == 0
        assert b"Traceback" not in err
        assert loopback.token.encode() not in err

    try:
        process = await serve()
        await loopback.wait_commands()
        running = await loopback.slash("imagine", {"prompt": "runs", "steps": 50})
        await running.until(lambda message: bool(text_of(message)))  # it is taken in
        waiting = await loopback.slash("imagine", {"prompt": "waits", "seed": 9, "steps": 1})
        await running.until(lambda message: " of 50" in text_of(message))
        process.send_signal(signal.SIGTERM)
        await running.until(lambda message: len(files_of(message)) == 4)
        await waiting.until(lambda message: "Your place in the queue is kept" in text_of(message))
        await ended(process)
        await loopback.wait_offline()

        process = await serve()
        await waiting.until(lambda message: len(files_of(message)) == 4)
        code, out, _ = await run("jobs", "list", environ=environ)
        assert code == 0
        assert [line.split()[1] for line in out.splitlines()[1:]] == ["delivered"] * 2
        code, out, _ = await run("backup", "copy", environ=environ)
        assert (code, out) == (0, "Copied 2 jobs and 8 pictures to copy.\n")
        process.send_signal(signal.SIGTERM)
        await ended(process)
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.communicate()


@pytest.mark.scale
@pytest.mark.timeout(600)  # a whole cluster is begun, and in its engine the model
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="make setup-scale")
async def test_with_engines_of_its_own_on_ray_it_draws_and_stops_cleanly(
    loopback: LoopbackDiscord,
) -> None:
    environ = environ_of(loopback, IMAGINE_ENGINE__SIZES="64x64", IMAGINE_ENGINE__POOL="ray")
    process = await start("serve", environ=environ)
    try:
        await loopback.wait_ready()
        await loopback.wait_commands()
        asked = await loopback.slash("imagine", {"prompt": "a red circle", "steps": 1})
        await asked.until(lambda message: len(files_of(message)) == 4)
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
        assert process.returncode == 0
        assert b"Traceback" not in err
        assert loopback.token.encode() not in err
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, 'Set [engine] pool to "ray"'),
        ({"IMAGINE_ENGINE__POOL": "ray"}, "[pool] address is empty"),
    ],
)
async def test_a_part_of_a_pool_that_is_none_is_a_sentence(
    loopback: LoopbackDiscord, more: dict[str, str], said: str
) -> None:
    code, _, err = await run("serve", "--role", "bot", environ=environ_of(loopback, **more))
    assert code == 2
    assert said in err
    assert "Traceback" not in err


async def test_it_stops_while_it_is_still_loading(loopback: LoopbackDiscord) -> None:
    process = await start("serve", environ=environ_of(loopback))
    await loopback.wait_ready()
    process.send_signal(signal.SIGTERM)
    _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err


async def test_with_a_wrong_token_it_says_so(loopback: LoopbackDiscord) -> None:
    code, _, err = await run("serve", environ=environ_of(loopback, DISCORD_TOKEN="wrong"))
    assert code == 2
    assert "imagine: Discord does not accept the bot's token." in err
    assert "Traceback" not in err


async def test_a_certificate_that_expired_is_said_before_anything_is_loaded(
    loopback: LoopbackDiscord, tmp_path: Path
) -> None:
    key = elliptic()
    environ = environ_of(
        loopback,
        IMAGINE_MARKS__CERTIFICATE=str(write_chain(tmp_path / "chain", key, ends=-DAY / 2)),
        IMAGINE_MARKS__PRIVATE_KEY=str(write_key(tmp_path / "key", key)),
    )
    for command in (["serve"], ["draw", "a cat"]):
        code, _, err = await run(*command, environ=environ)
        assert code == 2
        assert "expired on" in err
        assert "PRIVATE KEY" not in err
        assert "Compiling" not in err


@pytest.fixture
def picture() -> Path:
    """What remains of a folder whose ledger is gone."""
    path = Path("data/images/abcdefgh/abcdefgh_0.png")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"png")
    return path


async def test_a_ledger_that_is_gone_is_made_anew_only_when_told(
    loopback: LoopbackDiscord, picture: Path
) -> None:
    code, _, err = await run("serve", environ=environ_of(loopback))
    assert code == 1
    assert "start once with --start-empty" in err
    assert "Traceback" not in err
    process = await start("serve", "--start-empty", environ=environ_of(loopback))
    await loopback.wait_ready()
    process.send_signal(signal.SIGTERM)
    _, said = await process.communicate()
    assert process.returncode == 0
    assert b"Begun with an empty one, as asked; what was left is in" in said
    assert not await asyncio.to_thread(picture.exists)
