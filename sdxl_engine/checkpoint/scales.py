"""Scaled float8: weights beside which the file keeps what they are to be multiplied by.

ComfyUI writes two spellings of it, `scale_weight` with a marker `scaled_fp8`, and `weight_scale`
with a note `comfy_quant`. What scales a layer's input is for arithmetic in float8, which is not
done here.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sdxl_engine.checkpoint.kinds import Kind, advice, quantised
from sdxl_engine.checkpoint.safetensors_file import FLOAT8, StoredTensor
from sdxl_engine.errors import CheckpointError

_SCALE: Final = re.compile(r"(.*)\.(?:scale_weight|weight_scale)")
_BESIDE: Final = re.compile(r"(.*\.)?(scaled_fp8|comfy_quant|scale_input|input_scale)")


def scaled(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The tensors, those with a scale carrying it.

    Raises CheckpointError for a scale that fits none, and for quantised weights of other kinds.
    """
    if quantised({name: tensor.dtype for name, tensor in tensors.items()}):
        path = next(iter(tensors.values())).path
        raise CheckpointError(f"{path} is {advice(Kind.QUANTISED)}")
    kept = dict(tensors)
    for name, scale in tensors.items():
        if _BESIDE.fullmatch(name):
            del kept[name]
        elif found := _SCALE.fullmatch(name):
            del kept[name]
            weight = f"{found[1]}.weight"
            target = tensors.get(weight)
            if target is None or target.dtype not in FLOAT8 or not _fits(scale, target):
                raise CheckpointError(
                    f"{scale.path}: {name} scales no float8 weight as a whole or row by row. "
                    "Fetch the model in fp16 or bf16."
                )
            kept[weight] = replace(target, scale=scale)
    return kept


def _fits(scale: StoredTensor, target: StoredTensor) -> bool:
    number = math.prod(scale.shape)
    one = number == 1
    by_row = bool(target.shape) and scale.shape[:1] == target.shape[:1] == (number,)
    return scale.dtype in {"F32", "F16", "BF16"} and (one or by_row)
