"""What the files of LoRAs call the modules of a model.

A table of every spelling, made of the model's own names. Trainers write "a.b_c.d" as "a_b_c_d",
which nobody can take apart again; so no name is parsed, but looked up.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sdxl_engine.checkpoint.load import ExpectedParameter
from sdxl_engine.checkpoint.original import RESNET, UNET_TOP

# The parts that a LoRA may change.
PARTS: Final = ("text_encoder", "text_encoder_2", "unet")
Expected = Mapping[str, list[ExpectedParameter]]

# The original code's names (sgm), by diffusers'.
_TOP: Final = {current: original for original, current in UNET_TOP.items()}
_RESNET: Final = {current: original for original, current in RESNET.items()}
_BLOCK: Final = re.compile(
    r"(?:(?P<side>down|up)_blocks\.(?P<block>\d+)|mid_block)"
    r"\.(?P<what>resnets|attentions|downsamplers|upsamplers)\.(?P<layer>\d+)\.(?P<rest>.+)"
)


@dataclass(frozen=True, slots=True)
class Module:
    """What a LoRA changes at once.

    part    one of PARTS
    name    as diffusers has it
    weight  shape of its weight in PyTorch's layout
    bias    shape of its bias, None if it has none
    """

    part: str
    name: str
    weight: tuple[int, ...]
    bias: tuple[int, ...] | None

    def tensors(self, roles: Collection[str]) -> list[str]:
        """The model's tensors that a file with these roles for it changes."""
        kinds = {"bias": "diff_b" in roles, "weight": bool(set(roles) - {"diff_b", "alpha"})}
        return [f"{self.name}.{kind}" for kind, changed in kinds.items() if changed]

    def __str__(self) -> str:
        return f"{self.part}.{self.name}"


def spellings(expected: Expected) -> dict[str, Module]:
    """Every module of a model, under each name that a file may give it."""
    table: dict[str, Module] = {}
    for part in PARTS:
        modules = list(_modules(part, expected[part]))
        originals = original_names([module.name for module in modules]) if part == "unet" else {}
        for module in modules:
            for spelling in _spellings(module, originals):
                table[spelling] = module
    return table


def _modules(part: str, parameters: Iterable[ExpectedParameter]) -> Iterator[Module]:
    shapes = {tensor.name: tensor.shape for parameter in parameters for tensor in parameter}
    for name, shape in shapes.items():
        if name.endswith(".weight"):
            module = name.removesuffix(".weight")
            yield Module(part, module, shape, shapes.get(f"{module}.bias"))


def _spellings(module: Module, originals: Mapping[str, str]) -> Iterator[str]:
    name = module.name
    if module.part == "unet":
        for one in dict.fromkeys((name, originals.get(name, name))):
            # kohya and all who follow; then ComfyUI.
            yield f"lora_unet_{one.replace('.', '_')}"
            yield f"diffusion_model.{one}"
            yield f"model.diffusion_model.{one}"
        yield f"lycoris_{name.replace('.', '_')}"
        yield from (f"{prefix}{name}" for prefix in ("unet.", "base_model.model.", ""))
        # diffusers before PEFT kept those of attention in its processor.
        yield re.sub(r"\.(to_[qkv]|to_out)(\.0)?$", r".processor.\1_lora", f"unet.{name}")
    else:
        tag = "te2" if module.part.endswith("_2") else "te1"
        comfy = "clip_g" if module.part.endswith("_2") else "clip_l"
        yield f"lora_{tag}_{name.replace('.', '_')}"
        yield f"text_encoders.{comfy}.transformer.{name}"
        # transformers 5 calls them without the wrapper's name.
        for one in dict.fromkeys((name, name.removeprefix("text_model."))):
            yield f"{module.part}.{one}"


def original_names(modules: Collection[str]) -> dict[str, str]:
    """From diffusers' names of a UNet's modules to the original code's, which counts its blocks."""
    parsed = {name: found for name in modules if (found := _BLOCK.fullmatch(name))}
    layers: Counter[tuple[str, int]] = Counter()  # of each block
    attends = set()
    for found in parsed.values():
        if found["side"]:
            block = found["side"], int(found["block"])
            layers[block] = max(layers[block], int(found["layer"]) + 1)
            if found["what"] == "attentions":
                attends.add(block)
    names = {name: original for name, original in _TOP.items() if name in modules}
    for name, found in parsed.items():
        what, layer, rest = found["what"], int(found["layer"]), found["rest"]
        if what == "resnets":
            rest = _RESNET[rest]
        if not found["side"]:
            names[name] = f"middle_block.{2 * layer if what == 'resnets' else 1}.{rest}"
            continue
        side, number = found["side"], int(found["block"])
        before = sum(layers[side, earlier] for earlier in range(number))
        if side == "down":
            place = 1 + before + number  # behind conv_in, and each block's downsampler
            if what == "downsamplers":
                names[name] = f"input_blocks.{place + layers[side, number]}.0.op"
            else:
                names[name] = f"input_blocks.{place + layer}.{int(what == 'attentions')}.{rest}"
        elif what == "upsamplers":
            last, within = before + layers[side, number] - 1, 1 + ((side, number) in attends)
            names[name] = f"output_blocks.{last}.{within}.{rest}"
        else:
            names[name] = f"output_blocks.{before + layer}.{int(what == 'attentions')}.{rest}"
    return names
