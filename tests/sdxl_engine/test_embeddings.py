"""Words learnt by textual inversion, against PyTorch diffusers."""

import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from sdxl_engine import CheckpointError, ImageRequest, InvalidRequestError, Lora, SdxlPipeline
from sdxl_engine.checkpoint.config import CLIP_SKIP
from sdxl_engine.checkpoint.embeddings import LearntWord, read_embeddings, with_rows
from sdxl_engine.models.clip import TextEncoder
from sdxl_engine.tokenizer import PromptTokenizer
from tests.sdxl_engine.conftest import GOLDENS, Array, Golden, assert_within

PROMPTS = ("a red zorg circle", "Quux and zorg.", "a quux on a blue background", "a fish")


@pytest.fixture
def words(golden: Golden, tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(GOLDENS / "embeddings" / golden.folder.name / "words", tmp_path / "w")
    )


def learnt_by(golden: Golden) -> dict[str, Array]:
    return load_file(GOLDENS / "embeddings" / golden.folder.name / "goldens.safetensors")


def learnt_words(golden: Golden, words: Path) -> list[LearntWord]:
    learnt, unfit = read_embeddings(words, golden.config)
    assert not unfit
    return learnt


def load(golden: Golden, words: Path) -> SdxlPipeline:
    return SdxlPipeline.load(str(golden.folder), devices=jax.devices()[:1], embeddings=words)


def test_a_word_is_read_as_in_pytorch(golden: Golden, words: Path) -> None:
    oracle, pipeline = learnt_by(golden), load(golden, words)
    ids = np.stack(
        [pipeline.tokenizer.chunks(prompt, 1).token_ids[:, 0] for prompt in PROMPTS], axis=1
    )
    np.testing.assert_array_equal(ids[0], oracle["tokenizer.token_ids"])
    np.testing.assert_array_equal(ids[1], oracle["tokenizer_2.token_ids"])
    configs = golden.config.text_encoder, golden.config.text_encoder_2
    first, second = (
        nnx.merge(nnx.graphdef(TextEncoder(config)), state)(row, jnp.int32(CLIP_SKIP))
        for config, state, row in zip(configs, pipeline.weights[:2], ids, strict=True)
    )
    embeds = np.concatenate([first.hidden, second.hidden], axis=-1)
    assert_within(embeds, oracle["prompt_embeds"], 1e-5)
    assert_within(second.pooled, oracle["pooled_prompt_embeds"], 1e-5)


@pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)
def test_a_lora_of_the_table_of_words_leaves_the_learnt_ones(
    golden: Golden, words: Path, tmp_path: Path
) -> None:
    shelf = tmp_path / "loras"
    shelf.mkdir()
    config = golden.config.text_encoder
    change = np.ones((config.vocab_size, config.hidden_size), np.float32)
    save_file(
        {"lora_te1_text_model_embeddings_token_embedding.diff": change}, shelf / "all.safetensors"
    )
    pipeline = SdxlPipeline.load(
        str(golden.folder), devices=jax.devices()[:1], embeddings=words, loras=shelf
    )
    assert pipeline._merged is not None
    table = pipeline.weights.text_encoder["token_embedding"]["embedding"]
    before = np.asarray(table[...])
    request = ImageRequest("zorg", loras=(Lora("all", 0.5),))
    pipeline._merged.switch(pipeline._chosen(request))
    changed = np.asarray(table[...]) - before
    np.testing.assert_allclose(changed[: len(change)], 0.5, rtol=1e-5)
    assert len(changed) > len(change)
    assert not changed[len(change) :].any()


@pytest.mark.parametrize("golden", ["tiny_b"], indirect=True)
def test_a_word_is_drawn_as_in_pytorch(golden: Golden, words: Path) -> None:
    """Compiles for tables that have grown: ten seconds and more."""
    oracle, run, pipeline = learnt_by(golden), golden.facts["run"], load(golden, words)
    size = run["width_px"], run["height_px"]
    pipeline.warm_up([size], num_images=1)
    request = ImageRequest(PROMPTS[0], None, 0, 4, 5.0, *size, num_images=1)
    noise = oracle["run.noise"].transpose(0, 2, 3, 1)
    *_, (_, sample) = pipeline.denoise(request, latents=noise)
    assert_within(sample.latents, oracle["run.latents"].transpose(0, 2, 3, 1), 1e-4)


def test_capitals_and_neighbours_play_no_part(golden: Golden, words: Path) -> None:
    """Unlike diffusers, which looks for the word's own spelling and within other words."""
    tokenizer = PromptTokenizer(golden.folder, golden.config, learnt_words(golden, words))
    for row, (quux, first, *others) in enumerate(map(list, tokenizer.rows)):
        zorg = [first, *others]
        assert len(zorg) == 3
        for prompt, between in (
            ("ZORG", zorg),
            ("zorg zorg_1", [*zorg, zorg[1]]),
            ("quux zorg zorg", [quux, *zorg, *zorg]),
        ):
            ids = list(tokenizer.chunks(prompt, 1).token_ids[:, 0][row])
            assert ids[1 : 1 + len(between)] == between
    with pytest.raises(InvalidRequestError, match="tokens long"):
        tokenizer.chunks("zorg " * 40, 1).token_ids[:, 0]


def test_the_names_of_an_older_trainer(golden: Golden, words: Path) -> None:
    path = words / "zorg.safetensors"
    whole = learnt_words(golden, words)
    older = {"clip_l": "text_encoders_0", "clip_g": "text_encoders_1"}
    save_file({older[name]: array for name, array in load_file(path).items()}, path)
    for old, new in zip(learnt_words(golden, words), whole, strict=True):
        assert old.word == new.word
        for left, right in zip(old.vectors, new.vectors, strict=True):
            np.testing.assert_array_equal(left, right)


def test_one_vector_without_an_axis(golden: Golden, words: Path) -> None:
    vectors = {name: array[0] for name, array in load_file(words / "zorg.safetensors").items()}
    save_file(vectors, words / "zorg.safetensors")
    *_, zorg = learnt_words(golden, words)
    assert [zorg.names(0), zorg.names(1)] == [["zorg"], ["zorg"]]


@pytest.mark.parametrize("golden", ["tiny_b"], indirect=True)
@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"emb_params": (2, 768)}, "holds emb_params; an embedding for this model holds clip_l"),
        ({"clip_l": (2, 32)}, "holds clip_l; an embedding for this model holds clip_l and clip_g"),
        ({}, "holds nothing"),
        ({"clip_l": (2, 768), "clip_g": (2, 16)}, r"clip_l is \[2, 768\]; .* \[1 to 14, 32\]"),
        ({"clip_l": (2, 32), "clip_g": (15, 16)}, r"clip_g is \[15, 16\]; .* \[1 to 14, 16\]"),
        ({"clip_l": (0, 32), "clip_g": (1, 16)}, r"clip_l is \[0, 32\]"),
        ({"clip_l": (1, 1, 32), "clip_g": (1, 16)}, r"clip_l is \[1, 1, 32\]"),
    ],
)
def test_what_does_not_fit_is_named(
    golden: Golden, words: Path, tensors: dict[str, tuple[int, ...]], said: str
) -> None:
    path = words / "odd.safetensors"
    save_file({name: np.ones(shape, np.float32) for name, shape in tensors.items()}, path)
    learnt, (sentence,) = read_embeddings(words, golden.config)
    assert re.search(said, sentence)
    assert sentence.startswith(str(path))
    assert [word.word for word in learnt] == ["Quux", "zorg"]  # the others are words all the same


@pytest.mark.parametrize("golden", ["tiny_b"], indirect=True)
def test_other_damage_is_named(golden: Golden, words: Path, tmp_path: Path) -> None:
    def refusal() -> str:
        _, (sentence,) = read_embeddings(words, golden.config)
        return sentence

    path = words / "odd.safetensors"
    whole = load_file(words / "zorg.safetensors")
    save_file({**whole, "clip_g": whole["clip_g"] * np.float32("nan")}, path)
    assert "clip_g holds numbers that are none" in refusal()
    save_file({**whole, "clip_g": whole["clip_g"].astype(np.int32)}, path)
    assert "clip_g is of type I32 instead of F32, F16, BF16" in refusal()
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "is a pointer of Git LFS" in refusal()
    path.unlink()
    path.symlink_to(shutil.move(words / "zorg.safetensors", tmp_path / "elsewhere"))
    assert "it is a link to" in refusal()
    path.unlink()
    (words / "old.pt").write_bytes(b"")
    assert "old.pt is pickled" in refusal()
    (words / "._zorg.safetensors").write_bytes(b"a note of another system's")
    assert "old.pt is pickled" in refusal()
    shutil.rmtree(words)
    with pytest.raises(CheckpointError, match="There is no folder"):
        read_embeddings(words, golden.config)


@pytest.mark.parametrize("golden", ["tiny_b"], indirect=True)
@pytest.mark.parametrize("name", ["dol", "Dolph", "ZORG", "zorg_1", "Zorg_2", "zorg_3", "quux_1"])
def test_a_word_that_is_one_already(golden: Golden, words: Path, name: str) -> None:
    """A piece of the vocabulary's, or what the folder's other words are read as."""
    shutil.copy(words / "Quux.safetensors", words / f"{name}.safetensors")
    learnt = learnt_words(golden, words)
    tokenizer = PromptTokenizer(golden.folder, golden.config, learnt)
    (sentence,) = tokenizer.unfit
    assert "is a word of the model or of another embedding. Rename the file." in sentence
    assert tokenizer.rows[0]  # the others are words all the same


def test_rows_replace_and_are_added() -> None:
    table = np.arange(6, dtype=np.float16).reshape(3, 2)
    grown = with_rows(table, {2: np.ones(2, np.float32), 3: np.full(2, 7.0)})
    assert grown.dtype == np.float16
    np.testing.assert_array_equal(grown, [[0, 1], [2, 3], [1, 1], [7, 7]])
