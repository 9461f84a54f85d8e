"""The colours of latents: of the embedded model, of SDXL's, of nobody's, of a damaged file."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from sdxl_engine import CheckpointError, ImageRequest, SdxlPipeline
from sdxl_engine.checkpoint.config import VaeConfig
from sdxl_engine.checkpoint.hub import EMBEDDED_MODEL, find_model
from sdxl_engine.programs.preview import PREVIEW_FILE, preview_factors
from tests.sdxl_engine.conftest import drawn

SDXL = VaeConfig(3, 3, 4, (128, 256, 512, 512), 2, 32, 0.13025)


def test_the_embedded_models_last_preview_is_its_picture_made_small() -> None:
    pipeline = SdxlPipeline.load(EMBEDDED_MODEL, devices=jax.devices()[:1])
    pipeline.warm_up([(128, 128)], num_images=1)
    request = ImageRequest(
        "a yellow star on a green background", width_px=128, height_px=128, num_images=1
    )
    reports = list(pipeline.generate(request, previews=True))
    (preview,), (image,) = reports[-2].previews, drawn(reports)
    small = np.frombuffer(preview.rgb, np.uint8).reshape(16, 16, 3).astype(float)
    whole = np.frombuffer(image.rgb, np.uint8).reshape(16, 8, 16, 8, 3).mean(axis=(1, 3))
    assert np.abs(small - whole).mean() < 12  # of 255
    assert whole.std() > 20  # a picture, not a plain


def test_four_channels_are_sdxls_and_others_are_grey(tmp_path: Path) -> None:
    assert preview_factors(tmp_path, SDXL).shape == (5, 3)
    assert preview_factors(tmp_path, SDXL).any()
    assert not preview_factors(tmp_path, replace(SDXL, latent_channels=16)).any()


def test_shifted_latents_have_the_colours_of_what_they_were(tmp_path: Path) -> None:
    """As Playground 2.5's, whose autoencoder is SDXL's."""
    mean, std = (-1.6, 1.1, -0.5, 0.2), (8.4, 7.0, 5.6, 6.5)
    shifted = replace(SDXL, scaling_factor=0.5, latents_mean=mean, latents_std=std)
    unscaled = np.array([[3.0, -4.0, 5.0, -6.0]])
    usual, other = (preview_factors(tmp_path, vae) for vae in (SDXL, shifted))
    np.testing.assert_allclose(
        (unscaled - mean) / std * 0.5 @ other[:4] + other[4],
        unscaled * 0.13025 @ usual[:4] + usual[4],
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"latent_rgb_factors": [[1, 2, 3]] * 3, "bias": [0, 0, 0]},
        {"latent_rgb_factors": [[1, 2, 3]] * 4},
        {"latent_rgb_factors": [[1, 2]] * 4, "bias": [0, 0]},
        {"latent_rgb_factors": [["red", 2, 3]] * 4, "bias": [0, 0, 0]},
        {"latent_rgb_factors": [[1e999, 2, 3]] * 4, "bias": [0, 0, 0]},
        {"latent_rgb_factors": 7, "bias": [0, 0, 0]},
    ],
)
def test_a_damaged_description_is_named(tmp_path: Path, damaged: dict[str, object]) -> None:
    (tmp_path / PREVIEW_FILE).write_text(json.dumps(damaged))
    with pytest.raises(CheckpointError, match=r"preview.json must hold"):
        preview_factors(tmp_path, SDXL)


def test_a_whole_description_is_taken(tmp_path: Path) -> None:
    shutil.copy(find_model(EMBEDDED_MODEL) / PREVIEW_FILE, tmp_path)
    assert preview_factors(tmp_path, SDXL).shape == (5, 3)
