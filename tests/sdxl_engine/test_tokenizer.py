from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sdxl_engine import CheckpointError, InvalidRequestError
from sdxl_engine.tokenizer import PromptTokenizer
from tests.sdxl_engine.conftest import Golden


@pytest.fixture(scope="module")
def tokenizer(golden: Golden) -> PromptTokenizer:
    return PromptTokenizer(golden.folder, golden.config.text_encoder.max_position_embeddings)


def test_ids_are_those_of_transformers(golden: Golden, tokenizer: PromptTokenizer):
    compared = 0
    for row, prompt in enumerate(golden.facts["prompts"]):
        try:
            ids = tokenizer(prompt)
        except InvalidRequestError:  # too long: diffusers cuts it, we say so
            assert golden["tokenizer.token_ids"][row, -2] != golden["tokenizer.token_ids"][row, -1]
            continue
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids[0], golden["tokenizer.token_ids"][row])
        np.testing.assert_array_equal(ids[1], golden["tokenizer_2.token_ids"][row])
        compared += 1
    assert compared >= 3


def test_the_two_pad_differently(tokenizer: PromptTokenizer):
    first, second = tokenizer("circle")
    end = first[-1]
    assert (first[3:] == end).all()
    assert second[-1] == 0


def test_a_long_prompt_says_where_it_would_be_cut(tokenizer: PromptTokenizer):
    with pytest.raises(InvalidRequestError, match=r"reads \d+\. Shorten it: .* after “….+”"):
        tokenizer("a red circle " * 70)


def test_many_threads_may_ask(tokenizer: PromptTokenizer):
    prompts = [f"circle {number}" for number in range(50)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(tokenizer, prompts))
    for prompt, ids in zip(prompts, together, strict=True):
        np.testing.assert_array_equal(ids, tokenizer(prompt))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="tokenizer/ is missing"):
        PromptTokenizer(tmp_path, 77)
