"""Strictness: every way in which a model folder can be wrong, and the loopback hub."""

import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from sdxl_engine import CheckpointError, SdxlPipeline
from sdxl_engine.checkpoint import (
    expected_tensors,
    find_model,
    load_part,
    part_files,
    read_header,
    weight_files,
)
from sdxl_engine.models.config import SdxlConfig, VaeConfig
from sdxl_engine.models.vae import Autoencoder
from tests.sdxl_engine.conftest import GOLDENS
from tests.sdxl_engine.hub import LoopbackHub

VAE = "vae/diffusion_pytorch_model.safetensors"
UNET_SHARD = "unet/diffusion_pytorch_model-00002-of-00004.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of tiny_b (sharded UNet) to be damaged."""
    return Path(shutil.copytree(GOLDENS / "tiny_b", tmp_path / "model"))


def load_error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        SdxlPipeline.load(str(folder))
    sentence = str(caught.value)
    assert sentence.endswith(".")
    return sentence


def edit_weights(path: Path, edit: Callable[[dict[str, np.ndarray]], None]) -> None:
    weights = load_file(path)
    edit(weights)
    save_file(weights, path)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "unet/config.json",
        "scheduler/scheduler_config.json",
        VAE,
        UNET_SHARD,
        "tokenizer_2",
    ],
)
def test_what_is_missing_is_named(folder: Path, name: str):
    path = folder / name
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    sentence = load_error(folder)
    assert Path(name).name in sentence
    assert "Fetch the model again" in sentence


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 5_000, -1])
def test_a_truncated_file_is_named(folder: Path, kept: int):
    data = (folder / VAE).read_bytes()
    (folder / VAE).write_bytes(data[:kept])
    assert VAE in load_error(folder)


@pytest.mark.parametrize(
    "header", [b"not json", b"[1, 2]", b'{"a": 1}', b'{"a": {"dtype": "F32"}}']
)
def test_a_damaged_header_is_named(tmp_path: Path, header: bytes):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match="damaged header"):
        read_header(path)


def test_a_header_that_claims_the_whole_disk(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_header(path)


def test_every_wrong_tensor_is_named_in_one_error(folder: Path):
    def damage(weights: dict[str, np.ndarray]) -> None:
        del weights["decoder.conv_in.bias"]
        weights["decoder.conv_out.bias"] = np.zeros(7, np.float32)
        weights["encoder.conv_in.bias"] = np.zeros(8, np.int64)
        weights["surprise.weight"] = np.zeros(1, np.float32)
        # The old name and today's name of the same tensor.
        weights["decoder.mid_block.attentions.0.query.weight"] = np.zeros((16, 16), np.float32)

    edit_weights(folder / VAE, damage)
    sentence = load_error(folder)
    for part in (
        "missing: decoder.conv_in.bias",
        "unexpected: surprise.weight",
        "set twice: decoder.mid_block.attentions.0.to_q.weight",
        "decoder.conv_out.bias [7] instead of [3]",
        "encoder.conv_in.bias of type I64 instead of F32, F16, BF16",
    ):
        assert part in sentence


def test_a_tensor_in_two_shards_is_set_twice(folder: Path):
    first, second = (
        folder / f"unet/diffusion_pytorch_model-0000{n}-of-00004.safetensors" for n in (1, 2)
    )
    name, values = next(iter(load_file(first).items()))
    edit_weights(second, lambda weights: weights.update({name: values}))
    assert f"set twice: {name}" in load_error(folder)


def test_pickles_are_refused(folder: Path):
    (folder / VAE).rename(folder / "vae/diffusion_pytorch_model.bin")
    sentence = load_error(folder)
    assert "pickled" in sentence
    assert "safetensors only" in sentence


@pytest.mark.parametrize(
    ("name", "key", "value", "said"),
    [
        ("unet/config.json", "act_fn", "gelu", 'act_fn is "gelu"'),
        ("unet/config.json", "addition_embed_type", "image", "text_time"),
        ("unet/config.json", "use_linear_projection", False, "use_linear_projection"),
        ("unet/config.json", "block_out_channels", "wide", "whole numbers"),
        ("unet/config.json", "cross_attention_dim", 8, "mixes two models"),
        ("unet/config.json", "down_block_types", ["DownBlock2D"], "3 of DownBlock2D"),
        ("text_encoder/config.json", "hidden_act", "relu", "quick_gelu"),
        ("text_encoder/config.json", "vocab_size", "many", "a whole number"),
        ("vae/config.json", "shift_factor", 0.1, "shift_factor"),
        ("scheduler/scheduler_config.json", "prediction_type", "sample", "epsilon"),
        ("model_index.json", "force_zeros_for_empty_prompt", "yes", "true or false"),
    ],
)
def test_what_is_not_written_here_is_refused(
    folder: Path, name: str, key: str, value: object, said: str
):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert said in load_error(folder)


def test_json_that_is_none(folder: Path):
    (folder / "vae/config.json").write_text("{")
    assert "vae/config.json cannot be read as JSON" in load_error(folder)


@pytest.mark.parametrize("model", ["no/such/folder", "nothing here", "", "../x", "../x/y"])
def test_a_model_that_is_nowhere(model: str):
    with pytest.raises(CheckpointError, match="There is no model"):
        find_model(model)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16])
def test_any_float_file_becomes_the_dtype_asked_for(folder: Path, dtype: type):
    """fp16, bf16 and fp32 files, into float32 and bfloat16."""
    reference = load_file(folder / VAE)
    save_file({name: array.astype(dtype) for name, array in reference.items()}, folder / VAE)
    network = Autoencoder(SdxlConfig.load(folder).vae)
    for wanted in (np.float32, jnp.bfloat16):
        state = load_part(folder, "vae", network, dtype=wanted, place=jnp.asarray)
        model = nnx.merge(nnx.graphdef(network), state)
        kernel = np.asarray(model.decoder.conv_in.kernel[...])
        assert kernel.dtype == wanted
        stored = reference["decoder.conv_in.weight"].astype(dtype).astype(wanted)
        np.testing.assert_array_equal(kernel, stored.transpose(2, 3, 1, 0))


def test_loading_holds_one_tensor_at_a_time(tmp_path: Path):
    """What the host needs beside the weights on the device is a few of the largest tensors."""
    config = VaeConfig(3, 3, 4, (64, 64, 64, 64), 2, 32, 1.0)
    network = Autoencoder(config)
    weights = {
        tensor.name: np.ones(tensor.shape, np.float32)
        for tensor in expected_tensors("vae", network)
    }
    (tmp_path / "vae").mkdir()
    save_file(weights, tmp_path / VAE)
    total = sum(array.nbytes for array in weights.values())
    del weights
    nothing = jnp.zeros(())
    tracemalloc.start()
    load_part(tmp_path, "vae", network, dtype=np.float32, place=lambda array: nothing)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.3 * total


def test_old_names_of_the_vae_are_read(folder: Path):
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(weights: dict[str, np.ndarray]) -> None:
        for name in [name for name in weights if ".attentions." in name]:
            ancient = name
            for today, before in old.items():
                ancient = ancient.replace(f".{today}.", f".{before}.")
            weights[ancient] = weights.pop(name)

    edit_weights(folder / VAE, rename)
    assert any(".query." in name for name in read_header(folder / VAE))
    network = Autoencoder(SdxlConfig.load(folder).vae)
    state = load_part(folder, "vae", network, dtype=np.float32, place=jnp.asarray)
    assert len(nnx.to_flat_state(state)) == len(expected_tensors("vae", network))


def test_half_files_are_preferred_when_half_is_asked_for():
    plain, half = (
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
    )
    other = ["unet/diffusion_pytorch_model.bin", "unet/model.onnx", "vae_1_0/x.safetensors"]
    assert weight_files([plain, half, *other], "unet", half=True) == [half]
    assert weight_files([plain, half, *other], "unet", half=False) == [plain]
    assert weight_files([half], "unet", half=False) == [half]
    assert weight_files([plain], "unet", half=True) == [plain]


def test_shards_are_those_of_the_index(folder: Path):
    stray = folder / "unet/diffusion_pytorch_model-00001-of-00009.safetensors"
    shutil.copy(folder / UNET_SHARD, stray)
    files = part_files(folder, "unet", half=False)
    assert len(files) == 4
    assert stray not in files


def run_find_model(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads its environment when it is imported."""
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", f"from sdxl_engine.checkpoint import *\nprint({code})"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_repository_is_fetched_once_and_then_kept(folder: Path, tmp_path: Path):
    for name in ("unet/diffusion_pytorch_model.onnx", "vae/diffusion_pytorch_model.bin"):
        (folder / name).write_bytes(b"not needed")
    shutil.copy(folder / VAE, folder / "vae/diffusion_pytorch_model.fp16.safetensors")
    with LoopbackHub(folder) as hub:
        hub.cut_short = {VAE}
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        code = "find_model('studio/tiny', revision='v1')"
        first = run_find_model(code, **environment)
        assert first.returncode == 0, first.stderr
        assert "Fetching" in first.stderr  # the progress bar
        names = [name for name, _ in hub.downloads]
        assert names.count(VAE) == 2  # broken off, then completed
        assert UNET_SHARD in names
        assert not [name for name in names if name.endswith((".onnx", ".bin", "fp16.safetensors"))]
        assert not [name for name in names if name.startswith("goldens")]
        fetched = Path(first.stdout.strip())
        assert (fetched / VAE).read_bytes() == (folder / VAE).read_bytes()
        count = len(hub.downloads)
        again = run_find_model(code, **environment)
        offline = run_find_model(code, **environment, HF_HUB_OFFLINE="1")
        assert again.stdout == offline.stdout == first.stdout
        assert len(hub.downloads) == count
        unknown = run_find_model("find_model('studio/tiny', revision='v9')", **environment)
        assert "has no revision 'v9'" in unknown.stderr
        nobody = run_find_model("find_model('studio/none')", **environment)
        assert "There is no repository studio/none" in nobody.stderr
    never = run_find_model("find_model('studio/new')", **environment, HF_HUB_OFFLINE="1")
    assert "not in the local cache" in never.stderr
