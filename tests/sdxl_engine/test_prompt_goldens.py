"""Long prompts and weighted words, against the rules of A1111 and ComfyUI on PyTorch's encoders."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from sdxl_engine import SdxlPipeline
from sdxl_engine.models.clip import TextEncoder
from sdxl_engine.models.unet import TIME_IDS
from sdxl_engine.programs import arithmetic
from sdxl_engine.programs.arithmetic import PROMPTS, Prompts
from sdxl_engine.programs.compiler import EncodePrograms
from sdxl_engine.request import EMPHASES, MAX_CHUNKS
from sdxl_engine.spans import Span
from sdxl_engine.tokenizer import PromptTokenizer
from tests.sdxl_engine.conftest import GOLDENS, Array, Golden, assert_within

FOLDER = GOLDENS / "prompts"
# What weights do once the prompts are read: (token ids, weights, interpolation) -> embeddings.
Embed = Callable[[Array, Array, bool], tuple[jax.Array, jax.Array]]


def oracle_of(golden: Golden) -> dict[str, Array]:
    return load_file(FOLDER / f"{golden.folder.name}.safetensors")


def texts_of(golden: Golden) -> list[dict[str, Any]]:
    text = (FOLDER / f"{golden.folder.name}.json").read_text(encoding="utf-8")
    facts: list[dict[str, Any]] = json.loads(text)
    return facts


def test_a_text_is_read_alike(golden: Golden) -> None:
    oracle, tokenizer = oracle_of(golden), PromptTokenizer(golden.folder, golden.config)
    for place, fact in enumerate(texts_of(golden)):
        ids, weights = oracle[f"{place}.token_ids"], oracle[f"{place}.weights"]
        read = tokenizer.chunks(fact["text"], MAX_CHUNKS)
        own = read.token_ids.shape[1]
        np.testing.assert_array_equal(read.token_ids, ids[:, :own], err_msg=fact["text"])
        np.testing.assert_allclose(read.weights, weights[:, :own], rtol=1e-6)
        # The other prompt is longer: what is left is filled up.
        for left in range(own, ids.shape[1]):
            np.testing.assert_array_equal(tokenizer.empty(), ids[:, left])
            assert (weights[:, left] == 1).all()


@pytest.fixture(scope="module")
def embed(golden: Golden) -> Embed:
    pipeline = SdxlPipeline.load(str(golden.folder), devices=jax.devices()[:1])
    config = golden.config
    encoders = (TextEncoder(each) for each in (config.text_encoder, config.text_encoder_2))
    read = [
        jax.jit(partial(arithmetic.read, nnx.graphdef(encoder), place))
        for place, encoder in enumerate(encoders)
    ]
    # Texts alone: what they condition is no matter here.
    programs = EncodePrograms(read[0], read[1], lambda _, readings, __: readings)

    def embedded(ids: Array, weights: Array, interpolation: bool) -> tuple[jax.Array, jax.Array]:
        span = Span(1, np.stack([ids] * PROMPTS), np.stack([weights] * PROMPTS))
        token_ids, by_token = span.texts(pipeline.tokenizer.empty())
        prompts = Prompts(
            token_ids=jnp.asarray(token_ids),
            weights=jnp.asarray(by_token),
            interpolation=jnp.bool_(interpolation),
            keep_negative=jnp.bool_(True),
            clip_skip=jnp.int32(2),
            time_ids=jnp.zeros(TIME_IDS),
            guidance_scale=jnp.float32(1),
        )
        readings: Any = programs(pipeline.weights, token_ids, prompts)
        return arithmetic.joined(readings, prompts.keep_negative)

    return embedded


# Over 2 s of CPU: the encoders are compiled for each number of chunks.
@pytest.mark.parametrize("emphasis", EMPHASES)
def test_words_weigh_alike(golden: Golden, embed: Embed, emphasis: str) -> None:
    oracle = oracle_of(golden)
    for place in range(len(texts_of(golden))):
        ids, weights = oracle[f"{place}.token_ids"], oracle[f"{place}.weights"]
        both, pooled = embed(ids, weights, emphasis == "interpolation")
        for text in range(PROMPTS):
            assert_within(both[text], oracle[f"{place}.{emphasis}"], 1e-4)
            assert_within(pooled[text], oracle[f"{place}.pooled"], 1e-4)


def test_weights_of_one_change_nothing(golden: Golden, embed: Embed) -> None:
    oracle = oracle_of(golden)
    ids = oracle["1.token_ids"]
    plain, _ = embed(ids, np.ones(ids.shape, np.float32), False)
    again, _ = embed(ids, np.ones(ids.shape, np.float32), True)
    weighted, _ = embed(ids, oracle["1.weights"], False)
    np.testing.assert_array_equal(plain, again)
    assert not np.array_equal(plain, weighted)
