"""Every kind of file is told what it is, by its first bytes or its tensors."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sdxl_engine import CheckpointError
from sdxl_engine.checkpoint.checkpoint import Checkpoint
from sdxl_engine.checkpoint.config import MODEL_INDEX, SCHEDULER_CONFIG
from sdxl_engine.checkpoint.kinds import Kind
from sdxl_engine.look import look_at
from tests.sdxl_engine.checkpoint.original_writer import (
    DOODLE,
    UNET,
    Weights,
    original,
    read,
    unet_of,
    vae_of,
)

Shape = tuple[int, ...]


def denoiser(text: int, channels: int = 4, prefix: str = UNET) -> dict[str, Shape]:
    return {
        f"{prefix}input_blocks.0.0.weight": (8, channels, 3, 3),
        f"{prefix}label_emb.0.0.weight": (8, 80),
        f"{prefix}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (8, text),
    }


VAE_SHAPES: dict[str, Shape] = {"first_stage_model.decoder.conv_in.weight": (8, 4, 3, 3)}

KINDS: list[tuple[str, dict[str, Shape], Kind, str]] = [
    ("refiner", {**denoiser(1280), **VAE_SHAPES}, Kind.REFINER, "only ends what a base has begun"),
    ("sd1", {**denoiser(768), **VAE_SHAPES}, Kind.SD1, "of Stable Diffusion 1"),
    ("sd2", {**denoiser(1024), **VAE_SHAPES}, Kind.SD2, "of Stable Diffusion 2"),
    ("inpainting", {**denoiser(2048, 9), **VAE_SHAPES}, Kind.INPAINTING, "has no text_encoder"),
    ("unet", denoiser(2048), Kind.UNET, "Set [engine] unet to it"),
    ("bare", denoiser(2048, prefix=""), Kind.UNET, "Set [engine] unet to it"),
    (
        "kolors",
        {**denoiser(2048), f"{UNET}label_emb.0.0.weight": (8, 5632)},
        Kind.KOLORS,
        "of Kolors",
    ),
    ("vae", {"decoder.conv_in.weight": (8, 4, 3, 3)}, Kind.VAE, "Set [engine] vae to it"),
    (
        "text",
        {"text_model.encoder.layers.0.mlp.fc1.weight": (8, 8)},
        Kind.TEXT_ENCODER,
        "a text encoder alone",
    ),
    ("kohya", {"lora_unet_a_b.lora_down.weight": (4, 8)}, Kind.LORA, "is a LoRA"),
    ("peft", {"unet.a.b.lora_A.weight": (4, 8)}, Kind.LORA, "is a LoRA"),
    ("loha", {"a.b.hada_w1_a": (4, 8)}, Kind.LORA, "is a LoRA"),
    ("word", {"clip_l": (2, 768), "clip_g": (2, 1280)}, Kind.EMBEDDING, "is an embedding"),
    (
        "control",
        {"controlnet_cond_embedding.conv_in.weight": (8, 3, 3, 3), "conv_in.weight": (8, 4, 3, 3)},
        Kind.CONTROLNET,
        "is a ControlNet",
    ),
    ("adapter", {"ip_adapter.1.to_k_ip.weight": (8, 8)}, Kind.ADAPTER, "is an adapter"),
    ("flux", {f"{UNET}double_blocks.0.img_attn.qkv.weight": (8, 8)}, Kind.FLUX, "of FLUX"),
    ("sd3", {f"{UNET}joint_blocks.0.x_block.attn.qkv.weight": (8, 8)}, Kind.SD3, "Diffusion 3"),
    (
        "nf4",
        {**denoiser(2048), f"{UNET}a.weight.quant_state.bitsandbytes__nf4": (8,)},
        Kind.QUANTISED,
        "is quantised",
    ),
    ("other", {"something.weight": (1,)}, Kind.OTHER, "does not know"),
    ("nothing", {}, Kind.DAMAGED, "empty or damaged"),
]


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.find(str(path))
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize(("name", "shapes", "kind", "said"), KINDS, ids=[one[0] for one in KINDS])
def test_tensors_tell_what_a_file_is(
    name: str, shapes: dict[str, Shape], kind: Kind, said: str, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}.safetensors"
    save_file({key: np.zeros(shape, np.float16) for key, shape in shapes.items()}, path)
    assert look_at(path).kind is kind
    assert said in refusal(path)


@pytest.mark.parametrize(
    ("name", "start", "kind", "said"),
    [
        ("a.safetensors", b"", Kind.DAMAGED, "is empty"),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n", Kind.POINTER, "git lfs"),
        ("a.safetensors", b"<!DOCTYPE html><html>", Kind.DAMAGED, "is a web page"),
        ("a.safetensors", b"\x40\0\0\0\0\0\0\0{", Kind.DAMAGED, "is truncated"),
        ("a.gguf", b"GGUF\3\0\0\0", Kind.GGUF, "is a GGUF file"),
        ("a.safetensors", b"PK\3\4rest", Kind.PICKLE, "is a pickle"),
        ("a.ckpt", b"\x80\2}q\0", Kind.PICKLE, "is a pickle"),
    ],
)
def test_first_bytes_tell_what_a_file_is(
    name: str, start: bytes, kind: Kind, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(start)
    found = look_at(tmp_path / name)
    assert found.kind is kind
    assert found.problem is not None
    assert said in refusal(tmp_path / name)


def test_a_whole_model_is_told_with_its_prediction_and_licence(tmp_path: Path) -> None:
    save_file(
        original(),
        tmp_path / "mine.safetensors",
        {"modelspec.license": "CC0\nand more", "modelspec.trigger_phrase": "ink, , old paper"},
    )
    found = look_at(tmp_path / "mine.safetensors")
    assert found.kind is Kind.MODEL
    assert found.problem is None
    assert found.prediction == "v_prediction"
    assert found.licence == "CC0 and more"
    assert found.words == ("ink", "old paper")
    assert set(found.parts) == {"unet", "vae", "text_encoder", "text_encoder_2"}
    for marks, training in (
        (("v_pred", "ztsnr"), "v_prediction, zero SNR"),
        (("edm_mean", "edm_std"), "epsilon, EDM"),
    ):
        marked = {name: np.ones(4, np.float32) for name in marks}
        save_file({**original(), **marked}, tmp_path / "marked.safetensors")
        assert look_at(tmp_path / "marked.safetensors").prediction == training
    folder = look_at(Path(shutil.copytree(DOODLE, tmp_path / "doodle")))
    assert (folder.kind, folder.problem, folder.licence) == (Kind.MODEL, None, None)
    (tmp_path / "doodle/README.md").write_text("---\ntags:\n- x\nlicense: 'openrail++'\n---\n# X\n")
    assert look_at(tmp_path / "doodle").licence == "openrail++"
    (tmp_path / "doodle/README.md").write_text("# X\n---\nlicense: no header\n---\n")
    assert look_at(tmp_path / "doodle").licence is None
    index, file = (tmp_path / "doodle" / name for name in (MODEL_INDEX, SCHEDULER_CONFIG))
    index.write_text(index.read_text().replace("EulerDiscrete", "SASolver"))
    file.write_text("{}")
    assert "DPM++ 2M SDE, the nearest, is drawn" in look_at(tmp_path / "doodle").told[0]
    assert folder.size_bytes == sum(
        part.size_bytes for part in Checkpoint.find("doodle").parts.values()
    )
    (tmp_path / "doodle/unet/old.safetensors").symlink_to("nowhere")  # nobody reads it
    assert look_at(tmp_path / "doodle").problem is None
    vae = next((tmp_path / "doodle/vae").glob("*.safetensors"))
    tensors = load_file(vae)
    del tensors["quant_conv.bias"]
    save_file(tensors, vae)
    found = look_at(tmp_path / "doodle")
    assert "missing: quant_conv.bias" in (found.problem or "")
    assert found.size_bytes > folder.size_bytes // 2
    (tmp_path / "doodle/unet/config.json").unlink()
    assert "unet/config.json is missing" in (look_at(tmp_path / "doodle").problem or "")


def test_parts_of_the_doodle_are_told(tmp_path: Path) -> None:
    parts: dict[Kind, tuple[Weights, ...]] = {
        Kind.UNET: (unet_of(DOODLE), read(DOODLE, "unet")),
        Kind.VAE: (vae_of(DOODLE), read(DOODLE, "vae")),
        Kind.TEXT_ENCODER: (read(DOODLE, "text_encoder"), read(DOODLE, "text_encoder_2")),
    }
    for kind, forms in parts.items():
        for weights in forms:
            save_file(weights, tmp_path / "part.safetensors")
            assert look_at(tmp_path / "part.safetensors").kind is kind


def test_what_does_not_go_with_sdxl_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "any.safetensors"
    for shapes, problem in (
        ({"lora_unet_a_attn2_to_k.lora_down.weight": (4, 2048)}, None),
        ({"lora_unet_a_attn2_to_k.lora_down.weight": (4, 768)}, "is a LoRA of Stable Diffusion 1"),
        ({"lora_unet_double_blocks_0.lora_down.weight": (4, 64)}, "is a LoRA of FLUX"),
        ({"decoder.conv_in.weight": (8, 16, 3, 3)}, "a VAE of 16 channels"),
        ({"emb_params": (2, 768)}, "an embedding for another model than SDXL"),
        ({"text_encoders_0": (2, 768), "text_encoders_1": (2, 1280)}, None),
    ):
        save_file({key: np.zeros(shape, np.float16) for key, shape in shapes.items()}, path)
        found = look_at(path).problem
        assert (problem is None) == (found is None)
        assert (problem or "") in (found or "")
