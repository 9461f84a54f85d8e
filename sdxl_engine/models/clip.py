"""The two CLIP text encoders (Radford et al. 2021): ViT-L, and OpenCLIP bigG with projection."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from sdxl_engine.checkpoint.config import LEGACY_EOS, TextEncoderConfig
from sdxl_engine.models.attention import attention
from sdxl_engine.models.gelu import gelu
from sdxl_engine.models.layers import (
    PLAIN,
    Embed,
    LayerNorm,
    Linear,
    Network,
    Target,
    make_layers,
    run_layers,
)


class TextEncoding(NamedTuple):
    """What one encoder says about a batch of prompts.

    hidden  (batch, tokens, hidden) the states that condition the UNet
    last    (batch, tokens, hidden) after the last layer and the final norm
    pooled  (batch, projection or hidden) `last` at the end token, projected if there is one
    """

    hidden: jax.Array
    last: jax.Array
    pooled: jax.Array


class LayerConfig(Protocol):
    """What a transformer layer is told: the keys of its checkpoint's JSON."""

    @property
    def hidden_size(self) -> int: ...
    @property
    def intermediate_size(self) -> int: ...
    @property
    def num_attention_heads(self) -> int: ...
    @property
    def hidden_act(self) -> str: ...
    @property
    def layer_norm_eps(self) -> float: ...


class ClipAttention(nnx.Module):
    """Self-attention with biases."""

    def __init__(self, config: LayerConfig, *, causal: bool) -> None:
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.causal = causal
        self.qkv_proj = Linear(width, 3 * width)
        self.out_proj = Linear(width, width)

    def __call__(self, x: jax.Array) -> jax.Array:
        query, key, value = jnp.split(self.qkv_proj(x), 3, axis=-1)
        mixed = attention(query, key, value, heads=self.heads, causal=self.causal)
        return self.out_proj(mixed)


class ClipMlp(nnx.Module):
    """Two linears with the checkpoint's own GELU between them."""

    def __init__(self, config: LayerConfig) -> None:
        self.quick = config.hidden_act == "quick_gelu"
        self.fc1 = Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = Linear(config.intermediate_size, config.hidden_size)

    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = self.fc1(x)
        if self.quick:  # OpenAI's approximation
            return self.fc2(hidden * jax.nn.sigmoid(1.702 * hidden))
        return self.fc2(gelu(hidden))


class ClipLayer(nnx.Module):
    """One pre-norm transformer layer.

    causal  token i sees tokens 0..i only
    """

    def __init__(self, config: LayerConfig, *, causal: bool = True) -> None:
        self.layer_norm1 = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = ClipAttention(config, causal=causal)
        self.layer_norm2 = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = ClipMlp(config)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class TextEncoder(Network):
    """A CLIP text encoder."""

    def __init__(self, config: TextEncoderConfig, target: Target = PLAIN) -> None:
        super().__init__(target)
        width = config.hidden_size
        self.eos_token_id = config.eos_token_id
        self.token_embedding = Embed(config.vocab_size, width)
        self.position_embedding = Embed(config.max_position_embeddings, width)
        self.num_layers = config.num_hidden_layers
        self.layers = make_layers(lambda: ClipLayer(config), config.num_hidden_layers, target)
        self.final_layer_norm = LayerNorm(width, eps=config.layer_norm_eps)
        self.text_projection = (
            Linear(width, config.projection_dim, use_bias=False) if config.projection_dim else None
        )

    def __call__(self, token_ids: jax.Array, clip_skip: jax.Array) -> TextEncoding:
        """Encode a batch of prompts.

        token_ids  i32[batch, tokens <= max_position_embeddings]
        clip_skip  i32[], which states condition the UNet: 1 are the last layer's, 2 those before it
        """
        return self.read(self.token_embedding(token_ids), token_ids, clip_skip)

    def read(self, words: jax.Array, token_ids: jax.Array, clip_skip: jax.Array) -> TextEncoding:
        """The same where somebody else looked the tokens up.

        words  (batch, tokens, hidden) of the table of words
        """
        positions = jnp.arange(token_ids.shape[1])[None, :]
        states = words + self.position_embedding(positions)
        chosen = self.num_layers - clip_skip + 1  # the layer that would go on from them
        hidden, states = run_layers(
            self.layers,
            lambda layer, both, place: (
                jnp.where(place == chosen, both[1], both[0]),
                layer(both[1]),
            ),
            (states, states),
            jnp.arange(self.num_layers),
        )
        hidden = jnp.where(chosen == self.num_layers, states, hidden)
        last = self.final_layer_norm(states)
        pooled = jnp.take_along_axis(last, self._end(token_ids)[:, None, None], axis=1)[:, 0]
        if self.text_projection is not None:
            pooled = self.text_projection(pooled)
        return TextEncoding(hidden, last, pooled)

    def _end(self, token_ids: jax.Array) -> jax.Array:
        """The place of each row's end token, i32[batch]."""
        if self.eos_token_id == LEGACY_EOS:
            return jnp.argmax(token_ids, axis=-1)
        return jnp.argmax(token_ids == self.eos_token_id, axis=-1)
