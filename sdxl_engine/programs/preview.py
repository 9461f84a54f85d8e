"""What latents look like, by a linear map to colours: pictures of what is becoming, for nothing.

A latent of Stable Diffusion says, among other things, the mean colour of its patch of pixels, so
three sums of four numbers show the picture an eighth as large.
"""

import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sdxl_engine.checkpoint.config import VaeConfig
from sdxl_engine.checkpoint.json_reader import read_json
from sdxl_engine.errors import CheckpointError

# In a model's folder, where its latents are not SDXL's: {"latent_rgb_factors": 4 x 3, "bias": 3}.
PREVIEW_FILE: Final = "preview.json"
# SDXL's own, a row a channel, as ComfyUI fitted them (comfy/latent_formats.py, class SDXL); the
# last row is the bias.
_SDXL: Final = (
    (0.3651, 0.4232, 0.4341),
    (-0.2533, -0.0042, 0.1068),
    (0.1076, 0.1111, -0.0362),
    (-0.3165, -0.2492, -0.2188),
    (0.1084, -0.0175, -0.0011),
)
_CHANNELS: Final = 4
_SDXL_SCALING_FACTOR: Final = 0.13025  # of the latents that they were fitted to


def preview_factors(folder: Path, vae: VaeConfig) -> npt.NDArray[np.float32]:
    """Colours of a model's latents, f32[vae.latent_channels + 1, 3], for colours of -1..1.

    Of latents that nobody has described, grey. Raises CheckpointError for a damaged description.
    """
    latent_channels = vae.latent_channels
    if os.path.lexists(folder / PREVIEW_FILE):  # a link to nowhere is not nothing
        described = read_json(folder, PREVIEW_FILE)
        try:
            rows = [*described["latent_rgb_factors"], described["bias"]]
            with np.errstate(over="ignore"):  # it is infinite then, which is looked for below
                factors = np.array(rows, np.float32)
        except (KeyError, OverflowError, TypeError, ValueError):
            factors = np.zeros(0, np.float32)
    elif latent_channels == _CHANNELS:
        factors = _of_shifted(vae) if vae.latents_std else np.array(_SDXL, np.float32)
    else:
        factors = np.zeros((latent_channels + 1, 3), np.float32)
    if factors.shape != (latent_channels + 1, 3) or not np.isfinite(factors).all():
        raise CheckpointError(
            f"{PREVIEW_FILE} must hold latent_rgb_factors, three numbers for each of the model's "
            f"{latent_channels} channels, and a bias of three. Mend it or delete it."
        )
    return factors


def _of_shifted(vae: VaeConfig) -> npt.NDArray[np.float32]:
    """SDXL's factors of latents that lie elsewhere, as Playground 2.5's: each goes back first."""
    factors, bias = np.array(_SDXL[:-1]), np.array(_SDXL[-1])
    scale = _SDXL_SCALING_FACTOR / vae.scaling_factor * np.array(vae.latents_std)
    shift = _SDXL_SCALING_FACTOR * np.array(vae.latents_mean)
    return np.vstack([scale[:, None] * factors, bias + shift @ factors]).astype(np.float32)
