"""A picture as large as what is drawn from it, and its masks."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_engine import ImageRequest, InvalidRequestError
from sdxl_engine.canvas import (
    Canvas,
    canvas_of,
    composited,
    latent_mask,
    masked_pixels,
    pixels,
    place,
)
from sdxl_engine.picture_worker import digest_of
from sdxl_engine.request import ALPHA, AROUND, Picture, Source

U8 = npt.NDArray[np.uint8]


def picture(rgba: U8) -> Picture:
    height, width = rgba.shape[:2]
    data = rgba.tobytes()
    return Picture(digest_of(width, height, data).hex(), width, height, data)


def coloured(height: int, width: int, seed: int = 0) -> U8:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return np.dstack([rgb, np.full((height, width), 255, np.uint8)])


SQUARE = picture(coloured(32, 32))
SOURCE = Source(SQUARE.digest)


def test_a_picture_of_the_right_size_is_taken_as_it_is() -> None:
    canvas = place(SOURCE, SQUARE, None, 32, 32)
    assert canvas.pixels.tobytes() == coloured(32, 32)[..., :3].tobytes()
    assert canvas.mask is None
    assert canvas.feather is None
    shown = pixels(canvas)
    assert shown.min() >= -1
    assert shown.max() <= 1
    np.testing.assert_array_equal(np.rint((shown + 1) * 127.5), canvas.pixels)


def halves(height: int, width: int) -> Picture:
    """Red on the left, blue on the right."""
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[:, : width // 2, 0] = rgba[:, width // 2 :, 2] = 255
    return picture(rgba)


def test_ways_to_resize() -> None:
    wide = halves(16, 64)
    source = Source(wide.digest)
    cut, whole, stretched = (
        place(replace(source, resize=way), wide, None, 32, 32).pixels
        for way in ("fill", "fit", "stretch")
    )
    for each in (cut, whole, stretched):
        assert each[16, 2].tolist() == [255, 0, 0]
        assert each[16, 29].tolist() == [0, 0, 255]
    # Borders have the colours that they border on; in between they are as large as the picture.
    assert whole[0, 2].tolist() == [255, 0, 0]
    around = place(replace(source, resize="fit", mask=AROUND), wide, None, 32, 32)
    assert around.mask is not None
    assert around.mask.sum() == 32 * (32 - 8)
    assert not around.mask[12:20].any()


def test_zooming_out_paints_what_comes_into_view() -> None:
    canvas = place(replace(SOURCE, zoom=2.0, mask=AROUND), SQUARE, None, 32, 32)
    assert canvas.mask is not None
    assert not canvas.mask[8:24, 8:24].any()
    assert canvas.mask.sum() == 32 * 32 - 16 * 16
    with pytest.raises(InvalidRequestError, match="covers all of the canvas"):
        place(replace(SOURCE, mask=AROUND), SQUARE, None, 32, 32)


def test_what_is_transparent() -> None:
    rgba = coloured(32, 32)
    rgba[:, 16:, 3] = 0
    one = picture(rgba)
    white = place(Source(one.digest), one, None, 32, 32)
    assert (white.pixels[:, 16:] == 255).all()
    canvas = place(Source(one.digest, mask=ALPHA), one, None, 32, 32)
    assert canvas.mask is not None
    assert canvas.mask[:, 16:].all()
    assert not canvas.mask[:, :16].any()
    # Under the mask stands what is nearest.
    np.testing.assert_array_equal(canvas.pixels[:, 20], canvas.pixels[:, 15])
    with pytest.raises(InvalidRequestError, match="Nothing of the picture is transparent"):
        place(replace(SOURCE, mask=ALPHA), SQUARE, None, 32, 32)
    rgba[..., 3] = 0
    nothing = picture(rgba)
    assert (place(Source(nothing.digest, mask=ALPHA), nothing, None, 32, 32).pixels == 255).all()


def mask_picture(height: int, width: int, white: slice) -> Picture:
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[white, white, :3] = 255
    return picture(rgba)


def masked(mask: Picture, feather_px: int = 0) -> Canvas:
    source = replace(SOURCE, mask=mask.digest, feather_px=feather_px)
    return place(source, SQUARE, mask, 32, 32)


def test_a_second_picture_is_painted_where_it_is_white() -> None:
    canvas = masked(mask_picture(32, 32, slice(8, 16)))
    assert canvas.mask is not None
    assert canvas.mask[8:16, 8:16].all()
    assert canvas.mask.sum() == 64
    assert masked(mask_picture(64, 64, slice(16, 32))).mask is not None  # the same shape will do
    assert masked(mask_picture(32, 32, slice(0, 32))).mask is not None


def test_masks_that_do_not_fit() -> None:
    with pytest.raises(InvalidRequestError, match=r"mask is 16x32 and the picture 32x32"):
        masked(mask_picture(32, 16, slice(0, 8)))
    with pytest.raises(InvalidRequestError, match="black all over"):
        masked(mask_picture(32, 32, slice(0, 0)))


@given(st.integers(0, 12))
def test_a_feather_ends_where_it_says(feather_px: int) -> None:
    canvas = masked(mask_picture(32, 32, slice(12, 20)), feather_px)
    assert canvas.feather is not None
    rows, columns = np.mgrid[:32, :32]
    away = np.hypot(
        np.maximum(np.maximum(12 - rows, rows - 19), 0),
        np.maximum(np.maximum(12 - columns, columns - 19), 0),
    )
    assert (canvas.feather[away == 0] == 1).all()
    assert (canvas.feather[away >= max(feather_px, 1)] == 0).all()
    between = canvas.feather[(away > 0) & (away < feather_px)]
    assert ((between > 0) & (between < 1)).all()


def test_what_stays_stays_bit_for_bit() -> None:
    canvas = masked(mask_picture(32, 32, slice(12, 20)), 4)
    assert canvas.feather is not None
    drawn = np.stack([coloured(32, 32, seed)[..., :3] for seed in (1, 2)])
    mixed = composited(canvas, drawn)
    for one, own in zip(mixed, drawn, strict=True):
        np.testing.assert_array_equal(one[canvas.feather == 0], canvas.pixels[canvas.feather == 0])
        np.testing.assert_array_equal(one[canvas.feather == 1], own[canvas.feather == 1])
    np.testing.assert_array_equal(composited(replace(canvas, feather=None), drawn), drawn)


def test_latents_are_painted_where_anything_of_them_is() -> None:
    canvas = masked(mask_picture(32, 32, slice(7, 9)))
    assert latent_mask(canvas, 8)[..., 0].tolist() == [[1, 1, 0, 0]] * 2 + [[0] * 4] * 2
    assert latent_mask(replace(canvas, mask=None), 8).all()


def test_inpainting_models_see_grey_where_it_is_painted() -> None:
    canvas = masked(mask_picture(32, 32, slice(8, 16)))
    assert canvas.mask is not None
    shown = masked_pixels(canvas)
    assert not shown[canvas.mask].any()
    np.testing.assert_array_equal(shown[~canvas.mask], pixels(canvas)[~canvas.mask])


@pytest.mark.parametrize("shape", [(1, 1), (1, 4096), (4096, 1), (3, 2)])
@pytest.mark.parametrize("resize", ["fill", "fit", "stretch"])
def test_odd_shapes(shape: tuple[int, int], resize: str) -> None:
    one = picture(coloured(*shape))
    assert place(Source(one.digest, resize=resize), one, None, 64, 32).pixels.shape == (32, 64, 3)


def test_a_picture_that_is_not_there() -> None:
    request = ImageRequest("x", width_px=64, height_px=64, source=SOURCE)
    with pytest.raises(InvalidRequestError, match=r"The picture \w{12}… that this starts from"):
        canvas_of(request, {})
    canvas = canvas_of(request, {SQUARE.digest: SQUARE})
    assert canvas is not None
    assert canvas.pixels.shape == (64, 64, 3)
    assert canvas_of(replace(request, source=None), {}) is None
    large = canvas_of(replace(request, upscale=1.5), {SQUARE.digest: SQUARE})
    assert large is not None
    assert large.pixels.shape == (96, 96, 3)
