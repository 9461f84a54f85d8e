"""`imagine doctor`: what is right and what is wrong here, each line with its mend."""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from bot.cli.amounts import amount
from bot.cli.exit_codes import FAILED, OK
from bot.cli.finding import Finding
from bot.config.reading import TOKEN_VARIABLE, SlackTokens, load_config, slack_tokens
from bot.config.sections import (
    Config,
    EngineConfig,
    FilterConfig,
    MarksConfig,
    SlackConfig,
    StorageConfig,
    StylesConfig,
    format_sizes,
)
from bot.engines.loading import check_of, offered, usual_of
from bot.engines.marks import marks_of
from bot.engines.styles import read_styles
from bot.errors import ConfigError, GalleryError, LedgerError, UsageError
from bot.gallery.bucket import Bucket
from bot.ledgers.records import records_of
from bot.moderation.lists import owners_lists
from bot.shared.data_folder import IMAGES
from bot.shared.secret import Secret
from bot.shared.shown import one_line, triggers
from sdxl_engine import CheckpointError, CredentialsError, format_size
from sdxl_engine.request import QUANTISED

_PACKAGES: Final = ("imagine-bot", "discord.py", "jax", "flax", "transformers", "pillow")
_MAX_ERROR_CHARS: Final = 200
_PROBE_TIMEOUT_S: Final = 180
_LOADING_FACTOR: Final = 1.3  # the most memory that loading takes, in checkpoints
_TOO_LARGE: Final = (
    "That is more than there is: offer smaller sizes, or raise [engine] memory; quantised, weights "
    "take a quarter less."
)
_MIN_DISK_BYTES: Final = 2**30
_TOKEN_SHAPE: Final = re.compile(r"[\w-]{20,}\.[\w-]{6,}\.[\w-]{20,}")
# How Slack's tokens begin; one of xoxe ends within twelve hours.
_BOT_TOKENS: Final = ("xoxb-", "xoxe.xoxb-")
_APP_TOKENS: Final = ("xapp-",)
# What a repository on Hugging Face may be called; the engine fetches nothing else.
_REPOSITORY: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_WEIGHT_FILES: Final = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

# Offline: looking must not fetch gigabytes. On the CPU: a bot that runs here has the device.
_ASIDE: Final = {"HF_HUB_OFFLINE": "1", "JAX_PLATFORMS": "cpu"}

# In processes of their own: a runtime that crashes or hangs is one line and not the end.
_JAX_PROBE: Final = """
import json, logging, sys
from dataclasses import asdict
from sdxl_engine.devices import local_devices, memory_bytes
from sdxl_engine.models.layers import Target
asked = json.loads(sys.argv[1])
heard = []
listener = logging.Handler(logging.WARNING)
listener.emit = lambda record: heard.append(record.getMessage())
logging.getLogger("jax._src.xla_bridge").addHandler(listener)
devices = local_devices(asked)
print(json.dumps({
    "count": len(devices),
    "kind": devices[0].device_kind,
    "platform": devices[0].platform,
    "heard": heard,
    "memory_bytes": memory_bytes(devices),
    "target": asdict(Target.of(devices[0])),
}))
"""
# What loading does before it reads the first weight; with "auto" it may choose either files. What
# brings jax, a second, is imported only for a model that is there and whole.
_MODEL_PROBE: Final = """
import json, sys
from pathlib import Path
from sdxl_engine.checkpoint.checkpoint import Checkpoint
from sdxl_engine.checkpoint.hub import find_model
from sdxl_engine.errors import EngineError
asked = json.loads(sys.argv[1])
model, here = asked["model"], False
revision, dtype = asked["revision"] or None, asked["dtype"]
loras, embeddings = (asked[name] and Path(asked[name]) for name in ("loras", "embeddings"))
try:
    find_model(model, revision=revision)
    here = True
    others = {name: asked[name] or None for name in ("vae", "unet", "clip_skip")}
    for half in {"float32": (False,), "bfloat16": (True,)}.get(dtype, (True, False)):
        found = Checkpoint.find(model, revision=revision, half=half, **others)
        from sdxl_engine.models.layers import Target
        from sdxl_engine.pipeline import Prepared
        target = Target(**asked["target"])
        ready = Prepared.of(found, target, loras=loras, embeddings=embeddings)
    plan, fits = None, True
    if asked["memory_bytes"] is not None:
        from sdxl_engine.memory import CHECK, Memory, Offer
        from sdxl_engine.picture_check import size_of_check
        from sdxl_engine.programs.compiler import weights_dtype
        dtype = weights_dtype(dtype, asked["platform"])
        sizes = ready.networks.size_bytes(dtype)
        try:
            if asked["check"]:
                sizes["picture check", CHECK] = size_of_check(asked["check"], dtype)
        except EngineError:
            pass  # said of the check itself
        offered = [tuple(size) for size in asked["sizes"]] or [found.config.native_size]
        offer = Offer(tuple(offered), asked["images"], asked["chunks"])
        turned_bytes = ready.networks.kernels_bytes(dtype)
        limit_bytes = asked["memory_bytes"]
        memory = Memory(found.config, target, dtype, sizes, offer, turned_bytes, limit_bytes)
        plans = [memory.plan(size, asked["images"]) for size in offered]
        worst = min(plans, key=lambda plan: (-plan.tiled, plan.num_images, -plan.bytes))
        most = max(plan.bytes for plan in plans)
        plan, fits = [most, memory.told(worst)], most <= memory.limit_bytes
    known = {} if ready.loras is None else ready.loras.facts()
    print(json.dumps({
        "bytes": found.size_bytes,
        "files": len(found.files),
        "size": found.config.native_size,
        "prediction": found.config.scheduler.training,
        "told": ready.told,
        "inpaints": found.config.inpaints,
        "edits": found.config.edits,
        "plan": plan,
        "fits": fits,
        "loras": {name: [facts.problem, facts.words] for name, facts in known.items()},
    }))
except EngineError as error:
    print(json.dumps({"error": str(error), "here": here}))
"""


_CHECK_PROBE: Final = """
import json, sys
from sdxl_engine.checkpoint.hub import find_check
from sdxl_engine.errors import EngineError
check, here = sys.argv[1], False
try:
    find_check(check)
    here = True
    from sdxl_engine.picture_check import read_check
    folder, part = read_check(check)
    print(json.dumps({"bytes": part.size_bytes, "categories": folder.config.categories}))
except EngineError as error:
    print(json.dumps({"error": str(error), "here": here}))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `run` understands."""
    parser.add_argument("--online", action="store_true", help="ask Discord and Slack as well")
    forecast = parser.add_mutually_exclusive_group()
    parser.add_argument("--pool", action="store_true", help="ask the pool of engines as well")
    forecast.add_argument(
        "--tpu",
        metavar="TOPOLOGY",
        help="instead, compile SDXL for TPUs that are not here, such as v5e:2x2 (minutes)",
    )
    forecast.add_argument(
        "--gpu",
        metavar="CARD[xN]",
        help="instead, compile SDXL for GPUs that are not here, such as h100, h100x8 or rtx4090",
    )
    parser.add_argument(
        "--size", metavar="WxH", help="of the images, for --tpu and --gpu; default 1024x1024"
    )
    parser.add_argument("--images", type=int, metavar="N", help="of a request, for both; default 4")
    parser.add_argument("--memory", metavar="8GB", help="as [engine] memory, for both")
    parser.add_argument("--quantise", choices=QUANTISED, help="as [engine] quantise, for both")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Examine, and say whether all is well; raises UsageError."""
    for kind in ("tpu", "gpu"):
        if (devices := getattr(args, kind)) is not None:
            # In a process of its own: it takes jax with other settings than any drawing does.
            command = [sys.executable, "-m", f"sdxl_engine.forecast.{kind}", devices]
            command += [] if args.size is None else ["--size", args.size]
            command += [] if args.images is None else ["--images", str(args.images)]
            command += [] if args.memory is None else ["--memory", args.memory]
            command += [] if args.quantise is None else ["--quantise", args.quantise]
            command += ["--json"] if args.json else []
            return subprocess.run(command, check=False).returncode  # noqa: S603 - our own module
    for name in ("size", "images", "memory", "quantise"):
        if getattr(args, name) is not None:
            raise UsageError(
                f"--{name} belongs to chips that are not here: name them with --tpu or --gpu."
            )
    examination = Examination(
        config_path=args.config,
        environ=os.environ,
        online=args.online,
        as_json=args.json,
        pool=args.pool,
    )
    return OK if examine(examination) else FAILED


@dataclass(frozen=True, slots=True)
class Examination:
    """What to look at.

    config_path  as --config
    environ      usually os.environ
    online       ask Discord and Slack too
    as_json      one JSON object instead of lines
    pool         ask the engines of the pool too
    """

    config_path: Path | None
    environ: Mapping[str, str]
    online: bool
    as_json: bool
    pool: bool = False


def examine(examination: Examination) -> bool:
    """Print every finding as it is made; returns whether nothing FAILs."""
    findings = []
    for finding in _findings(examination):
        findings.append(finding)
        if not examination.as_json:
            mend = f" {finding.mend}" if finding.mend else ""
            sys.stdout.write(f"{finding.level:<5} {finding.what}{mend}\n")
            sys.stdout.flush()
    healthy = all(finding.level != "FAIL" for finding in findings)
    if examination.as_json:
        report = {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(report) + "\n")
    return healthy


def _findings(examination: Examination) -> Iterator[Finding]:
    yield _python()
    yield from _packages()
    try:
        config = load_config(examination.config_path, examination.environ)
        read = Finding("ok", "The configuration is valid.")
    except ConfigError as error:
        config, read = Config(), Finding("FAIL", str(error))
    device = Device.probed(config.engine.memory, examination.environ)
    yield device if isinstance(device, Finding) else device.finding
    yield read
    yield examine_styles(config.styles)
    yield examine_filter(config.filter)
    yield from examine_marks(config.marks)
    known = None if isinstance(device, Finding) else device
    yield from examine_model(config, examination.environ, known)
    yield from examine_checks(config.engine, examination.environ)
    yield _writable(config.storage.folder, "The storage folder", "[storage] folder")
    yield from examine_pictures(config.storage)
    yield _disk(config.storage.folder)
    yield examine_ledger(config.storage)
    yield from examine_tokens(config.slack, examination.environ)
    yield from examine_ports(config)
    if examination.online:
        yield from _ask(config, examination.environ)
    if examination.pool:
        from bot.cli.doctor_pool import examine_pool  # noqa: PLC0415 - late, for it may bring Ray

        yield from examine_pool(config)


def _ask(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    """What the chat systems say that there are tokens for; Discord also without one."""
    token = environ.get(TOKEN_VARIABLE, "").strip()
    slack = _slack_of(environ)
    if token or slack is None:
        # Late, for it brings aiohttp.
        from bot.cli.doctor_online import ask_discord  # noqa: PLC0415

        yield from asyncio.run(ask_discord(config.discord, Secret(token)))
    if slack is not None:
        from bot.cli.doctor_slack import ask_slack  # noqa: PLC0415

        yield from asyncio.run(ask_slack(config.slack, slack))


def _python() -> Finding:
    return Finding("ok", f"Python {sys.version.split()[0]} at {sys.executable}.")


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding("ok", f"{name} {version(name)}.")
        except PackageNotFoundError:
            yield Finding("FAIL", f"{name} is not installed.", "Run `make setup`.")


@dataclass(frozen=True, slots=True)
class Device:
    """What draws here.

    heard         what jax warned of
    memory_bytes  of each, that may be taken; None: nobody says
    target        fields of the engine's `Target` for it
    """

    count: int
    kind: str
    platform: str
    heard: Sequence[str]
    memory_bytes: int | None
    target: Mapping[str, Any]

    @classmethod
    def probed(cls, limit_bytes: int | None, environ: Mapping[str, str]) -> "Device | Finding":
        """What jax sees, or why it does not start."""
        probed = _probe(_JAX_PROBE, [json.dumps(limit_bytes)], environ)
        if isinstance(probed, str):
            return Finding(
                "FAIL",
                f"jax does not start: {probed}.",
                "Run `make setup`, with ACCELERATOR=tpu or cuda.",
            )
        return cls(**probed)

    @property
    def finding(self) -> Finding:
        """What there is to say of it."""
        found = f"jax sees {self.count} x {self.kind}."
        if self.heard:
            heard = " ".join(map(str, self.heard))
            return Finding("warn", found, one_line(heard, _MAX_ERROR_CHARS))
        if self.platform == "cpu":
            mend = "For a TPU or GPU run `make setup ACCELERATOR=tpu` (or cuda)."
            return Finding(
                "warn", f"{found} A full-size model takes minutes a picture there.", mend
            )
        return Finding("ok", found)


def examine_styles(config: StylesConfig) -> Finding:
    """Whether prompts can be drawn in them."""
    try:
        return Finding("ok", f"{len(read_styles(config))} styles to draw prompts in.")
    except ConfigError as error:
        return Finding("FAIL", str(error))


def examine_filter(config: FilterConfig) -> Finding:
    """Whether its lists can be read."""
    try:
        lists = owners_lists(config.file, starter=config.starter)
    except ConfigError as error:
        return Finding("FAIL", str(error))
    if not lists:
        return Finding("warn", "The prompt filter has no list: [filter] starter is false.")
    kinds = Counter(term.kind == "exception" for terms in lists.values() for term in terms)
    return Finding(
        "ok",
        f"{kinds[False]:,} terms and {kinds[True]:,} exceptions in the prompt filter: "
        f"{' and '.join(lists)}.",
    )


def examine_marks(config: MarksConfig) -> Iterator[Finding]:
    """What pictures are marked with, and whether they can be signed."""
    law = "Ask a lawyer whether your pictures may go without."
    for name, is_on, mark in (
        ("xmp", config.xmp, "Files say in XMP that a model made the picture"),
        ("watermark", config.watermark, "Pictures bear a watermark"),
    ):
        if is_on:
            yield Finding("ok", f"{mark}.")
        else:
            yield Finding("warn", f"[marks] {name} is off.", law)
    try:
        credentials = marks_of(replace(config, watermark=False)).credentials
    except (ConfigError, CredentialsError) as error:
        yield Finding("FAIL", str(error))
        return
    if credentials is None:
        yield Finding("ok", "Pictures are not signed (C2PA): [marks] has no certificate.")
    elif credentials.ends_soon:
        yield Finding(
            "warn",
            f"Pictures are signed (C2PA) as {credentials.name}, until {credentials.ends:%Y-%m-%d}.",
            "Ask for the next certificate: from then on they go out unsigned, and the bot does not "
            "start again.",
        )
    else:
        yield Finding(
            "ok",
            f"Pictures are signed (C2PA) as {credentials.name}, until {credentials.ends:%Y-%m-%d}.",
        )


def examine_model(
    config: Config, environ: Mapping[str, str], device: Device | None = None
) -> Iterator[Finding]:
    """Where the models are, and whether this machine and what draws have room for them."""
    try:
        usual_of(replace(config, styles=StylesConfig()))
    except CheckpointError as error:  # what stands beside one
        yield Finding("FAIL", str(error))
    if config.engine.loras and config.engine.quantise != "none":
        yield Finding(
            "warn",
            f'No LoRA can be chosen: [engine] quantise is "{config.engine.quantise}".',
            "Leave one of the two out.",
        )
    size_bytes = 0
    said: set[Finding] = set()  # of LoRAs: most fit one model as they fit another
    for place, model in enumerate(config.engine.all_models):
        probed = _look_at(config, model, environ, device, is_first=place == 0)
        if isinstance(probed, Finding):
            yield probed
            continue
        size_bytes += probed["bytes"]
        yield from _model_findings(config.engine, model, probed)
        for name, (problem, words) in probed["loras"].items():
            about = f"LoRA {name}; {triggers(words)}." if words else f"LoRA {name}."
            lora = Finding("warn", problem) if problem else Finding("ok", about)
            if lora not in said:
                said.add(lora)
                yield lora
    if not size_bytes:
        return
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    room = f"This machine has {amount(memory_bytes)} of memory."
    if memory_bytes < _LOADING_FACTOR * size_bytes:
        yield Finding("warn", room, "Loading may need more: take a larger machine.")
    else:
        yield Finding("ok", room)


def _model_findings(
    engine: EngineConfig, model: str, probed: Mapping[str, Any]
) -> Iterator[Finding]:
    """What there is to say of a model that is here."""
    sizes = engine.sizes or (tuple(probed["size"]),)
    yield Finding(
        "ok",
        f"Model {model}: {probed['files']} weight files, {amount(probed['bytes'])}, "
        f"{probed['prediction']}, made for {format_size(*probed['size'])}; "
        f"{format_sizes(sizes)} will be offered.",
    )
    if probed["plan"] is not None:
        taken, told = probed["plan"]
        yield Finding(
            "ok" if probed["fits"] else "warn",
            f"Model {model} takes about {amount(taken)} of each device: {told}.",
            "" if probed["fits"] else _TOO_LARGE,
        )
    alone = len(engine.all_models) == 1
    if probed["edits"]:
        yield Finding(
            "FAIL" if alone else "warn",
            f"Model {model} was trained for editing.",
            "Nothing here shows it what it edits: have another model beside it.",
        )
    if probed["inpaints"]:
        yield Finding(
            "FAIL" if alone else "warn",
            f"Model {model} was trained for inpainting.",
            "It changes a picture that it is given, as `imagine draw --image` does; in chat "
            "nobody can give it one: have another model beside it.",
        )
    for sentence in probed["told"]:
        yield Finding("warn", f"Model {model}: {sentence}")


def examine_checks(engine: EngineConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    """What looks at the pictures before they are shown."""
    for name in dict.fromkeys(check_of(engine, model) for model in engine.all_models):
        if name is None:
            yield Finding(
                "warn",
                'Nobody looks at pictures before they are shown: [engine] picture_check is "none".',
                'Set it to "auto".',
            )
            continue
        probed = _probe(_CHECK_PROBE, [name], {**environ, **_ASIDE})
        if isinstance(probed, str):
            yield Finding("FAIL", f"The picture check {name} cannot be examined: {probed}.")
        elif "error" in probed:
            to_fetch = not probed["here"] and _may_be_repository(name)
            mend = "It will be fetched at the first start." if to_fetch else ""
            what = f"Picture check: {probed['error']}"
            yield Finding("warn" if to_fetch else "FAIL", what, mend)
        else:
            yield Finding(
                "ok",
                f"Picture check {name}: {amount(probed['bytes'])}, tells "
                f"{', '.join(probed['categories'])}.",
            )


def _look_at(
    config: Config,
    model: str,
    environ: Mapping[str, str],
    device: Device | None,
    *,
    is_first: bool,
) -> Finding | dict[str, Any]:
    """What the probe tells of a model, or what is wrong with it."""
    engine = config.engine
    asked = {
        "platform": device.platform if device else "cpu",
        "target": {**(device.target if device else {}), "quantised": engine.quantise != "none"},
        "memory_bytes": engine.may_take(None if device is None else device.memory_bytes),
        "check": check_of(engine, model),
        "sizes": _sizes(config),
        "chunks": engine.prompt_chunks,
        "images": -(-engine.images_per_request // (device.count if device else 1)),
        "model": model,
        "revision": engine.revision,
        "dtype": engine.dtype,
        "vae": engine.vae if is_first else "",
        "unet": engine.unet if is_first else "",
        "clip_skip": config.model.clip_skip if is_first else None,
        "loras": str(engine.loras) if engine.loras and engine.quantise == "none" else None,
        "embeddings": engine.embeddings and str(engine.embeddings),
    }
    probed = _probe(_MODEL_PROBE, [json.dumps(asked)], {**environ, **_ASIDE})
    if isinstance(probed, str):
        return Finding("FAIL", f"The model {model} cannot be examined: {probed}.")
    if "error" in probed:
        to_fetch = not probed["here"] and _may_be_repository(model)
        mend = "It is no folder here, so it will be fetched at the first start." if to_fetch else ""
        error = probed["error"]
        # Of what lies in a folder it names the file alone.
        named = error.startswith(model) or repr(model) in error
        where = "" if named else f"Model {model}: "
        return Finding("warn" if to_fetch else "FAIL", f"{where}{error}", mend)
    answer: dict[str, Any] = probed
    return answer


def _sizes(config: Config) -> tuple[tuple[int, int], ...]:
    with suppress(CheckpointError):  # said already
        return offered(replace(config, styles=StylesConfig()))
    return config.engine.sizes


def _may_be_repository(model: str) -> bool:
    """Whether it is named like one; anything else is a path."""
    named_as_file = model.lower().endswith(_WEIGHT_FILES)
    return not named_as_file and _REPOSITORY.fullmatch(model) is not None


def _writable(folder: Path, what: str, key: str) -> Finding:
    # Where it will be made; a check leaves nothing behind.
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return Finding(
            "FAIL",
            f"{what} {folder} cannot be written ({error.strerror}).",
            f"Set {key} to one that can.",
        )
    return Finding("ok", f"{what} {folder} can be written.")


def examine_pictures(storage: StorageConfig) -> Iterator[Finding]:
    """Whether pictures can be kept, where that is not in the storage folder."""
    pictures = storage.pictures
    if pictures is None:
        return
    if isinstance(pictures, Path):
        yield _writable(pictures, "The folder of pictures", "[storage] pictures")
    else:
        yield from _bucket(pictures)
    left = storage.folder / IMAGES
    if left.is_dir() and any(left.iterdir()):
        yield Finding(
            "warn",
            f"There are pictures in {left}, where nobody looks any more, nor deletes them in time.",
            f"Copy what is in there to {pictures}, and delete it.",
        )


def _bucket(address: str) -> Iterator[Finding]:
    try:
        bucket = Bucket(address)
        bucket.probe()
    except ConfigError as error:
        yield Finding("FAIL", str(error))
    except GalleryError as error:
        yield Finding("FAIL", error.found)
    else:
        yield Finding("ok", f"In {address} pictures can be kept, listed and deleted.")
        if bucket.keeps_versions():
            yield Finding(
                "warn",
                f"The bucket of {address} keeps versions: what the bot deletes stays there.",
                "Switch versions off, or have the store delete old ones.",
            )


def _disk(folder: Path) -> Finding:
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < _MIN_DISK_BYTES:
        return Finding("warn", f"Only {amount(free)} of disk are free.", "Make room.")
    return Finding("ok", f"{amount(free)} of disk are free.")


def examine_ledger(storage: StorageConfig) -> Finding:
    """Whether what is on record can be used."""
    try:
        records = records_of(storage.folder, storage.database)
        jobs = records.examine()
    except LedgerError as error:
        return Finding("FAIL", str(error))
    if jobs is None:
        return Finding("ok", "There is no ledger yet; the first start makes it.")
    return Finding("ok", f"The ledger in {records.where} is whole, with {jobs} jobs on record.")


def _token(token: str) -> Finding:
    if not token:
        return Finding(
            "warn",
            f"{TOKEN_VARIABLE} is not set.",
            "`imagine serve` needs it; `imagine playground` and `imagine draw` do not.",
        )
    if not _TOKEN_SHAPE.fullmatch(token):
        return Finding(
            "warn",
            f"{TOKEN_VARIABLE} does not look like a bot token (three parts with dots).",
            "Copy it anew from the developer portal, without the word Bot.",
        )
    return Finding("ok", f"{TOKEN_VARIABLE} is set.")


def examine_tokens(config: SlackConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether there are those that are needed, and look like what they should be."""
    token = environ.get(TOKEN_VARIABLE, "").strip()
    try:
        slack = slack_tokens(environ)
    except ConfigError as error:
        yield Finding("FAIL", str(error))
        slack = None
    if token or slack is None:
        yield _token(token)
    if slack is not None:
        yield from _slack_tokens(slack, config)


def _slack_of(environ: Mapping[str, str]) -> SlackTokens | None:
    try:
        return slack_tokens(environ)
    except ConfigError:  # said before
        return None


def _slack_tokens(tokens: SlackTokens, config: SlackConfig) -> Iterator[Finding]:
    named = (
        ("SLACK_BOT_TOKEN", tokens.bot, _BOT_TOKENS),
        ("SLACK_APP_TOKEN", tokens.app, _APP_TOKENS),
    )
    for name, token, beginnings in named:
        if token is not None and not token.reveal().startswith(beginnings):
            yield Finding(
                "warn",
                f"{name} does not look like what Slack calls so.",
                "Of the app's page the bot's token begins with xoxb-, the app-level one with "
                "xapp-. Copy them anew.",
            )
    if tokens.app is not None:
        yield Finding("ok", "Slack's tokens are set: the bot is told over Socket Mode.")
        return
    yield Finding("ok", "Slack's tokens are set: the bot is told over HTTP.")
    yield _port(config.port, "The port of Slack's requests", "[slack] port", host=config.host)


def examine_ports(config: Config) -> Iterator[Finding]:
    """Whether the ports on this machine are free."""
    playground, health = config.playground.port, config.health.port
    if playground and playground == health:
        yield Finding(
            "warn",
            f"[playground] port and [health] port are both {health}: the playground cannot run "
            "beside `imagine serve`.",
            "Set one of them to another.",
        )
    yield _port(playground, "The playground's port", "[playground] port", "any")
    yield _port(health, "The port of /livez, /readyz and /metrics", "[health] port", "none")


def _port(port: int, what: str, key: str, zero: str = "", host: str = "127.0.0.1") -> Finding:
    """Whether the port can be listened on; `zero` is what 0 stands for, if it may be that."""
    if port == 0:
        return Finding("ok", f"{what} is 0: {zero}.")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family):
            pass
    except OSError as error:
        mend = f"Stop what uses it (a bot that runs here?), or set {key} to another"
        return Finding(
            "warn",
            f"{what}, {port}, cannot be used ({error.strerror}).",
            f"{mend}, or to 0 for {zero}." if zero else f"{mend}.",
        )
    return Finding("ok", f"{what}, {port}, is free.")


def _probe(script: str, arguments: list[str], environ: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
    """What the script printed, read as JSON; a text if it did not end well."""
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            env=dict(environ),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {_PROBE_TIMEOUT_S} s"
    except (OSError, ValueError) as error:  # a name that no process can be given
        return one_line(str(error), _MAX_ERROR_CHARS)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return lines[-1] if lines else f"it ended with code {done.returncode}"
    return json.loads(done.stdout.splitlines()[-1])
