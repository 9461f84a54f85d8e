"""From the configuration to a warm pipeline, and to what is usual there."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from bot.config.sections import Config, EngineConfig, ModelConfig, StorageConfig
from bot.core.wish import Usual
from bot.shared.data_folder import PROGRAMS
from sdxl_engine.request import name_of_model
from sdxl_engine.thread import sign_of_start

if TYPE_CHECKING:
    from sdxl_engine import SdxlPipeline

log = logging.getLogger(__name__)

OnBytes = Callable[[int, int], None]

_SECONDS_PER_LINE: Final = 2.0
_BESIDE: Final = ("vae", "unet", "loras", "embeddings")  # keys of [engine] that may be empty


def load_pipeline(
    engine: EngineConfig, storage: StorageConfig, on_bytes: OnBytes
) -> "SdxlPipeline":
    """Load the model, fetching it first where it is not here; raises EngineError.

    on_bytes  told the bytes that are read, and those there are

    What is compiled later is kept in the storage folder.
    """
    # Both bring jax: only where a pipeline is loaded.
    from sdxl_engine import SdxlPipeline  # noqa: PLC0415
    from sdxl_engine.programs.cache import use_program_cache  # noqa: PLC0415

    use_program_cache(storage.folder / PROGRAMS)
    beside = {name: getattr(engine, name) or None for name in _BESIDE}
    return SdxlPipeline.load(
        engine.all_models[0],
        revision=engine.revision or None,
        dtype=engine.dtype,
        on_progress=on_bytes,
        **{name: path for name, path in beside.items() if path is not None},
    )


def usual_of(config: Config, said: Mapping[str, ModelConfig] = MappingProxyType({})) -> Usual:
    """What is drawn where a wish leaves it open.

    said  what each model says itself, by name; [model] is stronger for the first
    """
    names = [name_of_model(model) for model in config.engine.all_models]
    first, *others = (said.get(name, ModelConfig()) for name in names)
    each = [_usual(config.engine, one) for one in (config.model.over(first), *others)]
    if not others:
        return each[0]
    return replace(each[0], model=names[0], by_model=dict(zip(names, each, strict=True)))


def _usual(engine: EngineConfig, model: ModelConfig) -> Usual:
    words = ", ".join(model.trigger_words)
    note = (f"trigger words: {words}" if words else "", model.licence or "")
    return Usual(
        num_inference_steps=model.steps or engine.default_steps,
        guidance_scale=engine.default_guidance if model.guidance is None else model.guidance,
        num_images=engine.images_per_request,
        sampler=model.default_sampler,
        spacing=model.spacing,
        size_px=model.size,
        negative_prompt=model.negative_prompt,
        note=" · ".join(filter(None, note)),
    )


def start_pipeline(config: Config) -> "SdxlPipeline":
    """Load and compile, telling the log how far it is; raises EngineError.

    For the engine thread: it takes from seconds to minutes.
    """
    engine = config.engine
    next_line_s = time.monotonic() + _SECONDS_PER_LINE

    goes_on = sign_of_start()

    def on_bytes(done: int, total: int) -> None:
        nonlocal next_line_s
        goes_on()
        if time.monotonic() >= next_line_s:
            next_line_s = time.monotonic() + _SECONDS_PER_LINE
            log.info("loading %s: %d %%", engine.model_name, 100 * done // max(total, 1))

    log.info("loading %s", engine.model_name)
    pipeline = load_pipeline(engine, config.storage, on_bytes)
    log.info("compiling for %s", pipeline.device)
    goes_on()
    sizes = tuple(dict.fromkeys((*usual_of(config).sizes_px, *engine.sizes)))
    seconds = pipeline.warm_up(sizes, num_images=engine.images_per_request)
    log.info("Compiled in %.2f s", seconds)
    return pipeline
