"""Scaled dot-product attention (Vaswani et al. 2017, section 3.2), on each platform as it is fast.

Heads lie beside each other in the last axis, as the linears make them; what is fused stays fused.
Scores and softmax are float32 everywhere: bfloat16 keeps 8 bits of a sum over thousands of tokens.
"""

import math
from functools import partial
from itertools import zip_longest
from typing import Final, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

Kernel = Literal["xla", "pallas", "cudnn"]

# Scores of more than this are made a part of the queries at a time: at 1024 x 1024 pixels those of
# the VAE are a gigabyte.
_MAX_SCORES_BYTES: Final = 64 * 2**20
# The width of a TPU's vector and matrix registers: the kernel works on this many columns at once.
_LANES: Final = 128
# Queries a kernel step takes: 128 columns for each of a v5e's four matrix units. With 4,096 keys
# and values it stays in the 16 MiB that the compiler grants on every TPU.
_QUERY_BLOCK: Final = 512
# With a text's few keys a step would be over before it has begun: it takes more queries then, and
# a third less time for all of them.
_FEW_KEYS: Final = 512
_LARGE_QUERY_BLOCK: Final = 1024
_MAX_KEYS: Final = 4096  # none of SDXL's own sizes has more
_CUDNN_MAX_DIM: Final = 128  # of a head; beyond it cuDNN has no kernel for every GPU


def self_attention(qkv: jax.Array, *, heads: int, kernel: Kernel = "xla") -> jax.Array:
    """Tokens to themselves.

    qkv      (batch, tokens, 3 * heads * dim): queries, keys, values
    Returns  (batch, tokens, heads * dim) in the same dtype
    """
    if kernel == "pallas" and _kernel_takes(qkv.shape[-1] // 3, heads, qkv.shape[1]):
        return _pallas_attention(qkv, qkv, first_key=1, heads=heads)
    return attention(*jnp.split(qkv, 3, axis=-1), heads=heads, kernel=kernel)


def cross_attention(
    query: jax.Array, key_value: jax.Array, *, heads: int, kernel: Kernel = "xla"
) -> jax.Array:
    """Tokens to others.

    query      (batch, tokens, heads * dim)
    key_value  (prompts, key tokens, 2 * heads * dim): keys, values; the first batch / prompts
               entries of `query` go to the first, and so on
    Returns    (batch, tokens, heads * dim) in the same dtype
    """
    if query.shape[0] != key_value.shape[0]:
        # To its text each token is alone: pictures with the same prompt are one with more tokens.
        joined = query.reshape(key_value.shape[0], -1, query.shape[-1])
        mixed = cross_attention(joined, key_value, heads=heads, kernel=kernel)
        return mixed.reshape(query.shape)
    if kernel == "pallas" and _kernel_takes(query.shape[-1], heads, key_value.shape[1]):
        return _pallas_attention(query, key_value, first_key=0, heads=heads)
    return attention(query, *jnp.split(key_value, 2, axis=-1), heads=heads, kernel=kernel)


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    heads: int,
    causal: bool = False,
    kernel: Kernel = "xla",
) -> jax.Array:
    """As `cross_attention`, of keys and values that are apart.

    key, value  (batch, key tokens, heads * dim)
    causal      token i sees tokens 0..i only
    """
    batch, tokens, width = query.shape
    dim = width // heads
    if kernel == "cudnn" and _cudnn_takes(query, dim):
        query, key, value = (x.reshape(*x.shape[:2], heads, dim) for x in (query, key, value))
        mixed = jax.nn.dot_product_attention(
            query, key, value, is_causal=causal, implementation="cudnn"
        )
        return mixed.reshape(batch, tokens, width)
    # Heads folded into the batch: the TPU compiler makes a kernel of its own of that form.
    query, key, value = (_fold_heads(x, heads) for x in (query, key, value))
    scores_bytes = query.shape[0] * tokens * key.shape[1] * jnp.dtype(jnp.float32).itemsize
    parts = 1 if causal else _parts(tokens, scores_bytes)
    if parts > 1:
        chunks = query.reshape(-1, parts, tokens // parts, dim).swapaxes(0, 1)
        mixed = jax.lax.map(lambda chunk: _formula(chunk, key, value), chunks).swapaxes(0, 1)
    else:
        mixed = _formula(query, key, value, causal=causal)
    return mixed.reshape(batch, heads, tokens, dim).swapaxes(1, 2).reshape(batch, tokens, width)


def _fold_heads(x: jax.Array, heads: int) -> jax.Array:
    batch, tokens, width = x.shape
    split = x.reshape(batch, tokens, heads, width // heads).swapaxes(1, 2)
    return split.reshape(batch * heads, tokens, width // heads)


def _parts(tokens: int, scores_bytes: int) -> int:
    """The fewest equal parts of the queries whose scores are small enough."""
    least = -(-scores_bytes // _MAX_SCORES_BYTES)
    return next(parts for parts in range(least, tokens + 1) if tokens % parts == 0)


def _formula(
    query: jax.Array, key: jax.Array, value: jax.Array, *, causal: bool = False
) -> jax.Array:
    tokens, dim = query.shape[1:]
    scores = jnp.einsum("btd,bsd->bts", query, key, preferred_element_type=jnp.float32)
    scores = scores * (1.0 / math.sqrt(dim))
    if causal:
        seen = jnp.tril(jnp.ones((1, tokens, tokens), dtype=bool))
        scores = jnp.where(seen, scores, -jnp.inf)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return jnp.einsum("bts,bsd->btd", weights, value)


def _cudnn_takes(query: jax.Array, dim: int) -> bool:
    return query.dtype == jnp.bfloat16 and dim <= _CUDNN_MAX_DIM and dim % 8 == 0


# The TPU kernel


def _kernel_takes(width: int, heads: int, key_tokens: int) -> bool:
    whole_heads = _LANES % (width // heads) == 0
    return whole_heads and width % _LANES == 0 and key_tokens <= _MAX_KEYS


def _pallas_attention(
    query: jax.Array, key_value: jax.Array, *, first_key: int, heads: int
) -> jax.Array:
    """Attention whose scores never leave the chip's own memory.

    One step takes a block of queries and all keys of the heads that share 128 columns (two of
    SDXL's, whose dimension is 64), 128 keys at a time (Milakov and Gimelshein 2018; Dao et al.
    2022). A head's queries are the block with the other heads' columns zeroed: the matrix unit
    sums over 128 anyway.

    Scores stand as keys x queries. So the weights are what the matrix unit holds, and the values,
    turned once for all queries, pass through it: 64 rows for 128 keys, where held they would be
    half of its columns, and 128 rows of weights would pass.

    first_key  widths of one of query, key or value before the keys' first column
    """
    batch, tokens, keys = query.shape[0], query.shape[1], key_value.shape[1]
    width = key_value.shape[-1] // (first_key + 2)
    blocks = width // _LANES
    item = query.dtype.itemsize
    block = min(_LARGE_QUERY_BLOCK if keys <= _FEW_KEYS else _QUERY_BLOCK, tokens)
    queries = pl.BlockSpec((1, block, _LANES), lambda b, c, q: (b, q, c))
    keys_at, values_at = (
        pl.BlockSpec((1, keys, _LANES), partial(_columns, (first_key + place) * blocks))
        for place in (0, 1)
    )
    attend: jax.Array = pl.pallas_call(
        partial(_attend, dim=width // heads),
        out_shape=jax.ShapeDtypeStruct((batch, tokens, width), query.dtype),
        grid=(batch, blocks, pl.cdiv(tokens, block)),
        in_specs=[queries, keys_at, values_at],
        out_specs=queries,
        scratch_shapes=[pltpu.VMEM((_LANES, keys), query.dtype)],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary")
        ),
        # What the algorithm needs, whatever is recomputed or padded inside.
        cost_estimate=pl.CostEstimate(
            flops=4 * batch * tokens * keys * width,
            transcendentals=batch * heads * tokens * keys,
            bytes_accessed=2 * batch * width * item * (tokens + keys),
        ),
        name="attention",
    )(query, key_value, key_value)
    return attend


def _columns(
    first: int, batch: jax.Array, column: jax.Array, _query: jax.Array
) -> tuple[jax.Array, int, jax.Array]:
    return batch, 0, column + first


class _Weighed(NamedTuple):
    """What a head's queries have of the keys so far.

    largest  f32[1, queries], of their scores
    total    f32[1, queries], of the weights exp(score - largest)
    sums     f32[dim, queries], of values times weights
    """

    largest: jax.Array
    total: jax.Array
    sums: jax.Array


def _attend(query_ref, key_ref, value_ref, mixed_ref, turned_ref, *, dim):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - pallas has no public type for a reference
    query, keys = query_ref[0], key_ref.shape[1]
    heads = range(_LANES // dim)

    @pl.when(pl.program_id(2) == 0)
    def _() -> None:
        whole = keys // _LANES * _LANES

        @pl.loop(0, whole, step=_LANES)
        def _(first: jax.Array) -> None:
            at = pl.ds(first, _LANES)
            turned_ref[:, at] = value_ref[0, at].T

        if whole < keys:
            turned_ref[:, whole:] = value_ref[0, whole:].T

    # Said here, for what the program asks for around the kernel would not do for bfloat16.
    exact, default = jax.lax.Precision.HIGHEST, jax.lax.Precision.DEFAULT
    precision = exact if query.dtype == jnp.float32 else default
    dot = partial(jax.lax.dot_general, precision=precision, preferred_element_type=jnp.float32)
    head_of = jax.lax.broadcasted_iota(jnp.int32, query.shape, 1) // dim
    scale = 1.0 / math.sqrt(dim)
    # A power of two, as for SDXL's heads of 64, changes no digit: there are fewer queries than
    # scores, and the kernel takes a seventh less time.
    exponent_only = math.frexp(scale)[0] == 0.5  # noqa: PLR2004 - the mantissa of those
    if exponent_only:
        query = query * jnp.asarray(scale, query.dtype)
    own = [jnp.where(head_of == head, query, jnp.zeros_like(query)) for head in heads]

    def scores(head: int, part: slice) -> jax.Array:
        products = dot(key_ref[0, part], own[head], (((1,), (1,)), ((), ())))
        return products if exponent_only else products * scale

    def weigh(head: int, part: slice, scores: jax.Array, before: _Weighed) -> _Weighed:
        largest = jnp.maximum(before.largest, scores.max(axis=0, keepdims=True))
        weights, less = jnp.exp(scores - largest), jnp.exp(before.largest - largest)
        values = turned_ref[head * dim : (head + 1) * dim, part]
        total = before.total * less + weights.sum(axis=0, keepdims=True)
        sums = dot(values, weights.astype(values.dtype), (((1,), (0,)), ((), ())))
        return _Weighed(largest, total, before.sums * less + sums)

    parts = [slice(first, min(first + _LANES, keys)) for first in range(0, keys, _LANES)]
    row = jnp.zeros((1, query.shape[0]), jnp.float32)
    nothing = _Weighed(row - jnp.inf, row, jnp.zeros((dim, query.shape[0]), jnp.float32))
    weighed = [nothing for _ in heads]
    at_hand = [scores(head, parts[0]) for head in heads]
    for part, following in zip_longest(parts, parts[1:]):
        for head in heads:
            # The next products are asked for before these scores are weighed: so the matrix units
            # have work meanwhile.
            coming = scores(head, following) if following else at_hand[head]
            weighed[head] = weigh(head, part, at_hand[head], weighed[head])
            at_hand[head] = coming
    mixed = jnp.concatenate([one.sums / one.total for one in weighed], axis=0)
    mixed_ref[0] = mixed.T.astype(mixed_ref.dtype)
