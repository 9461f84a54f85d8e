"""The whole pipeline: against diffusers' own, over devices, and without a compile after warm-up."""

from collections.abc import Iterator

import jax
import numpy as np
import pytest

from sdxl_engine import DrawError, ImageRequest, InvalidRequestError, SdxlPipeline
from tests.sdxl_engine.conftest import Golden, assert_within

COMPILING = "/jax/core/compile/backend_compile_duration"


class CompileCounter:
    """Counts what XLA compiles, through jax's own monitoring."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, event: str, duration_s: float, **details: object) -> None:
        self.count += event == COMPILING


@pytest.fixture
def compiles() -> Iterator[CompileCounter]:
    counter = CompileCounter()
    jax.monitoring.register_event_duration_secs_listener(counter)
    yield counter
    jax.monitoring.unregister_event_duration_listener(counter)


def golden_request(golden: Golden, case: str, **changes: object) -> ImageRequest:
    run = golden.facts["run"]
    negative = golden.facts["negative_prompts"].get(case)
    settings = {**run, "negative_prompt": negative, "num_images": 2, **changes}
    return ImageRequest(**settings)


@pytest.mark.parametrize("case", ["none", "empty", "real", "unguided"])
def test_twenty_steps(golden: Golden, pipeline: SdxlPipeline, case: str):
    guidance = {"guidance_scale": 1.0} if case == "unguided" else {}
    request = golden_request(golden, case, **guidance)
    for step, latents in pipeline.denoise(request, latents=golden.nhwc("run.noise")):
        if case == "none" and step:
            expected = golden["run.none.steps"][step - 1].transpose(0, 2, 3, 1)
            assert_within(latents, expected, 1e-3)
    assert step == request.num_inference_steps
    assert_within(latents, golden.nhwc(f"run.{case}.latents"), 1e-3)
    pixels = pipeline.decode(request, latents)
    oracle = np.round(golden[f"run.{case}.images"] * 255)
    assert np.abs(pixels - oracle).max() <= 1


def test_no_negative_prompt_is_not_the_empty_one(golden: Golden, pipeline: SdxlPipeline):
    finals = []
    for case in ("none", "empty"):
        *_, (_, latents) = pipeline.denoise(golden_request(golden, case))
        finals.append(np.asarray(latents))
    assert np.abs(finals[0] - finals[1]).max() > 1e-2


def test_generate_reports_and_ends_with_the_images(golden: Golden, pipeline: SdxlPipeline):
    request = golden_request(golden, "none", seed=7)
    reports = list(pipeline.generate(request))
    assert [report.step for report in reports] == [*range(0, 21, 2), 20]
    assert all(not report.images for report in reports[:-1])
    images = reports[-1].images
    assert [image.index for image in images] == [0, 1]
    assert all(len(image.rgb) == image.width_px * image.height_px * 3 for image in images)
    assert images[0].rgb != images[1].rgb


def test_nothing_compiles_after_warm_up(
    golden: Golden, pipeline: SdxlPipeline, compiles: CompileCounter
):
    # The listener hears a compile when there is one.
    jax.jit(lambda x: x * 3)(np.float32(golden.config.unet.sample_size))
    assert compiles.count == 1
    negatives = [None, "", "red", "green square"]
    for index in range(20):
        request = golden_request(
            golden,
            "none",
            prompt="big " * (index % 4) + f"circle {index}",
            negative_prompt=negatives[index % len(negatives)],
            seed=index * 214_748_363,
            guidance_scale=[0, 1, 1.5, 5, 7.5, 20][index % 6],
            num_inference_steps=1 + index,
            num_images=1 + index % 2,
        )
        *_, last = pipeline.generate(request)
        assert len(last.images) == request.num_images
    assert compiles.count == 1


def test_image_k_is_the_same_alone_and_in_company(golden: Golden, pipeline: SdxlPipeline):
    *_, pair = pipeline.generate(golden_request(golden, "none", seed=3))
    *_, alone = pipeline.generate(golden_request(golden, "none", seed=3, num_images=1))
    assert alone.images == pair.images[:1]


def test_seeds_draw_different_images(golden: Golden, pipeline: SdxlPipeline):
    seeds = [0, 1, 2**32 - 1]
    drawn = set()
    for seed in seeds:
        *_, last = pipeline.generate(golden_request(golden, "none", seed=seed))
        drawn |= {image.rgb for image in last.images}
    assert len(drawn) == 2 * len(seeds)


# One model suffices: four compilations each is what this costs.
@pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)
def test_the_number_of_devices_changes_nothing(golden: Golden):
    pictures = {}
    for devices in (1, 2, 4, 8):
        pipeline = SdxlPipeline.load(str(golden.folder), devices=jax.devices()[:devices])
        size = golden.facts["run"]["width_px"], golden.facts["run"]["height_px"]
        pipeline.warm_up([size], num_images=4)
        request = golden_request(golden, "real", seed=11, num_images=4, num_inference_steps=6)
        *_, last = pipeline.generate(request)
        pictures[devices] = np.array([list(image.rgb) for image in last.images])
    for devices in (2, 4, 8):
        # Other batch sizes sum in another order: the last of 8 bits may differ, nothing more.
        assert np.abs(pictures[devices] - pictures[1]).max() <= 1


def test_refusals_come_before_the_first_step(golden: Golden, pipeline: SdxlPipeline):
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
def test_a_size_that_cannot_be_drawn_is_not_warmed(pipeline: SdxlPipeline, size: tuple[int, int]):
    warm = pipeline.sizes
    with pytest.raises(InvalidRequestError):
        pipeline.warm_up([*warm, size])
    with pytest.raises(InvalidRequestError):
        pipeline.warm_up(warm, num_images=0)
    assert pipeline.sizes == warm


def test_numbers_that_are_no_picture_are_an_error(golden: Golden, pipeline: SdxlPipeline):
    request = golden_request(golden, "none")
    noise = golden.nhwc("run.noise").copy()
    noise[1, 0, 0, 0] = np.nan
    with pytest.raises(DrawError, match="no picture"):
        list(pipeline.generate(request, latents=noise))
    # Only the images that were asked for count.
    *_, (_, latents) = pipeline.denoise(golden_request(golden, "none", num_images=1))
    assert len(pipeline.decode(golden_request(golden, "none", num_images=1), latents)) == 1


def test_nothing_is_warm_before_warm_up(golden: Golden):
    cold = SdxlPipeline.load(str(golden.folder), devices=jax.devices()[:1])
    assert cold.sizes == ()
    with pytest.raises(InvalidRequestError, match="warm_up comes first"):
        cold.check(golden_request(golden, "none"))


def test_emoji_and_other_scripts_are_drawn(golden: Golden, pipeline: SdxlPipeline):
    request = golden_request(golden, "none", prompt="🐬 家 é", num_inference_steps=1)
    *_, last = pipeline.generate(request)
    assert len(last.images) == 2
