"""The whole pipeline: against diffusers' own, over devices, and without a compile after warm-up."""

import random
from dataclasses import fields, replace
from typing import Any

import jax
import numpy as np
import pytest

from sdxl_engine import DrawError, ImageRequest, InvalidRequestError, SdxlPipeline
from sdxl_engine.drawing import needed
from sdxl_engine.drawing import segments as segments_of
from sdxl_engine.programs.compiler import Executable, Needs, not_compiled
from sdxl_engine.programs.preview import preview_factors
from sdxl_engine.request import (
    ALPHA,
    AROUND,
    EMPHASES,
    MAX_IMAGES,
    MAX_INFERENCE_STEPS,
    MAX_SEED,
    OWN_SPACING_SAMPLERS,
    RESIZES,
    SAMPLERS,
    SPACINGS,
    UPSCALES,
    Picture,
    Source,
    Variation,
)
from sdxl_engine.spans import read_spans
from tests.sdxl_engine.conftest import Array, CompileCounter, Golden, assert_within, drawn


def golden_request(golden: Golden, case: str, **changes: object) -> ImageRequest:
    run = golden.facts["run"]
    negative = golden.facts["negative_prompts"].get(case)
    settings = {**run, "negative_prompt": negative, "num_images": 2, **changes}
    return ImageRequest(**settings)


@pytest.mark.parametrize("case", ["none", "empty", "real", "unguided"])
def test_twenty_steps(golden: Golden, pipeline: SdxlPipeline, case: str) -> None:
    guidance = {"guidance_scale": 1.0} if case == "unguided" else {}
    request = golden_request(golden, case, **guidance)
    for step, sample in pipeline.denoise(request, latents=golden.nhwc("run.noise")):
        if case == "none":
            expected = golden["run.none.steps"][step - 1].transpose(0, 2, 3, 1)
            assert_within(sample.latents, expected, 1e-3)
    assert step == request.num_inference_steps
    assert_within(sample.latents, golden.nhwc(f"run.{case}.latents"), 1e-3)
    oracle = np.round(golden[f"run.{case}.images"] * 255)
    images = pipeline.decode(request, sample.latents)()
    pixels = np.array([list(image.rgb) for image in images]).reshape(oracle.shape)
    assert np.abs(pixels - oracle).max() <= 1


def test_no_negative_prompt_is_not_the_empty_one(golden: Golden, pipeline: SdxlPipeline) -> None:
    finals = []
    for case in ("none", "empty"):
        *_, (_, sample) = pipeline.denoise(golden_request(golden, case))
        finals.append(np.asarray(sample.latents))
    assert np.abs(finals[0] - finals[1]).max() > 1e-2


def test_generate_reports_and_ends_with_the_images(golden: Golden, pipeline: SdxlPipeline) -> None:
    request = golden_request(golden, "none", seed=7)
    reports = list(pipeline.generate(request))
    assert [report.step for report in reports] == [*range(0, 21, 2)]
    assert all(report.fetch is None for report in reports[:-1])
    images = drawn(reports)
    assert [image.index for image in images] == [0, 1]
    assert all(len(image.rgb) == image.width_px * image.height_px * 3 for image in images)
    assert images[0].rgb != images[1].rgb


WORDS = ["big", "(red:1.2)", "[circle]", "[star|red]", "[blue:tree:0.5]", ","]


def _from_a_picture(draw: random.Random, picture: str, mask: str) -> dict[str, object]:
    if draw.random() < 0.4:
        return {}
    if draw.random() < 0.2:
        source = Source(picture, strength=draw.choice([0, 0.1, 0.4]))
        return {"source": source, "upscale": draw.choice(list(UPSCALES))}
    return {
        "source": Source(
            picture,
            strength=draw.choice([0.01, 0.3, 0.9, 1]),
            zoom=draw.choice([1.5, 2]),
            resize=draw.choice(RESIZES),
            mask=draw.choice([None, ALPHA, AROUND, mask]),
            feather_px=draw.choice([0, 8]),
        )
    }


# One model suffices: it is a matter of shapes and dtypes.
@pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)
@pytest.mark.timeout(300)
def test_nothing_compiles_after_warm_up(
    golden: Golden, pipeline: SdxlPipeline, compiles: CompileCounter
) -> None:
    # The listener hears a compile when there is one.
    jax.jit(lambda x: x * 3)(np.float32(golden.config.unet.sample_size))
    assert compiles.count == 1
    draw = random.Random(0)
    seen: set[object] = set()
    side = golden.facts["run"]["width_px"]
    levels = np.random.default_rng(0).integers(0, 256, (2, side, side, 4)).astype(np.uint8)
    picture, mask = (
        Picture(digest * 64, side, side, one.tobytes())
        for digest, one in zip("ab", levels, strict=True)
    )
    pictures = {one.digest: one for one in (picture, mask)}
    for _ in range(200):
        sampler = draw.choice(sorted(SAMPLERS))
        own = sampler in OWN_SPACING_SAMPLERS
        request = golden_request(
            golden,
            "none",
            prompt=" ".join([draw.choice(["", "red BREAK"]), *draw.choices(WORDS, k=4)]),
            negative_prompt=draw.choice([None, "", "red", "(green:0.5) square", "tree " * 15]),
            seed=draw.randint(0, MAX_SEED),
            guidance_scale=draw.choice([0, 1, 1.5, 5, 7.5, 20, draw.uniform(0, 20)]),
            guidance_rescale=draw.choice([0, 0, 0.7, 1]),
            guidance_interval=draw.choice([(0, 1), (0.2, 0.8), (0, 0), (0.5, 0.55)]),
            sampler=sampler,
            spacing=None if own else draw.choice([None, *SPACINGS]),
            # Each order of magnitude alike: many steps tell no more than few and take longer.
            num_inference_steps=round(MAX_INFERENCE_STEPS ** draw.random()),
            num_images=draw.randint(1, 2),
            first_index=draw.randint(0, MAX_IMAGES - 2),
            emphasis=draw.choice(sorted(EMPHASES)),
            clip_skip=draw.choice([None, 1, 2]),
            variation=draw.choice([None, Variation(draw.randint(0, MAX_SEED), draw.random(), 3)]),
            **_from_a_picture(draw, picture.digest, mask.digest),
        )
        reports = pipeline.generate(request, pictures=pictures, previews=draw.random() < 0.5)
        images = drawn(reports)
        assert len(images) == request.num_images
        assert (images[0].width_px, images[0].height_px) == request.result_px
        seen |= {sampler, ("spacing", request.spacing)}
        seen.add("masked" if request.source and request.source.mask else request.upscale)
    spacings = {("spacing", spacing) for spacing in (None, *SPACINGS)}
    assert seen == {*SAMPLERS, *spacings, "masked", None, *UPSCALES}
    assert compiles.count == 1


def told_otherwise(pipeline: SdxlPipeline, **scheduler: Any) -> SdxlPipeline:
    """The same networks and programs under another scheduler file."""
    config = pipeline._config
    other = SdxlPipeline(
        pipeline.model_name,
        replace(config, scheduler=replace(config.scheduler, **scheduler)),
        pipeline.tokenizer,
        pipeline.weights,
        pipeline._compiler,
        pipeline._memory,
        pipeline._factors,
    )
    other.programs = pipeline.programs
    return other


def last_latents(pipeline: SdxlPipeline, request: ImageRequest) -> Array:
    *_, (_, sample) = pipeline.denoise(request)
    return np.asarray(sample.latents)


@pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)
def test_the_model_says_how_it_is_drawn(golden: Golden, pipeline: SdxlPipeline) -> None:
    assert (pipeline.default_sampler, pipeline.default_spacing) == ("euler", "leading")
    request = golden_request(golden, "none", num_inference_steps=4, sampler=None)
    euler = last_latents(pipeline, replace(request, sampler="euler"))
    assert np.array_equal(last_latents(pipeline, request), euler)
    other = told_otherwise(pipeline, sampler="heun", sigma_spacing="karras")
    assert (other.default_sampler, other.default_spacing) == ("heun", "karras")
    own = last_latents(other, request)
    assert np.array_equal(own, last_latents(other, replace(request, sampler="heun")))
    assert not np.array_equal(own, euler)
    distilled = told_otherwise(pipeline, sampler="lcm", original_inference_steps=4)
    with pytest.raises(InvalidRequestError, match="LCM places its steps itself"):
        distilled.check(replace(request, spacing="karras"))
    with pytest.raises(InvalidRequestError, match="distilled from 4 steps"):
        distilled.check(replace(request, num_inference_steps=5))


@pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)
@pytest.mark.parametrize("sampler", ["heun", "unipc", "dpmpp_3m_sde", "euler_ancestral_cfg_pp"])
def test_segments_are_one_way(golden: Golden, pipeline: SdxlPipeline, sampler: str) -> None:
    """What the loop holds goes from one call to the next: ten calls draw what one does."""
    request = golden_request(golden, "real", num_inference_steps=10, sampler=sampler)
    in_ten = last_latents(pipeline, request)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sdxl_engine.drawing.SEGMENTS", 1)
        assert len(list(pipeline.denoise(request))) == 1
        assert np.array_equal(last_latents(pipeline, request), in_ten)


def test_guidance_within_an_interval(golden: Golden, pipeline: SdxlPipeline) -> None:
    """Inside it the guided steps, outside those without: each end is what one of the two draws."""

    def draw(**changes: object) -> Array:
        request = golden_request(golden, "real", num_inference_steps=10, **changes)
        *_, (step, sample) = pipeline.denoise(request)
        assert step == 10
        return np.asarray(sample.latents)

    guided, unguided = draw(), draw(guidance_scale=1.0)
    assert np.array_equal(draw(guidance_interval=(0.3, 0.3)), unguided)
    assert np.array_equal(draw(guidance_interval=(0.0, 1.0)), guided)
    partly = draw(guidance_interval=(0.2, 0.6))
    assert not np.array_equal(partly, guided)
    assert not np.array_equal(partly, unguided)
    # Guidance of exactly 1 takes the other program and comes to the same.
    assert_within(draw(guidance_scale=1.0 + 1e-7), unguided, 1e-4)


@pytest.mark.parametrize(
    ("guides", "total", "interval", "expected"),
    [
        (5.0, 4, (0.0, 1.0), [(0, 1, True), (1, 2, True), (2, 3, True), (3, 4, True)]),
        (1.0, 2, (0.0, 1.0), [(0, 1, False), (1, 2, False)]),
        (5.0, 1, (0.0, 1.0), [(0, 1, True)]),
        (5.0, 3, (0.4, 1.0), [(0, 1, False), (1, 2, True), (2, 3, True)]),
        (5.0, 40, (0.26, 0.3), [(8, 10, False), (10, 12, True), (12, 16, False)]),
    ],
)
def test_segments_break_where_guidance_begins_and_ends(
    guides: float, total: int, interval: tuple[float, float], expected: list[tuple[int, int, bool]]
) -> None:
    request = ImageRequest(
        "any", guidance_scale=guides, num_inference_steps=total, guidance_interval=interval
    )
    segments = list(segments_of(request))
    assert [first for first, _, _ in segments] == [0, *(last for _, last, _ in segments[:-1])]
    assert segments[-1][1] == total
    assert set(expected) <= set(segments)


def test_previews_show_what_is_becoming(golden: Golden, pipeline: SdxlPipeline) -> None:
    request = golden_request(golden, "none")
    *early, last = pipeline.generate(request, previews=True)
    assert early[0].previews == ()
    factor = golden.config.vae.scale_factor
    for progress in early[1:]:
        assert len(progress.previews) == request.num_images
        for preview in progress.previews:
            assert preview.width_px == request.width_px // factor
            assert len(preview.rgb) == preview.width_px * preview.height_px * 3
    # The last estimate is the image: its preview is the linear map of the final latents.
    *_, (_, sample) = pipeline.denoise(request)
    factors = preview_factors(golden.folder, golden.config.vae)
    colours = np.asarray(sample.latents) @ factors[:4] + factors[4]
    levels = np.round((colours.clip(-1, 1) / 2 + 0.5) * 255).astype(np.uint8)
    for shown, expected in zip(early[-1].previews, levels, strict=True):
        pixels = np.frombuffer(shown.rgb, np.uint8).reshape(expected.shape)
        assert np.abs(pixels.astype(int) - expected).max() <= 1
    assert last.previews == ()


def test_image_k_is_the_same_alone_and_in_company(golden: Golden, pipeline: SdxlPipeline) -> None:
    pair = drawn(pipeline.generate(golden_request(golden, "none", seed=3)))
    for index in (0, 1):
        request = golden_request(golden, "none", seed=3, num_images=1, first_index=index)
        assert drawn(pipeline.generate(request)) == pair[index : index + 1]


def test_an_index_beyond_the_request_that_was_drawn(golden: Golden, pipeline: SdxlPipeline) -> None:
    """The same two images, begun at 7: the first of them is the last of two begun at 6."""
    pairs = []
    for first_index in (6, 7):
        request = golden_request(
            golden, "none", seed=3, sampler="euler_ancestral", first_index=first_index
        )
        reports = list(pipeline.generate(request, previews=True))
        previews = reports[-2].previews
        assert [preview.index for preview in previews] == [first_index, first_index + 1]
        pairs.append(drawn(reports))
    assert [image.index for images in pairs for image in images] == [6, 7, 7, 8]
    assert pairs[0][1] == pairs[1][0]


def test_seeds_draw_different_images(golden: Golden, pipeline: SdxlPipeline) -> None:
    seeds = [0, 1, 2**32 - 1]
    pictures = set()
    for seed in seeds:
        images = drawn(pipeline.generate(golden_request(golden, "none", seed=seed)))
        pictures |= {image.rgb for image in images}
    assert len(pictures) == 2 * len(seeds)


# One model suffices: three compilations each is what this costs.
@pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)
@pytest.mark.timeout(300)
def test_the_number_of_devices_changes_nothing(golden: Golden) -> None:
    pictures = {}
    for devices in (1, 4, 8):  # the last has two for each image, one a half of guidance
        pipeline = SdxlPipeline.load(str(golden.folder), devices=jax.devices()[:devices])
        width_px, height_px = 64, 96  # a portrait: what transposes it is spread, too
        pipeline.warm_up([(width_px, height_px)], num_images=4)
        request = golden_request(
            golden,
            "real",
            width_px=width_px,
            height_px=height_px,
            seed=11,
            num_images=4,
            num_inference_steps=6,
            sampler="euler_ancestral",
            guidance_rescale=0.5,
            guidance_interval=(0.0, 0.7),
        )
        images = drawn(pipeline.generate(request))
        pictures[devices] = np.array([list(image.rgb) for image in images])
        (third,) = drawn(pipeline.generate(replace(request, num_images=1, first_index=2)))
        assert third.index == 2
        assert np.array_equal(list(third.rgb), pictures[devices][2])
    for devices in (4, 8):
        # Other batch sizes sum in another order: the last of 8 bits may differ, nothing more.
        assert np.abs(pictures[devices] - pictures[1]).max() <= 1


def test_refusals_come_before_the_first_step(golden: Golden, pipeline: SdxlPipeline) -> None:
    def refusal(**changes: object) -> str:
        with pytest.raises(InvalidRequestError) as caught:
            pipeline.generate(golden_request(golden, "none", **changes))
        return str(caught.value)

    assert "not ready here. Choose one of" in refusal(width_px=1024)
    assert "3 images at once are more than the 2" in refusal(num_images=3)
    assert "Shorten it: it would stop reading" in refusal(prompt="a red circle " * 70)
    assert "Shorten it: it would stop reading" in refusal(negative_prompt="a red circle " * 70)
    with pytest.raises(InvalidRequestError, match="The latents must be"):
        pipeline.generate(golden_request(golden, "none"), latents=np.zeros((2, 1, 1, 4), "f4"))


@pytest.mark.parametrize("size", [(72, 64), (32, 32), (0, 0), (-64, 64), (4096, 64)])
def test_a_size_that_cannot_be_drawn_is_not_warmed(
    pipeline: SdxlPipeline, size: tuple[int, int]
) -> None:
    warm = pipeline.sizes
    with pytest.raises(InvalidRequestError):
        pipeline.warm_up([*warm, size])
    with pytest.raises(InvalidRequestError):
        pipeline.warm_up(warm, num_images=0)
    assert pipeline.sizes == warm


def test_numbers_that_are_no_picture_are_an_error(golden: Golden, pipeline: SdxlPipeline) -> None:
    request = golden_request(golden, "none")
    noise = golden.nhwc("run.noise").copy()
    noise[1, 0, 0, 0] = np.nan
    reports = list(pipeline.generate(request, latents=noise))
    with pytest.raises(DrawError, match="no picture"):
        drawn(reports)
    # Only the images that were asked for count.
    *_, (_, sample) = pipeline.denoise(golden_request(golden, "none", num_images=1))
    images = pipeline.decode(golden_request(golden, "none", num_images=1), sample.latents)()
    assert len(images) == 1


def test_nothing_is_warm_before_warm_up(golden: Golden) -> None:
    cold = SdxlPipeline.load(str(golden.folder), devices=jax.devices()[:1])
    assert cold.sizes == ()
    with pytest.raises(InvalidRequestError, match="warm_up comes first"):
        cold.check(golden_request(golden, "none"))


PICTURE = Picture("c" * 64, 8, 8, bytes(range(256)))
FROM_A_PICTURE = Source(PICTURE.digest, strength=0.5)


# One model suffices: it is a matter of what is called.
@pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "previews"),
    [
        ({}, False),
        ({}, True),
        ({"guidance_scale": 1.0}, False),
        ({"guidance_interval": (0.25, 0.75)}, False),
        ({"prompt": "red " * 100}, False),
        ({"prompt": "[red:" + "blue " * 100 + ":0.5]"}, False),
        ({"source": FROM_A_PICTURE}, False),
        ({"source": FROM_A_PICTURE, "guidance_interval": (0.0, 0.5)}, False),
        ({"source": FROM_A_PICTURE, "upscale": 2.0}, False),
        ({"source": replace(FROM_A_PICTURE, strength=0), "upscale": 2.0}, False),
    ],
)
def test_what_a_request_needs_is_what_it_calls(
    golden: Golden, pipeline: SdxlPipeline, changes: dict[str, Any], previews: bool
) -> None:
    request = golden_request(golden, "none", num_inference_steps=4, **changes)
    size = request.width_px, request.height_px
    warm = pipeline.programs[size]
    called: set[tuple[str, int]] = set()

    def heard(name: str, chunks: int, program: Any) -> Executable:
        def call(*arguments: object) -> object:
            called.add((name, chunks))
            return program(*arguments)

        return call

    def all_heard(programs: Any, chunks: int = 0) -> Any:
        names = [each.name for each in fields(programs)]
        executables = {name: getattr(programs, name) for name in names}
        wrapped = {
            name: heard(name, chunks, program)
            for name, program in executables.items()
            if name in {*Needs.everything(1).names, "encode"}
        }
        return replace(programs, **wrapped)

    texts = {chunks: all_heard(text, chunks) for chunks, text in warm.texts.items()}
    pipeline.programs[size] = replace(all_heard(warm), texts=texts)
    try:
        pictures = {PICTURE.digest: PICTURE}
        drawn(pipeline.generate(request, pictures=pictures, previews=previews))
    finally:
        pipeline.programs[size] = warm
    needs = needed(request, read_spans(pipeline.tokenizer, request, 2), previews=previews)
    assert {name for name, _ in called} - {"encode"} == needs.names
    assert {chunks for name, chunks in called if name == "encode"} == needs.chunks


# Over 2 s of CPU: what one request calls is compiled.
@pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)
def test_a_request_that_calls_more_than_was_warmed_is_refused(
    golden: Golden, pipeline: SdxlPipeline, compiles: CompileCounter
) -> None:
    own = SdxlPipeline.load(str(golden.folder), devices=jax.devices()[:1])
    request = golden_request(golden, "none", num_inference_steps=4)
    own.warm_up_for([request])
    (programs,) = own.programs.values()
    assert programs.preview is programs.encode_picture is programs.texts[1].unguided is not_compiled
    assert own.working_bytes <= pipeline.working_bytes
    compiled = compiles.count
    assert compiled == 6  # text_encoder, text_encoder_2, condition, guided, begin, decode
    assert len(drawn(own.generate(request))) == 2
    for changes in (
        {"guidance_scale": 1.0},
        {"guidance_interval": (0.0, 0.5)},
        {"source": FROM_A_PICTURE},
    ):
        other = replace(request, **changes)
        with pytest.raises(InvalidRequestError, match="made ready for other requests alone"):
            own.check(other)
        with pytest.raises(InvalidRequestError, match="made ready for other requests alone"):
            own.generate(other, pictures={PICTURE.digest: PICTURE})
    with pytest.raises(InvalidRequestError, match="made ready for other requests alone"):
        own.generate(request, previews=True)
    with pytest.raises(InvalidRequestError, match="this model reads 75 here"):
        own.check(replace(request, prompt="red " * 100))
    with pytest.raises(InvalidRequestError, match="warm_up was not told"):
        own.preview(request, jax.device_put(np.zeros((2, 8, 8, 4), np.float32)))
    assert compiles.count == compiled


def test_emoji_and_other_scripts_are_drawn(golden: Golden, pipeline: SdxlPipeline) -> None:
    request = golden_request(golden, "none", prompt="🐬 家 é", num_inference_steps=1)
    assert len(drawn(pipeline.generate(request))) == 2


def test_a_request_names_the_model_that_is_there(golden: Golden, pipeline: SdxlPipeline) -> None:
    request = golden_request(golden, "none")
    (name,) = pipeline.models
    pipeline.check(replace(request, model=name))
    with pytest.raises(InvalidRequestError, match=f"no model 'other' here. Choose one of: {name}"):
        pipeline.check(replace(request, model="other"))
