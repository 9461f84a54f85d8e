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
from sdxl_engine.checkpoint.config import SdxlConfig, VaeConfig
from sdxl_engine.checkpoint.load import (
    expected_parameters,
    find_model,
    load_part,
    part_files,
    weight_files,
)
from sdxl_engine.checkpoint.safetensors_file import read_header
from sdxl_engine.models.unet import UNet
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
    "model",
    [
        "no/such/folder",
        "nothing here",
        "",
        "../x",
        "../x/y",
        "~nosuchuser/x",
        "a" * 5_000,
        "owner/" + "a" * 120,
        "owner/" + "a" * 5_000,
        "owner/a..b",
        "nul\0/x",
    ],
)
def test_a_model_that_is_nowhere(model: str):
    with pytest.raises(CheckpointError, match="There is no model") as caught:
        find_model(model)
    assert len(str(caught.value)) < 300


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
        for parameter in expected_parameters("vae", network)
        for tensor in parameter
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
    assert len(nnx.to_flat_state(state)) == len(expected_parameters("vae", network))


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


def shard(folder: Path, variant: str) -> Path:
    """Spread the UNet over two shards, named as diffusers names those of a variant."""
    unet = folder / "unet"
    weights: dict[str, np.ndarray] = {}
    for path in sorted(unet.glob("*.safetensors")):
        weights |= load_file(path)
        path.unlink()
    index = unet / f"diffusion_pytorch_model.safetensors.index.{variant}.json"
    (unet / "diffusion_pytorch_model.safetensors.index.json").unlink()
    names = sorted(weights)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        name = f"diffusion_pytorch_model.{variant}-0000{number}-of-00002.safetensors"
        save_file({key: weights[key] for key in part}, unet / name)
        weight_map |= dict.fromkeys(part, name)
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def test_shards_of_the_fp16_variant(folder: Path):
    shard(folder, "fp16")
    for half in (False, True):
        files = part_files(folder, "unet", half=half)
        assert [path.name for path in files] == [
            f"diffusion_pytorch_model.fp16-0000{number}-of-00002.safetensors" for number in (1, 2)
        ]
    network = UNet(SdxlConfig.load(folder).unet)
    state = load_part(folder, "unet", network, dtype=np.float32, place=jnp.asarray)
    assert len(nnx.to_flat_state(state)) == len(expected_parameters("unet", network))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"weight_map": {}}',
        '{"weight_map": []}',
        '{"weight_map": {"a": 5}}',
        '{"weight_map": {"a": ["x"]}}',
        '{"weight_map": {"a": "x", "a": "y"}}',
        '{"weight_map": ' + "[" * 200_000,
    ],
)
def test_an_index_that_is_none(folder: Path, text: str):
    index = folder / "unet/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(text)
    with pytest.raises(CheckpointError, match=index.name):
        part_files(folder, "unet", half=False)


def test_a_shard_outside_of_the_folder_is_missing(folder: Path):
    index = folder / "unet/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../vae/model.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"lacks \.\./vae/model\.safetensors"):
        part_files(folder, "unet", half=False)


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
        gated = run_find_model("find_model('studio/gated')", **environment)
        assert "studio/gated asks for its licence to be accepted first" in gated.stderr
        nobody = run_find_model("find_model('studio/none')", **environment)
        assert "There is no repository studio/none" in nobody.stderr
    never = run_find_model("find_model('studio/new')", **environment, HF_HUB_OFFLINE="1")
    assert "not in the local cache" in never.stderr


def refiner(folder: Path) -> None:
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(folder / part)
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionXLImg2ImgPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))


def without_encoder(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder")


def weights_alone(folder: Path) -> None:
    """As ByteDance/SDXL-Lightning is: a UNet for another model."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    (folder / "sdxl_lightning_4step_unet.safetensors").write_bytes(b"")


def inpainting(folder: Path) -> None:
    path = folder / "unet/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "in_channels": 9}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (refiner, "a StableDiffusionXLImg2ImgPipeline (the refiner)"),
        (without_encoder, "studio/tiny is not a whole model in diffusers format: it has no text_"),
        (weights_alone, "it has no model_index.json"),
        (inpainting, "trained for inpainting"),
    ],
)
def test_a_repository_of_another_kind_is_refused_before_its_weights_are_fetched(
    folder: Path, tmp_path: Path, change: Callable[[Path], None], said: str
):
    change(folder)
    with LoopbackHub(folder) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        refused = run_find_model("find_model('studio/tiny')", **environment)
        assert said in refused.stderr
        assert "CheckpointError" in refused.stderr
        assert not [name for name, _ in hub.downloads if name.endswith(".safetensors")]
