"""A model in one file is the same model as its folder."""

import shutil
from dataclasses import replace
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sdxl_engine import CheckpointError, SdxlPipeline
from sdxl_engine.checkpoint.checkpoint import Checkpoint
from sdxl_engine.checkpoint.config import SCHEDULER_CONFIG, SdxlConfig
from sdxl_engine.checkpoint.hub import sdxl_base
from sdxl_engine.checkpoint.json_reader import read_json
from sdxl_engine.checkpoint.markers import Markers
from sdxl_engine.checkpoint.original import of_part
from sdxl_engine.checkpoint.safetensors_file import StoredFile, StoredTensor, read_stored
from sdxl_engine.checkpoint.scheduler import SchedulerConfig
from sdxl_engine.checkpoint.shapes import described, fits
from sdxl_engine.tokenizer import PromptTokenizer
from tests.sdxl_engine.checkpoint.original_writer import (
    DOODLE,
    FIRST,
    SECOND,
    UNET,
    VAE,
    Weights,
    original,
    unet_of,
    vae_of,
)
from tests.sdxl_engine.conftest import GOLDENS

NOTHING = np.zeros(0, np.float32)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return original()


def arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    return {
        f"{name}/{tensor}": found[0].read()
        for name, part in checkpoint.parts.items()
        for tensor, found in part.tensors.items()
        if not tensor.endswith("position_ids")  # of a folder it is passed over later
    }


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    ours, theirs = arrays(one), arrays(other)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.find(str(path), **options)  # type: ignore[arg-type]  # vae and unet
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# Over 2 s of CPU: both are loaded as they are drawn with, to the bit on the device.
def test_a_file_and_its_folder_become_the_same_weights(weights: Weights, tmp_path: Path) -> None:
    """On the device, to the bit, with the same configuration and preview."""
    save_file(weights, tmp_path / "doodle.safetensors")
    one = SdxlPipeline.load("doodle", devices=jax.devices()[:1])
    other = SdxlPipeline.load(str(tmp_path / "doodle.safetensors"), devices=jax.devices()[:1])
    assert one._config == other._config
    np.testing.assert_array_equal(one._factors, other._factors)
    for ours, theirs in zip(
        jax.tree.leaves(one.weights), jax.tree.leaves(other.weights), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("folder", ["tiny_a", "tiny_b"])
def test_shapes_that_nothing_tells_come_from_a_folder_beside_it(
    folder: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(original(GOLDENS / folder), path)
    assert "put the folder of its JSON beside it and name it in mine.toml" in refusal(path)
    shutil.copytree(GOLDENS / folder, tmp_path / "json")
    (tmp_path / "mine.toml").write_text('config = "json"\nlicence = "CC0"\n')
    found = Checkpoint.find(str(path))
    assert found.config == SdxlConfig.load(GOLDENS / folder)
    assert found.card.licence == "CC0"
    assert_same(found, Checkpoint.find(str(GOLDENS / folder)))


def test_what_pytorch_skips_is_skipped(weights: Weights, tmp_path: Path) -> None:
    spare = {
        "alphas_cumprod": np.ones(1000, np.float32),
        "model_ema.decay": np.array(0.9999, np.float32),
        "model_ema.diffusion_modelout2bias": np.ones(4, np.float32),
        f"{VAE}loss.logvar": np.array(0.0, np.float32),
        f"{SECOND}text_projection.weight": weights[f"{SECOND}text_projection"],
        f"{SECOND}transformer.text_model.embeddings.position_ids": np.arange(77)[None],
        f"{FIRST}text_projection.weight": np.ones((4, 4), np.float32),
        "conditioner.embedders.0.logit_scale": np.array(4.6, np.float32),
    }
    save_file({**weights, **spare}, tmp_path / "spare.safetensors")
    assert_same(Checkpoint.find(str(tmp_path / "spare.safetensors")), Checkpoint.find("doodle"))


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2])
def test_float8_is_cast(dtype: type, tmp_path: Path) -> None:
    unet = {f"{UNET}{name}": array for name, array in unet_of(DOODLE).items()}
    write_float8(unet, tmp_path / "f8.safetensors", dtype)
    found = Checkpoint.find("doodle", unet=str(tmp_path / "f8.safetensors"))
    name = "down_blocks.0.resnets.0.conv1.weight"
    wanted: np.ndarray = unet[f"{UNET}input_blocks.1.0.in_layers.2.weight"].astype(dtype)
    read = found.parts["unet"].tensors[name][0].read()
    np.testing.assert_array_equal(read.astype(np.float32), wanted.astype(np.float32))


def write_float8(weights: Weights, path: Path, dtype: type, beside: Weights | None = None) -> None:
    """safetensors' NumPy half knows no float8: written as bytes, and the header's word changed.

    beside  written as they are
    """
    name = "F8_E4M3" if dtype is ml_dtypes.float8_e4m3fn else "F8_E5M2"
    cast = {key: array.astype(dtype).view(np.uint8) for key, array in weights.items()}
    save_file({**cast, **(beside or {})}, path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].replace(b'"U8"', f'"{name}"'.encode()).rstrip()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])


@pytest.mark.parametrize("rows", [False, True])
def test_scales_of_float8_are_honoured(*, rows: bool, tmp_path: Path) -> None:
    path = tmp_path / "scaled.safetensors"
    kernel = np.array([[1.0, 2.0], [0.5, 4.0], [8.0, 1.0]], np.float32)
    write_float8({"a.attn.in_proj_weight": kernel}, path, ml_dtypes.float8_e4m3fn)
    scale = np.array([2.0, 3.0, 5.0] if rows else 2.0, np.float32)
    save_file({"scale": scale}, tmp_path / "scale.safetensors")
    (stored,) = read_stored(path).tensors.values()
    beside = read_stored(tmp_path / "scale.safetensors").tensors["scale"]
    scaled = replace(stored, scale=beside)
    wanted = kernel * (scale[:, None] if rows else scale)
    np.testing.assert_array_equal(scaled.read(), wanted)
    np.testing.assert_array_equal(scaled.turned.read(), wanted.T)
    np.testing.assert_array_equal(np.concatenate([p.read() for p in scaled.split(3)]), wanted)


@pytest.mark.parametrize("ending", ["scale_weight", "weight_scale"])
def test_a_scaled_unet_is_as_it_was_before(ending: str, tmp_path: Path) -> None:
    """As ComfyUI writes them, with a marker of the file or a note of each layer."""
    unet = {name: array.astype(np.float32) for name, array in unet_of(DOODLE).items()}
    scales = {
        name.removesuffix("weight") + ending: np.float32(np.abs(array).max() / 448).reshape(1)
        for name, array in unet.items()
        if name.endswith("attn1.to_q.weight")
    }
    named = {f"{name.removesuffix(ending)}weight": scale for name, scale in scales.items()}
    small = {name: array / named.get(name, 1) for name, array in unet.items()}
    beside = {f"{UNET}{name}": scale for name, scale in scales.items()}
    beside |= {f"{name}.scale_input": scale for name, scale in beside.items()}
    cast = {f"{UNET}{name}": array for name, array in small.items()}
    path = tmp_path / "scaled.safetensors"
    write_float8(cast, path, ml_dtypes.float8_e4m3fn, beside | {"scaled_fp8": NOTHING})
    found = Checkpoint.find("doodle", unet=str(path)).parts["unet"]
    before = Checkpoint.find("doodle").parts["unet"]
    assert len(scales) > 1
    for name, (tensor,) in found.tensors.items():
        read, (own,) = tensor.read().astype(np.float32), before.tensors[name]
        if name.endswith("attn1.to_q.weight"):
            np.testing.assert_allclose(read, own.read(), rtol=2**-4, atol=np.abs(read).max() / 2**9)
            assert tensor.scale is not None


def test_a_scale_of_nothing_is_refused(weights: Weights, tmp_path: Path) -> None:
    name = f"{UNET}input_blocks.1.0.in_layers.2.scale_weight"
    save_file({**weights, name: np.ones(1, np.float32)}, tmp_path / "odd.safetensors")
    assert f"{name.removeprefix(UNET)} scales no float8" in refusal(
        tmp_path / "odd.safetensors"
    ).replace(UNET, "")


def test_quantised_weights_are_refused_by_name(weights: Weights, tmp_path: Path) -> None:
    """In one file, and in a folder, whose JSON may say nothing of it."""
    folder = Path(shutil.copytree(DOODLE, tmp_path / "folder"))
    part = next((folder / "unet").glob("*.safetensors"))
    whole = tmp_path / "whole.safetensors"
    kernel, rows = np.zeros((64, 64), np.int8), np.ones((64, 1), np.float32)
    note = np.frombuffer(b'{"format": "int8_tensorwise"}', np.uint8)
    ways: list[Weights] = [
        {"weight": kernel, "scale": rows},  # SDNQ
        {"scale": rows},  # SDNQ in float8
        {"weight": kernel, "weight_scale": rows, "comfy_quant": note},
        {"weight.absmax": rows},  # bitsandbytes
        {"weight": kernel, "SCB": rows},
    ]
    for path, own, of in ((part, load_file(part), folder), (whole, weights, whole)):
        name = next(name for name in own if name.endswith("attn1.to_q.weight"))
        for way in ways:
            beside = {f"{name.removesuffix('weight')}{end}": array for end, array in way.items()}
            save_file({**own, **beside}, path)
            assert f"{path} is quantised, as bitsandbytes, SDNQ, ComfyUI" in refusal(of)


def test_another_vae_and_another_unet(tmp_path: Path) -> None:
    """With the original's names or today's, with a prefix or none, or a folder."""
    vae, unet = vae_of(DOODLE), unet_of(DOODLE)
    save_file(vae, tmp_path / "plain.safetensors")
    save_file({f"{VAE}{n}": a for n, a in vae.items()}, tmp_path / "vae.safetensors")
    save_file({f"{UNET}{n}": a for n, a in unet.items()}, tmp_path / "unet.safetensors")
    doodle = Checkpoint.find("doodle")
    today = {part: next((DOODLE / part).glob("*.safetensors")) for part in ("vae", "unet")}
    for own in (tmp_path / "plain.safetensors", tmp_path / "vae.safetensors", today["vae"]):
        found = Checkpoint.find("doodle", vae=str(own))
        assert found.config == doodle.config
        assert_same(found, doodle)
        assert own in found.files
    for own in (tmp_path / "unet.safetensors", today["unet"], DOODLE, DOODLE / "unet"):
        assert_same(Checkpoint.find("doodle", unet=str(own)), doodle)
    bare = {name: array for name, array in original().items() if not name.startswith(VAE)}
    save_file(bare, tmp_path / "bare.safetensors")
    found = Checkpoint.find(
        str(tmp_path / "bare.safetensors"), vae=str(tmp_path / "plain.safetensors")
    )
    assert found.config == doodle.config
    assert_same(found, doodle)
    assert "or set [engine] vae or unet to what it lacks" in refusal(tmp_path / "bare.safetensors")
    assert "[engine] vae cannot be set to it" in refusal(DOODLE, vae=str(today["unet"]))
    assert "There is no 'nowhere', which [engine] unet names" in refusal(DOODLE, unet="nowhere")


def test_a_file_that_is_not_there_is_never_looked_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdxl_engine.checkpoint.hub._fetch", None)  # called, it would raise
    assert "There is no file 'models/mine.safetensors'" in refusal(Path("models/mine.safetensors"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/mine").write_bytes(b"not a model at all")
    assert "models/mine is truncated or not a safetensors file" in refusal(Path("models/mine"))


def test_markers_change_the_schedule(tmp_path: Path) -> None:
    base = read_json(sdxl_base(), SCHEDULER_CONFIG)
    path = tmp_path / "marked.safetensors"
    save_file({"v_pred": NOTHING, "ztsnr": NOTHING}, path)
    schedule = Markers.of(read_stored(path)).schedule(base)
    assert schedule["prediction_type"] == "v_prediction"
    assert schedule["rescale_betas_zero_snr"] is True
    assert schedule["timestep_spacing"] == "trailing"
    assert Markers.of(StoredFile({}, {"modelspec.prediction_type": "v"})).prediction == (
        "v_prediction"
    )
    ends = {"edm_vpred.sigma_min": 0.002, "edm_vpred.sigma_max": 120.0}  # CosXL's
    save_file({name: np.float32(end).reshape(1) for name, end in ends.items()}, path)
    schedule = Markers.of(read_stored(path)).schedule(base)
    config = SchedulerConfig.from_json("any", schedule)
    assert (config.prediction_type, config.spacing) == ("v_prediction", "exponential")
    assert config.edm is not None
    assert (config.edm.sigma_max, config.edm.sigma_data) == (120.0, 1.0)
    mean, deviation = np.arange(4, dtype=np.float32), np.ones(4, np.float32)
    save_file({"edm_mean": mean.reshape(1, 4, 1, 1), "edm_std": deviation}, path)
    markers = Markers.of(read_stored(path))
    assert markers.schedule(base)["_class_name"] == "EDMDPMSolverMultistepScheduler"
    assert markers.autoencoder({})["latents_mean"] == [0.0, 1.0, 2.0, 3.0]


def test_a_card_is_stronger_than_the_file(weights: Weights, tmp_path: Path) -> None:
    save_file({**weights, "v_pred": NOTHING}, tmp_path / "mine.safetensors")
    (tmp_path / "mine.toml").write_text('prediction_type = "epsilon"\nclip_skip = 1\n')
    found = Checkpoint.find(str(tmp_path / "mine.safetensors"))
    assert found.config.scheduler.prediction_type == "epsilon"
    assert found.config.clip_skip == 1
    asked = Checkpoint.find(str(tmp_path / "mine.safetensors"), clip_skip=2)
    assert asked.config.clip_skip is None
    for wrong, said in (
        ("stepz = 3", "has a key 'stepz'"),
        ("steps = true", "steps is 'True'; it must be a whole number"),
        ("clip_skip = 0", "clip_skip is 0; it must be 1 to "),
        ("trigger_words = [1]", "it must be a list of texts"),
        ("steps = ", "cannot be read as TOML"),
        ('config = "nowhere"', "config is 'nowhere', but there is no folder"),
    ):
        (tmp_path / "mine.toml").write_text(wrong)
        sentence = refusal(tmp_path / "mine.safetensors")
        assert "mine.toml" in sentence
        assert said in sentence


def test_names_map_one_to_one(weights: Weights) -> None:
    """Every tensor comes out under a name of its own, and the names are today's."""
    for part, prefix in (("unet", UNET), ("vae", VAE), ("text_encoder", FIRST)):
        stored = {
            name: StoredTensor(Path("any"), "F32", array.shape, 0, array.nbytes)
            for name, array in weights.items()
            if name.startswith(prefix) and "position_ids" not in name
        }
        names = [name for name, _ in of_part(part, stored)]
        assert len(names) == len(set(names)) == len(stored)
        files = (DOODLE / part).glob("*.safetensors")
        assert set(names) == {
            f"text_model.{name.removeprefix('text_model.')}" if part == "text_encoder" else name
            for path in files
            for name in load_file(path)
        }


def test_the_json_of_another_depth_is_told_by_the_tensors() -> None:
    """SSD-1B's kind: other depths, no attention in the middle; and inpainting's channels."""
    base = read_json(DOODLE, "unet/config.json")
    shapes = {
        name: array.shape
        for name, array in load_file(next((DOODLE / "unet").glob("*.safetensors"))).items()
    }
    assert fits("unet", base, shapes)
    lean = {
        name: shape
        for name, shape in shapes.items()
        if not name.startswith(("mid_block.attentions", "mid_block.resnets.1"))
        and "down_blocks.1.attentions.0.transformer_blocks.1" not in name
    }
    lean["conv_in.weight"] = (64, 9, 3, 3)
    told = described("unet", base, lean)
    assert not fits("unet", base, lean)
    assert told["in_channels"] == 9
    assert told["mid_block_type"] == "UNetMidBlock2D"
    assert told["transformer_layers_per_block"] == [1, 1, 1]
    assert told["reverse_transformer_layers_per_block"] == [1, 2, 1]


def test_sdxls_own_tokenizers_come_with_the_package() -> None:
    """Ids as CLIP's vocabulary has them; the second pads with "!"."""
    tokenizer = PromptTokenizer(sdxl_base(), SdxlConfig.load(sdxl_base()))
    first, second = tokenizer.chunks("a photo of a cat", 1).token_ids[:, 0].tolist()
    assert first[:8] == [49406, 320, 1125, 539, 320, 2368, 49407, 49407]
    assert second[:8] == [49406, 320, 1125, 539, 320, 2368, 49407, 0]
