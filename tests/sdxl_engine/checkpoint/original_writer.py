"""The doodle, or any folder, written as one file with the original's names: formulas of our own.

The other way round than `checkpoint/original.py`, block by block from the JSON.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from sdxl_engine.checkpoint.hub import find_model

Weights = dict[str, np.ndarray]

DOODLE = find_model("doodle")
UNET, VAE, FIRST, SECOND = (
    "model.diffusion_model.",
    "first_stage_model.",
    "conditioner.embedders.0.transformer.",
    "conditioner.embedders.1.model.",
)
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def read(folder: Path, part: str) -> Weights:
    return {
        name: array
        for path in sorted((folder / part).glob("*.safetensors"))
        for name, array in load_file(path).items()
    }


def unet_name(name: str, layers: int, attention_up: list[bool]) -> str:
    """One name of the UNet, the original way."""
    body, kind = name.rsplit(".", 1)
    if body in TOP:
        return f"{TOP[body]}.{kind}"
    side, *place, rest = re.fullmatch(
        r"(down|mid|up)_blocks?(?:\.(\d))?\.(\w+)\.(\d)\.(.+)", name
    ).groups()  # type: ignore[union-attr]
    block, what, layer = int(place[0] or 0), place[1], int(place[2])
    if what == "resnets":
        rest = ".".join(RESNET.get(word, word) for word in rest.split("."))
    if side == "mid":
        return f"middle_block.{2 * layer if what == 'resnets' else 1}.{rest}"
    number = block * (layers + 1) + layer
    if side == "down":
        if what == "downsamplers":
            return f"input_blocks.{number + layers + 1}.0.{rest.replace('conv', 'op')}"
        return f"input_blocks.{number + 1}.{int(what == 'attentions')}.{rest}"
    if what == "upsamplers":
        return f"output_blocks.{number + layers}.{1 + attention_up[block]}.{rest}"
    return f"output_blocks.{number}.{int(what == 'attentions')}.{rest}"


def vae_name(name: str, levels: int) -> str:
    """One name of the VAE, the original way."""
    name = name.replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
    for today, then in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        name = name.replace(f"mid_block.attentions.0.{today}.", f"mid.attn_1.{then}.")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.", lambda m: f"up.{levels - 1 - int(m[1])}.", name)
    name = name.replace(".resnets.", ".block.").replace(".upsamplers.0.", ".upsample.")
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def unet_of(folder: Path) -> Weights:
    config = json.loads((folder / "unet/config.json").read_text())
    attention = ["CrossAttn" in kind for kind in config["up_block_types"]]
    layers = config["layers_per_block"]
    return {unet_name(n, layers, attention): array for n, array in read(folder, "unet").items()}


def vae_of(folder: Path) -> Weights:
    levels = len(json.loads((folder / "vae/config.json").read_text())["block_out_channels"])
    return {
        vae_name(name, levels): array[..., None, None]
        if ".attentions.0.to_" in name and array.ndim == 2
        else array
        for name, array in read(folder, "vae").items()
    }


def open_clip(weights: Weights) -> Weights:
    """The second text encoder's, the original way."""
    ours = {name.removeprefix("text_model."): array for name, array in weights.items()}
    theirs: Weights = {"logit_scale": np.array(4.6, np.float32)}
    theirs["text_projection"] = np.ascontiguousarray(ours.pop("text_projection.weight").T)
    theirs["positional_embedding"] = ours.pop("embeddings.position_embedding.weight")
    theirs["token_embedding.weight"] = ours.pop("embeddings.token_embedding.weight")
    for name in list(ours):
        if "q_proj" in name:
            pieces = [ours.pop(name.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
            layer, kind = name.split(".")[2], name.rsplit(".", 1)[1]
            theirs[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = np.concatenate(pieces)
    words = {
        "encoder.layers": "transformer.resblocks",
        "self_attn": "attn",
        "final_layer_norm": "ln_final",
        "layer_norm": "ln_",
        "fc1": "c_fc",
        "fc2": "c_proj",
    }
    for name, array in ours.items():
        then = name
        for today, before in words.items():
            then = then.replace(today, before)
        theirs[then] = array
    return theirs


def clip_of(folder: Path) -> Weights:
    """The first text encoder's, whose names are still the same, with the buffer of old ones."""
    weights = {
        f"text_model.{name.removeprefix('text_model.')}": array
        for name, array in read(folder, "text_encoder").items()
    }
    return {**weights, "text_model.embeddings.position_ids": np.arange(77)[None]}


def original(folder: Path = DOODLE) -> Weights:
    """All four parts under the original's names."""
    parts: Mapping[str, Weights] = {
        UNET: unet_of(folder),
        VAE: vae_of(folder),
        FIRST: clip_of(folder),
        SECOND: open_clip(read(folder, "text_encoder_2")),
    }
    return {f"{prefix}{name}": a for prefix, part in parts.items() for name, a in part.items()}
