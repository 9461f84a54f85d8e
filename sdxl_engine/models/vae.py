"""The image autoencoder (Kingma and Welling 2013; Rombach et al. 2022): pixels <-> latents."""

from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from sdxl_engine.checkpoint.config import VaeConfig
from sdxl_engine.models.attention import self_attention
from sdxl_engine.models.layers import (
    PLAIN,
    Conv,
    FeatureMap,
    GroupNorm,
    Linear,
    Network,
    ResnetBlock,
    Target,
    Upsample,
)

_EPS = 1e-6  # every norm of the VAE; the UNet's resnets have 1e-5


def _resnets(
    config: VaeConfig,
    in_channels: int,
    out_channels: int,
    count: int,
    target: Target,
    *,
    resized: bool = False,
) -> nnx.List[ResnetBlock]:
    """One behind the other; the first changes the number of channels.

    resized  whether the last one's are made twice the size, or half
    """
    return nnx.List(
        [
            ResnetBlock(
                in_channels if layer == 0 else out_channels,
                out_channels,
                temb_channels=None,
                groups=config.norm_num_groups,
                eps=_EPS,
                sums=not resized or layer < count - 1,
                target=target,
            )
            for layer in range(count)
        ]
    )


class VaeAttention(nnx.Module):
    """Self-attention over all pixels of the coarsest level, one head."""

    def __init__(self, channels: int, groups: int) -> None:
        self.group_norm = GroupNorm(groups, channels, eps=_EPS)
        self.to_qkv = Linear(channels, 3 * channels)
        self.to_out = Linear(channels, channels)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        batch, height, width, channels = x.pixels.shape
        tokens = self.group_norm(x).reshape(batch, height * width, channels)
        mixed = self_attention(self.to_qkv(tokens), heads=1)
        return FeatureMap(x.pixels + self.to_out(mixed).reshape(x.pixels.shape))


class MidBlock(nnx.Module):
    """Resnet, attention, resnet at the coarsest level."""

    def __init__(self, config: VaeConfig, channels: int, target: Target) -> None:
        self.resnets = _resnets(config, channels, channels, 2, target)
        self.attentions = nnx.List([VaeAttention(channels, config.norm_num_groups)])

    def __call__(self, x: FeatureMap) -> FeatureMap:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Downsample(nnx.Module):
    """Half the size; padded below and to the right only, as the original was trained."""

    def __init__(self, channels: int, target: Target) -> None:
        self.conv = Conv(channels, channels, stride=2, padding=(0, 1), target=target)

    def __call__(self, x: FeatureMap) -> FeatureMap:
        return FeatureMap(self.conv(x.pixels))


class DownBlock(nnx.Module):
    """One level of the encoder."""

    def __init__(
        self,
        config: VaeConfig,
        in_channels: int,
        out_channels: int,
        target: Target,
        *,
        last: bool,
    ) -> None:
        layers = config.layers_per_block
        self.resnets = _resnets(config, in_channels, out_channels, layers, target, resized=not last)
        self.downsamplers = nnx.List([] if last else [Downsample(out_channels, target)])

    def __call__(self, x: FeatureMap) -> FeatureMap:
        for layer in (*self.resnets, *self.downsamplers):
            x = layer(x)
        return x


class UpBlock(nnx.Module):
    """One level of the decoder; it has a resnet more than the encoder's."""

    def __init__(
        self,
        config: VaeConfig,
        in_channels: int,
        out_channels: int,
        target: Target,
        *,
        last: bool,
    ) -> None:
        layers = config.layers_per_block + 1
        self.resnets = _resnets(config, in_channels, out_channels, layers, target, resized=not last)
        self.upsamplers = nnx.List([] if last else [Upsample(out_channels, target)])

    def __call__(self, x: FeatureMap) -> FeatureMap:
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x)
        return x


class Encoder(nnx.Module):
    """Pixels to the moments of the latents' Gaussian."""

    def __init__(self, config: VaeConfig, target: Target) -> None:
        channels = config.block_out_channels
        self.conv_in = Conv(config.in_channels, channels[0], target=target)
        self.down_blocks = nnx.List(
            [
                DownBlock(config, before, out, target, last=level == len(channels) - 1)
                for level, (before, out) in enumerate(pairwise((channels[0], *channels)))
            ]
        )
        self.mid_block = MidBlock(config, channels[-1], target)
        self.conv_norm_out = GroupNorm(config.norm_num_groups, channels[-1], eps=_EPS)
        self.conv_out = Conv(channels[-1], 2 * config.latent_channels, target=target)

    def __call__(self, pixels: jax.Array) -> jax.Array:
        x = FeatureMap(self.conv_in(pixels))
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(nnx.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nnx.Module):
    """Latents to pixels."""

    def __init__(self, config: VaeConfig, target: Target) -> None:
        channels = config.block_out_channels[::-1]
        self.conv_in = Conv(config.latent_channels, channels[0], target=target)
        self.mid_block = MidBlock(config, channels[0], target)
        self.up_blocks = nnx.List(
            [
                UpBlock(config, before, out, target, last=level == len(channels) - 1)
                for level, (before, out) in enumerate(pairwise((channels[0], *channels)))
            ]
        )
        self.conv_norm_out = GroupNorm(config.norm_num_groups, channels[-1], eps=_EPS)
        self.conv_out = Conv(channels[-1], config.out_channels, target=target)

    def __call__(self, latents: jax.Array) -> jax.Array:
        x = self.mid_block(FeatureMap(self.conv_in(latents)))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(nnx.silu(self.conv_norm_out(x)))


class Autoencoder(Network):
    """diffusers' AutoencoderKL. Overflows in float16; fine in bfloat16 and float32."""

    def __init__(self, config: VaeConfig, target: Target = PLAIN) -> None:
        super().__init__(target)
        self.scaling_factor = config.scaling_factor
        self.latents = None  # their mean and deviation, where they are shifted
        if config.latents_mean is not None and config.latents_std is not None:
            self.latents = config.latents_mean, config.latents_std
        latent = config.latent_channels
        self.encoder = Encoder(config, target)
        self.quant_conv = Conv(2 * latent, 2 * latent, 1, target=target)
        self.post_quant_conv = Conv(latent, latent, 1, target=target)
        self.decoder = Decoder(config, target)

    def encode(self, pixels: jax.Array) -> jax.Array:
        """The most likely latents of a picture.

        pixels   (batch, height, width, 3) in -1..1
        Returns  (batch, height / f, width / f, latent channels), scaled for the UNet
        """
        moments = self.quant_conv(self.encoder(pixels))
        mean, _log_variance = jnp.split(moments, 2, axis=-1)
        if self.latents is not None:
            center, deviation = (_by_channel(numbers, mean) for numbers in self.latents)
            mean = (mean - center) / deviation
        return mean * self.scaling_factor

    def decode(self, latents: jax.Array) -> jax.Array:
        """The picture of latents as the UNet knows them; the inverse of `encode`, not clipped."""
        unscaled = latents / self.scaling_factor
        if self.latents is not None:
            center, deviation = (_by_channel(numbers, latents) for numbers in self.latents)
            unscaled = latents * deviation / self.scaling_factor + center
        return self.decoder(self.post_quant_conv(unscaled))


def _by_channel(numbers: tuple[float, ...], latents: jax.Array) -> jax.Array:
    """A number a channel, (1, 1, 1, channels), in the latents' type."""
    return jnp.array(numbers, latents.dtype)[None, None, None]
