"""Trains the UNet and both text encoders together, on captions of the small world.

The arithmetic is that of SDXL's training (Podell et al. 2023) with velocity as the target (Salimans
and Ho 2022); timesteps and errors are weighted towards the outlines of things.
"""

import random
from pathlib import Path
from typing import Final

import torch
from captions import caption
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from latents import FACTOR, Album
from learner import Learner
from precision import mixed_precision
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

BATCH: Final = 32
_LEARNING_RATE: Final = 2e-3
_FIRST_TIMESTEP: Final = 950  # of 20 steps with leading spacing; with fewer it is lower
_PLACED: Final = 600  # below it the place of a thing is plain
_EMPHASIS: Final = 2.0  # how much more than the background what is near a thing counts
_EMPTY_SHARE: Final = 0.06  # of captions that are left out: as the encoded empty text,
_ZERO_SHARE: Final = 0.06  # and as zeros, which is what no negative prompt means


class TextEncoders(nn.Module):
    """Both text encoders, used as SDXL does: penultimate states side by side, and a pooled one."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._tokenizers = [
            CLIPTokenizer.from_pretrained(folder / f) for f in ("tokenizer", "tokenizer_2")
        ]
        # PyTorch's fused attention is slow backwards on a CPU: a quarter of the whole step.
        configs = [
            CLIPTextConfig.from_pretrained(folder / f, attn_implementation="eager")
            for f in ("text_encoder", "text_encoder_2")
        ]
        self.text_encoder = CLIPTextModel(configs[0])
        self.text_encoder_2 = CLIPTextModelWithProjection(configs[1])
        for name, parameter in self.named_parameters():
            # CLIP's own 0.02 makes all words nearly the same to networks this small.
            if name.endswith("token_embedding.weight"):
                nn.init.normal_(parameter, std=0.5)
            elif name.endswith("position_embedding.weight"):
                nn.init.normal_(parameter, std=0.1)

    def forward(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """prompt_embeds (n, 77, 192) and pooled_prompt_embeds (n, 128)."""
        ids = [
            tokenizer(
                texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
            ).input_ids
            for tokenizer in self._tokenizers
        ]
        first = self.text_encoder(ids[0], output_hidden_states=True)
        second = self.text_encoder_2(ids[1], output_hidden_states=True)
        embeds = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        return embeds, second.text_embeds


def train_denoiser(model: Path, run: Path, album: Album, *, steps: int) -> None:
    """Train for so many steps in all, and write the three networks' weights into the model folder.

    model  holds the configuration and the tokenizers
    run    holds the checkpoints
    """
    torch.manual_seed(1)
    encoders = TextEncoders(model)
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(model / "unet"))
    networks = {
        "text_encoder": encoders.text_encoder,
        "text_encoder_2": encoders.text_encoder_2,
        "unet": unet,
    }
    # For the same reason as the encoders' eager attention.
    unet.set_attn_processor(AttnProcessor())
    schedule = DDPMScheduler.from_pretrained(model / "scheduler")
    learner = Learner(
        {"encoders": encoders, "unet": unet},
        run / "denoiser",
        steps=steps,
        learning_rate=_LEARNING_RATE,
    )

    def loss_of(step: int) -> dict[str, Tensor]:
        rng = random.Random(step)  # a run that goes on sees what it would have seen
        generator = torch.Generator().manual_seed(step)
        scenes, drawn, near_things = album.batch(rng, BATCH)
        texts = ["" if rng.random() < _EMPTY_SHARE else caption(scene, rng) for scene in scenes]
        latents = torch.from_numpy(drawn)
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = _timesteps(generator, schedule.config.num_train_timesteps)
        noisy = schedule.add_noise(latents, noise, timesteps)
        target = schedule.get_velocity(latents, noise, timesteps)
        # Sampling starts here, from noise alone: what shines through of the picture at this
        # schedule's end (Lin et al. 2023) must not be what the background is told from.
        noisy = torch.where(timesteps[:, None, None, None] < _FIRST_TIMESTEP, noisy, noise)
        height, width = (side * FACTOR for side in latents.shape[2:])
        time_ids = torch.tensor([[height, width, 0, 0, height, width]]).expand(BATCH, 6)
        with mixed_precision():
            embeds, pooled = encoders(texts)
            kept = (torch.rand(BATCH, generator=generator) >= _ZERO_SHARE).to(embeds.dtype)
            output = unet(
                noisy,
                timesteps,
                embeds * kept[:, None, None],
                added_cond_kwargs={"text_embeds": pooled * kept[:, None], "time_ids": time_ids},
            ).sample
        error = (output.float() - target).square()
        # Most of a picture is background, which is learnt first. Once the noise no longer hides
        # where a thing is, its outline counts for more.
        shown = torch.from_numpy(near_things) & (timesteps < _PLACED)[:, None, None, None]
        return {"loss": (error * (1 + _EMPHASIS * shown)).mean()}

    learner.train(loss_of)
    for name, network in networks.items():
        network.half().save_pretrained(model / name)


def _timesteps(generator: torch.Generator, count: int) -> Tensor:
    """Half of them uniform, half around the middle, where outlines are decided (i64[BATCH])."""
    uniform = torch.rand(BATCH, generator=generator)
    # Logit-normal as in Esser et al. 2024, a little towards less noise.
    middle = torch.sigmoid(torch.randn(BATCH, generator=generator) - 0.1)
    chosen = torch.rand(BATCH, generator=generator) < 0.5
    return (torch.where(chosen, uniform, middle) * count).long().clamp(max=count - 1)
