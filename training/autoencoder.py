"""Trains the autoencoder: an encoder into the latent space, a decoder that draws from it."""

import random
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKL
from latents import Album, LatentSpace
from learner import Learner
from precision import mixed_precision
from torch import Tensor
from world import SIZES_PX, draw_scene, random_scene

BATCH: Final = 8
_LEARNING_RATE: Final = 2e-3
_ERROR: Final = 0.12  # most standard deviation of what the denoiser may be off
_LOG_VARIANCE: Final = -12.0  # as good as certain: the latents are a function of the picture
_FRESH_SEED: Final = "fresh pictures"  # no seed of training reads so


def train_autoencoder(model: Path, run: Path, album: Album, *, steps: int) -> None:
    """Train for so many steps in all, and write the weights into the model folder.

    Arguments as for the denoiser.
    """
    torch.manual_seed(2)
    vae = AutoencoderKL.from_config(AutoencoderKL.load_config(model / "vae"))
    learner = Learner({"vae": vae}, run / "autoencoder", steps=steps, learning_rate=_LEARNING_RATE)

    def loss_of(step: int) -> dict[str, Tensor]:
        rng = random.Random(f"autoencoder {step}")
        generator = torch.Generator().manual_seed(step)
        pixels, latents = _batch(rng, album.space, rng.choice(SIZES_PX))
        # The denoiser's latents are never exact: draw crisply from what is nearly right.
        error = torch.rand((BATCH, 1, 1, 1), generator=generator) * _ERROR
        inexact = latents + error * torch.randn(latents.shape, generator=generator)
        with mixed_precision():
            posterior = vae.encode(pixels).latent_dist
            drawn = vae.decode(inexact).sample
        off = drawn.float() - pixels
        return {
            "encoder": (posterior.mean.float() - latents).square().mean(),
            "certainty": 1e-3 * (posterior.logvar.float() - _LOG_VARIANCE).square().mean(),
            "absolute": off.abs().mean(),
            "squared": 4 * off.square().mean(),
        }

    learner.train(loss_of)
    print(report(vae, album.space))
    vae.half().save_pretrained(model / "vae")


@torch.no_grad()
def report(vae: AutoencoderKL, space: LatentSpace) -> str:
    """How well pictures that were never seen come back, in decibels (peak signal to noise)."""
    rng = random.Random(_FRESH_SEED)
    exact, whole = [], []
    for size in SIZES_PX:
        for _ in range(3):
            pixels, latents = _batch(rng, space, size)
            exact.append(_psnr(vae.decode(latents).sample, pixels))
            whole.append(_psnr(vae.decode(vae.encode(pixels).latent_dist.mean).sample, pixels))
    return (
        f"from exact latents {np.mean(exact):.2f} dB, through the encoder {np.mean(whole):.2f} dB"
    )


def _psnr(drawn: Tensor, pixels: Tensor) -> float:
    error = (drawn.clamp(-1, 1) - pixels).square().mean(dim=(1, 2, 3))
    return float((10 * torch.log10(4 / error)).mean())


def _batch(
    rng: random.Random, space: LatentSpace, size_px: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Fresh pictures f32[BATCH, 3, h, w] in -1..1 and their latents f32[BATCH, 4, h / 8, w / 8]."""
    scenes = [random_scene(rng, size_px) for _ in range(BATCH)]
    latents = np.stack([space.latents(scene) for scene in scenes])
    pixels = (
        np.stack([draw_scene(scene) for scene in scenes]).transpose(0, 3, 1, 2).astype(np.float32)
        / 127.5
        - 1
    )
    return torch.from_numpy(pixels), torch.from_numpy(latents)
