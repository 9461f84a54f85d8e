"""Networks that look at pictures: vision transformers (Dosovitskiy et al. 2020), and heads."""

from typing import Final

import jax
import jax.numpy as jnp
from flax import nnx

from sdxl_engine.checkpoint.vision import ClassifierConfig, SafetyCheckerConfig, VisionConfig
from sdxl_engine.models.clip import ClipLayer
from sdxl_engine.models.layers import (
    PLAIN,
    LayerNorm,
    Linear,
    Network,
    Target,
    kernel_param,
    make_layers,
    param,
    run_layers,
)

_RGB: Final = 3
# What the published checker's thresholds are lowered by where it saw a special care concept.
_SPECIAL_CARE: Final = 0.01
THRESHOLD: Final = 0.5
"""The score of a picture that is exactly as near a concept as the published threshold allows."""


class Exact(nnx.Module):
    """A parameter that stays in float32: what is compared with thresholds of three digits."""

    def __init__(self, *shape: int) -> None:
        self.exact = param(*shape)


class Free(nnx.Module):
    """A parameter alone, without a layer around it."""

    def __init__(self, *shape: int) -> None:
        self.embedding = param(*shape)


class Patches(nnx.Module):
    """A linear map of squares of pixels, side by side."""

    def __init__(self, width: int, patch_px: int, target: Target, *, use_bias: bool) -> None:
        self.width, self.patch_px, self.layout = width, patch_px, target.kernels
        self.kernel = kernel_param(self.layout, patch_px, _RGB, width)
        self.bias = param(width) if use_bias else None

    def __call__(self, pixels: jax.Array) -> jax.Array:
        """From (batch, side, side, 3) to (batch, patches, width)."""
        patches = jax.lax.conv_general_dilated(
            pixels,
            self.kernel[...],
            window_strides=(self.patch_px, self.patch_px),
            padding="VALID",
            dimension_numbers=("NHWC", self.layout, "NHWC"),
        )
        patches = patches.reshape(len(pixels), -1, self.width)
        return patches if self.bias is None else patches + self.bias[...].reshape(1, 1, -1)


class VisionTransformer(nnx.Module):
    """Patches of a picture and one token more, whose last state says what the whole is."""

    def __init__(self, config: VisionConfig, target: Target = PLAIN) -> None:
        width = config.hidden_size
        self.patch_embedding = Patches(
            width, config.patch_size, target, use_bias=not config.pre_norm
        )
        self.class_embedding = Free(*config.class_shape)
        self.position_embedding = Free(*config.position_shape)
        self.pre_layernorm = (
            LayerNorm(width, eps=config.layer_norm_eps) if config.pre_norm else None
        )
        self.layers = make_layers(
            lambda: ClipLayer(config, causal=False), config.num_hidden_layers, target
        )
        self.post_layernorm = LayerNorm(width, eps=config.layer_norm_eps)

    def __call__(self, pixels: jax.Array) -> jax.Array:
        """From normalised pixels (batch, side, side, 3) to (batch, hidden)."""
        patches = self.patch_embedding(pixels)
        batch, _, width = patches.shape
        first = jnp.broadcast_to(_alone(self.class_embedding, 1, width), (batch, 1, width))
        tokens = jnp.concatenate([first, patches], axis=1)
        tokens = tokens + _alone(self.position_embedding, tokens.shape[1], width)
        if self.pre_layernorm is not None:
            tokens = self.pre_layernorm(tokens)
        tokens = run_layers(self.layers, lambda layer, tokens, _: layer(tokens), tokens)
        return self.post_layernorm(tokens[:, 0])


def _alone(free: Free, tokens: int, width: int) -> jax.Array:
    return free.embedding[...].reshape(1, tokens, width)


class SafetyChecker(Network):
    """Stable Diffusion's safety checker: how near a picture is to concepts, by CLIP's embedding."""

    def __init__(self, config: SafetyCheckerConfig, target: Target = PLAIN) -> None:
        super().__init__(target)
        vision, width = config.vision, config.projection_dim
        self.vision_model = VisionTransformer(vision, target)
        self.visual_projection = Linear(vision.hidden_size, width, use_bias=False)
        self.concepts = Exact(config.num_concepts, width)
        self.concept_thresholds = Exact(config.num_concepts)
        self.special = Exact(config.num_special, width)
        self.special_thresholds = Exact(config.num_special)

    def __call__(self, pixels: jax.Array) -> jax.Array:
        """Scores f32[batch, 2] of 0..1: sexual, special care; THRESHOLD where it begins."""
        cosines, special = self.cosines(pixels)
        special_margin = (special - _row(self.special_thresholds)).max(axis=1)
        adjustment = jnp.where(special_margin > 0, _SPECIAL_CARE, 0.0)
        margin = (cosines - _row(self.concept_thresholds)).max(axis=1) + adjustment
        return jnp.clip(THRESHOLD + jnp.stack([margin, special_margin], axis=1), 0, 1)

    def cosines(self, pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Of each picture with the concepts, f32[batch, concepts], and with the special ones."""
        embedding = self.visual_projection(self.vision_model(pixels))
        return _cosines(embedding, self.concepts), _cosines(embedding, self.special)


def _row(vector: Exact) -> jax.Array:
    return vector.exact[...][None]


def _cosines(embedding: jax.Array, concepts: Exact) -> jax.Array:
    cosines: jax.Array = _unit(embedding.astype(jnp.float32)) @ _unit(concepts.exact[...]).T
    return cosines


def _unit(rows: jax.Array) -> jax.Array:
    length = jnp.sqrt(jnp.square(rows).sum(axis=1, keepdims=True))
    return rows / length


class Classifier(Network):
    """A vision transformer that says which of its labels a picture is (transformers' ViT)."""

    def __init__(self, config: ClassifierConfig, target: Target = PLAIN) -> None:
        super().__init__(target)
        self.vit = VisionTransformer(config.vision, target)
        self.classifier = Linear(config.vision.hidden_size, len(config.labels))

    def __call__(self, pixels: jax.Array) -> jax.Array:
        """Scores f32[batch, labels], which sum to 1."""
        logits = self.classifier(self.vit(pixels)).astype(jnp.float32)
        scores: jax.Array = jax.nn.softmax(logits, axis=-1)
        return scores
