import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import CLIPTokenizer

from sdxl_engine import CheckpointError, InvalidRequestError
from sdxl_engine.tokenizer import PromptTokenizer
from tests.sdxl_engine.conftest import GOLDENS, Golden


@pytest.fixture(scope="module")
def tokenizer(golden: Golden) -> PromptTokenizer:
    return PromptTokenizer(golden.folder, golden.config)


def test_ids_are_those_of_transformers(golden: Golden, tokenizer: PromptTokenizer) -> None:
    compared = 0
    for row, prompt in enumerate(golden.facts["prompts"]):
        try:
            ids = tokenizer.chunks(prompt, 1).token_ids[:, 0]
        except InvalidRequestError:  # too long: diffusers cuts it, we say so
            assert golden["tokenizer.token_ids"][row, -2] != golden["tokenizer.token_ids"][row, -1]
            continue
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids[0], golden["tokenizer.token_ids"][row])
        np.testing.assert_array_equal(ids[1], golden["tokenizer_2.token_ids"][row])
        compared += 1
    assert compared >= 3


def test_the_two_pad_differently(tokenizer: PromptTokenizer) -> None:
    first, second = tokenizer.chunks("circle", 1).token_ids[:, 0]
    end = first[-1]
    assert (first[3:] == end).all()
    assert second[-1] == 0


def test_a_long_prompt_says_where_it_would_be_cut(tokenizer: PromptTokenizer) -> None:
    with pytest.raises(InvalidRequestError, match=r"reads \d+ here\. Shorten it: .* after “….+”"):
        tokenizer.chunks("a red circle " * 70, 1).token_ids[:, 0]


def test_nothing_is_heard_where_all_is_breaks(tokenizer: PromptTokenizer) -> None:
    with pytest.raises(InvalidRequestError, match=r"has 4 parts; .* here\. Shorten it\."):
        tokenizer.chunks("BREAK BREAK BREAK circle", 1)


def test_many_threads_may_ask(tokenizer: PromptTokenizer) -> None:
    prompts = [f"circle {number}" for number in range(50)]
    with ThreadPoolExecutor(8) as pool:
        together = list(
            pool.map(lambda prompt: tokenizer.chunks(prompt, 1).token_ids[:, 0], prompts)
        )
    for prompt, ids in zip(prompts, together, strict=True):
        np.testing.assert_array_equal(ids, tokenizer.chunks(prompt, 1).token_ids[:, 0])


# In a process of its own: transformers advises once a process, when it is imported.
LOAD = """
import os, sys
from pathlib import Path
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.hub import find_model
from sdxl_engine.tokenizer import PromptTokenizer
before = dict(os.environ)
folder = find_model(sys.argv[1])
PromptTokenizer(folder, SdxlConfig.load(folder))
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
if "transformers" in sys.modules:
    import logging
    assert not logging.getLogger("transformers").filters
print("transformers" in sys.modules)
"""


@pytest.mark.parametrize(("model", "imported"), [("doodle", False), (GOLDENS / "tiny_b", True)])
def test_transformers_reads_what_we_do_not_and_is_silenced(model: object, imported: bool) -> None:
    """The latter's tokenizers are a tokenizer.json."""
    done = subprocess.run(  # noqa: S603 - the text above
        [sys.executable, "-c", LOAD, str(model)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"{imported}\n", "")


def test_a_missing_folder_is_named(golden: Golden, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="tokenizer/ is missing"):
        PromptTokenizer(tmp_path, golden.config)


def test_a_damaged_tokenizer_is_named(golden: Golden, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(golden.folder, tmp_path / "model"))
    for path in (folder / "tokenizer_2").iterdir():
        path.write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer_2 cannot be read.*Fetch"):
        PromptTokenizer(folder, golden.config)


@pytest.mark.parametrize("length", ["", "77", [], {}])
def test_damage_that_shows_in_use_is_found_before(
    golden: Golden, tmp_path: Path, length: object
) -> None:
    folder = Path(shutil.copytree(golden.folder, tmp_path / "model"))
    path = folder / "tokenizer/tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "model_max_length": length}))
    with pytest.raises(CheckpointError, match=r"tokenizer cannot be read.*Fetch"):
        PromptTokenizer(folder, golden.config)


@pytest.mark.parametrize("golden", ["tiny_b"], indirect=True)  # with merges in its JSON
def test_a_panic_of_its_library_is_an_error_like_others(golden: Golden, tmp_path: Path) -> None:
    """A merge of two tokens that are longer than what they are merged to."""
    folder = Path(shutil.copytree(golden.folder, tmp_path / "model"))
    path = folder / "tokenizer/tokenizer.json"
    data = json.loads(path.read_bytes())
    data["model"]["merges"][18] = ["<|endoftext|>", data["model"]["merges"][18][1]]
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=r"tokenizer cannot be read.*Fetch"):
        PromptTokenizer(folder, golden.config)


@pytest.mark.parametrize(("row", "encoder"), [(0, "text_encoder"), (1, "text_encoder_2")])
def test_every_token_has_a_row_in_its_encoder(
    golden: Golden, tokenizer: PromptTokenizer, row: int, encoder: str
) -> None:
    """jax fills a row that is not there with NaN, and the picture is black."""
    largest = int(tokenizer.chunks("", 1).token_ids[:, 0][row].max())
    network = replace(getattr(golden.config, encoder), vocab_size=largest)
    with pytest.raises(CheckpointError, match=rf"tokens, but .* vocab_size is {largest}"):
        PromptTokenizer(golden.folder, replace(golden.config, **{encoder: network}))


@pytest.mark.parametrize("golden", ["tiny_b"], indirect=True)  # with rows for two more tokens
def test_a_learnt_word_is_all_of_its_vectors(golden: Golden, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(golden.folder, tmp_path / "model"))
    for name in ("tokenizer", "tokenizer_2"):
        learnt = CLIPTokenizer.from_pretrained(folder / name)
        learnt.add_tokens(["<toy>", "<toy>_1"])
        learnt.save_pretrained(folder / name)
    tokenizer = PromptTokenizer(folder, golden.config)
    for row, encoder in enumerate((golden.config.text_encoder, golden.config.text_encoder_2)):
        first, second = encoder.vocab_size - 2, encoder.vocab_size - 1
        ids = list(tokenizer.chunks("a <toy> circle", 1).token_ids[:, 0][row])
        assert ids[2:4] == [first, second]
        plain = list(tokenizer.chunks("a circle", 1).token_ids[:, 0][row])
        assert ids[:2] + ids[4:] == plain[:-2]


@pytest.mark.parametrize("encoder", ["text_encoder", "text_encoder_2"])
def test_a_text_ends_where_its_encoder_looks(golden: Golden, encoder: str) -> None:
    network = replace(getattr(golden.config, encoder), eos_token_id=7)
    with pytest.raises(CheckpointError, match="eos_token_id is 7"):
        PromptTokenizer(golden.folder, replace(golden.config, **{encoder: network}))
    legacy = replace(network, eos_token_id=2)
    PromptTokenizer(golden.folder, replace(golden.config, **{encoder: legacy}))
