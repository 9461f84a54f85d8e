"""What the shapes of a model's tensors say about its networks, in the words of diffusers' JSON.

A file of weights has no JSON. That of SDXL is taken, and what the tensors say otherwise is changed
in it; what no shape tells (how many heads share a width, how many groups a norm has) stays SDXL's,
and where that cannot be the model's is asked for its own JSON.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sdxl_engine.checkpoint.json_reader import Json
from sdxl_engine.errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]

_WIDTHS: Final = frozenset({"block_out_channels", "hidden_size"})
_HEAD_WIDTH: Final = 64  # of every attention of SDXL
_UNTOLD: Final = 1  # how many transformers a level without attention would have


def described(part: str, base: Json, shapes: Shapes) -> dict[str, Any]:
    """The JSON of a part, made of that of a model like it and what its tensors say otherwise.

    part    "unet", "vae", "text_encoder" or "text_encoder_2"
    base    its JSON in a model like it
    shapes  of its tensors, under today's names

    Raises CheckpointError for shapes that are no such network's.
    """
    told = _told(part, base, shapes)
    if _WIDTHS.intersection(told):
        told |= _heads(part, {**base, **told})
    return {**base, **told}


def fits(part: str, base: Json, shapes: Shapes) -> bool:
    """Whether the tensors say nothing but what the JSON says."""
    try:
        return not _told(part, base, shapes)
    except CheckpointError:
        return False


def _told(part: str, base: Json, shapes: Shapes) -> dict[str, Any]:
    """What the tensors say otherwise; raises CheckpointError."""
    try:
        if part == "unet":
            told = _unet(shapes, base)
        else:
            told = _vae(shapes) if part == "vae" else _text_encoder(shapes)
    except (KeyError, IndexError, ValueError) as error:  # what is missing, or has other axes
        raise CheckpointError(f"its {part} has not what every {part} has ({error})") from error
    if not told.get("block_out_channels", True):
        raise CheckpointError(f"its {part} has no blocks of SDXL's")
    return {key: value for key, value in told.items() if base.get(key) != value}


def _heads(part: str, data: Json) -> dict[str, Any]:
    """How many heads attend, in a network of other widths: they are as wide as SDXL's."""
    if part == "vae":
        return {}
    key = "attention_head_dim" if part == "unet" else "num_attention_heads"
    widths = data["block_out_channels"] if part == "unet" else [data["hidden_size"]]
    if any(width % _HEAD_WIDTH for width in widths):
        raise CheckpointError(
            f"its {part} is {' and '.join(map(str, widths))} wide, which is no multiple of "
            f"{_HEAD_WIDTH}, so nothing tells how many heads attend"
        )
    heads = [width // _HEAD_WIDTH for width in widths]
    return {key: heads if part == "unet" else heads[0]}


def _unet(shapes: Shapes, base: Json) -> dict[str, Any]:
    blocks = range(_count(shapes, r"down_blocks\.(\d+)\.resnets\.0\.conv1\.weight"))
    layers = _count(shapes, r"down_blocks\.0\.resnets\.(\d+)\.conv1\.weight")
    down = [_transformers(shapes, f"down_blocks.{block}", layers) for block in blocks]
    up = [_transformers(shapes, f"up_blocks.{block}", layers + 1) for block in blocks]
    middle = _count(shapes, r"mid_block\.resnets\.(\d+)\.conv1\.weight")
    (within,) = _transformers(shapes, "mid_block", 1)
    told: dict[str, Any] = {
        "in_channels": shapes["conv_in.weight"][1],
        "out_channels": shapes["conv_out.weight"][0],
        "block_out_channels": [
            shapes[f"down_blocks.{block}.resnets.0.conv1.weight"][0] for block in blocks
        ],
        "layers_per_block": layers,
        "down_block_types": [f"{'CrossAttn' * any(each)}DownBlock2D" for each in down],
        "up_block_types": [f"{'CrossAttn' * any(each)}UpBlock2D" for each in up],
        "projection_class_embeddings_input_dim": shapes["add_embedding.linear_1.weight"][1],
        **_depths(base, down, up, within),
    }
    if not within:
        told["mid_block_type"] = "UNetMidBlock2D" if middle else None
    texts = {shape[1] for name, shape in shapes.items() if name.endswith(".attn2.to_k.weight")}
    if len(texts) == 1:
        told["cross_attention_dim"] = texts.pop()
    if (guidance := shapes.get("time_embedding.cond_proj.weight")) is not None:
        told["time_cond_proj_dim"] = guidance[1]
    return told


def _depths(base: Json, down: list[list[int]], up: list[list[int]], within: int) -> dict[str, Any]:
    """How many transformers an attention has: a number a level where that says all."""
    told = base.get("transformer_layers_per_block", _UNTOLD)
    before = list(told) if isinstance(told, list) else [told] * len(down)
    levels = []
    for level, attentions in enumerate(down):
        counts = {*attentions, *up[-1 - level], *([within] if level == len(down) - 1 else [])} - {0}
        if len(counts) > 1:
            break
        kept = before[level] if level < len(before) else _UNTOLD
        levels.append(counts.pop() if counts else kept)
    else:
        return {"transformer_layers_per_block": levels}
    return {
        "transformer_layers_per_block": [_short(attentions) for attentions in down],
        "reverse_transformer_layers_per_block": [_short(attentions) for attentions in up],
    }


def _short(counts: list[int]) -> int | list[int]:
    if not any(counts):
        return _UNTOLD
    return counts[0] if len(set(counts)) == 1 else counts


def _transformers(shapes: Shapes, block: str, attentions: int) -> list[int]:
    """The transformers in each attention of a block, 0 where there is none."""
    return [
        _count(shapes, rf"{block}\.attentions\.{number}\.transformer_blocks\.(\d+)\.norm1\.weight")
        for number in range(attentions)
    ]


def _vae(shapes: Shapes) -> dict[str, Any]:
    blocks = range(_count(shapes, r"encoder\.down_blocks\.(\d+)\.resnets\.0\.conv1\.weight"))
    return {
        "block_out_channels": [
            shapes[f"encoder.down_blocks.{block}.resnets.0.conv1.weight"][0] for block in blocks
        ],
        "layers_per_block": _count(
            shapes, r"encoder\.down_blocks\.0\.resnets\.(\d+)\.conv1\.weight"
        ),
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "down_block_types": ["DownEncoderBlock2D"] * len(blocks),
        "up_block_types": ["UpDecoderBlock2D"] * len(blocks),
    }


def _text_encoder(shapes: Shapes) -> dict[str, Any]:
    words, width = shapes["text_model.embeddings.token_embedding.weight"]
    told = {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": shapes["text_model.encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": _count(
            shapes, r"text_model\.encoder\.layers\.(\d+)\.mlp\.fc1\.weight"
        ),
        "max_position_embeddings": shapes["text_model.embeddings.position_embedding.weight"][0],
    }
    if (projection := shapes.get("text_projection.weight")) is not None:
        told["projection_dim"] = projection[0]
    return told


def _count(shapes: Iterable[str], pattern: str) -> int:
    """How many numbers stand where the pattern has its group."""
    return len({match[1] for match in map(re.compile(pattern).fullmatch, shapes) if match})
