"""The compiled programs one by one: the text, the first noise, and any sampler's step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdxl_engine import ImageRequest, SdxlPipeline, samplers
from sdxl_engine.programs import Conditioning, Sample, SizePrograms
from sdxl_engine.request import MAX_INFERENCE_STEPS
from sdxl_engine.samplers import C_SKIP, COLUMNS, A, B, C, D
from tests.sdxl_engine.conftest import Array, Golden, assert_within


@pytest.fixture
def programs(golden: Golden, pipeline: SdxlPipeline) -> SizePrograms:
    run = golden.facts["run"]
    return pipeline._programs[run["width_px"], run["height_px"]]


@pytest.mark.parametrize("case", ["none", "empty", "real"])
def test_encode(golden: Golden, pipeline: SdxlPipeline, programs: SizePrograms, case: str):
    negative = golden.facts["negative_prompts"][case]
    negative_ids = pipeline._tokenizer(negative or "")
    prompts_ids = np.stack([golden["tokenizer.token_ids"], golden["tokenizer_2.token_ids"]], axis=1)
    assert len(prompts_ids) == len(golden.facts["prompts"])
    for index, prompt_ids in enumerate(prompts_ids):
        conditioning = programs.encode(
            pipeline._weights.text_encoder,
            pipeline._weights.text_encoder_2,
            np.stack([negative_ids, prompt_ids]),
            np.bool_(negative is not None),
        )
        for name in Conditioning._fields:
            expected = [
                golden[f"conditioning.{case}.negative_{name}"][0],
                golden[f"conditioning.{name}"][index],
            ]
            assert_within(getattr(conditioning, name), np.stack(expected), 1e-4)
            if negative is None:
                assert not np.any(getattr(conditioning, name)[0])


def first_latents(golden: Golden, pipeline: SdxlPipeline, seed: int) -> Array:
    run = golden.facts["run"]
    step, latents = next(pipeline.denoise(ImageRequest(**run, num_images=2, seed=seed)))
    assert step == 0
    return np.asarray(latents)


def noise(seed: int, image: int, draw: int, shape: tuple[int, ...]) -> jax.Array:
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(np.uint32(seed)), image), draw)
    return jax.random.normal(key, shape)


@pytest.mark.parametrize("seed", [0, 7, 2**16 + 7, 2**31, 2**32 - 1])
def test_the_first_latents_are_the_seeds_noise(golden: Golden, pipeline: SdxlPipeline, seed: int):
    steps = golden.facts["run"]["num_inference_steps"]
    sigma = samplers.euler(golden.config.scheduler, steps).initial_sigma
    latents = first_latents(golden, pipeline, seed)
    assert len(latents) == 2
    for image, latent in enumerate(latents):
        expected = sigma * np.asarray(noise(seed, image, 0, latent.shape))
        np.testing.assert_allclose(latent, expected, rtol=1e-6)


def test_every_bit_of_a_seed_counts(golden: Golden, pipeline: SdxlPipeline):
    seeds = [0, 2**32 - 1, *(2**bit for bit in range(32)), 3, 3 + 2**16]
    drawn = {image.tobytes() for seed in seeds for image in first_latents(golden, pipeline, seed)}
    assert len(drawn) == 2 * len(seeds)


def test_a_step_is_linear_in_all_that_the_loop_holds(
    golden: Golden, pipeline: SdxlPipeline, programs: SizePrograms
):
    """Two rows of a table that no sampler here has: the estimate before, and noise of their own."""
    first, last, seed = 3, 5, 2**32 - 5
    draw = np.random.default_rng(0)
    table = np.zeros((MAX_INFERENCE_STEPS, COLUMNS), np.float32)
    columns = [C_SKIP, A, B, C, D]  # c_out is 0: what the model says plays no part
    table[first:last, columns] = draw.uniform(0.5, 1.5, (last - first, len(columns)))
    shape = golden.nhwc("run.noise").shape
    x, before = draw.standard_normal((2, *shape)).astype(np.float32)
    indices = np.arange(len(x), dtype=np.int32) + 4
    sample = programs.denoise(
        pipeline._weights.unet,
        Sample(jnp.asarray(x), jnp.asarray(before)),
        np.uint32(seed),
        indices,
        _conditioning(golden),
        golden["unet.time_ids"][0],
        table,
        np.int32(first),
        np.int32(last),
        np.float32(1),
    )
    for step in range(first, last):
        row = table[step]
        fresh = np.stack([noise(seed, image, step + 1, x.shape[1:]) for image in indices])
        denoised = row[C_SKIP] * x
        x, before = row[A] * x + row[B] * denoised + row[C] * before + row[D] * fresh, denoised
    assert_within(sample.latents, x, 1e-6)
    assert_within(sample.denoised, before, 1e-6)


def _conditioning(golden: Golden) -> Conditioning:
    return Conditioning(golden["unet.encoder_hidden_states"], golden["unet.text_embeds"])
