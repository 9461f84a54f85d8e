"""Drawing from pictures, from variations, in chunks and in tiles, with tiny models."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from sdxl_engine import ImageRequest, InvalidRequestError, SdxlPipeline
from sdxl_engine.images import describe
from sdxl_engine.picture_worker import digest_of
from sdxl_engine.pictures import picture_of
from sdxl_engine.request import (
    AROUND,
    GeneratedImage,
    Picture,
    Progress,
    Source,
    Variation,
)
from sdxl_engine.sampling.samplers import make_schedule
from sdxl_engine.sampling.table import MEMORIES, MODEL_COLUMNS, NOISE, SOURCES
from tests.sdxl_engine.conftest import Golden, drawn

U8 = npt.NDArray[np.uint8]

pytestmark = pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)

LIKE = ImageRequest(
    "a red circle",
    seed=5,
    num_inference_steps=10,
    width_px=64,
    height_px=64,
    num_images=2,
    sampler="euler",
)


def levels(image: GeneratedImage) -> U8:
    shape = image.height_px, image.width_px, 3
    return np.frombuffer(image.rgb, np.uint8).reshape(shape)


def painted(*places: tuple[slice, slice]) -> Picture:
    """A mask of 64x64 that is white there."""
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[..., 3] = 255
    for place in places:
        rgba[place] = 255
    data = rgba.tobytes()
    return Picture(digest_of(64, 64, data).hex(), 64, 64, data)


def draw(
    pipeline: SdxlPipeline, request: ImageRequest, *pictures: Picture
) -> tuple[GeneratedImage, ...]:
    return drawn(pipeline.generate(request, pictures={one.digest: one for one in pictures}))


@pytest.fixture
def first(pipeline: SdxlPipeline) -> Picture:
    return picture_of(draw(pipeline, LIKE)[0])


def test_progress_begins_where_the_picture_does(pipeline: SdxlPipeline, first: Picture) -> None:
    request = replace(LIKE, source=Source(first.digest, 0.3))
    assert request.steps == range(7, 10)
    reports: list[Progress] = list(pipeline.generate(request, pictures={first.digest: first}))
    assert [one.step for one in reports] == [7, 8, 9, 10]
    assert {one.num_inference_steps for one in reports} == {10}


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_what_a_mask_keeps_comes_back_bit_for_bit(
    pipeline: SdxlPipeline, first: Picture, strength: float
) -> None:
    mask = painted((slice(16, 40), slice(24, 48)))
    source = Source(first.digest, strength, mask=mask.digest, feather_px=8)
    images = draw(pipeline, replace(LIKE, prompt="tree", source=source), first, mask)
    own = np.frombuffer(first.rgba, np.uint8).reshape(64, 64, 4)[..., :3]
    assert images[0].rgb != images[1].rgb
    for image in images:
        changed = (levels(image) != own).any(-1)
        assert changed[16:40, 24:48].mean() > 0.5
        changed[8:48, 16:56] = False
        assert not changed.any()


def test_zooming_out_keeps_the_middle(pipeline: SdxlPipeline, first: Picture) -> None:
    source = Source(first.digest, 1.0, zoom=2.0, mask=AROUND, feather_px=0)
    one, other = draw(pipeline, replace(LIKE, source=source), first)
    middle = slice(16, 48)
    np.testing.assert_array_equal(levels(one)[middle, middle], levels(other)[middle, middle])
    assert (levels(one)[:16] != levels(other)[:16]).any()


def test_every_picture_of_a_chain_again(pipeline: SdxlPipeline) -> None:
    """From recipes alone: each names its parents by what is seen, however they come back."""
    parent = draw(pipeline, replace(LIKE, num_images=1, first_index=1))[0]
    mask = painted((slice(0, 32), slice(0, 64)))
    first = picture_of(parent)
    request = replace(
        LIKE, seed=8, source=Source(first.digest, 0.7, mask=mask.digest), num_images=2
    )
    _, child = draw(pipeline, request, first, mask)
    grandchild_request = replace(
        LIKE, num_images=1, source=Source(picture_of(child).digest, 0.3), upscale=2.0
    )
    grandchild = draw(pipeline, grandchild_request, picture_of(child))[0]
    # Again, from nothing but the requests.
    parent = draw(pipeline, replace(LIKE, num_images=1, first_index=1))[0]
    again = replace(request, num_images=1, first_index=1)
    (child,) = draw(pipeline, again, picture_of(parent), mask)
    assert draw(pipeline, grandchild_request, picture_of(child))[0].rgb == grandchild.rgb
    recipe = describe(again, 1, model="m")
    assert f"Source: {first.digest}" in recipe
    assert f"Mask: {mask.digest}" in recipe
    assert "Denoising strength: 0.7" in recipe


def test_variations(pipeline: SdxlPipeline) -> None:
    plain = draw(pipeline, replace(LIKE, num_images=1, first_index=1))[0]
    none, *_ = draw(pipeline, replace(LIKE, variation=Variation(99, 0.0, index=1)))
    assert none.rgb == plain.rgb
    near, other_near = draw(pipeline, replace(LIKE, variation=Variation(99, 0.1, index=1)))
    far, _ = draw(pipeline, replace(LIKE, variation=Variation(99, 0.9, index=1)))
    assert near.rgb != other_near.rgb
    distance = [np.abs(levels(one).astype(int) - levels(plain)).mean() for one in (near, far)]
    assert 0 < distance[0] < distance[1]


@pytest.mark.parametrize("times", [1.5, 2.0])
@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "dpmpp_sde"])
def test_upscaling_in_tiles(
    pipeline: SdxlPipeline, first: Picture, times: float, sampler: str
) -> None:
    request = replace(LIKE, source=Source(first.digest, 0.4), upscale=times, sampler=sampler)
    images = draw(pipeline, request, first)
    assert {(one.width_px, one.height_px) for one in images} == {(int(64 * times),) * 2}
    assert images[0].rgb != images[1].rgb
    assert [one.rgb for one in draw(pipeline, request, first)] == [one.rgb for one in images]


def test_lanczos_alone_takes_no_step(pipeline: SdxlPipeline, first: Picture) -> None:
    request = replace(LIKE, source=Source(first.digest, 0.0), upscale=2.0, num_images=1)
    assert request.passes == 0
    reports = list(pipeline.generate(request, pictures={first.digest: first}))
    assert [one.step for one in reports] == [9, 10]
    (image,) = drawn(iter(reports))
    small = levels(image).reshape(64, 2, 64, 2, 3).mean((1, 3))
    own = np.frombuffer(first.rgba, np.uint8).reshape(64, 64, 4)[..., :3]
    assert np.abs(small - own).mean() < 4  # of 255, of a lively picture


def test_no_memory_holds_noise(golden: Golden, pipeline: SdxlPipeline) -> None:
    """Tiles have theirs added to the sample alone."""
    del pipeline
    for sampler in ("euler_ancestral", "dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde", "lcm", "tcd"):
        table = make_schedule(golden.config.scheduler, sampler, None, 8).table
        weights = table[:, MODEL_COLUMNS:].reshape(-1, 1 + MEMORIES, SOURCES)
        assert weights[:, 0, NOISE].any()
        assert not weights[:, 1:, NOISE].any()


def test_prompts_that_change(pipeline: SdxlPipeline) -> None:
    def rgb(prompt: str, negative: str | None = None) -> bytes:
        request = replace(LIKE, prompt=prompt, negative_prompt=negative, num_images=1)
        return draw(pipeline, request)[0].rgb

    assert rgb("a [red:red:0.5] circle") == rgb("a red circle")
    assert rgb("a [blue:red:0] circle") == rgb("a red circle")
    half, other = rgb("a [red:blue:0.5] circle"), rgb("a [red:blue:0.9] circle")
    assert len({half, other, rgb("a red circle"), rgb("a blue circle")}) == 4
    assert rgb("[red|blue] circle") not in {rgb("red circle"), rgb("blue circle")}
    assert rgb("red", "[blue:tree:4]") != rgb("red", "blue")


def test_weights_change_the_picture(pipeline: SdxlPipeline) -> None:
    def rgb(prompt: str, emphasis: str) -> bytes:
        request = replace(LIKE, prompt=prompt, num_images=1, emphasis=emphasis)
        return draw(pipeline, request)[0].rgb

    drawn_so = {rgb("a (red:1.5) circle", emphasis) for emphasis in ("mean", "interpolation")}
    assert len(drawn_so) == 2
    assert rgb("a red circle", "mean") == rgb("a (red:1) circle", "interpolation")
    assert rgb("a red circle", "mean") not in drawn_so


def test_clip_skip(pipeline: SdxlPipeline) -> None:
    plain, two, one = (
        draw(pipeline, replace(LIKE, num_images=1, clip_skip=skip))[0].rgb for skip in (None, 2, 1)
    )
    assert plain == two != one
    with pytest.raises(InvalidRequestError, match="Clip skip 12 is beyond"):
        pipeline.check(replace(LIKE, clip_skip=12))


def test_what_is_not_here_is_said_at_once(pipeline: SdxlPipeline, first: Picture) -> None:
    request = replace(LIKE, source=Source(first.digest))
    pipeline.check(request)  # whether the picture is there, nobody knows yet
    with pytest.raises(InvalidRequestError, match=r"is not here\. Give it again"):
        pipeline.generate(request)


def test_more_chunks_than_are_ready(pipeline: SdxlPipeline) -> None:
    long = replace(LIKE, prompt="red " * 200)
    with pytest.raises(InvalidRequestError, match="200 tokens long; this model reads 150 here"):
        pipeline.check(long)
    with pytest.raises(InvalidRequestError, match="'red' has a weight of 11;"):
        pipeline.check(replace(LIKE, prompt="(red:11)"))
