"""What a file of weights is, told by its first bytes and by the names and shapes of its tensors."""

import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

Shapes = Mapping[str, tuple[int, ...]]


class Kind(StrEnum):
    """What a file or folder is, as a table shows it."""

    MODEL = "SDXL model"
    INPAINTING = "SDXL inpainting model"
    REFINER = "SDXL refiner"
    UNET = "SDXL UNet"
    VAE = "VAE"
    TEXT_ENCODER = "text encoder"
    LORA = "LoRA"
    EMBEDDING = "embedding"
    CONTROLNET = "ControlNet"
    ADAPTER = "adapter"
    SD1 = "Stable Diffusion 1"
    SD2 = "Stable Diffusion 2"
    SD3 = "Stable Diffusion 3"
    FLUX = "FLUX"
    KOLORS = "Kolors"
    OTHER = "unknown"
    QUANTISED = "quantised"
    GGUF = "GGUF"
    PICKLE = "pickle"
    POINTER = "LFS pointer"
    DAMAGED = "damaged"


_CHOOSE: Final = "This engine draws with SDXL models: choose one of those."
_AS_MODEL: Final = "give a whole SDXL model as [engine] model"
_CONVERT: Final = "This engine reads safetensors only: fetch the model in that form, or convert it."
# What a file is, after "It is ", and what to do; nothing of the two kinds that can be drawn with.
_ADVICE: Final[Mapping[Kind, str]] = {
    Kind.REFINER: f"SDXL's refiner, which only ends what a base has begun. {_CHOOSE}",
    Kind.UNET: "a UNet alone, without text encoders and VAE. Set [engine] unet to it, and "
    f"{_AS_MODEL} for the rest.",
    Kind.VAE: f"a VAE alone. Set [engine] vae to it, and {_AS_MODEL}.",
    Kind.TEXT_ENCODER: f"a text encoder alone, which draws nothing. {_CHOOSE}",
    Kind.LORA: "a LoRA, which changes a model and is none. Put it in the folder of [engine] loras, "
    f"and {_AS_MODEL}.",
    Kind.EMBEDDING: "an embedding, a word for prompts and no model. Put it in the folder of "
    f"[engine] embeddings, and {_AS_MODEL}.",
    Kind.CONTROLNET: f"a ControlNet, which this engine does not use. {_CHOOSE}",
    Kind.ADAPTER: "an adapter that feeds a model with pictures, which this engine does not use. "
    f"{_CHOOSE}",
    Kind.SD1: f"of Stable Diffusion 1. {_CHOOSE}",
    Kind.SD2: f"of Stable Diffusion 2. {_CHOOSE}",
    Kind.SD3: f"of Stable Diffusion 3. {_CHOOSE}",
    Kind.FLUX: f"of FLUX. {_CHOOSE}",
    Kind.KOLORS: f"of Kolors, which has another text encoder. {_CHOOSE}",
    Kind.OTHER: f"of a kind that this engine does not know. {_CHOOSE}",
    Kind.QUANTISED: "quantised, as bitsandbytes, SDNQ, ComfyUI and others do it: its weights are a "
    "few bits each, with scales beside them. Fetch the model in fp16, bf16 or float8.",
    Kind.GGUF: f"a GGUF file, whose weights are quantised. {_CONVERT}",
    Kind.PICKLE: f"a pickle, which can run code when it is opened. {_CONVERT}",
    Kind.POINTER: "a pointer of Git LFS, a note in the place of the file itself. Fetch the file, "
    "with `git lfs pull` or from the model's page.",
    Kind.DAMAGED: "empty or damaged. Fetch it again.",
}
_PICKLES: Final = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_ZIP: Final = b"PK\x03\x04"
_PICKLED: Final = re.compile(rb"\x80[\x02-\x05]")


def advice(kind: Kind) -> str:
    """What a file is and what to do, after "FILE is "; "" for a whole model."""
    return _ADVICE.get(kind, "")


class Foreign(NamedTuple):
    """A file that is no safetensors file: what it is, and the end of a sentence that begins so."""

    kind: Kind
    advice: str


def foreign(name: str, start: bytes) -> Foreign | None:
    """What a file is that is no safetensors file; None where it may be one.

    name   the file's
    start  its first bytes, some dozen
    """
    if not start:
        return Foreign(Kind.DAMAGED, "empty. Fetch it again.")
    if start.startswith(b"version https://git-lfs"):
        return Foreign(Kind.POINTER, advice(Kind.POINTER))
    if start.startswith(b"GGUF"):
        return Foreign(Kind.GGUF, advice(Kind.GGUF))
    pickled = start.startswith(_ZIP) or _PICKLED.match(start)
    if pickled or name.lower().endswith(_PICKLES):
        return Foreign(Kind.PICKLE, advice(Kind.PICKLE))
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return Foreign(Kind.DAMAGED, "a web page, not the file itself. Fetch it again.")
    return None


# Names that only a file of their kind has, in the order in which they are looked for.
_TOLD_BY: Final[tuple[tuple[Kind, str], ...]] = (
    (
        Kind.LORA,
        r"(^lora_(unet|te\d?|transformer)_|\.lora_(down|up|mid|A|B)\.|\.lora_linear_layer\."
        r"|\.lora\.(down|up)\.|\.hada_w1_|\.lokr_w[12]|\.dora_scale$|\.oft_(blocks|diag)$)",
    ),
    (Kind.CONTROLNET, r"^(control_model|controlnet_cond_embedding|controlnet_down_blocks)\."),
    (Kind.CONTROLNET, r"^(input_hint_block|zero_convs)\."),
    (Kind.ADAPTER, r"^(ip_adapter|image_proj|adapter)\."),
    (Kind.FLUX, r"(^|\.)(double_blocks|single_transformer_blocks)\.\d"),
    (Kind.SD3, r"(^|\.)joint_blocks\.\d"),
)
# The same of parts alone, where no UNet is beside them.
_ALONE: Final[tuple[tuple[Kind, str], ...]] = (
    (Kind.VAE, r"^(first_stage_model\.|vae\.)?decoder\.conv_in\.weight$"),
    (Kind.TEXT_ENCODER, r"(encoder\.layers|resblocks|encoder\.block)\.0\."),
)
# What bitsandbytes, AutoGPTQ, TorchAO, SDNQ and ComfyUI's NVFP4 keep beside weights.
_QUANTISED: Final = re.compile(
    r"\.(absmax|quant_map|qweight|qzeros|nested_absmax|SCB|zero_point|weight_scale_2|_data"
    r"|svd_up|svd_down|quant_state\.\w+)$"
)
_WHOLE_NUMBERS: Final = ("I8", "U8", "I4", "U4")
_EMBEDDING: Final = frozenset(
    {"clip_l", "clip_g", "text_encoders_0", "text_encoders_1", "emb_params"}
)
_UNET_PLACES: Final = ("model.diffusion_model.", "diffusion_model.", "unet.", "")
_TEXT_WIDTHS: Final = {768: Kind.SD1, 1024: Kind.SD2, 1280: Kind.REFINER, 2048: Kind.UNET}
_KOLORS_ADDED: Final = 5632  # what goes into its added embedding, with a pooled text of 4,096
_PICTURE_AND_MASK: Final = 9  # channels: latents, those of the picture, and the mask


def quantised(dtypes: Mapping[str, str]) -> bool:
    """Whether weights are whole numbers, or have beside them what only quantised ones have.

    dtypes  of tensors by their names, as safetensors names types
    """
    return any(
        _QUANTISED.search(name)
        or (name.endswith(".weight") and dtype in _WHOLE_NUMBERS)
        or (name.endswith(".scale") and f"{name.removesuffix('scale')}weight" in dtypes)
        for name, dtype in dtypes.items()
    )


def identify(shapes: Shapes, dtypes: Mapping[str, str]) -> Kind:
    """What a safetensors file is, by its tensors.

    dtypes  as `quantised`
    """
    names = "\n".join(shapes)
    if shapes and _EMBEDDING.issuperset(shapes):
        return Kind.EMBEDDING
    if quantised(dtypes):
        return Kind.QUANTISED
    if (told := _told_by(_TOLD_BY, names)) is not None:
        return told
    for place in _UNET_PLACES:
        if conv_in := _conv_in(shapes, place):
            return _with_unet(shapes, place, conv_in)
    if (told := _told_by(_ALONE, names)) is not None:
        return told
    return Kind.OTHER if shapes else Kind.DAMAGED


def _told_by(patterns: Iterable[tuple[Kind, str]], names: str) -> Kind | None:
    """The first kind that one of the names, a line each, tells."""
    return next((kind for kind, each in patterns if re.search(each, names, re.MULTILINE)), None)


def _conv_in(shapes: Shapes, place: str) -> tuple[int, ...]:
    """The shape of a UNet's first convolution; () where there is no such UNet."""
    first = shapes.get(f"{place}input_blocks.0.0.weight", ())
    if not first and _has(shapes, f"{place}down_blocks."):
        first = shapes.get(f"{place}conv_in.weight", ())
    return first if len(first) == 4 else ()  # noqa: PLR2004 - OIHW


def _with_unet(shapes: Shapes, place: str, conv_in: tuple[int, ...]) -> Kind:
    """What a file with a UNet under a prefix is: the text that it reads tells its family."""
    own = {name.removeprefix(place): s for name, s in shapes.items() if name.startswith(place)}
    added = own.get("label_emb.0.0.weight") or own.get("add_embedding.linear_1.weight") or ()
    if added[-1:] == (_KOLORS_ADDED,) or _has(own, "encoder_hid_proj"):
        return Kind.KOLORS
    widths = {s[-1] for name, s in own.items() if s and name.endswith(".attn2.to_k.weight")}
    # Of another width, but with SDXL's second embedding: a small model of its kind.
    kind = Kind.UNET if added else Kind.OTHER
    if len(widths) == 1:
        kind = _TEXT_WIDTHS.get(widths.pop(), kind)
    if kind is not Kind.UNET or not (_has(shapes, "first_stage_") or _has(shapes, "conditioner.")):
        return kind
    return Kind.INPAINTING if conv_in[1] == _PICTURE_AND_MASK else Kind.MODEL


def _has(names: Collection[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)
