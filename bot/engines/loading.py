"""From the configuration to a warm pipeline, and to what is usual there."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from bot.config.sections import Config, EngineConfig, StorageConfig
from bot.core.wish import Usual
from bot.shared.data_folder import PROGRAMS
from sdxl_engine.thread import sign_of_start

if TYPE_CHECKING:
    from sdxl_engine import SdxlPipeline

log = logging.getLogger(__name__)

OnBytes = Callable[[int, int], None]

_SECONDS_PER_LINE: Final = 2.0


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
    return SdxlPipeline.load(
        engine.model, revision=engine.revision or None, dtype=engine.dtype, on_progress=on_bytes
    )


def usual_of(engine: EngineConfig) -> Usual:
    """What is drawn where a wish leaves it open."""
    return Usual(engine.default_steps, engine.default_guidance, engine.images_per_request)


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
    seconds = pipeline.warm_up(engine.sizes, num_images=engine.images_per_request)
    log.info("Compiled in %.2f s", seconds)
    return pipeline
