"""The names of the original code (A1111, ComfyUI, model sites), and today's for each.

One file holds all parts there, each under a prefix. The UNet's blocks are counted through, the
VAE's on the way up are counted backwards, and the second text encoder is OpenCLIP's own.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sdxl_engine.checkpoint.names import rename
from sdxl_engine.checkpoint.safetensors_file import StoredTensor

Tensors = Mapping[str, StoredTensor]
Pairs = Iterator[tuple[str, StoredTensor]]

# Where a file holds a part: first the original's place, then what files of a part alone have.
PREFIXES: Final = {
    "unet": ("model.diffusion_model.", "diffusion_model.", "unet."),
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("conditioner.embedders.0.transformer.",),
    "text_encoder_2": ("conditioner.embedders.1.model.",),
}
# Modules of the UNet outside its blocks, and those within a resnet.
UNET_TOP: Final = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "time_embed.cond_proj": "time_embedding.cond_proj",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
RESNET: Final = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_UNET_BLOCK: Final = re.compile(r"(input|middle|output)_blocks?\.(?:(\d+)\.)?(\d+)\.(.+)")
_DOWNSAMPLER: Final = re.compile(r"input_blocks\.(\d+)\.0\.op\.weight")
_UPSAMPLER: Final = re.compile(r"output_blocks\.(\d+)\.[12]\.conv\.weight")
_VAE: Final = (
    (r"^(en|de)coder\.mid\.attn_1\.norm\.", r"\1coder.mid_block.attentions.0.group_norm."),
    (r"^(en|de)coder\.mid\.attn_1\.([qkv])\.", r"\1coder.mid_block.attentions.0.to_\2."),
    (r"^(en|de)coder\.mid\.attn_1\.proj_out\.", r"\1coder.mid_block.attentions.0.to_out.0."),
    (r"^(en|de)coder\.mid\.block_1\.", r"\1coder.mid_block.resnets.0."),
    (r"^(en|de)coder\.mid\.block_2\.", r"\1coder.mid_block.resnets.1."),
    (r"^encoder\.down\.(\d+)\.block\.", r"encoder.down_blocks.\1.resnets."),
    (r"^encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0."),
    (r"^decoder\.up\.(\d+)\.block\.", r"decoder.up_blocks.\1.resnets."),
    (r"^decoder\.up\.(\d+)\.upsample\.", r"decoder.up_blocks.\1.upsamplers.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"^(en|de)coder\.norm_out\.", r"\1coder.conv_norm_out."),
)
_VAE_UP: Final = re.compile(r"^decoder\.up\.(\d+)\.")
_ATTENTION: Final = re.compile(r"\.mid_block\.attentions\.0\.(to_|query|key|value|proj_attn)")
_OPEN_CLIP: Final = (
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"^transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"(?<=\d)\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"(?<=\d)\.ln_([12])\.", r".layer_norm\1."),
    (r"(?<=\d)\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"(?<=\d)\.mlp\.c_proj\.", ".mlp.fc2."),
)
_IN_PROJ: Final = re.compile(r"(transformer\.resblocks\.\d+)\.attn\.in_proj_(weight|bias)")
# What lies with an encoder and is no weight of it, or of another use: it moves no picture.
_SPARE: Final = re.compile(r"(^|\.)(position_ids|logit_scale|attn_mask)$")
_OF_TRAINING: Final = ("loss.", "model_ema.")


def place_of(part: str, names: Iterable[str]) -> str:
    """The prefix under which these names hold the part; "" where none of those is there."""
    names = list(names)
    return next((p for p in PREFIXES[part] if any(name.startswith(p) for name in names)), "")


def of_part(part: str, tensors: Tensors) -> Pairs:
    """The tensors of one part under today's names.

    A part that has these already comes back as it is, but for what is spare. Where two come to have
    one name both are given: whoever collects them says so.
    """
    place = place_of(part, tensors)
    kept = {
        name.removeprefix(place): tensor
        for name, tensor in tensors.items()
        if name.startswith(place) and not _SPARE.search(name)
    }
    if part == "unet":
        return _unet(kept)
    if part == "vae":
        return _vae(kept)
    return _open_clip(kept) if part == "text_encoder_2" else _clip(kept)


def _unet(tensors: Tensors) -> Pairs:
    downs, ups = (
        sorted(int(found[1]) for found in map(pattern.fullmatch, tensors) if found)
        for pattern in (_DOWNSAMPLER, _UPSAMPLER)
    )
    resnets = {name.removesuffix(".in_layers.0.weight") for name in tensors}
    for name, tensor in tensors.items():
        body, _, kind = name.rpartition(".")
        if body in UNET_TOP:
            yield f"{UNET_TOP[body]}.{kind}", tensor
            continue
        if not (found := _UNET_BLOCK.fullmatch(name)):
            yield name, tensor
            continue
        side, number, place, rest = found[1], int(found[2] or 0), int(found[3]), found[4]
        if side == "middle":
            before = [f"middle_block.{each}" in resnets for each in range(place + 1)]
            layer = sum(before[:-1]) if before[-1] else place - sum(before)
            yield f"mid_block.{_inner(rest, layer, resnet=before[-1])}", tensor
            continue
        # A block ends with what halves, or doubles, the picture's sides.
        ends, first = (downs, 1) if side == "input" else (ups, 0)
        block = sum(end < number for end in ends)
        layer = number - (ends[block - 1] + 1 if block else first)
        where = f"{'down' if side == 'input' else 'up'}_blocks.{block}"
        if rest.startswith("op."):
            yield f"{where}.downsamplers.0.conv.{rest.removeprefix('op.')}", tensor
        elif rest.startswith("conv."):
            yield f"{where}.upsamplers.0.{rest}", tensor
        else:
            yield f"{where}.{_inner(rest, layer, resnet=place == 0)}", tensor


def _inner(rest: str, layer: int, *, resnet: bool) -> str:
    if not resnet:
        return f"attentions.{layer}.{rest}"  # what is in it has the same names
    body, _, kind = rest.rpartition(".")
    return f"resnets.{layer}.{RESNET.get(body, body)}.{kind}"


def _vae(tensors: Tensors) -> Pairs:
    ups = [int(found[1]) for found in map(_VAE_UP.match, tensors) if found]
    for name, tensor in tensors.items():
        if name.startswith(_OF_TRAINING):
            continue
        # In the order of the way up: the original counts from the picture's side.
        ordered = _VAE_UP.sub(lambda found: f"decoder.up.{max(ups) - int(found[1])}.", name)
        today = rename(ordered, _VAE)
        yield today, tensor.matrix if _ATTENTION.search(today) else tensor


def _clip(tensors: Tensors) -> Pairs:
    # A projection may lie there; only that of the second encoder is of use.
    for name, tensor in tensors.items():
        if name != "text_projection.weight":
            yield name, tensor


def _open_clip(tensors: Tensors) -> Pairs:
    for name, tensor in tensors.items():
        if name == "text_projection":
            yield "text_projection.weight", tensor.turned
        elif name == "text_projection.weight" and "text_projection" in tensors:
            continue  # the same again, as some mergers leave it: PyTorch reads the other
        elif name == "positional_embedding":
            yield "text_model.embeddings.position_embedding.weight", tensor
        elif found := _IN_PROJ.fullmatch(name):
            layer = rename(f"{found[1]}.", _OPEN_CLIP)
            for letter, piece in zip("qkv", tensor.split(3), strict=True):
                yield f"{layer}self_attn.{letter}_proj.{found[2]}", piece
        else:
            yield rename(name, _OPEN_CLIP), tensor
