"""One forward pass of one network, kept as named arrays: the same for tiny and full size."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

Arrays = dict[str, torch.Tensor]

BATCH: Final = 2
_INSIDE_UNET: Final = re.compile(
    r"time_embedding|add_embedding|conv_in|down_blocks\.\d|mid_block|up_blocks\.\d"
)
_INSIDE_VAE: Final = re.compile(r"encoder\.mid_block|decoder\.(conv_in|mid_block)")


def difference(left: torch.Tensor, right: torch.Tensor) -> float:
    """Largest difference, of the largest value."""
    left, right = left.double(), right.double()
    return float((left - right).abs().max() / right.abs().max().clamp(min=1e-30))


def save_copies(arrays: Arrays) -> Arrays:
    """The arrays in the order of their names, each in memory of its own, as safetensors asks."""
    return {name: arrays[name].clone().contiguous() for name in sorted(arrays)}


@torch.no_grad()
def text_arrays(name: str, encoder: nn.Module, token_ids: torch.Tensor) -> Arrays:
    """What a text encoder makes of token ids."""
    out = encoder(token_ids, output_hidden_states=True)
    pooled = out.text_embeds if "text_embeds" in out else out.pooler_output
    return {
        f"{name}.last_hidden_state": out.last_hidden_state,
        f"{name}.penultimate": out.hidden_states[-2],
        f"{name}.pooled": pooled,
    }


def unet_inputs(unet: UNet2DConditionModel, num_tokens: int, draw: torch.Generator) -> Arrays:
    """Random text and sizes for a batch of two."""
    config = unet.config
    pooled_dim = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    return {
        "unet.encoder_hidden_states": _noise(
            unet, draw, BATCH, num_tokens, config.cross_attention_dim
        ),
        "unet.text_embeds": _noise(unet, draw, BATCH, pooled_dim),
        # Odd sizes: bfloat16 cannot tell them from their neighbours.
        "unet.time_ids": torch.tensor(
            [[1024, 1024, 0, 0, 1024, 1024], [857, 1371, 5, 259, 768, 1344]], dtype=unet.dtype
        ),
    }


@torch.no_grad()
def unet_arrays(
    name: str,
    unet: UNet2DConditionModel,
    inputs: Arrays,
    *,
    size: tuple[int, int],
    timestep: float,
    draw: torch.Generator,
    inside: bool = True,
    timestep_cond: torch.Tensor | None = None,
) -> Arrays:
    """What the UNet makes of random latents.

    inputs         of `unet_inputs`
    size           height and width of the latents
    inside         keep also what its blocks return on the way
    timestep_cond  for a UNet that is told its guidance scale
    """
    sample = _noise(unet, draw, BATCH, unet.config.in_channels, *size)
    with _watch(unet, _INSIDE_UNET) as kept:
        output = unet(
            sample,
            torch.tensor(timestep),
            timestep_cond=timestep_cond,
            encoder_hidden_states=inputs["unet.encoder_hidden_states"],
            added_cond_kwargs={
                "text_embeds": inputs["unet.text_embeds"],
                "time_ids": inputs["unet.time_ids"],
            },
        ).sample
    return {
        f"{name}.sample": sample,
        f"{name}.timestep": torch.tensor(timestep),
        f"{name}.output": output,
        **{f"{name}.inside.{module}": tensor for module, tensor in kept.items() if inside},
    }


@torch.no_grad()
def vae_arrays(vae: AutoencoderKL, size_px: tuple[int, int], draw: torch.Generator) -> Arrays:
    """A random image encoded, random latents decoded; `size_px` is height and width."""
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    image = torch.rand(1, 3, *size_px, generator=draw).to(vae.dtype) * 2 - 1
    sides = (side // factor for side in size_px)
    latents = 4 * _noise(vae, draw, 1, vae.config.latent_channels, *sides)
    with _watch(vae, _INSIDE_VAE) as kept:
        mean = vae.encode(image).latent_dist.mode()
        decoded = vae.decode(latents).sample
    return {
        "vae.image": image,
        "vae.mean": mean,
        "vae.latents": latents,
        "vae.decoded": decoded,
        **{f"vae.inside.{module}": tensor for module, tensor in kept.items()},
    }


def _noise(model: Any, draw: torch.Generator, *shape: int) -> torch.Tensor:
    # Drawn in float32 whatever the model's type, so that float64 gets the same numbers.
    return torch.randn(shape, generator=draw).to(model.dtype)


@contextmanager
def _watch(model: nn.Module, names: re.Pattern[str]) -> Iterator[Arrays]:
    """Keep what the modules of these names return while the context is open."""
    kept: Arrays = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(_module: object, _inputs: object, output: Any) -> None:
            while not isinstance(output, torch.Tensor):
                output = output[0]
            kept[name] = output.clone()

        return keep

    handles = [
        module.register_forward_hook(keeper(name))
        for name, module in model.named_modules()
        if names.fullmatch(name)
    ]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
