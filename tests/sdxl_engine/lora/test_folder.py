"""Which LoRAs there are, and what is said of those that cannot be drawn with."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sdxl_engine import CheckpointError, InvalidRequestError, Lora
from sdxl_engine.lora.folder import LoraFolder
from tests.sdxl_engine.lora.conftest import MODEL, Array, Bench
from tests.sdxl_engine.lora.test_merging import assert_near, same_bytes
from tests.sdxl_engine.lora.writing import KINDS, write

Q = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_q"
K = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
F = np.float32
# How layers are kept is nothing to what a file's header says.
pytestmark = pytest.mark.parametrize("bench", ["layer by layer"], indirect=True)


def low_rank(name: str, out: int, wide: int, rank: int = 2) -> dict[str, Array]:
    return {
        f"{name}.lora_up.weight": np.ones((out, rank), F),
        f"{name}.lora_down.weight": np.ones((rank, wide), F),
    }


def refusal(bench: Bench, name: str) -> str:
    """What is said to whoever asks for it; and the operator reads the same of it."""
    with pytest.raises(InvalidRequestError) as caught:
        bench.folder.find(name)
    sentence = str(caught.value)
    assert name in sentence
    assert str(bench.shelf) not in sentence
    assert sentence.endswith(".")
    problem = bench.folder.facts()[name].problem
    assert problem is not None
    assert problem.replace(f"{bench.shelf}/", "") in sentence
    return sentence


def test_what_is_known_of_each(bench: Bench) -> None:
    for kind in ("lora", "loha", "dora", "lokr_whole"):
        write(
            bench.shelf / f"known_{kind}.safetensors",
            MODEL,
            KINDS[kind],
            metadata={
                "ss_base_model_version": "sdxl_base_v1-0",
                "modelspec.trigger_phrase": "ink, paper",
            },
        )
    card = bench.shelf / "known_loha.toml"
    card.write_text('trigger_words = ["old film"]')
    # Of another tool's: nothing to us.
    (bench.shelf / "known_dora.toml").write_text('pretrained_model_name_or_path = "a"')
    facts = bench.folder.facts()
    told = {name[6:]: (each.kind, each.rank) for name, each in facts.items() if "known" in name}
    assert told == {
        "lora": ("LoRA", 2),
        "loha": ("LoHa", 2),
        "dora": ("LoRA with DoRA", 2),
        "lokr_whole": ("LoKr", None),
    }
    one = facts["known_lora"]
    assert (one.base, one.problem) == ("sdxl_base_v1-0", None)
    assert (one.words, facts["known_loha"].words) == (("ink", "paper"), ("old film",))
    assert (facts["known_dora"].words, facts["known_dora"].problem) == (("ink", "paper"), None)
    assert one.path == bench.shelf / "known_lora.safetensors"


def test_a_folder_that_is_none(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no folder"):
        LoraFolder(tmp_path / "nowhere", bench.expected)


def test_an_unknown_name_gets_the_near_ones(bench: Bench) -> None:
    write(bench.shelf / "watercolour.safetensors", MODEL, KINDS["lora"])
    with pytest.raises(InvalidRequestError, match=r"Did you mean watercolour\?"):
        bench.folder.find("watercolor")
    with pytest.raises(InvalidRequestError, match=r"There is no LoRA 'q+' here. There are: "):
        bench.folder.find("q" * 30)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (low_rank("lora_unet_mid_block_attentions_7_proj_in", 24, 24), "attentions_7_proj_in"),
        (low_rank(f"lora_unet_{Q}", 16, 17), "attn2.to_q (lora_down [2, 17]"),
        (low_rank(f"lora_unet_{Q}", 15, 16), "for a weight of [16, 16]"),
        ({f"lora_unet_{Q}.lora_up.weight": np.ones((16, 2), F)}, "lora_down is missing"),
        ({f"lora_unet_{Q}.alpha": np.ones((), F)}, "no change of a weight"),
        ({f"lora_unet_{Q}.diff_b": np.ones(16, F)}, "for a bias of []"),
        ({f"lora_unet_{Q}.diff": np.ones((16, 15), F)}, "diff [16, 15]"),
        ({f"lora_unet_{Q}.hada_w1_a": np.ones((16, 1), F)}, "hada_w1_b is missing"),
        ({f"lora_unet_{Q}.lokr_w1": np.ones((2, 2), F)}, "lokr_w2_a is missing"),
        (
            {f"lora_unet_{Q}.lora_{end}.weight": np.ones((), F) for end in ("up", "down")},
            "lora_down []",
        ),
        (
            {**low_rank(f"lora_unet_{Q}", 16, 16), f"lora_unet_{Q}.dora_scale": np.ones((3, 1), F)},
            "magnitudes [3, 1]",
        ),
        (
            {**low_rank(f"lora_unet_{Q}", 16, 16), f"lora_unet_{Q}.alpha": np.ones(2, F)},
            "alpha [2] instead of one number",
        ),
        (
            {**low_rank(f"lora_unet_{Q}", 16, 16), f"lora_unet_{Q}.diff": np.ones((16, 16), F)},
            "no change of a weight",
        ),
        (
            {
                **low_rank(f"lora_unet_{Q}", 16, 16),
                **low_rank(
                    "lora_unet_" + Q.replace("down_blocks_1_attentions_0", "input_blocks_4_1"),
                    16,
                    16,
                ),
            },
            "there twice, under two names",
        ),
        ({f"lora_unet_{Q}.oft_blocks": np.ones((2, 2), F)}, "is no LoRA"),
        (
            {"clip_l": np.ones((1, 4), F), "clip_g": np.ones((1, 4), F)},
            "but of the kind 'embedding'",
        ),
        ({"conv.weight": np.ones((2, 2), F)}, "none of its 1 tensors has the name of one's"),
        ({}, "it is empty"),
        (low_rank(K, 16, 768), "is a LoRA of Stable Diffusion 1,"),
        (low_rank(K, 16, 1024), "is a LoRA of Stable Diffusion 2,"),
        (low_rank("lora_te_text_model_encoder_layers_0_mlp_fc1", 8, 8), "Stable Diffusion 1 or 2"),
        (low_rank("lora_unet_double_blocks_0_img_attn_qkv", 8, 8), "FLUX"),
        (low_rank("transformer.single_transformer_blocks.0.attn.to_q", 8, 8), "FLUX"),
        (low_rank("diffusion_model.joint_blocks.0.x_block.attn.qkv", 8, 8), "Stable Diffusion 3"),
    ],
)
def test_what_does_not_fit_is_named(bench: Bench, tensors: dict[str, Array], said: str) -> None:
    save_file(tensors, bench.shelf / "odd.safetensors")
    assert said in refusal(bench, "odd")


def test_a_part_that_fits_nothing_is_not_dropped(bench: Bench) -> None:
    path = bench.shelf / "partly.safetensors"
    write(path, MODEL, KINDS["lora"])
    strange = [f"lora_unet_up_blocks_9_resnets_{place}_conv1" for place in range(12)]
    save_file(
        {**load_file(path), **{k: v for s in strange for k, v in low_rank(s, 8, 8).items()}}, path
    )
    sentence = refusal(bench, "partly")
    assert "24 of no module of this model: lora_unet_up_blocks_9_resnets_0_conv1" in sentence
    assert "and 16 more" in sentence


def test_types_that_are_not_read(bench: Bench) -> None:
    tensors = low_rank(f"lora_unet_{Q}", 16, 16)
    whole = {name: tensor.astype(np.int8) for name, tensor in tensors.items()}
    save_file(whole, bench.shelf / "whole.safetensors")
    assert "of type I8 instead of F32" in refusal(bench, "whole")


def test_damaged_files(bench: Bench) -> None:
    write(bench.shelf / "cut.safetensors", MODEL, KINDS["lora"])
    os.truncate(bench.shelf / "cut.safetensors", 5000)
    assert "truncated" in refusal(bench, "cut")
    (bench.shelf / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    assert "is a pointer of Git LFS" in refusal(bench, "pointer")
    os.mkfifo(bench.shelf / "pipe.safetensors")
    assert "it is a pipe, not a file" in refusal(bench, "pipe")
    (bench.shelf / "away.safetensors").symlink_to("/etc/hostname")
    assert "a link to" in refusal(bench, "away")
    (bench.shelf / "gone.safetensors").symlink_to(bench.shelf / "nothing")
    assert "cannot be read" in refusal(bench, "gone")
    (bench.shelf / "old.pt").write_bytes(b"\x80\x04")
    assert "is pickled" in refusal(bench, "old")


def test_a_name_that_nobody_can_ask_for(bench: Bench) -> None:
    save_file(low_rank(f"lora_unet_{Q}", 16, 16), bench.shelf / ("x" * 120 + ".safetensors"))
    problem = bench.folder.facts()["x" * 120].problem
    assert problem is not None
    assert "is no name of a LoRA" in problem


def test_a_file_that_was_replaced(bench: Bench) -> None:
    path, name = bench.shelf / "new.safetensors", f"lora_unet_{Q}"
    save_file(low_rank(name, 16, 16), path)
    seen = bench.folder.find("new")
    assert bench.folder.find("new") is seen  # looked at once
    bench.switch(Lora("new"))
    first = bench.arrays()
    save_file(low_rank(name, 16, 16, rank=3), path)
    bench.switch(Lora("new"))
    assert not same_bytes(bench.arrays(), first)
    save_file({"a": np.ones(3, F)}, path)
    assert "is no LoRA" in refusal(bench, "new")
    path.unlink()
    with pytest.raises(InvalidRequestError, match="There is no LoRA 'new'"):
        bench.folder.find("new")


def test_a_file_that_is_replaced_between_looking_and_reading(bench: Bench) -> None:
    path, name = bench.shelf / "quick.safetensors", f"lora_unet_{Q}"
    save_file(low_rank(name, 16, 16), path)
    seen = bench.folder.find("quick")
    shutil.copy(path, bench.shelf / "other.safetensors")
    (bench.shelf / "other.safetensors").replace(path)
    with pytest.raises(CheckpointError, match="was replaced while it was read"):
        seen.read()
    path.write_bytes(b"nothing of it")
    with pytest.raises(CheckpointError, match="was replaced while it was read"):
        seen.read()
    path.unlink()
    with pytest.raises(CheckpointError, match="was replaced while it was read"):
        seen.read()


@pytest.mark.parametrize(
    ("settings", "factor"),
    [
        ({"unet.lora_alpha": 6, "unet.r": 2}, 3),
        ({"unet.lora_alpha": 6, "unet.use_rslora": True}, 6 / 2**0.5),
        ({"unet.lora_alpha": 6, "unet.alpha_pattern": {"attn2.to_q": 8}}, 4),
        ({"text_encoder.lora_alpha": 6}, 1),
    ],
)
def test_peft_settings_in_the_header(
    bench: Bench, settings: dict[str, object], factor: float
) -> None:
    """diffusers goes by them; without, PEFT's files have no alpha at all."""
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_q"
    tensors = {
        f"unet.{name}.lora_B.weight": np.full((16, 2), 0.5, F),
        f"unet.{name}.lora_A.weight": np.full((2, 16), 0.5, F),
    }
    path = bench.shelf / "settings.safetensors"
    save_file(tensors, path, {"lora_adapter_metadata": json.dumps(settings)})
    bench.switch()
    before = bench.arrays()
    bench.switch(Lora("settings"))
    moved = {
        key: array - before[key]
        for key, array in bench.arrays().items()
        if array.tobytes() != before[key].tobytes()
    }
    ((_, change),) = moved.items()
    change = change[0] if change.ndim > 2 else change
    assert_near({("q",): change}, {("q",): np.full((16, 16), 0.5 * factor)}, 1e-5)


@pytest.mark.parametrize("settings", ["{", "[]", '{"unet.lora_alpha": "many"}'])
def test_peft_settings_of_no_sense(bench: Bench, settings: str) -> None:
    path = bench.shelf / "senseless.safetensors"
    save_file(low_rank(f"lora_unet_{Q}", 16, 16), path, {"lora_adapter_metadata": settings})
    assert "lora_adapter_metadata" in refusal(bench, "senseless")


def test_a_file_of_any_length_costs_nothing(bench: Bench) -> None:
    """A sparse file: its header promises a rank of a billion."""
    name, rank = f"lora_unet_{Q}", 10**9
    header, offset = {}, 0
    for end, shape in (("lora_up.weight", [16, rank]), ("lora_down.weight", [rank, 16])):
        size = 4 * 16 * rank
        header[f"{name}.{end}"] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header).encode()
    path = bench.shelf / "endless.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + offset)
    assert "holds 32,000,000,000 numbers" in refusal(bench, "endless")
    path.unlink()


def test_alpha_may_be_a_whole_number(bench: Bench) -> None:
    name = f"lora_unet_{Q}"
    for dtype in (np.float32, np.float64, np.int64):
        tensors = {**low_rank(name, 16, 16), f"{name}.alpha": np.array(4, dtype)}
        save_file(tensors, bench.shelf / f"{dtype.__name__}.safetensors")
    bench.switch(Lora("float32"))
    wanted = bench.arrays()
    for other in ("float64", "int64"):
        bench.switch(Lora(other))
        assert same_bytes(bench.arrays(), wanted)


def test_the_folder_is_taken_away(bench: Bench, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    folder = LoraFolder(shelf, bench.expected)
    shelf.rmdir()
    assert folder.facts() == {}
    with pytest.raises(InvalidRequestError, match="There are: none"):
        folder.find("any")
