"""Every spelling of a module leads to it, and to nothing else."""

from collections.abc import Callable

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sdxl_engine import Lora
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.hub import sdxl_base
from sdxl_engine.checkpoint.load import expected_parameters
from sdxl_engine.lora.names import PARTS, original_names, spellings
from sdxl_engine.models.layers import Target
from sdxl_engine.programs.compiler import Networks
from tests.sdxl_engine.lora.conftest import MODEL, Bench
from tests.sdxl_engine.lora.test_merging import same_bytes
from tests.sdxl_engine.lora.writing import changed, flat, lora, write

# Of SDXL, as Stability AI's own file has them.
ORIGINALS = {
    "conv_in": "input_blocks.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "down_blocks.0.resnets.1.conv2": "input_blocks.2.0.out_layers.3",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.3.0.op",
    "down_blocks.1.resnets.0.conv_shortcut": "input_blocks.4.0.skip_connection",
    "down_blocks.1.attentions.0.proj_in": "input_blocks.4.1.proj_in",
    "down_blocks.1.attentions.1.transformer_blocks.1.attn2.to_out.0": (
        "input_blocks.5.1.transformer_blocks.1.attn2.to_out.0"
    ),
    "down_blocks.2.attentions.1.transformer_blocks.9.ff.net.0.proj": (
        "input_blocks.8.1.transformer_blocks.9.ff.net.0.proj"
    ),
    "mid_block.resnets.0.time_emb_proj": "middle_block.0.emb_layers.1",
    "mid_block.attentions.0.proj_out": "middle_block.1.proj_out",
    "mid_block.resnets.1.norm1": "middle_block.2.in_layers.0",
    "up_blocks.0.attentions.2.proj_in": "output_blocks.2.1.proj_in",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.2.2.conv",
    "up_blocks.1.attentions.0.norm": "output_blocks.3.1.norm",
    "up_blocks.1.upsamplers.0.conv": "output_blocks.5.2.conv",
    "up_blocks.2.resnets.2.conv_shortcut": "output_blocks.8.0.skip_connection",
    "conv_out": "out.2",
}


def full_size() -> dict[str, str]:
    """Every spelling of SDXL's own, and what it means."""
    networks = Networks.build(SdxlConfig.load(sdxl_base()), Target())
    expected = {part: expected_parameters(part, getattr(networks, part)) for part in PARTS}
    return {spelling: str(module) for spelling, module in spellings(expected).items()}


def test_the_names_of_sdxl() -> None:
    table = full_size()
    for name, original in ORIGINALS.items():
        for spelling in (
            f"lora_unet_{name.replace('.', '_')}",
            f"lora_unet_{original.replace('.', '_')}",
            f"unet.{name}",
            f"diffusion_model.{original}",
            f"base_model.model.{name}",
        ):
            assert table[spelling] == f"unet.{name}"
    layer = "text_model.encoder.layers.31.self_attn.q_proj"
    assert table[f"lora_te2_{layer.replace('.', '_')}"] == f"text_encoder_2.{layer}"
    assert f"lora_te1_{layer.replace('.', '_')}" not in table  # it has twelve
    assert table["lora_te2_text_projection"] == "text_encoder_2.text_projection"


def test_each_module_has_an_original_name_of_its_own() -> None:
    modules = [name.removeprefix("unet.") for name in full_size().values() if name[:5] == "unet."]
    names = original_names(list(dict.fromkeys(modules)))
    assert names.keys() == set(modules)
    assert len(set(names.values())) == len(names)
    # Written with "_" for ".", they are still different.
    flattened = {name.replace(".", "_") for pair in names.items() for name in pair}
    assert len(flattened) == len({name for pair in names.items() for name in pair})


IN_TINY = original_names([name for own, name in changed(MODEL) if own == "unet"])


def _original(part: str, module: str) -> str:
    return flat(part, IN_TINY[module] if part == "unet" else module)


def _half_and_half(part: str, module: str) -> str:
    return (_original if "up_blocks" in module else flat)(part, module)


def _dotted(part: str, module: str) -> str:
    return f"{part}.{module}"


def _short(part: str, module: str) -> str:
    return f"{part}.{module.removeprefix('text_model.')}"


PEFT = {"lora_up.weight": "lora_B.weight", "lora_down.weight": "lora_A.weight"}
NAMED_ADAPTER = {
    "lora_up.weight": "lora_B.default.weight",
    "lora_down.weight": "lora_A.default.weight",
}
OLD = {"lora_up.weight": "lora.up.weight", "lora_down.weight": "lora.down.weight"}
OLDER = {
    "lora_up.weight": "lora_linear_layer.up.weight",
    "lora_down.weight": "lora_linear_layer.down.weight",
}


@pytest.mark.parametrize("bench", ["layer by layer"], indirect=True)
@pytest.mark.parametrize(
    ("names", "ends"),
    [
        (_original, {}),
        (_half_and_half, {}),
        (_dotted, PEFT),
        (_dotted, NAMED_ADAPTER),
        (_dotted, OLD),
        (_short, OLDER),
    ],
)
def test_every_spelling_comes_to_the_same(
    bench: Bench, names: Callable[[str, str], str], ends: dict[str, str]
) -> None:
    write(bench.shelf / "kohya.safetensors", MODEL, lora)
    bench.switch(Lora("kohya"))
    wanted = bench.arrays()
    path = bench.shelf / "spelt.safetensors"
    write(path, MODEL, lora, names=names)
    tensors = load_file(path)
    for name in list(tensors):
        module, _, end = name.partition(".lora_")
        if new := ends.get(f"lora_{end}"):
            tensors[f"{module}.{new}"] = tensors.pop(name)
    save_file(tensors, path)
    bench.switch(Lora("spelt"))
    assert same_bytes(bench.arrays(), wanted)


@pytest.mark.parametrize("bench", ["layer by layer"], indirect=True)
def test_processors_of_old_diffusers(bench: Bench) -> None:
    up, down = np.ones((16, 1), np.float32), np.ones((1, 16), np.float32)
    where = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
    for name, layers in (("new", ("to_q", "to_out.0")), ("old", ("to_q_lora", "to_out_lora"))):
        processor = f"unet.{where}.processor." if name == "old" else f"unet.{where}."
        ends = ("up", "down") if name == "old" else ("lora_B", "lora_A")
        tensors = {
            f"{processor}{layer}.{end}.weight": tensor
            for layer in layers
            for end, tensor in zip(ends, (up, down), strict=True)
        }
        save_file(tensors, bench.shelf / f"{name}.safetensors")
    bench.switch()
    before = bench.arrays()
    bench.switch(Lora("new"))
    wanted = bench.arrays()
    assert not same_bytes(before, wanted)
    bench.switch(Lora("old"))
    assert same_bytes(bench.arrays(), wanted)
