"""What this program writes into pictures is read back as it was asked for."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.recipe.reading import read_recipe
from sdxl_engine.images import _one_line, describe, encode_png, encode_within
from sdxl_engine.request import (
    EMPHASES,
    OWN_SPACING_SAMPLERS,
    RESIZES,
    SAMPLERS,
    SPACINGS,
    UPSCALES,
    GeneratedImage,
    ImageRequest,
    Lora,
    ModelCard,
    Source,
    Variation,
)

IMAGE = GeneratedImage(index=0, seed=1, width_px=8, height_px=8, rgb=bytes(8 * 8 * 3))


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """As people write them, in up to fifteen digits: floating point makes more of none."""
    return st.integers(round(low * 10**6), round(high * 10**6)).map(lambda parts: parts / 10**6)


PROMPTS = st.text(
    st.sampled_from('ab ,:()[]"\\\n<>') | st.characters(exclude_categories=["C", "Zl"]), max_size=60
)
NAMES = st.text(st.sampled_from('ab ,"<>()-_.é猫'), min_size=1, max_size=12).filter(
    lambda name: name.strip() and name[0] != "."
)
LORAS = st.lists(NAMES, max_size=8, unique=True)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
SIDES = st.integers(8, 256).map(lambda latents: 8 * latents)


@st.composite
def ways(draw: st.DrawFn) -> dict[str, Any]:
    sampler = draw(st.none() | st.sampled_from([*SAMPLERS]))
    if draw(st.booleans()):
        timesteps = sorted(draw(st.sets(st.integers(0, 999), min_size=1, max_size=9)), reverse=True)
        return {
            "sampler": sampler,
            "timesteps": tuple(timesteps),
            "num_inference_steps": len(timesteps),
        }
    own = sampler in OWN_SPACING_SAMPLERS
    spacing = None if own else draw(st.none() | st.sampled_from([*SPACINGS]))
    steps = draw(st.integers(1, 50))
    return {"sampler": sampler, "spacing": spacing, "num_inference_steps": steps}


@st.composite
def sources(draw: st.DrawFn) -> dict[str, Any]:
    upscale = draw(st.none() | st.sampled_from([*UPSCALES]))
    masks = st.none() if upscale else st.none() | st.sampled_from(["alpha", "around"]) | DIGESTS
    mask = draw(masks)
    source = Source(
        draw(DIGESTS),
        draw(numbers(0.01, 1)),
        draw(st.sampled_from(RESIZES)),
        draw(numbers(1, 4)),
        mask,
        *([] if mask is None else [draw(st.integers(0, 256))]),
    )
    return {"source": source, "upscale": upscale}


@st.composite
def requests(draw: st.DrawFn) -> ImageRequest:
    return ImageRequest(
        prompt=draw(PROMPTS) + "a",
        negative_prompt=draw(st.none() | PROMPTS),
        seed=draw(st.integers(0, 2**32 - 1)),
        guidance_scale=draw(numbers(0, 20)),
        guidance_rescale=draw(numbers(0, 1)),
        guidance_interval=(draw(numbers(0, 0.5)), draw(numbers(0.5, 1))),
        width_px=draw(SIDES),
        height_px=draw(SIDES),
        num_images=1,
        first_index=draw(st.integers(0, 9)),
        loras=tuple(
            Lora(name, draw(numbers(-4, 4)))
            for name in draw(st.lists(NAMES, max_size=8, unique=True))
        ),
        variation=draw(
            st.none()
            | st.builds(Variation, st.integers(0, 2**32 - 1), numbers(0, 1), st.integers(0, 9))
        ),
        emphasis=draw(st.sampled_from([*EMPHASES])),
        clip_skip=draw(st.none() | st.integers(1, 12)),
        **draw(ways()),
        **draw(st.just({}) | sources()),
    )


@settings(max_examples=100, deadline=None)
@given(requests(), st.booleans())
def test_any_request_is_read_back(request: ImageRequest, as_png: bool) -> None:
    card = ModelCard("a, model", "0123456789", clip_skip=request.clip_skip)
    text = describe(request, request.first_index, model=card)
    data = encode_png(IMAGE, text) if as_png else encode_within(IMAGE, text, 1).data
    recipe = read_recipe(data)
    assert recipe.is_ours
    assert (recipe.model, recipe.model_hash) == ("a, model", "0123456789")
    assert recipe.wish is not None
    # Spaces and line breaks are one to every tokenizer.
    negative = None if request.negative_prompt is None else _one_line(request.negative_prompt)
    told = replace(request, prompt=_one_line(request.prompt), negative_prompt=negative)
    read = recipe.wish.resolve((8, 8))
    assert read == told
    assert describe(read, read.first_index, model=card) == text
    assert len(recipe.left_out) == (request.source is not None)


def test_what_looks_like_a_lora_within_a_prompt_is_text() -> None:
    request = ImageRequest("a <lora:x:1> cat", loras=(Lora("a>b", 0.5),), num_images=1)
    recipe = read_recipe(encode_png(IMAGE, describe(request, model="m")))
    assert recipe.wish is not None
    assert recipe.wish.prompt == "a <lora:x:1> cat"
    assert recipe.wish.loras == (("a>b", 0.5),)


def test_a_vae_of_its_own_is_told() -> None:
    card = ModelCard("m", vae="fixed", vae_hash="0123456789")
    recipe = read_recipe(encode_png(IMAGE, describe(ImageRequest("a cat"), model=card)))
    assert recipe.left_out == ("VAE fixed (the model's own is taken)",)
