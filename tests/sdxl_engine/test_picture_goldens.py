"""From a picture: img2img, and inpainting of both kinds, against PyTorch diffusers' pipelines."""

import json
import shutil
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from safetensors.numpy import load_file

from sdxl_engine import ImageRequest, SdxlPipeline
from sdxl_engine.canvas import canvas_of, masked_pixels, pixels
from sdxl_engine.programs.arithmetic import IMAGES
from sdxl_engine.programs.compiler import EncodePrograms, SizePrograms, TextPrograms, make_mesh
from sdxl_engine.request import Picture, Source
from tests.sdxl_engine.conftest import GOLDENS, Array, CompileCounter, Golden, assert_within

FOLDER = GOLDENS / "pictures"
FACTS = json.loads((FOLDER / "goldens.json").read_text(encoding="utf-8"))
PICTURE, MASK = "a" * 64, "b" * 64  # digests
INPAINTING = "inpainting"


def nhwc(array: Array) -> Array:
    return array.transpose(0, 2, 3, 1)


def brought(arrays: dict[str, Array]) -> dict[str, Picture]:
    """The picture and the mask, as a request names them."""
    picture, mask = nhwc(arrays["picture"])[0], nhwc(arrays["mask"])[0]
    height, width, _ = picture.shape
    opaque = np.full_like(mask, 255)
    return {
        digest: Picture(digest, width, height, np.concatenate([shown, opaque], axis=-1).tobytes())
        for digest, shown in ((PICTURE, picture), (MASK, np.repeat(mask, 3, axis=-1)))
    }


def request_of(model: str, case: str) -> ImageRequest:
    facts = FACTS["models"][model]
    own: dict[str, Any] = facts["cases"][case]
    return ImageRequest(
        FACTS["prompt"],
        FACTS["negative_prompt"],
        num_inference_steps=FACTS["num_inference_steps"],
        guidance_scale=own["guidance_scale"],
        width_px=facts["width_px"],
        height_px=facts["height_px"],
        num_images=2,
        sampler=own["sampler"],
        source=Source(PICTURE, own["strength"], mask=MASK if own["masked"] else None, feather_px=0),
    )


def assert_drawn_alike(pipeline: SdxlPipeline, model: str, case: str) -> None:
    arrays = load_file(FOLDER / f"{model}.safetensors")
    request, noise = request_of(model, case), nhwc(arrays["noise"])
    *_, (_, sample) = pipeline.denoise(request, pictures=brought(arrays), latents=noise)
    assert_within(sample.latents, nhwc(arrays[f"{case}.latents"]), 1e-3)


def encoded(pipeline: SdxlPipeline, request: ImageRequest, shown: Array) -> Array:
    programs = pipeline.programs[request.width_px, request.height_px]
    latents, finite = programs.encode_picture(pipeline.weights.vae, shown)
    assert finite
    return np.asarray(latents)[None]


def cases_of(model: str) -> list[str]:
    return list(FACTS["models"][model]["cases"])


@pytest.mark.parametrize("case", cases_of("tiny_a"))
def test_a_run(golden: Golden, pipeline: SdxlPipeline, compiles: CompileCounter, case: str) -> None:
    compiled = compiles.count
    assert_drawn_alike(pipeline, golden.folder.name, case)
    assert compiles.count == compiled


def test_a_picture_is_encoded_alike(golden: Golden, pipeline: SdxlPipeline) -> None:
    model = golden.folder.name
    arrays, request = load_file(FOLDER / f"{model}.safetensors"), request_of(model, "img2img.1")
    canvas = canvas_of(request, brought(arrays))
    assert canvas is not None
    assert_within(encoded(pipeline, request, pixels(canvas)), nhwc(arrays["image_latents"]), 1e-4)


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> SdxlPipeline:
    """tiny_a with the UNet of nine channels, warm for one chunk."""
    folder = tmp_path_factory.mktemp("model")
    others = shutil.ignore_patterns("unet", "golden*")
    shutil.copytree(GOLDENS / "tiny_a", folder, ignore=others, dirs_exist_ok=True)
    shutil.copytree(GOLDENS / "variants" / INPAINTING / "unet", folder / "unet")
    pipeline = SdxlPipeline.load(str(folder), devices=jax.devices()[:1])
    compiler, size = pipeline._compiler, (64, 64, 2)
    denoise = {name: program.compile() for name, program in compiler.denoise(*size).items()}
    others_of_size = compiler.size(*size)
    begin, encode_picture = (others_of_size[name].compile() for name in ("begin", "encode_picture"))
    encode = {name: program.compile() for name, program in compiler.encode().items()}
    text = TextPrograms.of(EncodePrograms(**encode), denoise)
    by_image = NamedSharding(make_mesh(compiler.devices, 2), PartitionSpec(IMAGES))
    pipeline.programs[64, 64] = SizePrograms(
        2, 2, by_image, {1: text}, begin, encode_picture, decode=begin, preview=begin
    )
    return pipeline


# Over 2 s of CPU: the fixture compiles a network.
@pytest.mark.parametrize("case", cases_of(INPAINTING))
def test_a_run_with_nine_channels(
    inpainting: SdxlPipeline, compiles: CompileCounter, case: str
) -> None:
    compiled = compiles.count
    assert_drawn_alike(inpainting, INPAINTING, case)
    assert compiles.count == compiled


def test_what_stays_is_encoded_alike(inpainting: SdxlPipeline) -> None:
    arrays = load_file(FOLDER / f"{INPAINTING}.safetensors")
    request = request_of(INPAINTING, "inpaint.1")
    canvas = canvas_of(request, brought(arrays))
    assert canvas is not None
    assert_within(
        encoded(inpainting, request, masked_pixels(canvas)),
        nhwc(arrays["masked_image_latents"]),
        1e-4,
    )
