"""The denoiser of Stable Diffusion XL (Podell et al. 2023): a UNet with cross-attention to text."""

import jax
import jax.numpy as jnp
from flax import nnx

from sdxl_engine.models.config import UNetConfig
from sdxl_engine.models.layers import (
    Conv,
    GroupNorm,
    LayerNorm,
    Linear,
    ResnetBlock,
    Upsample,
    attention,
    sinusoidal_embedding,
)

# Six numbers: the original height and width, the crop's top and left, the target height and width.
TIME_IDS = 6


class TimestepEmbedding(nnx.Module):
    """Two linears on top of a sinusoidal embedding."""

    def __init__(self, in_features: int, out_features: int) -> None:
        self.linear_1 = Linear(in_features, out_features)
        self.linear_2 = Linear(out_features, out_features)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.linear_2(nnx.silu(self.linear_1(x)))


class Attention(nnx.Module):
    """Attention of tokens to themselves or to the text.

    context_dim  width of what is attended to
    """

    def __init__(self, dim: int, context_dim: int, heads: int) -> None:
        self.heads = heads
        self.to_q = Linear(dim, dim, use_bias=False)
        self.to_k = Linear(context_dim, dim, use_bias=False)
        self.to_v = Linear(context_dim, dim, use_bias=False)
        self.to_out = Linear(dim, dim)

    def __call__(self, x: jax.Array, context: jax.Array) -> jax.Array:
        query, key, value = self.to_q(x), self.to_k(context), self.to_v(context)
        return self.to_out(attention(query, key, value, heads=self.heads))


class FeedForward(nnx.Module):
    """GEGLU (Shazeer 2020) with the exact GELU, four times as wide inside."""

    def __init__(self, dim: int) -> None:
        self.proj_in = Linear(dim, 8 * dim)
        self.proj_out = Linear(4 * dim, dim)

    def __call__(self, x: jax.Array) -> jax.Array:
        hidden, gate = jnp.split(self.proj_in(x), 2, axis=-1)
        return self.proj_out(hidden * jax.nn.gelu(gate, approximate=False))


class TransformerBlock(nnx.Module):
    """Self-attention, attention to the text, feed-forward; each with a norm before, added after."""

    def __init__(self, dim: int, context_dim: int, heads: int) -> None:
        self.norm1 = LayerNorm(dim)
        self.attn1 = Attention(dim, dim, heads)
        self.norm2 = LayerNorm(dim)
        self.attn2 = Attention(dim, context_dim, heads)
        self.norm3 = LayerNorm(dim)
        self.ff = FeedForward(dim)

    def __call__(self, x: jax.Array, context: jax.Array) -> jax.Array:
        normed = self.norm1(x)
        x = x + self.attn1(normed, normed)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nnx.Module):
    """Transformer blocks over the pixels of a feature map (diffusers' Transformer2DModel)."""

    def __init__(self, dim: int, context_dim: int, heads: int, layers: int, groups: int) -> None:
        # 1e-6 here, 1e-5 in the resnets: so it was trained.
        self.norm = GroupNorm(groups, dim, eps=1e-6)
        self.proj_in = Linear(dim, dim)
        self.transformer_blocks = nnx.List(
            [TransformerBlock(dim, context_dim, heads) for _ in range(layers)]
        )
        self.proj_out = Linear(dim, dim)

    def __call__(self, x: jax.Array, context: jax.Array) -> jax.Array:
        batch, height, width, channels = x.shape
        tokens = self.proj_in(self.norm(x).reshape(batch, height * width, channels))
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + self.proj_out(tokens).reshape(x.shape)


class Downsample(nnx.Module):
    """Half the size by a strided convolution."""

    def __init__(self, channels: int) -> None:
        self.conv = Conv(channels, channels, stride=2)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(x)


def _temb_channels(config: UNetConfig) -> int:
    return 4 * config.block_out_channels[0]


def _resnet(config: UNetConfig, in_channels: int, out_channels: int) -> ResnetBlock:
    return ResnetBlock(
        in_channels,
        out_channels,
        temb_channels=_temb_channels(config),
        groups=config.norm_num_groups,
        eps=config.norm_eps,
    )


def _transformer(config: UNetConfig, level: int) -> SpatialTransformer:
    return SpatialTransformer(
        config.block_out_channels[level],
        config.cross_attention_dim,
        config.num_attention_heads[level],
        config.transformer_layers[level],
        config.norm_num_groups,
    )


class DownBlock(nnx.Module):
    """One level on the way down; hands every layer's output on to the way up."""

    def __init__(self, config: UNetConfig, level: int) -> None:
        channels = config.block_out_channels
        out = channels[level]
        layers = range(config.layers_per_block)
        before = channels[max(level - 1, 0)]
        self.resnets = nnx.List(
            [_resnet(config, out if layer else before, out) for layer in layers]
        )
        self.attentions = nnx.List(
            [_transformer(config, level) for _ in layers] if config.down_attention[level] else []
        )
        last = level == len(channels) - 1
        self.downsamplers = nnx.List([] if last else [Downsample(out)])

    def __call__(self, x: jax.Array, temb: jax.Array, context: jax.Array) -> list[jax.Array]:
        """The outputs of the layers, the block's own last."""
        outputs = []
        for layer, resnet in enumerate(self.resnets):
            x = resnet(x, temb)
            if self.attentions:
                x = self.attentions[layer](x, context)
            outputs.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
            outputs.append(x)
        return outputs


class MidBlock(nnx.Module):
    """Resnet, attention, resnet at the coarsest level."""

    def __init__(self, config: UNetConfig) -> None:
        level = len(config.block_out_channels) - 1
        channels = config.block_out_channels[level]
        self.resnets = nnx.List([_resnet(config, channels, channels) for _ in range(2)])
        self.attentions = nnx.List([_transformer(config, level)])

    def __call__(self, x: jax.Array, temb: jax.Array, context: jax.Array) -> jax.Array:
        x = self.attentions[0](self.resnets[0](x, temb), context)
        return self.resnets[1](x, temb)


class UpBlock(nnx.Module):
    """One level on the way up; takes back what the way down left, a layer at a time.

    level  the level of the way down that it mirrors
    """

    def __init__(self, config: UNetConfig, level: int) -> None:
        channels = config.block_out_channels
        out, below = channels[level], channels[min(level + 1, len(channels) - 1)]
        count = config.layers_per_block + 1
        # Of the skips of this level the last was made by the level before it, or by conv_in.
        skips = [out] * (count - 1) + [channels[max(level - 1, 0)]]
        self.resnets = nnx.List(
            [
                _resnet(config, (out if layer else below) + skip, out)
                for layer, skip in enumerate(skips)
            ]
        )
        position = len(channels) - 1 - level
        self.attentions = nnx.List(
            [_transformer(config, level) for _ in skips] if config.up_attention[position] else []
        )
        self.upsamplers = nnx.List([Upsample(out)] if level else [])

    def __call__(
        self, x: jax.Array, skips: list[jax.Array], temb: jax.Array, context: jax.Array
    ) -> jax.Array:
        """Takes its layers' skips off the end of `skips`."""
        for layer, resnet in enumerate(self.resnets):
            x = resnet(jnp.concatenate([x, skips.pop()], axis=-1), temb)
            if self.attentions:
                x = self.attentions[layer](x, context)
        for upsampler in self.upsamplers:
            x = upsampler(x)
        return x


class UNet(nnx.Module):
    """diffusers' UNet2DConditionModel as SDXL configures it."""

    def __init__(self, config: UNetConfig) -> None:
        channels = config.block_out_channels
        temb_channels = _temb_channels(config)
        self.time_dim = channels[0]
        self.size_dim = config.addition_time_embed_dim
        self.conv_in = Conv(config.in_channels, channels[0])
        self.time_embedding = TimestepEmbedding(channels[0], temb_channels)
        self.add_embedding = TimestepEmbedding(
            config.projection_class_embeddings_input_dim, temb_channels
        )
        levels = range(len(channels))
        self.down_blocks = nnx.List([DownBlock(config, level) for level in levels])
        self.mid_block = MidBlock(config)
        self.up_blocks = nnx.List([UpBlock(config, level) for level in reversed(levels)])
        self.conv_norm_out = GroupNorm(config.norm_num_groups, channels[0], eps=config.norm_eps)
        self.conv_out = Conv(channels[0], config.out_channels)

    def __call__(
        self,
        sample: jax.Array,
        timestep: jax.Array,
        encoder_hidden_states: jax.Array,
        pooled_prompt_embeds: jax.Array,
        time_ids: jax.Array,
    ) -> jax.Array:
        """Predict the noise (or v) in `sample`.

        sample                 (batch, height, width, in_channels)
        timestep               f32[] in 0..999, the same for the whole batch
        encoder_hidden_states  (batch, tokens, cross_attention_dim)
        pooled_prompt_embeds   (batch, pooled_dim)
        time_ids               f32[batch, 6] pixels; float32 because bfloat16 rounds odd sizes
        Returns                (batch, height, width, out_channels) in the sample's dtype
        """
        temb = self._embed_time(sample, timestep, pooled_prompt_embeds, time_ids)
        x = self.conv_in(sample)
        skips = [x]
        for down_block in self.down_blocks:
            skips += down_block(skips[-1], temb, encoder_hidden_states)
        x = self.mid_block(skips[-1], temb, encoder_hidden_states)
        for up_block in self.up_blocks:
            x = up_block(x, skips, temb, encoder_hidden_states)
        return self.conv_out(nnx.silu(self.conv_norm_out(x)))

    def _embed_time(
        self, sample: jax.Array, timestep: jax.Array, pooled: jax.Array, time_ids: jax.Array
    ) -> jax.Array:
        batch, dtype = sample.shape[0], sample.dtype
        time = sinusoidal_embedding(timestep[None], self.time_dim).astype(dtype)
        sizes = sinusoidal_embedding(time_ids.reshape(-1), self.size_dim).reshape(batch, -1)
        added = jnp.concatenate([pooled, sizes.astype(dtype)], axis=-1)
        return self.time_embedding(time) + self.add_embedding(added)
