"""The compiled programs one by one: the text, the first noise, and any sampler's step."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sdxl_engine import SdxlPipeline
from sdxl_engine.models.layers import PLAIN
from sdxl_engine.models.unet import UNet, UNetConditioning
from sdxl_engine.programs.arithmetic import Guidance, Sample, _embed
from sdxl_engine.programs.compiler import Executable, Networks, SizePrograms
from sdxl_engine.sampling.table import (
    C_IN,
    C_OUT,
    C_SKIP,
    COLUMNS,
    DENOISED,
    MAX_PASSES,
    MEMORIES,
    MODEL_COLUMNS,
    SOURCES,
    TIMESTEP,
)
from tests.sdxl_engine.conftest import Array, Golden, assert_within

HELD = 2 + MEMORIES  # arrays in a Sample


@pytest.fixture
def programs(golden: Golden, pipeline: SdxlPipeline) -> SizePrograms:
    run = golden.facts["run"]
    return pipeline.programs[run["width_px"], run["height_px"]]


@pytest.mark.parametrize("case", ["none", "empty", "real"])
def test_embed(golden: Golden, pipeline: SdxlPipeline, case: str) -> None:
    negative = golden.facts["negative_prompts"][case]
    negative_ids = pipeline.tokenizer(negative or "")
    prompts_ids = np.stack([golden["tokenizer.token_ids"], golden["tokenizer_2.token_ids"]], axis=1)
    assert len(prompts_ids) == len(golden.facts["prompts"])
    networks = Networks.build(golden.config, PLAIN)
    embed = jax.jit(
        partial(_embed, nnx.graphdef(networks.text_encoder), nnx.graphdef(networks.text_encoder_2))
    )
    for index, prompt_ids in enumerate(prompts_ids):
        embedded = embed(
            pipeline.weights.text_encoder,
            pipeline.weights.text_encoder_2,
            np.stack([negative_ids, prompt_ids]),
            np.bool_(negative is not None),
        )
        for name, array in zip(("prompt_embeds", "pooled_prompt_embeds"), embedded, strict=True):
            expected = [
                golden[f"conditioning.{case}.negative_{name}"][0],
                golden[f"conditioning.{name}"][index],
            ]
            assert_within(array, np.stack(expected), 1e-4)
            if negative is None:
                assert not np.any(array[0])


def first_latents(
    golden: Golden, pipeline: SdxlPipeline, programs: SizePrograms, seed: int, sigma: float
) -> Array:
    """What the loop starts from: no step is taken."""
    zeros = np.zeros_like(golden.nhwc("run.noise"))
    sample = call(programs.guided, golden, pipeline, [zeros] * HELD, seed, sigma=sigma)
    return np.asarray(sample.latents)


def call(
    program: Executable,
    golden: Golden,
    pipeline: SdxlPipeline,
    held: Sequence[Array],
    seed: int,
    *,
    sigma: float = 0,
    table: Array | None = None,
    rows: tuple[int, int] = (0, 0),
    first_index: int = 0,
    guidance: tuple[float, float] = (1, 0),
) -> Sample:
    latents, denoised, *memory = (jnp.asarray(array) for array in held)
    stepped: Sample = program(
        pipeline.weights.unet,
        Sample(latents, denoised, tuple(memory)),
        np.float32(sigma),
        np.uint32(seed),
        np.arange(len(held[0]), dtype=np.int32) + first_index,
        _condition(golden, pipeline),
        np.zeros((MAX_PASSES, COLUMNS), np.float32) if table is None else table,
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
    golden: Golden, pipeline: SdxlPipeline, programs: SizePrograms, seed: int
) -> None:
    sigma = 12.5
    latents = first_latents(golden, pipeline, programs, seed, sigma)
    assert len(latents) == 2
    for image, latent in enumerate(latents):
        expected = sigma * np.asarray(noise(seed, image, 0, latent.shape))
        np.testing.assert_allclose(latent, expected, rtol=1e-6)


def test_every_bit_of_a_seed_counts(
    golden: Golden, pipeline: SdxlPipeline, programs: SizePrograms
) -> None:
    seeds = [0, 2**32 - 1, *(2**bit for bit in range(32)), 3, 3 + 2**16]
    drawn = {
        image.tobytes()
        for seed in seeds
        for image in first_latents(golden, pipeline, programs, seed, 1.0)
    }
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
        programs.guided,
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
        programs.guided,
        golden,
        pipeline,
        [x] * HELD,
        0,
        table=table,
        rows=(0, 1),
        guidance=(6, rescale),
    )
    assert_within(sample.latents, expected, 1e-4)
    sample = call(programs.unguided, golden, pipeline, [x] * HELD, 0, table=table, rows=(0, 1))
    assert_within(sample.latents, positive, 1e-4)
