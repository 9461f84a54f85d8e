"""What InvokeAI writes: JSON under `invokeai_metadata`, in older versions under `sd-metadata`, in
the oldest a command line under `Dream`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from bot.core.recipe.draft import MAX_PROMPT_CHARS, Draft, json_object
from sdxl_engine.sentence import say

_DREAM: Final = re.compile(r'\s*"([^"]*)"')
_OPTION: Final = re.compile(r"\s-([A-Za-z])\s*([^\s-]\S{0,60})")
_UNWANTED: Final = re.compile(r"\[([^\[\]]*)\]")
_WEIGHT: Final = re.compile(r"[\w)][+]|[\w)]-[-\s,]|\)[0-9.]+|\.(and|blend|swap)\(")
_MAX_LORAS: Final = 20
_TOLD: Final = {
    "positive_style_prompt": "Style prompt",
    "negative_style_prompt": "Negative style prompt",
    "controlnets": "ControlNets",
    "ipAdapters": "IP adapters",
    "t2iAdapters": "T2I adapters",
    "refiner_model": "Refiner",
    "hrf_enabled": "High resolution fix",
    "seamless_x": "Seamless tiling across",
    "seamless_y": "Seamless tiling down",
    "clip_skip": "Clip skip",
    "vae": "VAE",
    "init_image": "A picture to start from",
    "strength": "Strength",
}
_NAMES: Final = (("kdpm_2_a", "dpm_2_ancestral"), ("kdpm_2", "dpm_2"))  # of samplers


def read(texts: Mapping[str, str]) -> Draft | None:
    """The draft of it; None if there is none."""
    told = json_object(texts.get("invokeai_metadata"))
    if told is not None:
        return _of_metadata(told)
    told = json_object(texts.get("sd-metadata"))
    if told is not None and isinstance(told.get("image"), dict):
        return _of_old_metadata(told, told["image"])
    dream = _DREAM.match(texts.get("Dream", texts.get("dream", "")))
    return None if dream is None else _of_dream(dream)


def _of_metadata(told: Mapping[str, Any]) -> Draft:
    draft = _draft(told, told.get("scheduler"))
    draft.prompt = _text(told.get("positive_prompt"))
    draft.negative = _text(told.get("negative_prompt")) or None
    draft.number("guidance_rescale", "Rescale", told.get("cfg_rescale_multiplier"))
    model = told.get("model")
    draft.drawn_by(_name(model), model.get("hash") if isinstance(model, dict) else None)
    loras = told.get("loras")
    for one in loras[:_MAX_LORAS] if isinstance(loras, list) else []:
        if isinstance(one, dict):
            draft.lora(_name(one.get("model", one.get("lora"))), one.get("weight"))
    for name, label in _TOLD.items():
        value = told.get(name)
        if value:
            draft.leave(label, _name(value) or value)
    _weights(draft)
    return draft


def _of_old_metadata(told: Mapping[str, Any], image: Mapping[str, Any]) -> Draft:
    draft = _draft(image, image.get("sampler"))
    prompts = image.get("prompt")
    listed = prompts[:_MAX_LORAS] if isinstance(prompts, list) else [{"prompt": prompts}]
    texts = (_text(one.get("prompt")) for one in listed if isinstance(one, dict))
    _prompts(draft, ", ".join(filter(None, texts)))
    draft.drawn_by(told.get("model_weights"), told.get("model_hash"))
    for name in ("threshold", "perlin", "variations", "facetool", "upscale", "init_image_path"):
        if image.get(name):
            draft.leave(name.replace("_", " ").capitalize(), image[name])
    _weights(draft)
    return draft


def _of_dream(dream: re.Match[str]) -> Draft:
    rest = dream.string[dream.end() : dream.end() + MAX_PROMPT_CHARS]
    said = dict(_OPTION.findall(rest))
    names = {"s": "steps", "S": "seed", "W": "width", "H": "height", "C": "cfg_scale"}
    told = {field: said.pop(name, None) for name, field in names.items()}
    draft = _draft(told, said.pop("A", None))
    _prompts(draft, dream[1])
    for name, value in said.items():
        draft.leave(f"-{name}", value)
    _weights(draft)
    return draft


def _draft(told: Mapping[str, Any], sampler: object) -> Draft:
    draft = Draft("InvokeAI")
    draft.whole("num_inference_steps", "Steps", told.get("steps"))
    draft.number("guidance_scale", "CFG scale", told.get("cfg_scale"))
    draft.seed(told.get("seed"))
    draft.size(told.get("width"), told.get("height"))
    name = _text(sampler)
    for theirs, ours in _NAMES:
        name = name.replace(theirs, ours)
    draft.sampler(name)
    return draft


def _prompts(draft: Draft, text: str) -> None:
    """Older versions have what to stay away from in brackets, within the prompt."""
    text = text[:MAX_PROMPT_CHARS]
    draft.prompt = _UNWANTED.sub("", text).strip(" ,")
    draft.negative = ", ".join(filter(None, map(str.strip, _UNWANTED.findall(text)))) or None


def _weights(draft: Draft) -> None:
    if _WEIGHT.search(draft.prompt[:MAX_PROMPT_CHARS]):
        draft.leave(say("Weights in the prompt"), why=say("written as only InvokeAI reads them"))


def _name(model: object) -> str:
    if isinstance(model, dict):
        return _text(model.get("name")) or _text(model.get("model_name"))
    return _text(model)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
