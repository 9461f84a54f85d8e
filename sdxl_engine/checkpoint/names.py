"""What a checkpoint calls the parameters of the networks. The only file that knows it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Renames = Mapping[str, tuple[tuple[str, Any], ...]]  # re.sub's pattern and replacement
# Where the engine's modules are called otherwise than the checkpoint's: (ours, theirs).
_RENAMES: Final[Renames] = {
    "unet": (
        (r"\.to_out\.", ".to_out.0."),
        (r"\.ff\.proj_in\.", ".ff.net.0.proj."),
        (r"\.ff\.proj_out\.", ".ff.net.2."),
    ),
    "vae": ((r"\.to_out\.", ".to_out.0."),),
    "text_encoder": (
        (r"^(token|position)_embedding\.", r"text_model.embeddings.\1_embedding."),
        (r"^layers\.", "text_model.encoder.layers."),
        (r"^final_layer_norm\.", "text_model.final_layer_norm."),
    ),
    "safety_checker": (
        (r"^vision_model\.", "vision_model.vision_model."),
        (r"\.class_embedding\.weight$", ".embeddings.class_embedding"),
        (r"\.(patch|position)_embedding\.", r".embeddings.\1_embedding."),
        (r"\.pre_layernorm\.", ".pre_layrnorm."),
        (r"\.layers\.", ".encoder.layers."),
        (r"^concepts\.weight$", "concept_embeds"),
        (r"^concept_thresholds\.weight$", "concept_embeds_weights"),
        (r"^special\.weight$", "special_care_embeds"),
        (r"^special_thresholds\.weight$", "special_care_embeds_weights"),
    ),
    "classifier": (
        (r"\.class_embedding\.weight$", ".embeddings.cls_token"),
        (r"\.position_embedding\.weight$", ".embeddings.position_embeddings"),
        (r"\.patch_embedding\.", ".embeddings.patch_embeddings.projection."),
        (r"\.layers\.", ".encoder.layer."),
        (r"\.self_attn\.out_proj\.", ".attention.output.dense."),
        (r"\.self_attn\.q_proj\.", ".attention.attention.query."),
        (r"\.self_attn\.k_proj\.", ".attention.attention.key."),
        (r"\.self_attn\.v_proj\.", ".attention.attention.value."),
        (r"\.layer_norm1\.", ".layernorm_before."),
        (r"\.layer_norm2\.", ".layernorm_after."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
        (r"\.post_layernorm\.", ".layernorm."),
    ),
}
# The key that stands for the number of a layer where equal layers are stacked (models/layers.py).
STACKED: Final = "each"
# Linears that the engine multiplies at once: ours, and theirs in the order of its columns.
FUSED: Final[Mapping[str, tuple[str, ...]]] = {
    "to_qkv": ("to_q", "to_k", "to_v"),
    "to_kv": ("to_k", "to_v"),
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
}
# Parameters in a layout of our own; the second is made from a 3x3 kernel.
QUARTERS: Final = "quarter_kernels"
# And these two, an int8 matrix and its scales, from a linear's weights.
CODES: Final = "codes"
SCALES: Final = "scales"
KERNELS: Final = ("kernel", QUARTERS, CODES)
# One that is float32 whatever the others are.
EXACT: Final = "exact"
# What older files call a tensor: (theirs, today's name).
OLD_NAMES: Final[Renames] = {
    "vae": (
        (r"\.(query|key|value)\.", lambda match: f".to_{match[1][0]}."),
        (r"\.proj_attn\.", ".to_out.0."),
    ),
    # transformers 5 writes the encoder without its wrapper's name.
    "text_encoder": ((r"^(embeddings|encoder|final_layer_norm)\.", r"text_model.\1."),),
    "safety_checker": ((r"^vision_model\.(?!vision_model\.)", "vision_model.vision_model."),),
}
_COUNTED: Final = r"(model_)?ema\.(decay|num_updates)"
# Tensors that PyTorch's loaders pass over and that change no picture: 0, 1, 2, ... as older
# transformers stored them; the other half of CLIP; marks without numbers; what training counted and
# judged by. Any other that a network has no place for is an error.
SPARE: Final[Mapping[str, re.Pattern[str]]] = {
    "text_encoder": re.compile(
        r"(.*\.)?position_ids|logit_(scale|bias)|(vision_model|visual_projection)\..*"
        r"|text_projection\.weight"
    ),
    "unet": re.compile(rf"v_pred|ztsnr|{_COUNTED}"),
    "vae": re.compile(rf"loss\..*|{_COUNTED}"),
    "safety_checker": re.compile(r"(.*\.)?position_ids"),
    "classifier": re.compile(r"vit\.pooler\..*"),
}


def own_dtype(parameter: str, dtype: npt.DTypeLike) -> npt.DTypeLike:
    """The dtype of a parameter of this name where others are loaded in `dtype`."""
    if parameter == CODES:
        return np.int8
    return np.float32 if parameter in {EXACT, SCALES} else dtype


def tensor_name(part: str, path: tuple[str, ...], layer: int) -> str:
    """The tensor of a parameter at `path`, of layer `layer` where its layers are stacked."""
    kind = "bias" if path[-1] == "bias" else "weight"
    own = [str(layer) if key == STACKED else key for key in path[:-1]]
    return rename(".".join([*own, kind]), _RENAMES[family(part)])


def family(part: str) -> str:
    """The part whose names this one shares: both text encoders have the same."""
    return part.removesuffix("_2")


def rename(name: str, renames: Iterable[tuple[str, Any]]) -> str:
    """Every pattern replaced, one after the other."""
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name
