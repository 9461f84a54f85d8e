"""A picture as large as what is drawn from it, and what of it is painted."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import (
    ALPHA,
    AROUND,
    ImageRequest,
    Picture,
    Pictures,
    Source,
    check_mask,
)
from sdxl_engine.sentence import say

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

_HALF: Final = 128  # of 255: from there on alpha is there, and a mask is white
_OPAQUE: Final = 255
_ALL_BLACK: Final = say(
    "The mask is black all over, so nothing would be painted. Make white what shall change: what "
    "is transparent in a mask stays."
)
_NOTHING: Final = {
    ALPHA: say(
        "Nothing of the picture is transparent, so nothing would be painted. Make transparent "
        "what shall change, or give a mask."
    ),
    AROUND: say(
        "The picture covers all of the canvas, so nothing would be painted. Zoom out, or ask "
        "for another shape and that it fit."
    ),
}


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is there before anything is drawn.

    pixels   u8[height, width, 3]
    mask     bool[height, width], what is painted; None: everything
    feather  f32[height, width] 0..1, how much of what is painted is seen: 1 in the mask
    """

    pixels: U8
    mask: Bool | None = None
    feather: F32 | None = None


def canvas_of(request: ImageRequest, pictures: Pictures) -> Canvas | None:
    """The canvas of a request, as large as its result; None if it starts from noise alone.

    Raises InvalidRequestError for pictures that are not there, and for masks that do not fit.
    """
    source = request.source
    if source is None:
        return None
    missing = [digest for digest in source.pictures if digest not in pictures]
    if missing:
        raise InvalidRequestError(
            say(
                "The picture {digest}… that this starts from is not here. Give it again.",
                digest=missing[0][:12],
            )
        )
    mask = pictures.get(source.mask or "")
    return place(source, pictures[source.picture], mask, *request.result_px)


def place(
    source: Source, picture: Picture, mask_picture: Picture | None, width_px: int, height_px: int
) -> Canvas:
    """Bring a picture onto a canvas of this size.

    Where it has nothing to show (beside it, or where it is transparent and to be painted) stands
    what is nearest to there, so that a painter of little strength begins with fitting colours.

    mask_picture  that of `source.mask`, if this is a picture's

    Raises InvalidRequestError for a mask that paints nothing, or of another shape.
    """
    layout = _Layout.of(picture, source, width_px, height_px)
    rgb, alpha = layout.laid(_image(picture))
    covered = layout.covered()
    if source.mask is None:
        return Canvas(_smeared(_over_white(rgb, alpha), covered))
    if source.mask == AROUND:
        mask, pixels = ~covered, _smeared(_over_white(rgb, alpha), covered)
    elif source.mask == ALPHA:
        mask = ~covered | (alpha < _HALF)
        pixels = _smeared(rgb, ~mask)
    else:
        assert mask_picture is not None  # noqa: S101 - `canvas_of` has looked
        check_mask(mask_picture, picture)
        white, there = layout.laid(_image(mask_picture))
        mask = ~covered | ((_luminance(white) >= _HALF) & (there >= _HALF))
        pixels = _smeared(_over_white(rgb, alpha), covered)
    if not mask.any():
        raise InvalidRequestError(_NOTHING.get(source.mask, _ALL_BLACK))
    return Canvas(pixels, mask, _feather(mask, source.feather_px))


def pixels(canvas: Canvas) -> F32:
    """f32[height, width, 3] in -1..1, as autoencoders take them."""
    shown: F32 = canvas.pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)
    return shown


def masked_pixels(canvas: Canvas) -> F32:
    """The same, 0 where it is painted: what inpainting models see of it."""
    kept = np.zeros(canvas.pixels.shape[:2], np.bool_) if canvas.mask is None else ~canvas.mask
    return pixels(canvas) * kept[..., None]


def latent_mask(canvas: Canvas, factor: int) -> F32:
    """f32[height / factor, width / factor, 1]: 1 where anything of a latent's patch is painted."""
    height, width = canvas.pixels.shape[:2]
    mask = np.ones((height, width), np.bool_) if canvas.mask is None else canvas.mask
    patches: Bool = mask.reshape(height // factor, factor, width // factor, factor)
    painted: Bool = np.any(patches, axis=(1, 3), keepdims=True)
    return painted[:, 0, :, 0, None].astype(np.float32)


def composited(canvas: Canvas, drawn: U8) -> U8:
    """Images u8[n, height, width, 3] with what the mask keeps of the picture, bit for bit."""
    if canvas.feather is None:
        return drawn
    kept = canvas.pixels.astype(np.float32)
    mixed = kept + canvas.feather[..., None] * (drawn.astype(np.float32) - kept)
    return np.rint(mixed).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a picture lies on a canvas.

    canvas_px  width and height
    place_px   left, top, right and bottom of what it covers
    part       left, top, right and bottom of what of it is seen, 0..1
    """

    canvas_px: tuple[int, int]
    place_px: tuple[int, int, int, int]
    part: tuple[float, float, float, float]

    @classmethod
    def of(cls, picture: Picture, source: Source, width_px: int, height_px: int) -> Self:
        room = width_px / source.zoom, height_px / source.zoom
        scales = room[0] / picture.width_px, room[1] / picture.height_px
        part = (0.0, 0.0, 1.0, 1.0)
        if source.resize == "fit":
            room = picture.width_px * min(scales), picture.height_px * min(scales)
        elif source.resize == "fill":
            cut = [(1 - scale / max(scales)) / 2 for scale in scales]
            part = cut[0], cut[1], 1 - cut[0], 1 - cut[1]
        sides = [max(1, round(side)) for side in room]
        left, top = (width_px - sides[0]) // 2, (height_px - sides[1]) // 2
        return cls((width_px, height_px), (left, top, left + sides[0], top + sides[1]), part)

    def covered(self) -> Bool:
        """bool[height, width] where the picture lies."""
        width_px, height_px = self.canvas_px
        left, top, right, bottom = self.place_px
        covered = np.zeros((height_px, width_px), np.bool_)
        covered[top:bottom, left:right] = True
        return covered

    def laid(self, image: Image.Image) -> tuple[U8, U8]:
        """Colours u8[height, width, 3] and alpha u8[height, width], which is 0 beside it."""
        left, top, right, bottom = self.place_px
        x0, y0, x1, y1 = self.part
        box = (x0 * image.width, y0 * image.height, x1 * image.width, y1 * image.height)
        size = right - left, bottom - top
        if size != image.size or box != (0, 0, *image.size):
            # Colours count by their alpha: what is transparent shows in none of its neighbours.
            image = image.convert("RGBa").resize(size, Image.Resampling.LANCZOS, box=box)
            image = image.convert("RGBA")
        laid = np.zeros((self.canvas_px[1], self.canvas_px[0], 4), np.uint8)
        laid[top:bottom, left:right] = np.asarray(image)
        return laid[..., :3], laid[..., 3]


def _image(picture: Picture) -> Image.Image:
    return Image.frombytes("RGBA", (picture.width_px, picture.height_px), picture.rgba)


def _luminance(rgb: U8) -> npt.NDArray[np.uint32]:
    """0..255 of u8[h, w, 3], by ITU-R 601-2, as Pillow has it."""
    weights = np.array([299, 587, 114], np.uint32)
    luminance: npt.NDArray[np.uint32] = (rgb.astype(np.uint32) * weights).sum(-1)
    return luminance // np.uint32(1000)


def _over_white(rgb: U8, alpha: U8) -> U8:
    if (alpha == _OPAQUE).all():
        return rgb
    share = alpha[..., None].astype(np.float32) / np.float32(_OPAQUE)
    white = np.float32(_OPAQUE)
    return np.rint(white + share * (rgb.astype(np.float32) - white)).astype(np.uint8)


def _smeared(rgb: U8, known: Bool) -> U8:
    """With what is nearest wherever nothing is known; white if nothing is anywhere."""
    if known.all():
        return rgb
    if not known.any():
        return np.full_like(rgb, _OPAQUE)
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - takes a tenth of a second

    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    smeared: U8 = rgb[rows, columns]
    return smeared


def _feather(mask: Bool, feather_px: int) -> F32:
    """1 in the mask, falling to 0 at `feather_px` beyond it."""
    if feather_px == 0 or mask.all():
        return mask.astype(np.float32)
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - takes a tenth of a second

    distance = distance_transform_edt(~mask)
    feather: F32 = np.clip(1 - distance / feather_px, 0, 1).astype(np.float32)
    return feather
