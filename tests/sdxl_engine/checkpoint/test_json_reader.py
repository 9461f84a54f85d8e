"""JSON that Python reads, or gives up on in its own words, and no model has."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from sdxl_engine import CheckpointError, SdxlPipeline
from sdxl_engine.checkpoint.json_reader import parse_json, plain, shown

VAE = "vae/diffusion_pytorch_model.safetensors"
UNET_INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"
LONG = "overlong" * 700
# A file, and a key of it that is looked at.
KEYS = [
    ("model_index.json", "_class_name"),
    ("model_index.json", "scheduler"),
    ("preview.json", "bias"),
    ("scheduler/scheduler_config.json", "_class_name"),
    ("scheduler/scheduler_config.json", "beta_start"),
    ("text_encoder/config.json", "architectures"),
    ("text_encoder/config.json", "vocab_size"),
    ("tokenizer/tokenizer.json", "added_tokens"),
    ("tokenizer/tokenizer.json", "version"),
    ("tokenizer/tokenizer_config.json", "bos_token"),
    ("unet/config.json", "act_fn"),
    ("unet/config.json", "block_out_channels"),
    (UNET_INDEX, "weight_map"),
    ("vae/config.json", "scaling_factor"),
]
DEEP = [
    "[" * 60 + "]" * 60,
    "[" * 900 + "]" * 900,
    '{"a":' * 450 + "1" + "}" * 450,
    "[" * 10**6,
]
NUMBERS = ["9" * 1_001, "-" + "9" * 4_000, "9" * 5_000, "1" + "0" * 10**6]


def load_error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        SdxlPipeline.load(str(folder))
    return checked(caught.value)


def checked(error: CheckpointError) -> str:
    sentence = str(error)
    assert sentence.endswith(".")
    assert sentence.isprintable()  # so on one line
    assert len(sentence) < 1_200
    return sentence


def write(folder: Path, name: str, key: str, text: str) -> None:
    """The file with JSON of one's own under a key."""
    path = folder / name
    factors = {"latent_rgb_factors": [[0] * 3] * 4}
    data = json.loads(path.read_bytes()) if path.exists() else factors
    others = json.dumps({other: value for other, value in data.items() if other != key})
    path.write_text(f"{others[:-1]}, {json.dumps(key)}: {text}}}")


@pytest.mark.parametrize(("name", "key"), KEYS)
def test_brackets_in_brackets(folder: Path, name: str, key: str) -> None:
    good = (folder / name).read_text() if (folder / name).exists() else '{"unknown": 1}'
    for text in DEEP:
        (folder / name).write_text(good)
        write(folder, name, key, text)
        sentence = load_error(folder)
        assert Path(name).name in sentence
        assert "it is nested too deeply" in sentence


@pytest.mark.parametrize(("name", "key"), KEYS)
def test_numbers_of_pages(folder: Path, name: str, key: str) -> None:
    good = (folder / name).read_text() if (folder / name).exists() else '{"unknown": 1}'
    for text in NUMBERS:
        (folder / name).write_text(good)
        write(folder, name, key, text)
        sentence = load_error(folder)
        assert Path(name).name in sentence
        assert f"it holds a number of {len(text):,} digits" in sentence


@pytest.mark.parametrize(("name", "key"), KEYS)
@pytest.mark.parametrize(
    "value",
    [LONG, "two\nlines \x1b[31m", "\0", [LONG], {LONG: LONG}, 1e999, -1e999, float("nan"), 1e300],
    ids=["long", "lines", "nul", "list", "object", "inf", "-inf", "nan", "1e300"],
)
def test_other_odd_values(folder: Path, name: str, key: str, value: Any) -> None:
    """A model that has them is drawn, where nobody looks at them, or refused with a sentence."""
    write(folder, name, key, json.dumps(value))
    try:
        SdxlPipeline.load(str(folder))
    except CheckpointError as error:
        checked(error)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e39", "-Infinity"])
def test_a_colour_beyond_all(folder: Path, number: str) -> None:
    write(folder, "preview.json", "bias", f"[0, 0, {number}]")
    assert "preview.json must hold latent_rgb_factors" in load_error(folder)


@pytest.mark.parametrize("name", [LONG, "two\nlines", "\x1b[31mred"])
def test_odd_names_of_tensors_types_and_shards(folder: Path, name: str) -> None:
    whole = (folder / VAE).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    for change in ({name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}, {}):
        header = {**json.loads(whole[8 : 8 + length]), **change}
        if not change:
            header["decoder.conv_in.bias"]["dtype"] = name
        encoded = json.dumps(header).encode()
        (folder / VAE).write_bytes(
            len(encoded).to_bytes(8, "little") + encoded + whole[8 + length :]
        )
        assert "unexpected: " in load_error(folder) or not change
    (folder / VAE).write_bytes(whole)
    assert load_file(folder / VAE)
    write(folder, UNET_INDEX, "weight_map", json.dumps({"conv_in.bias": name}))
    assert "unet/ lacks " in load_error(folder)


nested = st.recursive(
    st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=20,
)


@given(st.integers(0, 70), nested)
def test_fifty_levels_are_read(depth: int, inner: Any) -> None:
    def levels(value: Any) -> int:
        values = value.values() if isinstance(value, dict) else value
        return 1 + max(map(levels, values), default=0) if isinstance(value, list | dict) else 0

    value = inner
    for _ in range(depth):
        value = [value]
    text = json.dumps({"a": value}).encode()
    if 1 + levels(value) < 50:
        assert parse_json(text) == {"a": value}
    elif levels(value) > 50:
        with pytest.raises(ValueError, match="nested too deeply"):
            parse_json(text)


@given(st.text(), st.integers(1, 20))
def test_plain_words_are_one_short_line(text: str, most: int) -> None:
    line = plain(text, most=most)
    assert line.isprintable()
    assert len(line) <= most + 1


def test_a_value_that_no_json_held() -> None:
    assert shown(10**5_000) == "beyond writing"
