"""Fit the colours of the embedded model's latents, for pictures of what is becoming.

    python training/preview_colours.py [--model FOLDER]

writes FOLDER/preview.json (see sdxl_engine/programs/preview.py): by least squares, from the latents
that the model's own encoder gives true drawings to the mean colours of their patches.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from world import draw_scene, random_scene

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.hub import find_model
from sdxl_engine.checkpoint.load import load_part
from sdxl_engine.models.vae import Autoencoder
from sdxl_engine.programs.preview import PREVIEW_FILE

_SCENES: Final = 300
_DIGITS: Final = 4  # of a colour in -1..1, of which 8 bits will be shown


def fit(folder: Path) -> dict[str, object]:
    """The contents of `preview.json`."""
    config = SdxlConfig.load(folder)
    vae = Autoencoder(config.vae)
    state = load_part(folder, "vae", vae, dtype=np.float32, place=jnp.asarray)
    encode = jax.jit(lambda state, pixels: nnx.merge(nnx.graphdef(vae), state).encode(pixels))
    factor = config.vae.scale_factor
    latents, colours = [], []
    for seed in range(_SCENES):
        pixels = draw_scene(random_scene(random.Random(seed))).astype(np.float32) / 127.5 - 1
        height, width, _ = pixels.shape
        patches = pixels.reshape(height // factor, factor, width // factor, factor, 3)
        colours.append(patches.mean(axis=(1, 3)).reshape(-1, 3))
        encoded = np.asarray(encode(state, pixels[None]))
        latents.append(encoded.reshape(-1, encoded.shape[-1]))
    rows = np.concatenate(latents)
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    factors, residual, *_ = np.linalg.lstsq(rows, np.concatenate(colours), rcond=None)
    print(f"off by {np.sqrt(residual.sum() / len(rows) / 3):.3f} in -1..1 (root mean square)")
    rounded = factors.round(_DIGITS).tolist()
    return {"latent_rgb_factors": rounded[:-1], "bias": rounded[-1]}


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="doodle")
    folder = find_model(parser.parse_args().model)
    text = json.dumps(fit(folder), indent=2) + "\n"
    (folder / PREVIEW_FILE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
