"""Pictures that people bring, of every kind, and what is none."""

import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from sdxl_engine import GeneratedImage, InvalidRequestError
from sdxl_engine.images import encode_png
from sdxl_engine.picture_worker import KEPT_SIDE_PX, MAX_PIXELS, _RefusedError, decoded
from sdxl_engine.pictures import decode, picture_of
from sdxl_engine.request import MAX_FILE_BYTES

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def as_in_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which looks at the number of pixels itself."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)


def of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def seen(data: bytes) -> np.ndarray:
    return np.asarray(decoded(data)[1])


def refusal(data: bytes) -> str:
    with pytest.raises(_RefusedError) as caught:
        decoded(data)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    return sentence


def rgb() -> Image.Image:
    return Image.fromarray(COLOURS)


def with_alpha() -> np.ndarray:
    return np.dstack([COLOURS, np.arange(54, dtype=np.uint8).reshape(6, 9) * 4])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "AVIF", "JPEG"])
def test_what_is_read(kind: str) -> None:
    lossless = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}}
    shown = seen(of(rgb(), kind, **lossless.get(kind, {})))
    assert shown.shape == (6, 9, 4)
    assert (shown[..., 3] == 255).all()
    if kind in lossless:
        np.testing.assert_array_equal(shown[..., :3], COLOURS)


def test_alpha_is_kept() -> None:
    np.testing.assert_array_equal(seen(of(Image.fromarray(with_alpha()))), with_alpha())


def test_a_palette_with_a_transparent_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    shown = seen(of(image, transparency=1))
    assert shown.tolist() == [[[255, 0, 0, 255], [0, 0, 255, 0]]]


def test_grey_with_alpha_and_black_and_white() -> None:
    assert seen(of(Image.new("LA", (1, 1), (100, 50)))).tolist() == [[[100, 100, 100, 50]]]
    assert seen(of(Image.new("1", (1, 1), 1))).tolist() == [[[255, 255, 255, 255]]]


def test_sixteen_bits_of_grey_are_scaled_and_not_cut() -> None:
    levels = np.array([[0, 255, 256, 32_768, 65_535]], np.uint16)
    shown = seen(of(Image.fromarray(levels)))
    assert shown[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_whole_numbers_of_few_levels_are_taken_as_they_are() -> None:
    assert seen(of(Image.fromarray(np.array([[0, 200]], np.int32)), "TIFF"))[0, :, 0].tolist() == [
        0,
        200,
    ]


def test_sixteen_bits_of_colour() -> None:
    """Pillow writes none: a PNG by hand."""
    row = b"\0" + struct.pack(">6H", 65_535, 0, 32_768, 257, 0, 0)

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row))
    shown = seen(data + chunk(b"IEND", b""))
    assert shown[..., :3].tolist() == [[[255, 0, 128], [1, 0, 0]]]


def test_four_inks() -> None:
    shown = seen(of(Image.new("CMYK", (8, 8), (255, 0, 255, 0)), "JPEG"))
    red, green, blue = shown[4, 4, :3].astype(int)
    assert green > red + 100
    assert green > blue + 100


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_that_was_turned(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = seen(of(rgb(), exif=exif))[..., :3]
    turned = {
        1: COLOURS,
        2: COLOURS[:, ::-1],
        3: COLOURS[::-1, ::-1],
        4: COLOURS[::-1],
        5: COLOURS.transpose(1, 0, 2),
        6: COLOURS[::-1].transpose(1, 0, 2),
        7: COLOURS[::-1, ::-1].transpose(1, 0, 2),
        8: COLOURS[:, ::-1].transpose(1, 0, 2),
    }
    np.testing.assert_array_equal(shown, turned[orientation])


def test_another_space_of_colours_becomes_srgb() -> None:
    """In Lab's profile the same three numbers are another colour."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(seen(of(rgb(), icc_profile=profile))[..., :3], COLOURS)
    np.testing.assert_array_equal(seen(of(rgb(), icc_profile=b"broken"))[..., :3], COLOURS)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first(kind: str) -> None:
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    shown = seen(of(first, kind, save_all=True, append_images=[second]))
    assert shown[0, 0, 0] > 200


def test_one_pixel_and_a_thread() -> None:
    assert seen(of(Image.new("RGB", (1, 1)))).shape == (1, 1, 4)
    long = of(Image.new("RGB", (1, 10_000)))
    assert seen(long).shape == (KEPT_SIDE_PX, 1, 4)


def test_the_hash_is_of_all_that_is_seen_and_of_nothing_else() -> None:
    plain = decoded(of(rgb()))[0]
    assert decoded(of(rgb(), "BMP"))[0] == plain
    assert decoded(of(rgb(), compress_level=0, dpi=(10, 10)))[0] == plain
    changed = COLOURS.copy()
    changed[0, 0, 0] ^= 1
    assert decoded(of(Image.fromarray(changed)))[0] != plain
    assert decoded(of(Image.fromarray(COLOURS.reshape(9, 6, 3))))[0] != plain
    large = Image.new("RGB", (KEPT_SIDE_PX + 2, 1))
    one = decoded(of(large))[0]
    large.putpixel((1, 0), (0, 0, 1))
    assert decoded(of(large))[0] != one


def huge(side: int) -> bytes:
    """A PNG whose header promises more than there is."""
    data = bytearray(of(Image.new("RGB", (1, 1))))
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def test_too_many_pixels_by_the_header() -> None:
    assert "50,000 x 50,000 pixels large; 64 million" in refusal(huge(50_000))
    assert "pixels large" in refusal(huge(int(MAX_PIXELS**0.5) + 1))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The file is empty"),
        (b"hello", "is no picture that can be read here; PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no picture that can be read"),
        (b"\0\0\0\x18ftypheic" + bytes(12), "This is a HEIC picture, which is not read here"),
        (b"\xff\x0a" + bytes(20), "This is a JPEG XL picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20), "This is a JPEG XL picture"),
    ],
)
def test_what_is_not_read_is_named(data: bytes, sentence: str) -> None:
    assert sentence in refusal(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_what_is_cut_off(kind: str) -> None:
    whole = of(
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)), kind
    )
    assert "is damaged or cut off" in refusal(whole[: len(whole) // 2])


def test_levels_that_are_no_whole_numbers() -> None:
    assert "no whole numbers" in refusal(of(Image.new("F", (2, 2)), "TIFF"))


# From here on in processes of their own, 0.2 s each.


def test_a_drawn_image_is_its_file_decoded() -> None:
    image = GeneratedImage(0, 1, 9, 6, COLOURS.tobytes())
    assert decode(encode_png(image, "any")) == picture_of(image)


def test_the_worker_refuses_with_its_sentence() -> None:
    with pytest.raises(InvalidRequestError, match=r"The file is empty\. Send a picture\."):
        decode(b"")
    with pytest.raises(InvalidRequestError, match="50,000 x 50,000 pixels large"):
        decode(huge(50_000))
    with pytest.raises(InvalidRequestError, match="64 are the most"):
        decode(bytes(MAX_FILE_BYTES + 1))


def test_a_worker_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(InvalidRequestError, match=r"took longer than 0\.001 s to read"):
        decode(of(rgb()), timeout_s=0.001)


def test_a_worker_that_dies_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "false")
    with pytest.raises(InvalidRequestError, match="could not be read"):
        decode(of(rgb()))


def test_it_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str] = {}

    def run(*_: object, env: dict[str, str], **__: object) -> object:
        told.update(env)
        raise InvalidRequestError("Enough.")

    monkeypatch.setenv("DISCORD_TOKEN", "secret")
    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(InvalidRequestError, match="Enough"):
        decode(b"any")
    assert told["PATH"] == os.environ["PATH"]
    assert set(told) <= {"PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "PYTHONPATH"}
    assert "secret" not in told.values()


def test_nothing_is_run_from_the_folder_where_somebody_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zlib.py").write_text("raise SystemExit(1)")
    assert decode(of(rgb())).width_px == 9


def test_several_threads_at_once() -> None:
    files = [of(Image.new("RGB", (2, 2), (colour, 0, 0))) for colour in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert [one.rgba[0] for one in pool.map(decode, files)] == [0, 1, 2]
