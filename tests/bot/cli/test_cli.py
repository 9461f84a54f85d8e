"""The command line: a sentence and an exit code for every mistake, and the real processes."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bot.cli.main import main
from standins.discord.loopback import LoopbackDiscord

ENVIRONMENT = {
    **{name: text for name, text in os.environ.items() if not name.startswith("IMAGINE_")},
    "JAX_PLATFORMS": "cpu",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without a config.toml, without a token."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["serve"], "There is no bot token"),
        (["serve", "--config", "absent.toml"], "There is no configuration file absent.toml"),
        (["draw", ""], "The prompt is empty"),
        (["draw", "p" * 4000], "The prompt is 4,000 characters long; the limit is 1,000"),
        (["draw", "a\u202eb"], "invisible control character"),
        (["draw", "x", "--guidance", "nan"], "The guidance must lie between 0 and 20, not nan"),
        (["draw", "x", "--steps", "0"], "The number of steps must lie between 1 and 50, not 0"),
        (["draw", "x", "--seed", "-1"], "The seed must lie between 0 and"),
        (["draw", "x", "--count", "11"], "The number of images must lie between 1 and 10, not 11"),
        (["draw", "x", "--size", "huge"], "'huge' is not a size"),
        (["draw", "x", "--size", "100x64"], "must be a multiple of 8 pixels, not 100"),
        (["draw", "x", "--out", "/dev/null/x"], "The folder /dev/null/x cannot be made"),
        (["playground", "--once", ""], "The prompt is empty"),
        (["playground", "--demo", "--steps", "99"], "between 1 and 50, not 99"),
        (["playground", "--seed", "4"], "add --once PROMPT or --demo"),
        (["playground", "--once", "x", "--out", "/dev/null/x"], "cannot be made"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_code_2(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert err.startswith("imagine: ")
    assert err.count("\n") == 1


def test_a_broken_configuration_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.toml").write_text("[engine]\nmodl = 1\n")
    assert main(["doctor"]) == 1
    assert main(["serve"]) == 2
    out, err = capsys.readouterr()
    assert "FAIL  config.toml has a key 'modl'" in out
    assert "config.toml has a key 'modl' in [engine]" in err


def test_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", "x", "--model", "./nothing-here"]) == 1
    assert "There is no model './nothing-here'" in capsys.readouterr().err


def test_a_taken_port_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["playground", "--port", str(port)]) == 1
    assert f"The port {port} is taken or not allowed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [[], ["dance"], ["draw"], ["playground", "--port", "70000"], ["playground", "--port", "abc"]],
)
def test_argparse_refuses_the_rest(argv: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(argv)


def test_doctor_as_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    assert not list(Path().iterdir())  # a check leaves nothing behind
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is True
    assert any("Model doodle" in finding["what"] for finding in report["findings"])


def test_doctor_finds_what_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").touch()
    monkeypatch.setenv("IMAGINE_STORAGE__FOLDER", "file")
    monkeypatch.setenv("IMAGINE_ENGINE__MODEL", "no-such-model")
    monkeypatch.setenv("DISCORD_TOKEN", "secret")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  The storage folder file cannot be written" in out
    assert "FAIL  There is no model 'no-such-model'" in out
    assert "warn  DISCORD_TOKEN does not look like a bot token" in out
    assert "secret" not in out


async def _started(*argv: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        *argv,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_ctrl_c_ends_a_compilation_at_once_and_without_a_trace() -> None:
    process = await _started("draw", "x")
    assert process.stderr is not None
    line = b""
    while not line.startswith(b"Compiling for"):
        line = await process.stderr.readline()
        assert line
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == -signal.SIGINT
    assert b"Traceback" not in err


def test_a_reader_that_leaves_costs_nobody_their_pictures() -> None:
    command = f"{sys.executable} -m bot draw several words --steps 1 --size 64x64 | head -n 1"
    said = subprocess.run(  # noqa: S602 - a pipe that breaks needs a shell
        command, shell=True, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("Compiled in")
    assert "Traceback" not in said.stderr
    pictures = sorted(Path("out").iterdir())
    assert [path.name for path in pictures] == ["0.png", "1.png", "2.png", "3.png"]
    with Image.open(pictures[0]) as picture:
        assert picture.text["parameters"].startswith("several words\n")


async def test_doctor_asks_discord_when_told_to() -> None:
    loopback = LoopbackDiscord()
    await loopback.start()
    environ = {
        **ENVIRONMENT,
        "IMAGINE_DISCORD__API_URL": loopback.api_url,
        "DISCORD_TOKEN": loopback.token,
    }
    code, out, _ = await run("doctor", "--online", environ=environ)
    assert "Discord answers and accepts the token." in out
    assert code == 0
    code, out, _ = await run("doctor", "--online", environ={**environ, "DISCORD_TOKEN": "no"})
    assert "FAIL  Discord does not accept the token." in out
    assert code == 1
    await loopback.close()


async def test_draw_prints_one_object_and_writes_its_pictures(tmp_path: Path) -> None:
    code, out, err = await run(
        "draw", "a red circle", "--steps", "2", "--count", "2", "--seed", "5", "--size", "64x64",
        "--out", "pictures", "--json",
    )  # fmt: skip
    assert code == 0, err
    result = json.loads(out)
    assert [(image["index"], image["seed"]) for image in result["images"]] == [(0, 5), (1, 5)]
    assert result["request"]["num_inference_steps"] == 2
    assert set(result["timings_s"]) == {"load", "compile", "inference", "encode"}
    assert "cpu" in result["device"]
    assert "Compiled in " in err
    assert "Inference in " in err
    for image in result["images"]:
        with Image.open(tmp_path / image["path"]) as picture:
            assert picture.size == (64, 64)
            assert picture.info["parameters"].startswith("a red circle\nSteps: 2")
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["0.png", "1.png"]


async def test_once_saves_four_different_pictures(tmp_path: Path) -> None:
    code, out, err = await run(
        "playground", "--once", "a red circle", "--steps", "2", "--size", "64x64", "--out", "out"
    )
    assert code == 0, err
    paths = out.splitlines()
    data = [(tmp_path / path).read_bytes() for path in paths]
    assert len(set(data)) == 4
    assert all(one.startswith(b"\x89PNG") for one in data)


async def test_serve_stops_cleanly_and_the_next_one_goes_on(tmp_path: Path) -> None:
    loopback = LoopbackDiscord()
    await loopback.start()
    environ = {
        **ENVIRONMENT,
        "DISCORD_TOKEN": loopback.token,
        "IMAGINE_DISCORD__API_URL": loopback.api_url,
        "IMAGINE_DISCORD__GATEWAY_URL": loopback.gateway_url,
        "IMAGINE_ENGINE__SIZES": "192x192",  # slow enough to be stopped while it is drawn
        "IMAGINE_JOBS__SHUTDOWN_GRACE_S": "60",
        "IMAGINE_HEALTH__PORT": "0",
    }
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
        waiting = await loopback.slash("imagine", {"prompt": "waits", "seed": 9})
        await running.until(lambda message: " of 50" in message["content"])
        process.send_signal(signal.SIGTERM)
        await running.until(lambda message: len(message["attachments"]) == 4)
        await waiting.until(lambda message: "Your place in line is kept" in message["content"])
        await ended(process)
        await loopback.wait_offline()

        process = await serve()
        await waiting.until(lambda message: len(message["attachments"]) == 4)
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
        await loopback.close()


START_ANEW = """
import os, sys, threading
from bot.cli import start_anew

if "INHERITED" in os.environ:
    try:
        os.fstat(int(os.environ["INHERITED"]))
    except OSError:
        print("clean", *sys.argv[1:])
    sys.exit()
reader, _ = os.pipe()
os.set_inheritable(reader, True)
os.environ["INHERITED"] = str(reader)
threading.Thread(target=threading.Event().wait, daemon=True).start()
start_anew()
"""


def test_a_process_whose_device_hangs_starts_anew_without_what_it_held() -> None:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", START_ANEW, "as", "before"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "clean as before\n"


async def test_serve_stops_while_it_is_still_loading() -> None:
    loopback = LoopbackDiscord()
    await loopback.start()
    process = await start(
        "serve",
        environ={
            **ENVIRONMENT,
            "DISCORD_TOKEN": loopback.token,
            "IMAGINE_DISCORD__API_URL": loopback.api_url,
            "IMAGINE_DISCORD__GATEWAY_URL": loopback.gateway_url,
        },
    )
    await loopback.wait_ready()
    process.send_signal(signal.SIGTERM)
    _, err = await process.communicate()
    await loopback.close()
    assert process.returncode == 0
    assert b"Traceback" not in err


async def test_serve_with_a_wrong_token_says_so() -> None:
    loopback = LoopbackDiscord()
    await loopback.start()
    code, _, err = await run(
        "serve",
        environ={
            **ENVIRONMENT,
            "DISCORD_TOKEN": "wrong",
            "IMAGINE_DISCORD__API_URL": loopback.api_url,
            "IMAGINE_DISCORD__GATEWAY_URL": loopback.gateway_url,
        },
    )
    await loopback.close()
    assert code == 2
    assert "imagine: Discord does not accept the bot's token." in err
    assert "Traceback" not in err


async def run(*argv: str, environ: dict[str, str] | None = None) -> tuple[int | None, str, str]:
    process = await start(*argv, environ=environ)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def start(*argv: str, environ: dict[str, str] | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        *argv,
        env=ENVIRONMENT if environ is None else environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def test_a_tpu_that_nobody_knows_is_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--tpu", "v99:2x2"]) == 2
    assert "imagine: There is no TPU 'v99:2x2'." in capfd.readouterr().err
