"""The denoiser of Stable Diffusion XL (Podell et al. 2023): a UNet with cross-attention to text."""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import nnx

from sdxl_engine.checkpoint.config import UNetConfig
from sdxl_engine.models.attention import attention, cross_attention, self_attention
from sdxl_engine.models.gelu import gelu
from sdxl_engine.models.layers import (
    PLAIN,
    Conv,
    FeatureMap,
    GroupNorm,
    LayerNorm,
    Linear,
    Network,
    ResnetBlock,
    Stacked,
    Target,
    Upsample,
    guidance_embedding,
    make_layers,
    run_layers,
    sinusoidal_embedding,
)
from sdxl_engine.models.quantised import linear

# For each attention of a block, (transformer blocks, prompts, tokens, 2 * dim).
BlockText = list[jax.Array]
# Six numbers: the original height and width, the crop's top and left, the target height and width.
TIME_IDS = 6


class TimestepEmbedding(nnx.Module):
    """Two linears on top of a sinusoidal embedding.

    cond_proj  what is added to it, of a guidance scale's `told` sinusoids
    """

    def __init__(self, in_features: int, out_features: int, told: int | None = None) -> None:
        self.linear_1 = Linear(in_features, out_features)
        self.linear_2 = Linear(out_features, out_features)
        self.cond_proj = Linear(told, in_features, use_bias=False) if told else None

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.linear_2(nnx.silu(self.linear_1(x)))


class SelfAttention(nnx.Module):
    """Attention of tokens to themselves."""

    def __init__(self, dim: int, heads: int, target: Target) -> None:
        self.heads = heads
        self.kernel = target.attention
        self.to_qkv = linear(dim, 3 * dim, target, use_bias=False)
        self.to_out = linear(dim, dim, target)

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.kernel == "cudnn":
            # Three products: cuDNN wants the three apart, and cutting a whole one copies it.
            each = self.to_qkv.apart(x, 3)
            return self.to_out(attention(*each, heads=self.heads, kernel=self.kernel))
        return self.to_out(self_attention(self.to_qkv(x), heads=self.heads, kernel=self.kernel))


class CrossAttention(nnx.Module):
    """Attention of tokens to the text, whose keys and values are the same in every step."""

    def __init__(self, dim: int, context_dim: int, heads: int, target: Target) -> None:
        self.heads = heads
        self.kernel = target.attention
        self.to_q = linear(dim, dim, target, use_bias=False)
        self.to_kv = Linear(context_dim, 2 * dim, use_bias=False)
        self.to_out = linear(dim, dim, target)

    def __call__(self, x: jax.Array, key_value: jax.Array) -> jax.Array:
        query = self.to_q(x)
        return self.to_out(cross_attention(query, key_value, heads=self.heads, kernel=self.kernel))


class FeedForward(nnx.Module):
    """GEGLU (Shazeer 2020) with the exact GELU, four times as wide inside."""

    def __init__(self, dim: int, target: Target) -> None:
        self.proj_in = linear(dim, 8 * dim, target)
        self.proj_out = linear(4 * dim, dim, target)
        self.made_once = target.quantised and target.fused

    def __call__(self, x: jax.Array) -> jax.Array:
        hidden, gate = jnp.split(self.proj_in(x), 2, axis=-1)
        gated = hidden * gelu(gate)
        if self.made_once:
            # To be rounded it is looked at twice, and the TPU's compiler would make it anew.
            gated = jax.lax.optimization_barrier(gated)
        return self.proj_out(gated)


class TransformerBlock(nnx.Module):
    """Self-attention, attention to the text, feed-forward; each with a norm before, added after."""

    def __init__(self, dim: int, context_dim: int, heads: int, target: Target) -> None:
        self.norm1 = LayerNorm(dim)
        self.attn1 = SelfAttention(dim, heads, target)
        self.norm2 = LayerNorm(dim)
        self.attn2 = CrossAttention(dim, context_dim, heads, target)
        self.norm3 = LayerNorm(dim)
        self.ff = FeedForward(dim, target)

    def __call__(self, x: jax.Array, key_value: jax.Array) -> jax.Array:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), key_value)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nnx.Module):
    """Transformer blocks over the pixels of a feature map (diffusers' Transformer2DModel)."""

    def __init__(self, config: UNetConfig, level: int, blocks: int, target: Target) -> None:
        dim, heads = config.block_out_channels[level], config.num_attention_heads[level]
        # 1e-6 here, 1e-5 in the resnets: so it was trained.
        self.norm = GroupNorm(config.norm_num_groups, dim, eps=1e-6)
        self.proj_in = Linear(dim, dim)
        self.transformer_blocks = make_layers(
            lambda: TransformerBlock(dim, config.cross_attention_dim, heads, target),
            blocks,
            target,
        )
        self.proj_out = Linear(dim, dim)

    def keys_values(self, encoder_hidden_states: jax.Array) -> jax.Array:
        """What the text says to each block, (blocks, prompts, tokens, 2 * dim)."""
        blocks = self.transformer_blocks
        if isinstance(blocks, Stacked):
            each = cast("TransformerBlock", blocks.each)
            kernels = each.attn2.to_kv.kernel[...]
            return jnp.einsum("btc,lcd->lbtd", encoder_hidden_states, kernels)
        return jnp.stack([block.attn2.to_kv(encoder_hidden_states) for block in blocks])

    def __call__(self, x: FeatureMap, keys_values: jax.Array) -> FeatureMap:
        batch, height, width, channels = x.pixels.shape
        tokens = self.proj_in(self.norm(x).reshape(batch, height * width, channels))
        tokens = run_layers(
            self.transformer_blocks,
            lambda block, tokens, key_value: block(tokens, key_value),
            tokens,
            keys_values,
        )
        return FeatureMap(x.pixels + self.proj_out(tokens).reshape(x.pixels.shape))


class Downsample(nnx.Module):
    """Half the size by a strided convolution."""

    def __init__(self, channels: int, target: Target) -> None:
        self.conv = Conv(channels, channels, stride=2, target=target)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        return FeatureMap(self.conv(x.pixels))


def _temb_channels(config: UNetConfig) -> int:
    return 4 * config.block_out_channels[0]


def _resnet(config: UNetConfig, in_channels: int, out_channels: int, target: Target) -> ResnetBlock:
    return ResnetBlock(
        in_channels,
        out_channels,
        temb_channels=_temb_channels(config),
        groups=config.norm_num_groups,
        eps=config.norm_eps,
        target=target,
    )


class DownBlock(nnx.Module):
    """One level on the way down; hands every layer's output on to the way up."""

    def __init__(self, config: UNetConfig, level: int, target: Target) -> None:
        channels = config.block_out_channels
        out = channels[level]
        layers = range(config.layers_per_block[level])
        before = channels[max(level - 1, 0)]
        self.resnets = nnx.List(
            [_resnet(config, out if layer else before, out, target) for layer in layers]
        )
        self.attentions = nnx.List(
            [
                SpatialTransformer(config, level, blocks, target)
                for blocks in config.down_transformers[level]
            ]
        )
        last = level == len(channels) - 1
        self.downsamplers = nnx.List([] if last else [Downsample(out, target)])

    def __call__(self, x: FeatureMap, temb: jax.Array, text: BlockText) -> list[FeatureMap]:
        """The outputs of the layers, the block's own last."""
        outputs = []
        for layer, resnet in enumerate(self.resnets):
            x = resnet(x, temb)
            if self.attentions:
                x = self.attentions[layer](x, text[layer])
            outputs.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
            outputs.append(x)
        return outputs


class MidBlock(nnx.Module):
    """Resnets at the coarsest level, attention between two of them; smaller models have fewer."""

    def __init__(self, config: UNetConfig, target: Target) -> None:
        level = len(config.block_out_channels) - 1
        channels = config.block_out_channels[level]
        self.resnets = nnx.List(
            [_resnet(config, channels, channels, target) for _ in range(config.mid_resnets)]
        )
        self.attentions = nnx.List(
            [
                SpatialTransformer(config, level, blocks, target)
                for blocks in config.mid_transformers
            ]
        )

    def __call__(self, x: FeatureMap, temb: jax.Array, text: BlockText) -> FeatureMap:
        for place, resnet in enumerate(self.resnets):
            if place:
                x = self.attentions[place - 1](x, text[place - 1])
            x = resnet(x, temb)
        return x


class UpBlock(nnx.Module):
    """One level on the way up; takes back what the way down left, a layer at a time.

    level  the level of the way down that it mirrors
    """

    def __init__(self, config: UNetConfig, level: int, target: Target) -> None:
        channels = config.block_out_channels
        out, below = channels[level], channels[min(level + 1, len(channels) - 1)]
        count = config.layers_per_block[level] + 1
        # Of the skips of this level the last was made by the level before it, or by conv_in.
        skips = [out] * (count - 1) + [channels[max(level - 1, 0)]]
        self.resnets = nnx.List(
            [
                _resnet(config, (out if layer else below) + skip, out, target)
                for layer, skip in enumerate(skips)
            ]
        )
        position = len(channels) - 1 - level
        self.attentions = nnx.List(
            [
                SpatialTransformer(config, level, blocks, target)
                for blocks in config.up_transformers[position]
            ]
        )
        self.upsamplers = nnx.List([Upsample(out, target)] if level else [])

    def __call__(
        self, x: FeatureMap, skips: list[FeatureMap], temb: jax.Array, text: BlockText
    ) -> FeatureMap:
        """Takes its layers' skips off the end of `skips`."""
        for layer, resnet in enumerate(self.resnets):
            x = resnet(x.beside(skips.pop()), temb)
            if self.attentions:
                x = self.attentions[layer](x, text[layer])
        for upsampler in self.upsamplers:
            x = upsampler(x)
        return x


class UNetConditioning(NamedTuple):
    """Everything about a request that is the same in every step, of one prompt or more.

    added     (prompts, temb channels) what prompt and sizes add to the time embedding
    told      (prompts, channels) what the guidance scale adds to the time's sinusoids, of a model
              that is told it
    down, up  what the text says to the attentions of each block, in the order of the way
    mid       the same of the middle
    """

    added: jax.Array
    told: jax.Array | None
    down: list[BlockText]
    mid: BlockText
    up: list[BlockText]


class UNet(Network):
    """diffusers' UNet2DConditionModel as SDXL configures it."""

    def __init__(self, config: UNetConfig, target: Target = PLAIN) -> None:
        channels = config.block_out_channels
        temb_channels = _temb_channels(config)
        super().__init__(target)
        self.time_dim = channels[0]
        self.size_dim = config.addition_time_embed_dim
        self.conv_in = Conv(config.in_channels, channels[0], target=target)
        self.time_embedding = TimestepEmbedding(
            channels[0], temb_channels, config.time_cond_proj_dim
        )
        self.add_embedding = TimestepEmbedding(
            config.projection_class_embeddings_input_dim, temb_channels
        )
        levels = range(len(channels))
        self.down_blocks = nnx.List([DownBlock(config, level, target) for level in levels])
        self.mid_block = MidBlock(config, target)
        self.up_blocks = nnx.List([UpBlock(config, level, target) for level in reversed(levels)])
        self.conv_norm_out = GroupNorm(config.norm_num_groups, channels[0], eps=config.norm_eps)
        self.conv_out = Conv(channels[0], config.out_channels, target=target)

    def condition(
        self,
        encoder_hidden_states: jax.Array,
        pooled_prompt_embeds: jax.Array,
        time_ids: jax.Array,
        guidance_scale: jax.Array | None = None,
    ) -> UNetConditioning:
        """What the steps need of the prompts, computed once.

        encoder_hidden_states  (prompts, tokens, cross_attention_dim)
        pooled_prompt_embeds   (prompts, pooled_dim)
        time_ids               f32[prompts, 6] pixels; float32 because bfloat16 rounds odd sizes
        guidance_scale         f32[], for a model that is told it
        """
        prompts, dtype = pooled_prompt_embeds.shape[0], pooled_prompt_embeds.dtype
        sizes = sinusoidal_embedding(time_ids.reshape(-1), self.size_dim).reshape(prompts, -1)
        added = jnp.concatenate([pooled_prompt_embeds, sizes.astype(dtype)], axis=-1)

        def texts(attentions: nnx.List[SpatialTransformer]) -> BlockText:
            return [attention.keys_values(encoder_hidden_states) for attention in attentions]

        told = None
        if self.time_embedding.cond_proj is not None and guidance_scale is not None:
            scales = jnp.broadcast_to(guidance_scale[None], (prompts,))
            sinusoids = guidance_embedding(scales, self.time_embedding.cond_proj.kernel.shape[0])
            told = self.time_embedding.cond_proj(sinusoids.astype(dtype))
        return UNetConditioning(
            self.add_embedding(added),
            told,
            [texts(block.attentions) for block in self.down_blocks],
            texts(self.mid_block.attentions),
            [texts(block.attentions) for block in self.up_blocks],
        )

    def __call__(
        self, sample: jax.Array, timestep: jax.Array, conditioning: UNetConditioning
    ) -> jax.Array:
        """Predict the noise (or v) in `sample`.

        sample        (batch, height, width, in_channels)
        timestep      f32[] in 0..999, the same for the whole batch
        conditioning  of `condition`; the first batch / prompts samples have its first prompt
        Returns       (batch, height, width, out_channels) in the sample's dtype
        """
        time = sinusoidal_embedding(timestep[None], self.time_dim).astype(sample.dtype)
        images = sample.shape[0] // conditioning.added.shape[0]
        if conditioning.told is not None:
            time += jnp.repeat(conditioning.told, images, axis=0)
        temb = self.time_embedding(time) + jnp.repeat(conditioning.added, images, axis=0)
        skips = [FeatureMap(self.conv_in(sample))]
        for down_block, text in zip(self.down_blocks, conditioning.down, strict=True):
            skips += down_block(skips[-1], temb, text)
        x = self.mid_block(skips[-1], temb, conditioning.mid)
        for up_block, text in zip(self.up_blocks, conditioning.up, strict=True):
            x = up_block(x, skips, temb, text)
        return self.conv_out(nnx.silu(self.conv_norm_out(x)))
