"""The pieces one by one, each in the ways in which the engine could do it."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import jax
import jax.numpy as jnp

from benchmarks.gpu_check.setting import Part, failure, timed_ms
from benchmarks.gpu_check.shapes import ATTENTIONS, CONVOLUTIONS, FEEDS, GEMM, Attention, Shapes
from sdxl_engine.models.attention import Kernel, attention, self_attention

_KERNELS: Final[tuple[Kernel, ...]] = ("cudnn", "xla")


def run(part: Part) -> None:
    """Milliseconds by piece, then by way; told after each."""
    shapes = Shapes(part.setting)
    on_gpu = jax.local_devices()[0].platform == "gpu"
    times: dict[str, dict[str, Any]] = {}
    keys = iter(jax.random.split(jax.random.key(0, impl="rbg"), 99))

    def normal(*shape: int) -> jax.Array:
        return jax.random.normal(next(keys), shape, jnp.bfloat16)

    def time_of(piece: str, way: str, function: Callable[..., Any], *arrays: jax.Array) -> None:
        ways = times.setdefault(piece, {})
        try:
            compiled = jax.jit(function).lower(*arrays).compile()
            ways[way] = timed_ms(
                partial(compiled, *arrays),
                jax.block_until_ready,
                rounds=part.setting.rounds,
                calls=shapes.calls,
            )
        except Exception as error:  # noqa: BLE001 - cuDNN may refuse one shape and take the next
            ways[way] = failure(error)
        part.tell(pieces=times)

    side = shapes.shrunk(GEMM)
    time_of(shapes.gemm, "as it is", jnp.matmul, normal(side, side), normal(side, side))
    # cuDNN has nothing on a CPU: the dry run takes the formula alone.
    kernels = _KERNELS if on_gpu else ("xla",)
    for one in ATTENTIONS:
        tokens, key_tokens, _ = shapes.tokens(one)
        width = one.heads * one.dim
        query = normal(shapes.batch, tokens, width)
        key, value = (normal(shapes.batch, key_tokens, width) for _ in range(2))
        for kernel in kernels:
            attend = partial(attention, heads=one.heads, kernel=kernel)
            time_of(one.name, kernel, attend, query, key, value)
    for convolution in CONVOLUTIONS:
        channels, side = shapes.convolution(convolution)
        picture = normal(shapes.batch, side, side, channels)
        layouts = {
            "OHWI": normal(channels, 3, 3, channels),
            "HWIO": normal(3, 3, channels, channels),
        }
        for layout, taps in layouts.items():
            convolve = partial(
                jax.lax.conv_general_dilated,
                window_strides=(1, 1),
                padding=((1, 1), (1, 1)),
                dimension_numbers=("NHWC", layout, "NHWC"),
            )
            time_of(convolution.name, layout, convolve, picture, taps)
    for feed in FEEDS:
        dim, tokens = shapes.feed(feed)
        time_of(
            feed.name, "as it is", _geglu, normal(shapes.batch, tokens, dim), normal(dim, 8 * dim)
        )
    for one in ATTENTIONS[:2]:
        _queries_keys_values(one, shapes, kernels[0], normal, time_of)


def _geglu(x: jax.Array, kernel: jax.Array) -> jax.Array:
    hidden, gate = jnp.split(x @ kernel, 2, axis=-1)
    return hidden * jax.nn.gelu(gate, approximate=False)


def _queries_keys_values(
    one: Attention,
    shapes: Shapes,
    kernel: Kernel,
    normal: Callable[..., jax.Array],
    time_of: Callable[..., None],
) -> None:
    """Self-attention with the products before it: all three at once and cut, or three."""
    width = one.heads * one.dim
    x, whole = normal(shapes.batch, shapes.tokens(one)[0], width), normal(width, 3 * width)

    def at_once(x: jax.Array, whole: jax.Array) -> jax.Array:
        return self_attention(x @ whole, heads=one.heads, kernel=kernel)

    def apart(x: jax.Array, whole: jax.Array) -> jax.Array:
        each = (x @ own for own in jnp.split(whole, 3, axis=-1))
        return attention(*each, heads=one.heads, kernel=kernel)

    name = one.name.replace("attention", "q, k, v and")
    time_of(name, "one product", at_once, x, whole)
    time_of(name, "three", apart, x, whole)
