"""From the configuration to a warm pipeline, and to what is usual there."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from bot.config.sections import Config, EngineConfig, ModelConfig
from bot.core.wish import SOME_SIZE, Usual, Wish
from bot.engines.styles import read_styles
from bot.shared.data_folder import PROGRAMS
from bot.shared.shown import triggers
from sdxl_engine.checkpoint.card import Card, card_path
from sdxl_engine.checkpoint.hub import EMBEDDED_MODEL, PUBLISHED_CHECK
from sdxl_engine.errors import CheckpointError, InvalidRequestError
from sdxl_engine.request import (
    MAX_NAME_CHARS,
    ImageRequest,
    name_of_model,
    parse_sampler_and_spacing,
    parse_size,
    parse_spacing,
)
from sdxl_engine.thread import sign_of_start

if TYPE_CHECKING:
    from sdxl_engine import SdxlPipeline
    from sdxl_engine.model_set import MakeRoom, ModelSet
    from sdxl_engine.picture_check import PictureCheck

log = logging.getLogger(__name__)

T = TypeVar("T")
OnBytes = Callable[[int, int], None]

_SECONDS_PER_LINE: Final = 2.0
_BESIDE: Final = ("vae", "unet", "loras", "embeddings")  # keys of [engine] that may be empty


def load_pipeline(
    config: Config,
    on_bytes: OnBytes,
    model: str | None = None,
    make_room: "MakeRoom | None" = None,
    picture_check: "PictureCheck | None" = None,
) -> "SdxlPipeline":
    """Load a model, fetching it first where it is not here; raises EngineError.

    on_bytes   told the bytes that are read, and those there are
    model      one of the configuration's; None: the first, whose VAE or UNet may be another's, and
               of which [model] speaks
    make_room, picture_check
               as `SdxlPipeline.load`

    What is compiled later is kept in the storage folder. What is not drawn as the model's files
    ask for goes to the log.
    """
    # These bring jax: only where a pipeline is loaded.
    from sdxl_engine import SdxlPipeline  # noqa: PLC0415
    from sdxl_engine.memory import Offer  # noqa: PLC0415
    from sdxl_engine.programs.kept import KeptPrograms  # noqa: PLC0415

    engine = config.engine
    first = engine.all_models[0]
    beside = {name: getattr(engine, name) or None for name in _BESIDE}
    clip_skip = config.model.clip_skip
    if model not in {None, first}:
        beside, clip_skip = {**beside, "vae": None, "unet": None}, None
    pipeline = SdxlPipeline.load(
        model or first,
        revision=engine.revision or None,
        dtype=engine.dtype,
        quantise=engine.quantise,
        clip_skip=clip_skip,
        picture_check=picture_check,
        offer=Offer(offered(config), engine.images_per_request, engine.prompt_chunks),
        memory_bytes=_memory_bytes(engine),
        kept=KeptPrograms.in_folder(config.storage.folder / PROGRAMS),
        make_room=make_room,
        on_progress=on_bytes,
        **{name: path for name, path in beside.items() if path is not None},
    )
    for sentence in pipeline.told:
        log.warning("%s", sentence)
    return pipeline


def _memory_bytes(engine: EngineConfig) -> int | None:
    """Of each device, that may be taken; None: it has none of its own, as a CPU."""
    from sdxl_engine.devices import local_devices, memory_bytes  # noqa: PLC0415 - as above

    return engine.may_take(memory_bytes(local_devices(engine.memory)))


def offered(config: Config) -> tuple[tuple[int, int], ...]:
    """The sizes that are kept compiled; none: the model's own."""
    return tuple(dict.fromkeys((*usual_of(config).sizes_px, *config.engine.sizes)))


def usual_of(config: Config) -> Usual:
    """What is drawn where a wish leaves it open.

    By what stands beside each model, for which [model] is stronger of the first, and the styles.
    Raises CheckpointError for what no request could ask for, and for models that none could choose,
    ConfigError for styles.
    """
    engine = config.engine
    first, *others = map(_said_beside, engine.all_models)
    try:
        usual = _usual(engine, config.model.over(first))
    except InvalidRequestError as error:
        raise CheckpointError(f"[model]: {error}") from error
    usual = replace(usual, styles=read_styles(config.styles))
    if not others:
        return usual
    each = (usual, *(_usual(engine, one) for one in others))
    names = _names(engine.models)
    return replace(usual, model=names[0], by_model=dict(zip(names, each, strict=True)))


def _names(models: Sequence[str]) -> list[str]:
    """By which requests choose one of several."""
    by_name: dict[str, str] = {}
    for model in models:
        name = name_of_model(model)
        try:
            ImageRequest("x", model=name)
        except InvalidRequestError as error:
            raise CheckpointError(
                f"Requests could not choose {name!r:.60} of [engine] models: a name has at most "
                f"{MAX_NAME_CHARS} characters, no colon, and does not begin with a dot. Rename it."
            ) from error
        if name in by_name:
            raise CheckpointError(
                f"Two of [engine] models have one name: requests could not choose between "
                f"{by_name[name]} and {model}. Rename one of them."
            )
        by_name[name] = model
    return list(by_name)


def _said_beside(model: str) -> ModelConfig:
    """What NAME.toml beside a model's file or folder says of how to draw with it."""
    try:
        path = Path(model).expanduser()
        here = path.exists()
    except (OSError, RuntimeError):  # a name that is too long, a home of nobody
        here = False
    if not here:  # embedded, in a repository, or nowhere, which loading says
        return ModelConfig()
    card = Card.beside(path)
    try:
        said = ModelConfig(
            default_sampler=_read(parse_sampler_and_spacing, card.default_sampler),
            spacing=_read(parse_spacing, card.spacing),
            steps=card.steps,
            guidance=card.guidance,
            size=_read(parse_size, card.size),
            negative_prompt=card.negative_prompt,
            clip_skip=card.clip_skip,
            trigger_words=card.trigger_words,
            licence=card.licence,
        )
        _usual(EngineConfig(), said)
    except InvalidRequestError as error:
        raise CheckpointError(f"{card_path(path)}: {error}") from error
    return said


def _read(parse: Callable[[str], T], text: str | None) -> T | None:
    return None if text is None else parse(text)


def _usual(engine: EngineConfig, model: ModelConfig) -> Usual:
    """Raises InvalidRequestError for what no request can ask for."""
    sampler, spacing = model.default_sampler or (None, None)
    note = (triggers(model.trigger_words), model.licence or "")
    usual = Usual(
        num_inference_steps=engine.default_steps if model.steps is None else model.steps,
        guidance_scale=engine.default_guidance if model.guidance is None else model.guidance,
        num_images=engine.images_per_request,
        sampler=sampler,
        spacing=model.spacing or spacing,
        size_px=model.size,
        negative_prompt=model.negative_prompt,
        emphasis=engine.emphasis,
        note=" · ".join(filter(None, note)),
    )
    Wish("x").settled(usual).resolve(SOME_SIZE)
    return usual


def check_of(engine: EngineConfig, model: str) -> str | None:
    """What looks at a model's pictures, as `PictureCheck.load` takes it; None: nobody does."""
    if engine.picture_check == "none":
        return None
    if engine.picture_check != "auto":
        return engine.picture_check
    return EMBEDDED_MODEL if model == EMBEDDED_MODEL else PUBLISHED_CHECK


def _load_checks(engine: EngineConfig, on_bytes: OnBytes) -> "dict[str, PictureCheck]":
    """Those of all models by name, each once; raises CheckpointError for one that is not there."""
    from sdxl_engine.picture_check import PictureCheck  # noqa: PLC0415 - brings jax

    checks = {}
    for name in dict.fromkeys(check_of(engine, model) for model in engine.all_models):
        if name is None:
            log.warning('Nobody looks at the pictures: [engine] picture_check is "none".')
            continue
        log.info("loading the picture check %s", name)
        try:
            checks[name] = PictureCheck.load(name, dtype=engine.dtype, on_progress=on_bytes)
        except CheckpointError as error:
            raise CheckpointError(
                f"The picture check cannot be loaded, and without it nothing is shown: {error} "
                '[engine] picture_check says which it is; "none" shows pictures unchecked.'
            ) from error
    return checks


def start_pipeline(config: Config) -> "ModelSet":
    """Load and compile, telling the log how far it is; raises EngineError.

    For the engine thread: it takes from seconds to minutes.
    """
    # Here, for it takes a second that no other command waits for.
    from sdxl_engine.model_set import ModelSet  # noqa: PLC0415

    engine = config.engine
    next_line_s = time.monotonic() + _SECONDS_PER_LINE

    goes_on = sign_of_start()

    def on_bytes(done: int, total: int) -> None:
        nonlocal next_line_s
        goes_on()
        if time.monotonic() >= next_line_s:
            next_line_s = time.monotonic() + _SECONDS_PER_LINE
            log.info("loading: %d %%", 100 * done // max(total, 1))

    room = _memory_bytes(engine)
    checks = _load_checks(engine, on_bytes)

    def load(model: str, make_room: "MakeRoom") -> "SdxlPipeline":
        log.info("loading %s", name_of_model(model))
        check = checks.get(check_of(engine, model) or "")
        return load_pipeline(config, on_bytes, model, make_room, check)

    loads = [partial(load, model) for model in engine.all_models]
    if room is not None:
        room -= sum(check.size_bytes for check in checks.values())
    pipeline = ModelSet(loads, room)
    log.info("compiling for %s", pipeline.device)
    goes_on()
    seconds = pipeline.warm_up(
        offered(config), num_images=engine.images_per_request, chunks=engine.prompt_chunks
    )
    log.info("Compiled in %.2f s", seconds)
    # Now, while nobody waits: the first to ask has each file looked at, 60 ms for the largest.
    for problem in filter(None, (lora.problem for lora in pipeline.loras.values())):
        log.warning("%s", problem)
    return pipeline
