"""Which weight files of a folder are read: of the variants, and of the shards of an index."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from sdxl_engine import CheckpointError
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.folder import part_files, weight_files
from sdxl_engine.checkpoint.load import expected_parameters, load_part
from sdxl_engine.models.unet import UNet

UNET_SHARD = "unet/diffusion_pytorch_model-00002-of-00004.safetensors"


def test_half_files_are_preferred_when_half_is_asked_for() -> None:
    plain, half = (
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
    )
    other = ["unet/diffusion_pytorch_model.bin", "unet/model.onnx", "vae_1_0/x.safetensors"]
    assert weight_files([plain, half, *other], "unet", half=True) == [half]
    assert weight_files([plain, half, *other], "unet", half=False) == [plain]
    assert weight_files([half], "unet", half=False) == [half]
    assert weight_files([plain], "unet", half=True) == [plain]


@pytest.mark.parametrize(
    ("variants", "half", "whole"),
    [
        (["bf16"], "bf16", "bf16"),
        (["non_ema"], "non_ema", "non_ema"),
        (["non_ema", "fp32"], "fp32", "fp32"),
        (["non_ema", ""], "", ""),
        (["fp16", "bf16"], "fp16", "fp16"),
        (["bf16", "", "fp32"], "bf16", ""),
        (["zz", "aa"], "aa", "aa"),
    ],
)
@pytest.mark.parametrize("sharded", ["", "today", "legacy"])
def test_one_rule_chooses_among_variants(
    variants: list[str], half: str, whole: str, sharded: str
) -> None:
    def files(variant: str) -> list[str]:
        dot = variant and f".{variant}"
        if not sharded:
            return [f"vae/diffusion_pytorch_model{dot}.safetensors"]
        first, last = (dot, "") if sharded != "legacy" else ("", dot)
        return [
            f"vae/diffusion_pytorch_model.safetensors.index{dot}.json",
            *(
                f"vae/diffusion_pytorch_model{first}-0000{n}-of-00002{last}.safetensors"
                for n in (1, 2)
            ),
        ]

    names = [name for variant in variants for name in files(variant)]
    assert weight_files(names, "vae", half=True) == files(half)
    assert weight_files(reversed(names), "vae", half=False) == files(whole)


def test_shards_are_those_of_the_index(folder: Path) -> None:
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
    weight_map: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        name = f"diffusion_pytorch_model.{variant}-0000{number}-of-00002.safetensors"
        save_file({key: weights[key] for key in part}, unet / name)
        weight_map |= dict.fromkeys(part, name)
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def test_shards_of_the_fp16_variant(folder: Path) -> None:
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
def test_an_index_that_is_none(folder: Path, text: str) -> None:
    index = folder / "unet/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(text)
    with pytest.raises(CheckpointError, match=index.name):
        part_files(folder, "unet", half=False)


def test_a_shard_outside_of_the_folder_is_missing(folder: Path) -> None:
    index = folder / "unet/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../vae/model.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"lacks \.\./vae/model\.safetensors"):
        part_files(folder, "unet", half=False)
