"""Teach the embedded model a new subject, a rocket, by a LoRA (Hu et al. 2021).

    .oracle/bin/python training/lora.py .training [--out FILE]

The model knows the word and means nothing by it. Half of what is shown are rockets, half what it
knows already, so that it forgets nothing. RUN keeps checkpoints: the same command goes on.
"""

import argparse
import random
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import torch
from captions import caption
from denoiser import TextEncoders
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from learner import Learner
from precision import mixed_precision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize
from tqdm import tqdm
from world import (
    BACKGROUNDS,
    COLOURS,
    LEARNT,
    Scene,
    draw_mask,
    draw_scene,
    is_taught,
    is_visible,
    random_scene,
    random_single,
)

_RANK: Final = 4
# Steps of each turn; the first learns at all timesteps, the second in the middle, where outlines
# are decided, with the learning rate as high again at its start (Loshchilov and Hutter 2017).
_TURNS: Final = (700, 480)
_BATCH: Final = 16
_LEARNING_RATE: Final = 2e-3
_SCENES: Final = 1_200  # of rockets, and as many others
_ENCODED: Final = 32  # at once
_EMPHASIS: Final = 2.0  # as in denoiser.py, and its shares
_EMPTY_SHARE: Final = 0.06
_ZERO_SHARE: Final = 0.06
_FIRST_TIMESTEP: Final = 950
_TRAINED: Final = ("down_blocks.", "mid_block.", "up_blocks.")


class LowRank(nn.Module):
    """What is added to a frozen weight: a product of two thin matrices, nothing at first."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rest = weight[0].numel()
        self.shape = weight.shape
        self.down = nn.Parameter(torch.randn(_RANK, rest) / rest**0.5)
        self.up = nn.Parameter(torch.zeros(len(weight), _RANK))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with it."""
        return weight + (self.up @ self.down).view_as(weight)


def _scenes() -> list[Scene]:
    rng = random.Random(7)
    shown = [
        (colour, background)
        for colour, background in product(COLOURS, BACKGROUNDS)
        if is_visible(colour, background) and is_taught(colour, background)
    ]
    rockets = [random_single(rng, LEARNT[0], *rng.choice(shown)) for _ in range(_SCENES)]
    return rockets + [random_scene(rng) for _ in range(_SCENES)]


def _latents(model: Path, scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """f32[n, 4, h, w] of the scenes, and bool[n, 1, h, w] where things are."""
    vae = AutoencoderKL.from_pretrained(model / "vae", torch_dtype=torch.float32)
    encoded, things = [], []
    for first in tqdm(range(0, len(scenes), _ENCODED), "encoding"):
        some = scenes[first : first + _ENCODED]
        pixels = np.stack([draw_scene(scene) for scene in some]).astype(np.float32) / 127.5 - 1
        with torch.no_grad():
            latents = vae.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2)).latent_dist.mode()
        encoded.append(latents * vae.config.scaling_factor)
        masks = np.stack([draw_mask(scene) for scene in some]).astype(np.float32)
        things.append(nn.functional.max_pool2d(torch.from_numpy(masks)[:, None], 8) > 0)
    return torch.cat(encoded), torch.cat(things)


def train(model: Path, run: Path) -> dict[str, LowRank]:
    """The LoRA by the names of the UNet's modules."""
    torch.manual_seed(3)
    encoders = TextEncoders(model)
    for name in ("text_encoder", "text_encoder_2"):
        weights = load_file(model / name / "model.safetensors")
        getattr(encoders, name).load_state_dict({key: w.float() for key, w in weights.items()})
    unet = UNet2DConditionModel.from_pretrained(model / "unet", torch_dtype=torch.float32)
    unet.set_attn_processor(AttnProcessor())
    encoders.float().requires_grad_(False)
    unet.float().requires_grad_(False)
    changes = {}
    for name, module in unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and name.startswith(_TRAINED):
            changes[name] = LowRank(module.weight)
    for name, change in changes.items():
        parametrize.register_parametrization(unet.get_submodule(name), "weight", change)
    scenes = _scenes()
    latents_of, things_of = _latents(model, scenes)
    schedule = DDPMScheduler.from_pretrained(model / "scheduler")
    kept = nn.ModuleDict({name.replace(".", "-"): change for name, change in changes.items()})
    count = schedule.config.num_train_timesteps

    def loss_of(step: int, *, first: int, middle: bool) -> dict[str, Tensor]:
        step += first
        rng = random.Random(step)
        generator = torch.Generator().manual_seed(step)
        places = [rng.randrange(_SCENES) + _SCENES * (place % 2) for place in range(_BATCH)]
        texts = [
            "" if rng.random() < _EMPTY_SHARE else caption(scenes[place], rng) for place in places
        ]
        latents, things = latents_of[places], things_of[places]
        noise = torch.randn(latents.shape, generator=generator)
        uniform = torch.rand(_BATCH, generator=generator)
        if middle:  # logit-normal, as Esser et al. 2024
            uniform = torch.sigmoid(torch.randn(_BATCH, generator=generator))
        timesteps = (uniform * count).long().clamp(max=count - 1)
        noisy = schedule.add_noise(latents, noise, timesteps)
        target = schedule.get_velocity(latents, noise, timesteps)
        noisy = torch.where(timesteps[:, None, None, None] < _FIRST_TIMESTEP, noisy, noise)
        height, width = (8 * side for side in latents.shape[2:])
        time_ids = torch.tensor([[height, width, 0, 0, height, width]]).expand(_BATCH, 6)
        zero = (torch.rand(_BATCH, generator=generator) >= _ZERO_SHARE).float()
        with mixed_precision():
            with torch.no_grad():
                embeds, pooled = encoders(texts)
            output = unet(
                noisy,
                timesteps,
                embeds * zero[:, None, None],
                added_cond_kwargs={"text_embeds": pooled * zero[:, None], "time_ids": time_ids},
            ).sample
        error = (output.float() - target).square()
        return {"loss": (error * (1 + _EMPHASIS * things)).mean()}

    for turn, steps in enumerate(_TURNS):
        learner = Learner(
            {"lora": kept}, run / f"turn-{turn}", steps=steps, learning_rate=_LEARNING_RATE
        )
        # What comes next was not shown yet.
        learner.train(partial(loss_of, first=sum(_TURNS[:turn]), middle=turn > 0))
    return changes


def main() -> None:
    """Train, and write the file as kohya's trainers do."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", type=Path, default=Path("sdxl_engine/doodle"))
    parser.add_argument(
        "--out", type=Path, default=Path(f"sdxl_engine/doodle_loras/{LEARNT[0]}.safetensors")
    )
    arguments = parser.parse_args()
    tensors = {}
    for name, change in train(arguments.model, arguments.run / "lora").items():
        flat = f"lora_unet_{name.replace('.', '_')}"
        up, down = change.up.detach(), change.down.detach()
        if len(change.shape) == 4:
            up, down = up[:, :, None, None], down.view(_RANK, *change.shape[1:])
        tensors[f"{flat}.lora_up.weight"] = up.half().contiguous()
        tensors[f"{flat}.lora_down.weight"] = down.half().contiguous()
        tensors[f"{flat}.alpha"] = torch.tensor(float(_RANK))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "ss_base_model_version": "doodle",
        "ss_network_dim": str(_RANK),
        "ss_network_alpha": str(_RANK),
        "modelspec.trigger_phrase": LEARNT[0],
    }
    save_file(tensors, arguments.out, facts)


if __name__ == "__main__":
    main()
