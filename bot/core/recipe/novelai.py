"""What NovelAI writes: `Description` is the prompt, `Comment` the JSON of its settings, `Source`
its model. In WebP all of them are one JSON object, Exif's UserComment.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from bot.core.recipe.draft import Draft, json_object
from sdxl_engine.sentence import say

_MODEL: Final = re.compile(r"(.{1,100}?)\s+([0-9A-F]{8})")
_WEIGHT: Final = re.compile(r"\{[^{}|]*\}|[0-9.]+::")
_MAX_CHARACTERS: Final = 20
_MAX_SOURCE_CHARS: Final = 120
_TOLD: Final = {
    "sm": "SMEA",
    "sm_dyn": "SMEA DYN",
    "dynamic_thresholding": "Decrisper",
    "reference_strength_multiple": "Vibe transfer",
    "controlnet_model": "ControlNet",
}


def read(texts: Mapping[str, str]) -> Draft | None:
    """The draft of it; None if there is none."""
    outer: Mapping[str, Any] = json_object(texts.get("UserComment")) or texts
    told = json_object(outer.get("Comment"))
    prompt = outer.get("Description")
    if told is None or not ({"uc", "v4_prompt", "request_type"} & told.keys()):
        return None
    draft = Draft("NovelAI")
    draft.prompt = (
        _captions(told.get("v4_prompt")) or _text(told.get("prompt")) or _text(prompt).strip()
    )
    draft.negative = _captions(told.get("v4_negative_prompt")) or _text(told.get("uc")) or None
    if _WEIGHT.search(draft.prompt):
        draft.leave(say("Weights in the prompt"), why=say("written as only NovelAI reads them"))
    draft.whole("num_inference_steps", "Steps", told.get("steps"))
    draft.number("guidance_scale", "Scale", told.get("scale"))
    draft.number("guidance_rescale", "Rescale", told.get("cfg_rescale"))
    draft.seed(told.get("seed"))
    draft.size(told.get("width"), told.get("height"))
    draft.sampler(told.get("sampler"))
    draft.spacing(told.get("noise_schedule"), open_names=("native",))
    source = _text(outer.get("Source"))[:_MAX_SOURCE_CHARS]
    model = _MODEL.fullmatch(source)
    draft.drawn_by(*(model.groups() if model else (source, None)))
    for name, label in _TOLD.items():
        if told.get(name):
            draft.leave(label)
    if told.get("strength") is not None and "Img2Img" in _text(told.get("request_type")):
        why = say("it was drawn over a picture, which is not in the file")
        draft.leave("Strength", told["strength"], why)
    return draft


def _captions(value: object) -> str:
    """The text of a whole picture and of each character in it."""
    caption = value.get("caption") if isinstance(value, dict) else None
    if not isinstance(caption, dict):
        return ""
    characters = caption.get("char_captions")
    listed = characters[:_MAX_CHARACTERS] if isinstance(characters, list) else []
    texts = [
        _text(caption.get("base_caption")),
        *(_text(one.get("char_caption")) for one in listed if isinstance(one, dict)),
    ]
    return ", ".join(filter(None, texts))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
