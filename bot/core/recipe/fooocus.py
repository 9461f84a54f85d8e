"""What Fooocus writes under its own scheme: one JSON object, in PNG under `parameters`, in JPEG and
WebP as Exif's UserComment. (Under its other scheme it writes as AUTOMATIC1111 does.)
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from bot.core.recipe.draft import Draft, json_object

_PAIR: Final = re.compile(r"[(\[]\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*[)\]]")
_MAX_LORAS: Final = 20
_LORA_PARTS: Final = 2
# Read, or told by what is read.
_SILENT: Final = frozenset(
    {
        *("prompt", "negative_prompt", "full_prompt", "full_negative_prompt", "base_model"),
        *("base_model_hash", "loras", "metadata_scheme", "version", "created_by", "steps"),
        *("guidance_scale", "seed", "resolution", "sampler", "scheduler", "clip_skip", "vae"),
        *("performance", "styles", "refiner_model_hash", "refiner_switch", "prompt_expansion"),
    }
)


def read(texts: Mapping[str, str]) -> Draft | None:
    """The draft of it; None if there is none."""
    for name in ("parameters", "UserComment"):
        told = json_object(texts.get(name))
        if told is not None and ("base_model" in told or "full_prompt" in told):
            return _draft(told)
    return None


def _draft(told: Mapping[str, Any]) -> Draft:
    draft = Draft("Fooocus")
    # With the words of its styles, where it tells them.
    draft.prompt = draft.tags(_joined(told.get("full_prompt")) or _joined(told.get("prompt")))
    draft.negative = _joined(told.get("full_negative_prompt")) or _joined(
        told.get("negative_prompt")
    )
    draft.whole("num_inference_steps", "Steps", told.get("steps"))
    draft.number("guidance_scale", "Guidance", told.get("guidance_scale"))
    draft.seed(told.get("seed"))
    draft.sampler(told.get("sampler"))
    draft.spacing(told.get("scheduler"))
    draft.whole("clip_skip", "Clip skip", told.get("clip_skip"))
    resolution = told.get("resolution")
    pair = _PAIR.fullmatch(resolution.strip()) if isinstance(resolution, str) else None
    draft.size(*(pair.groups() if pair else (resolution, None)))
    draft.drawn_by(told.get("base_model"), told.get("base_model_hash"))
    _loras(draft, told)
    for name, value in told.items():
        combined = name.startswith("lora_combined_")
        if name not in _SILENT and not combined and value not in (None, "", "None", False):
            draft.leave(name.replace("_", " ").capitalize(), value)
    return draft


def _loras(draft: Draft, told: Mapping[str, Any]) -> None:
    listed = told.get("loras")
    if isinstance(listed, list) and listed:
        for one in listed[:_MAX_LORAS]:
            if isinstance(one, list) and len(one) >= _LORA_PARTS:
                draft.lora(one[0], one[1])
        return
    for place in range(1, _MAX_LORAS + 1):
        combined = told.get(f"lora_combined_{place}")
        if isinstance(combined, str):
            parts = combined.split(" : ")
            if parts[0] != "False":  # switched off
                draft.lora(*parts[-_LORA_PARTS:] if len(parts) > 1 else (parts[0], None))


def _joined(value: object) -> str:
    """One text of one or several, as Fooocus joins them."""
    if isinstance(value, list):
        return ", ".join(one for one in value if isinstance(one, str) and one)
    return value if isinstance(value, str) else ""
