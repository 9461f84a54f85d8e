"""The compiled programs one by one: the text, the first noise, and any sampler's step."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sdxl_engine import SdxlPipeline
from sdxl_engine.checkpoint.config import CLIP_SKIP
from sdxl_engine.models.layers import PLAIN, Target
from sdxl_engine.models.unet import TIME_IDS, UNet, UNetConditioning
from sdxl_engine.programs.arithmetic import Guidance, Known, Prompts, Sample, Start, joined, read
from sdxl_engine.programs.compiler import (
    Compiler,
    EncodePrograms,
    Executable,
    Networks,
    SizePrograms,
    TextPrograms,
)
from sdxl_engine.sampling.table import (
    C_IN,
    C_OUT,
    C_SKIP,
    COLUMNS,
    DENOISED,
    LEFT,
    MAX_PASSES,
    MEMORIES,
    MODEL_COLUMNS,
    SOURCES,
    TIMESTEP,
    X,
)
from sdxl_engine.spans import Span
from tests.sdxl_engine.conftest import Array, Golden, assert_within

HELD = 2 + MEMORIES  # arrays in a Sample


@pytest.fixture
def programs(golden: Golden, pipeline: SdxlPipeline) -> SizePrograms:
    run = golden.facts["run"]
    return pipeline.programs[run["width_px"], run["height_px"]]


@pytest.mark.parametrize("case", ["none", "empty", "real"])
def test_embed(golden: Golden, pipeline: SdxlPipeline, case: str) -> None:
    negative = golden.facts["negative_prompts"][case]
    negative_ids = pipeline.tokenizer.chunks(negative or "", 1).token_ids[:, 0]
    prompts_ids = np.stack([golden["tokenizer.token_ids"], golden["tokenizer_2.token_ids"]], axis=1)
    assert len(prompts_ids) == len(golden.facts["prompts"])
    embed = embedding(golden)
    for index, prompt_ids in enumerate(prompts_ids):
        token_ids = np.stack([negative_ids, prompt_ids])[:, :, None]
        embedded = embed(pipeline, token_ids, keep_negative=negative is not None)
        for name, array in zip(("prompt_embeds", "pooled_prompt_embeds"), embedded, strict=True):
            expected = [
                golden[f"conditioning.{case}.negative_{name}"][0],
                golden[f"conditioning.{name}"][index],
            ]
            assert_within(array, np.stack(expected), 1e-4)
            if negative is None:
                assert not np.any(array[0])


def embedding(golden: Golden) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """What the UNet is to hear of token ids i32[2 prompts, 2 encoders, chunks, tokens]."""
    networks = Networks.build(golden.config, PLAIN)
    encoders = [
        jax.jit(partial(read, nnx.graphdef(encoder), place))
        for place, encoder in enumerate((networks.text_encoder, networks.text_encoder_2))
    ]
    programs = EncodePrograms(encoders[0], encoders[1], lambda _, readings, __: readings)

    def embed(
        pipeline: SdxlPipeline,
        token_ids: Array,
        weights: Array | None = None,
        *,
        keep_negative: bool = True,
        interpolation: bool = False,
    ) -> tuple[jax.Array, jax.Array]:
        ones = np.ones(token_ids.shape, np.float32)
        span = Span(1, token_ids, ones if weights is None else weights)
        texts, by_token = span.texts(pipeline.tokenizer.empty())
        prompts = Prompts(
            token_ids=jnp.asarray(texts),
            weights=jnp.asarray(by_token),
            interpolation=jnp.bool_(interpolation),
            keep_negative=jnp.bool_(keep_negative),
            clip_skip=jnp.int32(CLIP_SKIP),
            time_ids=jnp.zeros(TIME_IDS, jnp.float32),
            guidance_scale=jnp.float32(1),
        )
        readings: Any = programs(pipeline.weights, texts, prompts)
        return joined(readings, prompts.keep_negative)

    return embed


def begun(
    golden: Golden,
    programs: SizePrograms,
    seed: int,
    sigma: float = 1,
    *,
    first_index: int = 0,
    variation: float = 0,
    other: int = 0,
    draw: int = 0,
) -> tuple[Array, Array]:
    """The sample that the loop begins with, and its noise."""
    zeros = jnp.zeros(golden.nhwc("run.noise").shape)
    indices = jnp.arange(len(zeros), dtype=jnp.int32) + jnp.int32(first_index)
    start = Start(
        jnp.uint32(seed),
        indices,
        jnp.int32(draw),
        jnp.uint32(other),
        indices,
        jnp.float32(variation),
        zeros,
        jnp.float32(sigma),
    )
    latents, own = programs.begin(start)
    return np.asarray(latents), np.asarray(own)


def call(
    program: Executable,
    golden: Golden,
    pipeline: SdxlPipeline,
    held: Sequence[Array],
    seed: int,
    *,
    table: Array,
    rows: tuple[int, int],
    first_index: int = 0,
    guidance: tuple[float, float] = (1, 0),
    known: Known | None = None,
) -> Sample:
    latents, denoised, *memory = (jnp.asarray(array) for array in held)
    nothing, everywhere = jnp.zeros_like(latents), jnp.ones((*latents.shape[:-1], 1), jnp.bool_)
    stepped: Sample = program(
        pipeline.weights.unet,
        Sample(latents, denoised, tuple(memory)),
        known or Known(nothing, nothing, everywhere, None),
        np.uint32(seed),
        np.arange(len(held[0]), dtype=np.int32) + first_index,
        _condition(golden, pipeline),
        table,
        np.int32(rows[0]),
        np.int32(rows[1]),
        Guidance(*map(jnp.float32, guidance)),
    )
    return stepped


def _unet(golden: Golden, pipeline: SdxlPipeline) -> UNet:
    definition = nnx.graphdef(Networks.build(golden.config, PLAIN).unet)
    unet: UNet = nnx.merge(definition, pipeline.weights.unet)
    return unet


_conditions: dict[Path, UNetConditioning] = {}  # by model: each takes a quarter of a second


def _condition(golden: Golden, pipeline: SdxlPipeline) -> UNetConditioning:
    """Of two prompts, as the encode program gives it: one after the other."""
    if golden.folder in _conditions:
        return _conditions[golden.folder]
    names = ("encoder_hidden_states", "text_embeds", "time_ids")
    condition = jax.jit(_unet(golden, pipeline).condition)
    each = [
        condition(*(jnp.asarray(golden[f"unet.{name}"][prompt : prompt + 1]) for name in names))
        for prompt in (0, 1)
    ]
    both: UNetConditioning = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    return _conditions.setdefault(golden.folder, both)


def noise(seed: int, image: int, draw: int, shape: tuple[int, ...]) -> jax.Array:
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(np.uint32(seed)), image), draw)
    return jax.random.normal(key, shape)


@pytest.mark.parametrize("seed", [0, 7, 2**16 + 7, 2**31, 2**32 - 1])
def test_the_first_latents_are_the_seeds_noise(
    golden: Golden, programs: SizePrograms, seed: int
) -> None:
    sigma = 12.5
    latents, own = begun(golden, programs, seed, sigma)
    assert len(latents) == 2
    for image, latent in enumerate(latents):
        expected = np.asarray(noise(seed, image, 0, latent.shape))
        np.testing.assert_allclose(own[image], expected, rtol=1e-6)
        np.testing.assert_allclose(latent, sigma * expected, rtol=1e-6)


def test_a_variation_turns_the_noise_towards_anothers(
    golden: Golden, programs: SizePrograms
) -> None:
    (_, own), (_, other) = (begun(golden, programs, seed) for seed in (1, 2))
    alone = [begun(golden, programs, 1, variation=share, other=2)[1] for share in (0, 0.3, 1)]
    np.testing.assert_array_equal(alone[0], own)
    np.testing.assert_allclose(alone[2], other, atol=1e-5)
    # As far from the one as the angle says, and no flatter than noise is.
    for image in range(len(own)):
        a, b, c = (each[image].ravel().astype(np.float64) for each in (own, other, alone[1]))
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        angle = np.arccos(a @ c / np.linalg.norm(a) / np.linalg.norm(c))
        assert angle == pytest.approx(0.3 * np.arccos(cosine), rel=0.2)  # their lengths differ
        assert c.std() == pytest.approx(1, abs=0.1)
    same = begun(golden, programs, 1, variation=0.5, other=1)[1]
    np.testing.assert_array_equal(same, own)


def test_what_a_mask_keeps_is_the_picture_with_the_noise_of_its_level(
    golden: Golden, pipeline: SdxlPipeline, programs: SizePrograms
) -> None:
    shape = golden.nhwc("run.noise").shape
    picture, own, x = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    painted = np.zeros((*shape[:-1], 1), np.bool_)
    painted[:, : shape[1] // 2] = True
    table = np.zeros((MAX_PASSES, COLUMNS), np.float32)
    table[0, [C_SKIP, LEFT, MODEL_COLUMNS + X]] = 1, 2.5, 0.5  # half of x
    known = Known(jnp.asarray(picture), jnp.asarray(own), jnp.asarray(painted), None)
    held = [x] * HELD
    text = programs.texts[1]
    sample = call(text.guided, golden, pipeline, held, 0, table=table, rows=(0, 1), known=known)
    kept = picture + np.float32(2.5) * own
    assert_within(sample.latents, np.where(painted, x / 2, kept), 1e-6)


@pytest.mark.parametrize("interpolation", [False, True])
def test_weights_of_one_change_nothing_beside_others(
    golden: Golden, pipeline: SdxlPipeline, *, interpolation: bool
) -> None:
    """In chunks without another weight not a bit; nor in tokens, where states are interpolated."""
    embed = embedding(golden)
    one = np.stack([golden["tokenizer.token_ids"], golden["tokenizer_2.token_ids"]], axis=1)[:4]
    token_ids = one.reshape(2, 2, *one.shape[1:]).swapaxes(1, 2)  # two chunks of each prompt
    weights = np.ones(token_ids.shape, np.float32)

    def embedded() -> Array:
        return np.asarray(embed(pipeline, token_ids, weights, interpolation=interpolation)[0])

    plain = embedded()
    weights[1, :, 1, 2] = 1.5
    changed = embedded() != plain
    tokens = token_ids.shape[-1]
    assert not changed[0].any()
    assert not changed[1, :tokens].any()
    touched = changed[1, tokens:].any(-1)
    assert touched[2]
    assert touched.all() != interpolation
    assert touched.sum() == 1 or not interpolation


def test_every_bit_of_a_seed_counts(golden: Golden, programs: SizePrograms) -> None:
    seeds = [0, 2**32 - 1, *(2**bit for bit in range(32)), 3, 3 + 2**16]
    drawn = {image.tobytes() for seed in seeds for image in begun(golden, programs, seed)[1]}
    assert len(drawn) == 2 * len(seeds)


def test_a_step_is_linear_in_all_that_the_loop_holds(
    golden: Golden, pipeline: SdxlPipeline, programs: SizePrograms
) -> None:
    """Two rows of a table that no sampler here has: of everything, and noise of their own."""
    first, last, seed = 3, 5, 2**32 - 5
    draw = np.random.default_rng(0)
    table = np.zeros((MAX_PASSES, COLUMNS), np.float32)
    rows = table[first:last]
    # c_out is 0: what the model says plays no part.
    rows[:, C_SKIP] = draw.uniform(0.5, 1.5, last - first)
    weights = draw.uniform(0.1, 0.3, (last - first, 1 + MEMORIES, SOURCES)).astype(np.float32)
    rows[:, MODEL_COLUMNS:] = weights.reshape(last - first, -1)
    shape = golden.nhwc("run.noise").shape
    x, before, *memory = draw.standard_normal((HELD, *shape)).astype(np.float32)
    sample = call(
        programs.texts[1].guided,
        golden,
        pipeline,
        (x, before, *memory),
        seed,
        table=table,
        rows=(first, last),
        first_index=4,
    )
    for step in range(first, last):
        fresh = np.stack([noise(seed, image, step + 1, x.shape[1:]) for image in (4, 5)])
        denoised = table[step, C_SKIP] * x
        sources = np.stack([x, denoised, before, fresh, *memory, denoised])
        x, *memory = np.tensordot(weights[step - first], sources, 1)
        before = denoised
    assert_within(sample.latents, x, 1e-6)
    assert_within(sample.denoised, before, 1e-6)
    for kept, expected in zip(sample.memory, memory, strict=True):
        assert_within(kept, expected, 1e-6)


@pytest.mark.parametrize("rescale", [0.0, 0.4, 1.0])
def test_guidance_is_the_formula(
    golden: Golden, pipeline: SdxlPipeline, programs: SizePrograms, rescale: float
) -> None:
    """One step that returns the model's guided output, against the formula on each half's own."""
    table = np.zeros((MAX_PASSES, COLUMNS), np.float32)
    table[0, [C_IN, TIMESTEP, C_OUT, MODEL_COLUMNS + DENOISED]] = 1, 500, 1, 1
    x = golden.nhwc("run.noise")
    conditioning = _condition(golden, pipeline)
    unet = jax.jit(_unet(golden, pipeline))
    halves = []
    for prompt in (0, 1):
        own = jax.tree.map(lambda leaf, prompt=prompt: leaf[prompt], conditioning)
        halves.append(np.asarray(unet(jnp.asarray(x), jnp.float32(500), own)))
    negative, positive = halves
    expected = negative + 6 * (positive - negative)
    axes = (1, 2, 3)
    contrast = positive.std(axes, keepdims=True) / expected.std(axes, keepdims=True)
    expected = rescale * contrast * expected + (1 - rescale) * expected
    sample = call(
        programs.texts[1].guided,
        golden,
        pipeline,
        [x] * HELD,
        0,
        table=table,
        rows=(0, 1),
        guidance=(6, rescale),
    )
    assert_within(sample.latents, expected, 1e-4)
    sample = call(
        programs.texts[1].unguided, golden, pipeline, [x] * HELD, 0, table=table, rows=(0, 1)
    )
    assert_within(sample.latents, positive, 1e-4)


# Over 2 s of CPU: it compiles a network.
def test_where_prompts_pass_one_by_one_one_program_is_guided_or_not(
    golden: Golden, pipeline: SdxlPipeline, programs: SizePrograms
) -> None:
    run = golden.facts["run"]
    networks = Networks.build(golden.config, Target(one_by_one=True))
    compiler = Compiler(golden.config, networks, pipeline.weights, pipeline._compiler.devices)
    denoise = compiler.denoise(run["width_px"], run["height_px"], 2)
    assert list(denoise) == ["either"]
    batch = programs.texts[1]
    one_by_one = TextPrograms.of(batch.encode, {"either": denoise["either"].compile()})
    draw = np.random.default_rng(0)
    table = np.zeros((MAX_PASSES, COLUMNS), np.float32)
    table[:2, [C_IN, C_SKIP, C_OUT]] = 0.7, 0.8, 0.3
    table[:2, TIMESTEP] = 600, 500
    # Of all that a step may look at, what the negative prompt said by itself too.
    weights = draw.uniform(0.1, 0.3, (2, 1 + MEMORIES, SOURCES))
    table[:2, MODEL_COLUMNS:] = weights.reshape(2, -1)
    held = draw.standard_normal((HELD, *golden.nhwc("run.noise").shape)).astype(np.float32)
    results = []
    for program in (batch.guided, batch.unguided, one_by_one.guided, one_by_one.unguided):
        sample = call(
            program, golden, pipeline, list(held), 3, table=table, rows=(0, 2), guidance=(5, 0.5)
        )
        results.append([np.asarray(leaf) for leaf in jax.tree.leaves(sample)])
    guided, unguided, *others = results
    assert not np.allclose(guided[0], unguided[0], atol=1e-3)
    for expected, own in zip((guided, unguided), others, strict=True):
        for one, other in zip(expected, own, strict=True):
            assert_within(other, one, 1e-5)
