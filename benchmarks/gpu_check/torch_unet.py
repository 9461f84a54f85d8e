"""The UNet of Stable Diffusion XL in plain PyTorch, for a machine that has no diffusers.

The same operations in the same order as diffusers' UNet2DConditionModel, under the same names: its
weights fit, and with them both compute the same. No dropout, no options: what SDXL's config says.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - so everybody calls it
from torch import Tensor, nn

from sdxl_engine.checkpoint.config import UNetConfig


def sinusoids(positions: Tensor, dim: int) -> Tensor:
    """Cosines then sines, f32[n, dim] of f32[n]."""
    half = dim // 2
    steps = torch.arange(half, dtype=torch.float32, device=positions.device)
    angles = positions.float()[:, None] * torch.exp(-math.log(10_000) * steps / half)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class Embedding(nn.Module):
    """Two linears on top of sinusoids."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(before, after)
        self.linear_2 = nn.Linear(after, after)

    def forward(self, x: Tensor) -> Tensor:
        """(n, before) to (n, after)."""
        return self.linear_2(F.silu(self.linear_1(x)))


class Resnet(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, config: UNetConfig, before: int, after: int) -> None:
        super().__init__()
        groups, eps = config.norm_num_groups, config.norm_eps
        self.norm1 = nn.GroupNorm(groups, before, eps=eps)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.time_emb_proj = nn.Linear(4 * config.block_out_channels[0], after)
        self.norm2 = nn.GroupNorm(groups, after, eps=eps)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """(n, before, h, w) to (n, after, h, w)."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = hidden + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(hidden)))


class Attention(nn.Module):
    """Of tokens to others, by PyTorch's own fused kernel."""

    def __init__(self, dim: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(context, dim, bias=False)
        self.to_v = nn.Linear(context, dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(n, tokens, dim), of the context (n, key tokens, context)."""
        query, key, value = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for each in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))


class Geglu(nn.Module):
    """The first half of a feed-forward."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, 8 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, dim) to (n, tokens, 4 * dim)."""
        hidden, gate = self.proj(x).chunk(2, dim=-1)
        return hidden * F.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU, then a linear; diffusers has a dropout between them, at place 1."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([Geglu(dim), nn.Identity(), nn.Linear(4 * dim, dim)])

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, dim), the same."""
        return self.net[2](self.net[0](x))


class Block(nn.Module):
    """Self-attention, attention to the text, feed-forward."""

    def __init__(self, dim: int, context: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.attn1 = Attention(dim, dim, heads)
        self.attn2 = Attention(dim, context, heads)
        self.ff = FeedForward(dim)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """(n, tokens, dim), the same."""
        normed = self.norm1(x)
        x = x + self.attn1(normed, normed)
        x = x + self.attn2(self.norm2(x), text)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    """Blocks over the pixels of a feature map."""

    def __init__(self, config: UNetConfig, level: int, blocks: int) -> None:
        super().__init__()
        dim, heads = config.block_out_channels[level], config.num_attention_heads[level]
        self.norm = nn.GroupNorm(config.norm_num_groups, dim, eps=1e-6)
        self.proj_in = nn.Linear(dim, dim)
        self.transformer_blocks = nn.ModuleList(
            [Block(dim, config.cross_attention_dim, heads) for _ in range(blocks)]
        )
        self.proj_out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """(n, dim, h, w), the same."""
        height, width = x.shape[2:]
        tokens = self.proj_in(self.norm(x).permute(0, 2, 3, 1).flatten(1, 2))
        for block in self.transformer_blocks:
            tokens = block(tokens, text)
        return x + self.proj_out(tokens).unflatten(1, (height, width)).permute(0, 3, 1, 2)


class Sampler(nn.Module):
    """Half or twice the size, with a 3x3 convolution."""

    def __init__(self, channels: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, stride=1 if up else 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, channels, 2 * h, 2 * w), or half of both."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else x)


class Level(nn.Module):
    """The layers of a level, down, in the middle or up; those of the attentions may be none."""

    def __init__(self, resnets: list[nn.Module], attentions: list[nn.Module]) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.downsamplers = nn.ModuleList()
        self.upsamplers = nn.ModuleList()

    def layer(self, place: int, x: Tensor, temb: Tensor, text: Tensor) -> Tensor:
        """A resnet, and the attention behind it if there is one."""
        x = self.resnets[place](x, temb)
        return self.attentions[place](x, text) if len(self.attentions) else x


class TorchUNet(nn.Module):
    """The whole of it."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        channels = config.block_out_channels
        self.time_dim, self.size_dim = channels[0], config.addition_time_embed_dim
        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        self.time_embedding = Embedding(channels[0], 4 * channels[0])
        self.add_embedding = Embedding(
            config.projection_class_embeddings_input_dim, 4 * channels[0]
        )
        last = len(channels) - 1

        def transformers(level: int, blocks: tuple[int, ...]) -> list[nn.Module]:
            return [Transformer(config, level, each) for each in blocks]

        self.down_blocks = nn.ModuleList()
        made = [channels[0]]  # the channels of what goes to the way up
        for level, out in enumerate(channels):
            widths = [made[-1], *[out] * config.layers_per_block[level]]
            resnets: list[nn.Module] = [Resnet(config, *pair) for pair in pairwise(widths)]
            block = Level(resnets, transformers(level, config.down_transformers[level]))
            made += widths[1:]
            if level < last:
                block.downsamplers.append(Sampler(out, up=False))
                made.append(out)
            self.down_blocks.append(block)
        middle = channels[last]
        self.mid_block = Level(
            [Resnet(config, middle, middle) for _ in range(config.mid_resnets)],
            transformers(last, config.mid_transformers),
        )
        self.up_blocks = nn.ModuleList()
        before = middle
        for place, level in enumerate(reversed(range(len(channels)))):
            out = channels[level]
            resnets = []
            for _ in range(config.layers_per_block[level] + 1):
                resnets.append(Resnet(config, before + made.pop(), out))
                before = out
            block = Level(resnets, transformers(level, config.up_transformers[place]))
            if level:
                block.upsamplers.append(Sampler(out, up=True))
            self.up_blocks.append(block)
        self.conv_norm_out = nn.GroupNorm(config.norm_num_groups, channels[0], eps=config.norm_eps)
        self.conv_out = nn.Conv2d(channels[0], config.out_channels, 3, padding=1)

    def forward(
        self, sample: Tensor, timestep: Tensor, text: Tensor, pooled: Tensor, time_ids: Tensor
    ) -> Tensor:
        """The noise in a sample (n, 4, h, w), as diffusers' own arguments have it."""
        dtype, count = sample.dtype, sample.shape[0]
        time = sinusoids(timestep.expand(count), self.time_dim).to(dtype)
        sizes = sinusoids(time_ids.flatten(), self.size_dim).reshape(count, -1).to(dtype)
        temb = self.time_embedding(time) + self.add_embedding(torch.cat([pooled, sizes], dim=-1))
        x = self.conv_in(sample)
        skips = [x]
        for block in self.down_blocks:
            for place in range(len(block.resnets)):
                x = block.layer(place, x, temb, text)
                skips.append(x)
            for sampler in block.downsamplers:
                x = sampler(x)
                skips.append(x)
        for place, resnet in enumerate(self.mid_block.resnets):
            if place:
                x = self.mid_block.attentions[place - 1](x, text)
            x = resnet(x, temb)
        for block in self.up_blocks:
            for place in range(len(block.resnets)):
                x = block.layer(place, torch.cat([x, skips.pop()], dim=1), temb, text)
            for sampler in block.upsamplers:
                x = sampler(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))
