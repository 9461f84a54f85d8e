"""The command line, and the only module that knows both wings: it hands each the other's parts."""

import argparse
import asyncio
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from bot.app import Service
from bot.cli import jobs as operator
from bot.cli.doctor import Examination, examine
from bot.cli.draw import Drawing, OnBytes, draw
from bot.cli.playground import Visit, run_playground
from bot.config.reading import (
    TOKEN_VARIABLE,
    Config,
    EngineConfig,
    StorageConfig,
    discord_token,
    load_config,
)
from bot.errors import BotError, ConfigError, EngineStuckError, LoginError, OutputError
from bot.homes.discord.sync import CommandRecord
from bot.operations import log as logs
from bot.operations.backup import backup
from bot.shared.files import output_folder
from sdxl_engine import (
    EngineError,
    ImageRequest,
    InvalidRequestError,
    format_size,
    parse_size,
)
from sdxl_engine.request import DEFAULT_SAMPLER, MAX_SEED, SAMPLERS, SPACINGS

if TYPE_CHECKING:
    from sdxl_engine import SdxlPipeline

log = logging.getLogger(__name__)

OK: Final = 0
FAILED: Final = 1
WRONG_INPUT: Final = 2  # as argparse: asking the same again cannot help

_WRONG_INPUT_ERRORS: Final = (ConfigError, InvalidRequestError, LoginError, OutputError)
_ENGINE_THREAD: Final = "engine"  # as EngineThread names it
_SECONDS_PER_LINE: Final = 2.0
_DEMO_PROMPT: Final = "a red circle on a blue background"

OnStop = Callable[[asyncio.Event], Coroutine[None, None, None]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 done, 1 it failed, 2 what was asked or configured cannot be done.
    """
    code = _run(argv)
    if argv is None and any(thread.name == _ENGINE_THREAD for thread in threading.enumerate()):
        # The engine hangs in a device call or a compilation. Leaving in the ordinary way would
        # tear the runtime down under it, which crashes; everything of ours is closed already.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    return code


def _run(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except (BotError, EngineError) as error:
        log.debug("the trace", exc_info=True)
        _complain(str(error))
        return WRONG_INPUT if isinstance(error, _WRONG_INPUT_ERRORS) else FAILED
    except BrokenPipeError:  # whoever read our output has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # the last place where it can become a sentence
        log.debug("the trace", exc_info=True)
        _complain(
            f"Something unexpected failed: {type(error).__name__}: {error}. "
            "IMAGINE_LOG__LEVEL=debug shows where."
        )
        return FAILED
    return code


def _serve(args: argparse.Namespace) -> int:
    config = load_config(args.config, os.environ)
    token = discord_token(os.environ)
    logs.set_up(config.log, secret=token)
    record = CommandRecord(config.storage.folder / "commands.json")
    service = Service(config, token, lambda: _start_pipeline(config), record, config.storage.folder)
    try:
        return _run_until_stopped(service.run)
    except EngineStuckError as error:
        log.critical("%s", error)
        start_anew()


def start_anew() -> NoReturn:
    """Take this process' place with the same command: nothing else ends a thread that hangs."""
    logging.shutdown()
    sys.stdout.flush()
    # A device's driver opens files of its own; one that stays open keeps the device taken.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command


def _jobs(args: argparse.Namespace) -> int:
    config = load_config(args.config, os.environ)
    logs.set_up(config.log)
    done = operator.work(args, config.storage.folder)
    return OK if done else FAILED


def _backup(args: argparse.Namespace) -> int:
    config = load_config(args.config, os.environ)
    logs.set_up(config.log)
    sys.stdout.write(backup(config.storage.folder, args.folder) + "\n")
    return OK


def _playground(args: argparse.Namespace) -> int:
    config = load_config(args.config, os.environ)
    logs.set_up(config.log)
    prompt = args.once if args.once is not None else _DEMO_PROMPT if args.demo else None
    if prompt is not None:
        # What is wrong with the options is found before anything is loaded.
        request = _request(args, config.engine, prompt, config.engine.images_per_request)
        output_folder(args.out)
    elif any(value is not None for value in _asked_for(args)):
        raise InvalidRequestError(
            "Those options say what to ask for, and nobody asks: add --once PROMPT or --demo."
        )
    port = args.port
    if port is None:
        port = 0 if args.once is not None else config.playground.port
    config = replace(config, playground=replace(config.playground, port=port))
    if args.size is not None:
        config = replace(config, engine=replace(config.engine, sizes=(parse_size(args.size),)))
    visit = Visit(
        options=None if prompt is None else _options(args, request),
        folder=args.out,
        stay=args.once is None and (not args.demo or sys.stdout.isatty()),
        show_address=args.once is None,
    )
    return _run_until_stopped(
        lambda stop: run_playground(config, visit, lambda: _start_pipeline(config), stop)
    )


def _draw(args: argparse.Namespace) -> int:
    config = load_config(args.config, os.environ)
    logs.set_up(replace(config.log, level=max(config.log.level, "warning", key=_severity)))
    engine = config.engine
    if args.model is not None:
        engine = replace(engine, model=args.model, revision="")
    count = engine.images_per_request if args.count is None else args.count
    request = _request(args, engine, " ".join(args.prompt), count)
    draw(
        Drawing(request, args.size is not None, args.out, args.json),
        engine,
        lambda engine, on_bytes: _load_pipeline(engine, config.storage, on_bytes),
    )
    return OK


def _doctor(args: argparse.Namespace) -> int:
    if args.tpu is not None:
        # In a process of its own: it takes jax with other settings than any drawing does.
        command = [sys.executable, "-m", "sdxl_engine.forecast.tpu", args.tpu]
        command += [] if args.size is None else ["--size", args.size]
        command += ["--json"] if args.json else []
        return subprocess.run(command, check=False).returncode  # noqa: S603 - our own module
    examination = Examination(
        config_path=args.config, environ=os.environ, online=args.online, as_json=args.json
    )
    return OK if examine(examination) else FAILED


def _request(
    args: argparse.Namespace, engine: EngineConfig, prompt: str, count: int
) -> ImageRequest:
    width_px, height_px = parse_size(args.size) if args.size is not None else (1024, 1024)
    return ImageRequest(
        prompt=prompt,
        negative_prompt=args.negative,
        seed=secrets.randbelow(MAX_SEED + 1) if args.seed is None else args.seed,
        num_inference_steps=engine.default_steps if args.steps is None else args.steps,
        guidance_scale=engine.default_guidance if args.guidance is None else args.guidance,
        width_px=width_px,
        height_px=height_px,
        num_images=count,
        sampler=args.sampler or DEFAULT_SAMPLER,
        spacing=args.spacing,
    )


def _asked_for(args: argparse.Namespace) -> tuple[object, ...]:
    return args.negative, args.seed, args.steps, args.guidance, args.sampler, args.spacing


def _options(args: argparse.Namespace, request: ImageRequest) -> dict[str, object]:
    options: dict[str, object] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "seed": request.seed,
        "steps": request.num_inference_steps,
        "guidance": request.guidance_scale,
        "sampler": args.sampler,
        "spacing": args.spacing,
        "size": format_size(request.width_px, request.height_px) if args.size else None,
    }
    return {name: value for name, value in options.items() if value is not None}


def _load_pipeline(
    engine: EngineConfig, storage: StorageConfig, on_bytes: OnBytes
) -> "SdxlPipeline":
    # Both bring jax: only where a pipeline is loaded.
    from sdxl_engine import SdxlPipeline  # noqa: PLC0415
    from sdxl_engine.programs.cache import use_program_cache  # noqa: PLC0415

    use_program_cache(storage.folder / "programs")
    return SdxlPipeline.load(
        engine.model, revision=engine.revision or None, dtype=engine.dtype, on_progress=on_bytes
    )


def _start_pipeline(config: Config) -> "SdxlPipeline":
    """Load and compile, telling the log how far it is; runs on the engine thread."""
    engine = config.engine
    next_line_s = time.monotonic() + _SECONDS_PER_LINE

    def on_bytes(done: int, total: int) -> None:
        nonlocal next_line_s
        if time.monotonic() >= next_line_s:
            next_line_s = time.monotonic() + _SECONDS_PER_LINE
            log.info("loading %s: %d %%", engine.model_name, 100 * done // max(total, 1))

    log.info("loading %s", engine.model_name)
    pipeline = _load_pipeline(engine, config.storage, on_bytes)
    log.info("compiling for %s", pipeline.device)
    seconds = pipeline.warm_up(engine.sizes, num_images=engine.images_per_request)
    log.info("Compiled in %.2f s", seconds)
    return pipeline


def _run_until_stopped(run: OnStop) -> int:
    """Run until it ends or the process is told to stop; a second signal ends it at once."""

    async def supervised() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        def on_signal(number: signal.Signals) -> None:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
            log.info("%s: stopping; once more stops at once", number.name)
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal, number)
        await run(stop)

    asyncio.run(supervised())
    return OK


def _severity(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _complain(sentence: str) -> None:
    sys.stderr.write(f"imagine: {sentence}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imagine",
        description="A Discord bot that draws: /imagine in, four pictures out.",
        epilog="Every key of config.toml can be set as IMAGINE_<SECTION>__<KEY>; the bot's token "
        f"only as {TOKEN_VARIABLE}.",
    )
    parser.add_argument("--version", action="version", version=version("imagine-bot"))
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], about: str) -> _Parser:
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(run=run)
        command.add_argument(
            "--config", type=Path, metavar="PATH", help="a config.toml; default: ./config.toml"
        )
        return command

    add("serve", _serve, "Run the bot until it is stopped (SIGTERM or Ctrl-C).")

    playground = add(
        "playground", _playground, "Run the bot in a Discord of its own, on this machine alone."
    )
    playground.add_argument("--port", type=_port, help="of the page; 0 takes any free one")
    what = playground.add_mutually_exclusive_group()
    what.add_argument("--once", metavar="PROMPT", help="ask once, save the pictures, end")
    what.add_argument("--demo", action="store_true", help="ask once, then stay on a terminal")
    _add_request_options(playground)

    drawing = add("draw", _draw, "Draw without a bot.")
    drawing.add_argument(
        "prompt", nargs="+", metavar="PROMPT", help="what the pictures should show"
    )
    drawing.add_argument("--model", help="doodle, a folder, or a Hugging Face repo id")
    drawing.add_argument("--count", type=int, metavar="N", help="how many pictures, 1 to 10")
    drawing.add_argument("--json", action="store_true", help="print one JSON object")
    _add_request_options(drawing)

    jobs = add("jobs", _jobs, "Look at the jobs on record, cancel them, ask for them again.")
    operator.add_arguments(jobs)

    saving = add("backup", _backup, "Copy the ledger and the pictures while the bot runs.")
    saving.add_argument("folder", type=Path, metavar="DIR", help="is made; must not be there yet")

    doctor = add("doctor", _doctor, "Say what is right and wrong with this machine.")
    doctor.add_argument("--online", action="store_true", help="ask Discord as well")
    doctor.add_argument(
        "--tpu",
        metavar="TOPOLOGY",
        help="instead, compile SDXL for TPUs that are not here, such as v5e:2x2 (minutes)",
    )
    doctor.add_argument("--size", metavar="WxH", help="of the images, for --tpu; default 1024x1024")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


_Parser = argparse.ArgumentParser


def _add_request_options(parser: _Parser) -> None:
    parser.add_argument("--negative", metavar="TEXT", help="what to stay away from")
    parser.add_argument("--seed", type=int, metavar="N", help="default: a random one, printed")
    parser.add_argument("--steps", type=int, metavar="N", help="denoising steps, 1 to 50")
    parser.add_argument("--guidance", type=float, metavar="X", help="0 to 20; up to 1 means none")
    parser.add_argument("--sampler", choices=list(SAMPLERS), help="default: euler")
    parser.add_argument(
        "--spacing", choices=list(SPACINGS), help="of noise levels; default: the model's own"
    )
    parser.add_argument("--size", metavar="WxH", help="in pixels; default: the model's own")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help="for the pictures; default: out",
    )


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65_535:  # noqa: PLR2004 - the ports there are
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port
