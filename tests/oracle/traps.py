"""Known ways to get SDXL wrong by a little, each of which the goldens must show.

Each trap changes a loaded pipeline in place as a port might have it. Structural mistakes (a missing
layer, swapped halves) need no entry: they change everything.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.models.activations import GEGLU
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn
from torch.nn import functional

Trap = Callable[[StableDiffusionXLPipeline], None]


def _norms(model: nn.Module, kind: type[nn.Module], *, inside: type[nn.Module]) -> Iterator[Any]:
    """The norms of a kind that are a direct child of an `inside`."""
    for parent in model.modules():
        if isinstance(parent, inside):
            yield from (child for child in parent.children() if isinstance(child, kind))


def _set_epsilon(part: str, kind: type[nn.Module], eps: float, inside: type[nn.Module]) -> Trap:
    def spring(pipeline: StableDiffusionXLPipeline) -> None:
        for norm in _norms(getattr(pipeline, part), kind, inside=inside):
            norm.eps = eps

    return spring


def _resnet_epsilon(pipeline: StableDiffusionXLPipeline) -> None:
    for name, module in pipeline.unet.named_modules():
        if isinstance(module, nn.GroupNorm) and ".attentions." not in name:
            module.eps = 1e-6


def _tanh_geglu(pipeline: StableDiffusionXLPipeline) -> None:
    for module in pipeline.unet.modules():
        if isinstance(module, GEGLU):
            module.gelu = lambda gate: functional.gelu(gate, approximate="tanh")


def _activation(part: str, activation: nn.Module) -> Trap:
    def spring(pipeline: StableDiffusionXLPipeline) -> None:
        for layer in getattr(pipeline, part).modules():
            if hasattr(layer, "activation_fn"):
                layer.activation_fn = activation

    return spring


def _rounded(module: str) -> Trap:
    def spring(pipeline: StableDiffusionXLPipeline) -> None:
        def round_inputs(_module: object, inputs: tuple[torch.Tensor, ...]) -> tuple[Any, ...]:
            return tuple(values.bfloat16().to(values.dtype) for values in inputs)

        pipeline.unet.get_submodule(module).register_forward_pre_hook(round_inputs)

    return spring


def _largest_id(part: str) -> Trap:
    def spring(pipeline: StableDiffusionXLPipeline) -> None:
        for module in getattr(pipeline, part).modules():
            if hasattr(module, "eos_token_id"):
                module.eos_token_id = 2

    return spring


TRAPS: dict[str, Trap] = {
    "Transformer2D's group norm with epsilon 1e-5": _set_epsilon(
        "unet", nn.GroupNorm, 1e-5, inside=Transformer2DModel
    ),
    "the UNet's other group norms with 1e-6": _resnet_epsilon,
    "the UNet's layer norms with 1e-6": _set_epsilon("unet", nn.LayerNorm, 1e-6, inside=nn.Module),
    "the VAE's group norms with 1e-5": _set_epsilon("vae", nn.GroupNorm, 1e-5, inside=nn.Module),
    "the VAE attention's group norm with 1e-5": _set_epsilon(
        "vae", nn.GroupNorm, 1e-5, inside=Attention
    ),
    "the first encoder's layer norms with 1e-6": _set_epsilon(
        "text_encoder", nn.LayerNorm, 1e-6, inside=nn.Module
    ),
    "the second encoder's layer norms with 1e-6": _set_epsilon(
        "text_encoder_2", nn.LayerNorm, 1e-6, inside=nn.Module
    ),
    "GEGLU with the tanh approximation": _tanh_geglu,
    "the second encoder's gelu with the tanh approximation": _activation(
        "text_encoder_2", nn.GELU(approximate="tanh")
    ),
    "the first encoder with exact gelu": _activation("text_encoder", nn.GELU()),
    "time_ids rounded to bfloat16": _rounded("add_time_proj"),
    "timesteps rounded to bfloat16": _rounded("time_proj"),
    "the end token taken to be the largest id": _largest_id("text_encoder_2"),
}
