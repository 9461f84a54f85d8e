import io
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdxl_engine import GeneratedImage, ImageRequest
from sdxl_engine.images import describe, encode_png, encode_preview, encode_within
from sdxl_engine.request import Lora, ModelCard

NOISE = random.Random(0).randbytes(64 * 48 * 3)
IMAGE = GeneratedImage(index=0, seed=1, width_px=64, height_px=48, rgb=NOISE)


CARD = ModelCard("doodle")


def test_describe_is_the_form_that_other_tools_read() -> None:
    request = ImageRequest("a cat", "dogs", 7, 30, 6.5, 1024, 768, sampler="euler")
    assert describe(request, 3, model=CARD) == (
        "a cat\nNegative prompt: dogs\n"
        "Steps: 30, Sampler: Euler, CFG scale: 6.5, Seed: 7, Index: 3, Size: 1024x768, "
        "Model: doodle"
    )
    karras = ImageRequest("a cat", sampler="dpmpp_2m", spacing="karras")
    assert "Sampler: DPM++ 2M, Schedule type: Karras, CFG" in describe(karras, 0, model=CARD)
    assert "Negative" not in describe(ImageRequest("a cat"), 0, model=CARD)
    assert "Clip skip: 1" in describe(karras, model=ModelCard("m", clip_skip=1))
    assert describe(karras, model="doodle") == describe(karras, 0, model=CARD)


def test_what_is_not_usual_is_told_in_all_its_digits() -> None:
    told = ImageRequest(
        "a cat",
        num_inference_steps=3,
        guidance_scale=7.1234567,
        guidance_rescale=0.7,
        guidance_interval=(0.2, 0.9),
        loras=(Lora("x", 0.123456789),),
        timesteps=(999, 500, 249),
    )
    first, last = describe(told, 0, model=CARD).splitlines()
    assert first == "a cat <lora:x:0.123456789>"
    assert last.startswith(
        'Steps: 3, Timesteps: "999, 500, 249", CFG scale: 7.1234567, CFG Rescale phi: 0.7, '
        "Guidance interval: 0.2 to 0.9, Seed: 0"
    )


def test_the_files_that_drew_it_are_named_and_quoted_where_they_hold_separators() -> None:
    card = ModelCard("a: b, c", "0123456789", "vae", "abcdef0123", {"x": "1" * 12, "y": "2" * 12})
    request = ImageRequest("a cat", loras=(Lora("x", 0.8), Lora("y", -1)))
    first, last = describe(request, 0, model=card).splitlines()
    assert first == "a cat <lora:x:0.8> <lora:y:-1>"
    assert last.endswith(
        'Model hash: 0123456789, Model: "a: b, c", VAE hash: abcdef0123, VAE: vae, '
        'Lora hashes: "x: 111111111111, y: 222222222222"'
    )


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat\nSteps: 1, Seed: 99, Size: 8x8",
        "Negative prompt: dogs",
        "Steps: 20, Sampler: Euler, CFG scale: 5",
        "a cat\nNegative prompt: dogs\nSteps: 1",
    ],
)
def test_a_prompt_that_looks_like_a_field_stays_one(prompt: str) -> None:
    first, *others = describe(ImageRequest(prompt), 0, model=CARD).splitlines()
    assert first.replace(" :", ":") == " ".join(prompt.split())
    assert not first.startswith(("Negative prompt:", "Steps:"))
    assert [line.partition(":")[0] for line in others] == ["Steps"]


def test_a_webps_comment_is_as_exif_wants_it() -> None:
    """Walked by hand: Pillow reads any type."""
    data = encode_within(IMAGE, "a cät", 1).data
    with Image.open(io.BytesIO(data)) as picture:
        exif = picture.info["exif"].removeprefix(b"Exif\0\0")
    (first,) = struct.unpack_from(">L", exif, 4)
    assert struct.unpack_from(">HHHL", exif, first) == (1, 0x8769, 4, 1)
    (inner,) = struct.unpack_from(">L", exif, first + 10)
    count, tag, kind, length, place = struct.unpack_from(">HHHLL", exif, inner)
    assert (count, tag, kind) == (1, 0x9286, 7)
    assert exif[place : place + length] == b"UNICODE\0" + "a cät".encode("utf-16-be")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200))
def test_png_keeps_pixels_and_parameters(parameters: str) -> None:
    with Image.open(io.BytesIO(encode_png(IMAGE, parameters))) as picture:
        assert picture.tobytes() == NOISE
        assert picture.info["parameters"] == parameters


def test_png_when_it_fits_else_webp() -> None:
    png = encode_within(IMAGE, "a cat", 10**6)
    assert png.extension == "png"
    webp = encode_within(IMAGE, "a cät 🐈", len(png.data) - 1)
    assert webp.extension == "webp"
    assert len(webp.data) < len(png.data)
    with Image.open(io.BytesIO(webp.data)) as picture:
        assert picture.size == (64, 48)
        comment = picture.getexif().get_ifd(0x8769)[0x9286]
    assert comment.removeprefix(b"UNICODE\0").decode("utf-16-be") == "a cät 🐈"


@settings(max_examples=20)
@given(st.integers(1, 10_000))
def test_the_smallest_is_given_when_nothing_fits(limit_bytes: int) -> None:
    encoded = encode_within(IMAGE, "a cat", limit_bytes)
    smallest = encode_within(IMAGE, "a cat", 1)
    assert len(encoded.data) <= limit_bytes or encoded == smallest


def test_previews_of_any_aspect_are_as_large() -> None:
    wide = GeneratedImage(0, 1, 152, 104, bytes(3 * 152 * 104))  # the latents of 1216x832
    with Image.open(io.BytesIO(encode_preview((wide,)).data)) as picture:
        assert picture.size == (256, 175)


@pytest.mark.parametrize(("count", "size"), [(1, (256, 192)), (2, (512, 192)), (3, (512, 384))])
def test_previews_become_one_picture(count: int, size: tuple[int, int]) -> None:
    reds, greens = (bytes(colour) * 64 * 48 for colour in ((200, 0, 0), (0, 200, 0)))
    previews = [GeneratedImage(k, 1, 64, 48, reds if k % 2 == 0 else greens) for k in range(count)]
    sheet = encode_preview(tuple(previews))
    assert sheet.extension == "webp"
    with Image.open(io.BytesIO(sheet.data)) as picture:
        assert picture.size == size
        for k in range(count):
            colour = picture.getpixel((128 + k % 2 * 256, 96 + k // 2 * 192))
            assert isinstance(colour, tuple)
            red, green, _ = colour
            assert (red > 150) == (k % 2 == 0) == (green < 50)


def test_pixels_must_match_the_size() -> None:
    with pytest.raises(ValueError, match="not enough image data"):
        encode_png(GeneratedImage(0, 1, 64, 64, b"short"), "")
