"""What people type into a prompt besides what it shows: tags of LoRAs, and flags."""

from collections.abc import Mapping
from dataclasses import replace

from bot.core import loras
from bot.core.wish import Wish
from sdxl_engine.flags import Flags


def wish_of(said: Flags) -> Wish:
    """What a prompt asks for by itself; its shape is for whoever knows the sizes.

    Raises InvalidRequestError.
    """
    prompt, tagged = loras.read_out(said.prompt)
    unwanted, more = loras.read_out(said.negative or "")  # a tag may follow `--no`
    sampler, spacing = said.sampler or (None, None)
    return Wish(
        prompt=prompt,
        negative_prompt=unwanted or None,
        seed=said.seed,
        num_inference_steps=said.steps,
        guidance_scale=said.guidance,
        size_px=said.size_px,
        sampler=sampler,
        spacing=spacing,
        loras=(*tagged, *more),
        style=said.style,
        left_out=said.unknown or None,
    )


def overruled(wish: Wish, chosen: Mapping[str, object]) -> Wish:
    """What was typed, with what was chosen beside it, which is stronger where it says something."""
    said = {name: value for name, value in chosen.items() if value is not None}
    if "sampler" in said or "timesteps" in said:  # the one that was typed went with its spacing
        said.setdefault("spacing", None)
    if "loras" in said:
        said["loras"] = (*wish.loras, *chosen["loras"])  # type: ignore[misc]  # as `Wish` has them
    return replace(wish, **said)  # type: ignore[arg-type]
