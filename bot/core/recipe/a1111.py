"""The lines that AUTOMATIC1111, Forge and many others write, and this program: the prompt, what to
stay away from, settings with commas between them.

They stand in PNG under `parameters`, in JPEG and WebP as Exif's UserComment.
"""

import re
from collections.abc import Mapping
from typing import Final

from bot.core.recipe.draft import NOT_REPEATED, Draft, json_object, number, whole
from bot.core.recipe.recipe import OURS
from sdxl_engine.request import (
    EMPHASES,
    MAX_LORAS,
    USUAL_EMPHASIS,
    Source,
    Variation,
    parse_timesteps,
)
from sdxl_engine.sentence import say

_USUAL_CLIP_SKIP: Final = 2  # of SDXL
_NEGATIVE: Final = "Negative prompt:"
_KEY: Final = re.compile(r"\s*(\w[\w \-/.]{0,60}):\s*")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"\s*(?=,|$)')
_MAX_SETTINGS: Final = 200
_LEAST_SETTINGS: Final = 3  # fewer in a last line are a prompt with colons
_SIZE: Final = re.compile(r"([0-9]{1,9})x([0-9]{1,9})")
_INTERVAL: Final = re.compile(r"(\S{1,40}) to (\S{1,40})")
_FORGE: Final = re.compile(r"f[0-9]")
_VERSION: Final = re.compile(r"v?[0-9]")
_WORD: Final = re.compile(r"[A-Za-z][\w.-]{2,30}")
# What tells of the files and the day, not of the picture.
_SILENT: Final = frozenset(
    {
        *("Lora hashes", "TI hashes", "Hashes", "Version", "App", "RNG", "VAE hash", "User"),
        *("Civitai resources", "Civitai metadata", "Created Date"),
    }
)
_EMPHASIS_TITLES: Final = {title: name for name, title in EMPHASES.items()}
_SCHEDULERS: Final[Mapping[str | None, str]] = {"DDIM": "ddim_uniform"}
_SPACING_OPEN: Final = ("automatic", "default", "use same scheduler")


def read(texts: Mapping[str, str]) -> Draft | None:
    """The draft of what stands in one of its places; None if it is of another form."""
    for name in ("parameters", "UserComment"):
        text = texts.get(name, "").replace("\r\n", "\n").strip()
        prompt, negative, settings = split(text)
        if settings or negative is not None:
            return _draft(prompt, negative, settings)
    return None


def split(text: str) -> tuple[str, str | None, dict[str, str]]:
    """The prompt, the negative prompt and the settings of such a text."""
    if json_object(text) is not None:
        return text, None, {}
    lines = text.split("\n")
    place = next((k for k in range(len(lines) - 1, -1, -1) if lines[k].startswith("Steps:")), None)
    if place is None:
        place = len(lines) - 1
        if len(read_settings(lines[place])) < _LEAST_SETTINGS:
            place = len(lines)
    settings = read_settings(", ".join(lines[place:]))  # some write more lines behind
    starts = (k for k, line in enumerate(lines[:place]) if line.startswith(_NEGATIVE))
    turn = next(starts, None)
    if turn is None:
        return "\n".join(lines[:place]), None, settings
    negative = "\n".join(lines[turn:place]).removeprefix(_NEGATIVE).strip()
    return "\n".join(lines[:turn]), negative, settings


def read_settings(line: str) -> dict[str, str]:
    """What a line such as `Steps: 20, Model: "a, b"` says; the first of each name counts."""
    settings: dict[str, str] = {}
    place = 0
    while place < len(line) and len(settings) < _MAX_SETTINGS:
        key = _KEY.match(line, place)
        quoted = None if key is None else _QUOTED.match(line, key.end())
        if quoted is not None:
            end = quoted.end()
        else:
            end = line.find(",", place if key is None else key.end())
            end = len(line) if end < 0 else end
        if key is not None:
            value = line[key.end() : end].strip()
            settings.setdefault(key[1].strip(), value if quoted is None else _unquoted(value))
        place = end + 1
    return settings


def _unquoted(value: str) -> str:
    wrapped = json_object(f'{{"":{value}}}')
    return value if wrapped is None else str(wrapped[""])


def _draft(prompt: str, negative: str | None, settings: dict[str, str]) -> Draft:
    draft = Draft(_program(settings))
    said = settings.pop  # what is left is what nobody here knows
    ours = draft.program == OURS
    draft.prompt = _without_last_tags(draft, prompt) if ours else draft.tags(prompt)
    draft.negative = negative if ours or negative is None else draft.tags(negative) or None
    draft.whole("num_inference_steps", "Steps", said("Steps", None))
    draft.sampler(said("Sampler", None))
    for name in ("Schedule type", "Scheduler"):
        scheduler = said(name, None)
        draft.spacing(_SCHEDULERS.get(scheduler, scheduler), open_names=_SPACING_OPEN)
    draft.number("guidance_scale", "CFG scale", said("CFG scale", None))
    draft.number("guidance_rescale", "CFG Rescale phi", said("CFG Rescale phi", None))
    draft.seed(said("Seed", None))
    size = said("Size", "")
    match = _SIZE.fullmatch(size)
    draft.size(*(match.groups() if match else (size or None, None)))
    draft.drawn_by(said("Model", None), said("Model hash", None))
    vae = said("VAE", None)
    if vae not in {None, "Automatic", "None"}:
        draft.leave("VAE", vae, say("the model's own is taken"))
    if ours:
        _read_ours(draft, settings)
    else:
        _read_others(draft, settings)
    for name, value in settings.items():
        if name not in _SILENT:
            draft.leave(name, value)
    return draft


def _program(settings: Mapping[str, str]) -> str:
    version = settings.get("Version", "")
    if "Index" in settings and "Seed" in settings:  # which the others have no word for
        return OURS
    if _FORGE.match(version):
        return "Forge"
    named = _WORD.match(settings.get("App", "")) or _WORD.match(version)
    if named and not _VERSION.match(named[0]):
        return named[0]
    if "Civitai resources" in settings:
        return "Civitai"
    return "AUTOMATIC1111" if version else "a program that writes as AUTOMATIC1111 does"


def _without_last_tags(draft: Draft, prompt: str) -> str:
    """What was asked for: the LoRAs stand behind it, and what else looks like one is text."""
    found: list[tuple[str, float]] = []
    while len(found) < MAX_LORAS and prompt.endswith(">"):
        before, _, tag = prompt.rpartition(" <lora:")
        name, colon, written = tag[:-1].rpartition(":")
        strength = number(written)
        if not before or not colon or strength is None:
            break
        found.append((name, strength))
        prompt = before
    for name, strength in reversed(found):
        draft.exact_lora(name, strength)
    return prompt


def _read_ours(draft: Draft, settings: dict[str, str]) -> None:
    """What this program alone writes (`sdxl_engine/images.py`)."""
    said = settings.pop
    draft.whole("first_index", "Index", said("Index"))
    timesteps = said("Timesteps", None)
    if timesteps is not None:
        draft.keep(timesteps=draft.made(parse_timesteps, timesteps))
    interval = _INTERVAL.fullmatch(said("Guidance interval", "0 to 1"))
    ends = [number(end) for end in interval.groups()] if interval else [None]
    if None not in ends:
        draft.keep(guidance_interval=tuple(ends))
    draft.whole("clip_skip", "Clip skip", said("Clip skip", None))
    emphasis = said("Emphasis", EMPHASES[USUAL_EMPHASIS])
    draft.keep(emphasis=_EMPHASIS_TITLES.get(emphasis, emphasis))
    _read_variation(draft, settings)
    _read_source(draft, settings)


def _read_variation(draft: Draft, settings: dict[str, str]) -> None:
    said = settings.pop
    seed = whole(said("Variation seed", None))
    strength = number(said("Variation seed strength", None))
    index = whole(said("Variation of", None))
    if seed is not None and strength is not None and index is not None:
        draft.keep(variation=draft.made(Variation, seed, strength, index))


def _read_source(draft: Draft, settings: dict[str, str]) -> None:
    said = settings.pop
    picture, strength = said("Source", None), number(said("Denoising strength", None))
    resize, zoom = said("Resize mode", "fill"), number(said("Zoom", "1"))
    mask, feather_px = said("Mask", None), whole(said("Mask blur", None))
    upscale = number(said("Hires upscale", None))
    if picture is None or strength is None or zoom is None:
        return
    feather = () if feather_px is None else (feather_px,)
    source = draft.made(Source, picture, strength, resize, zoom, mask, *feather)
    if source is not None:
        draft.keep(source=source, upscale=upscale)
        draft.leave(say("The picture that it was drawn from"), why=say("not in the file"))


def _read_others(draft: Draft, settings: dict[str, str]) -> None:
    said = settings.pop
    skip = whole(said("Clip skip", None))
    # Of SDXL they take the last layer but one for 1, too.
    if skip is not None and skip > _USUAL_CLIP_SKIP:
        draft.keep(clip_skip=skip)
    emphasis = said("Emphasis", "Original")
    if emphasis != "Original":
        draft.leave("Emphasis", emphasis)
    elif any(bracket in f"{draft.prompt}{draft.negative}" for bracket in "(["):
        draft.keep(emphasis="mean")
    strength = said("Denoising strength", None)
    if strength is not None:
        hires = any(name.startswith("Hires") for name in settings)
        over = say("it was drawn over a picture, which is not in the file")
        draft.leave("Denoising strength", strength, NOT_REPEATED if hires else over)
    _lora_weights(draft, said("Lora weights", ""))


def _lora_weights(draft: Draft, text: str) -> None:
    """Fooocus writes them among the settings."""
    for one in text.split(", ")[:MAX_LORAS]:
        name, colon, strength = one.rpartition(": ")
        if colon:
            draft.lora(name, strength)
