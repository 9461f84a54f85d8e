"""Stable Diffusion XL in JAX: prompts in, images out.

Importing this package imports neither jax nor flax; `SdxlPipeline` brings them when first touched.
"""

from typing import TYPE_CHECKING

from sdxl_engine.errors import (
    CheckpointError,
    CredentialsError,
    DrawError,
    EngineClosedError,
    EngineError,
    EngineFullError,
    EngineStartError,
    InvalidRequestError,
    JobCancelledError,
    PictureCheckError,
)
from sdxl_engine.request import (
    GeneratedImage,
    ImageRequest,
    Images,
    Lora,
    Progress,
    format_size,
    parse_sampler,
    parse_sampler_and_spacing,
    parse_size,
    parse_spacing,
    parse_timesteps,
)
from sdxl_engine.thread import EngineJob, EngineThread, Pipeline

if TYPE_CHECKING:
    from sdxl_engine.pipeline import SdxlPipeline

__all__ = [
    "CheckpointError",
    "CredentialsError",
    "DrawError",
    "EngineClosedError",
    "EngineError",
    "EngineFullError",
    "EngineJob",
    "EngineStartError",
    "EngineThread",
    "GeneratedImage",
    "ImageRequest",
    "Images",
    "InvalidRequestError",
    "JobCancelledError",
    "Lora",
    "PictureCheckError",
    "Pipeline",
    "Progress",
    "SdxlPipeline",
    "format_size",
    "parse_sampler",
    "parse_sampler_and_spacing",
    "parse_size",
    "parse_spacing",
    "parse_timesteps",
]


def __getattr__(name: str) -> object:
    """Import the pipeline, and jax with it, only when somebody asks for it (PEP 562)."""
    if name == "SdxlPipeline":
        from sdxl_engine.pipeline import SdxlPipeline  # noqa: PLC0415 - late on purpose

        return SdxlPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
