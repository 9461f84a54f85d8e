"""Strictness: every way in which a model folder can be wrong."""

import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from sdxl_engine import CheckpointError, SdxlPipeline
from sdxl_engine.checkpoint.config import SdxlConfig, VaeConfig
from sdxl_engine.checkpoint.load import expected_parameters, load_part
from sdxl_engine.checkpoint.safetensors_file import read_header
from sdxl_engine.models.vae import Autoencoder

VAE = "vae/diffusion_pytorch_model.safetensors"
UNET_SHARD = "unet/diffusion_pytorch_model-00002-of-00004.safetensors"


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
def test_what_is_missing_is_named(folder: Path, name: str) -> None:
    path = folder / name
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    sentence = load_error(folder)
    assert Path(name).name in sentence
    assert "Fetch the model again" in sentence


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 5_000, -1])
def test_a_truncated_file_is_named(folder: Path, kept: int) -> None:
    data = (folder / VAE).read_bytes()
    (folder / VAE).write_bytes(data[:kept])
    assert VAE in load_error(folder)


def test_every_wrong_tensor_is_named_in_one_error(folder: Path) -> None:
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


@pytest.mark.parametrize(
    ("part", "stem", "names"),
    [
        ("text_encoder", "model", ["text_projection.weight", "text_model.embeddings.position_ids"]),
        (
            "text_encoder_2",
            "model",
            ["logit_scale", "vision_model.embeddings.class_embedding", "visual_projection.weight"],
        ),
        ("vae", "diffusion_pytorch_model", ["model_ema.decay", "model_ema.num_updates"]),
    ],
)
def test_tensors_that_pytorch_passes_over(
    folder: Path, part: str, stem: str, names: list[str]
) -> None:
    path = folder / part / f"{stem}.safetensors"
    spare = {name: np.zeros(3, np.float32) for name in names}
    edit_weights(path, lambda weights: weights.update(spare))
    SdxlPipeline.load(str(folder), devices=jax.devices()[:1])
    edit_weights(path, lambda weights: weights.update({f"{names[0]}s": np.zeros(3, np.float32)}))
    assert f"unexpected: {names[0]}s" in load_error(folder)


def test_marks_in_a_unet_are_passed_over(folder: Path) -> None:
    marks = {name: np.zeros(0, np.float32) for name in ("v_pred", "ztsnr")}
    edit_weights(folder / UNET_SHARD, lambda weights: weights.update(marks))
    SdxlPipeline.load(str(folder), devices=jax.devices()[:1])


def test_a_tensor_in_two_shards_is_set_twice(folder: Path) -> None:
    first, second = (
        folder / f"unet/diffusion_pytorch_model-0000{n}-of-00004.safetensors" for n in (1, 2)
    )
    name, values = next(iter(load_file(first).items()))
    edit_weights(second, lambda weights: weights.update({name: values}))
    assert f"set twice: {name}" in load_error(folder)


def test_pickles_are_refused(folder: Path) -> None:
    (folder / VAE).rename(folder / "vae/diffusion_pytorch_model.bin")
    sentence = load_error(folder)
    assert "pickled" in sentence
    assert "safetensors only" in sentence


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16])
def test_any_float_file_becomes_the_dtype_asked_for(folder: Path, dtype: type) -> None:
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


def test_loading_holds_a_few_parameters_at_a_time(tmp_path: Path) -> None:
    """What the host needs beside the weights on the device is what four parameters are made of."""
    config = VaeConfig(3, 3, 4, (128, 128, 128, 128), 2, 32, 1.0)
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
    # The largest are a thirtieth of this network each, in some three copies while they are made.
    assert peak < 0.6 * total


def test_old_names_of_the_vae_are_read(folder: Path) -> None:
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
