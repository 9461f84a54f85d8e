"""A watermark that is hardly seen: one faint pattern, in tiles over the brightness of a picture.

After Cox, Kilian, Leighton and Shamoon, "Secure Spread Spectrum Watermarking for Multimedia" (IEEE
Transactions on Image Processing 6(12), 1997): many weak waves whose phases only a key tells. Laid
as tiles so that it is found again in a crop, as Kutter did ("Watermarking Resisting to Translation,
Rotation, and Scaling", SPIE 3528, 1998). Looked for by phases, as Kuglin and Hines did ("The Phase
Correlation Image Alignment Method", IEEE 1975): whatever a picture shows, its phases have nothing
to do with the key's, so what chance alone comes to is known for every picture there is.

It says that a picture was marked with this key, and nothing else. It does not live through being
turned, mirrored or drawn over, and it proves nothing: who knows the key can mark any picture.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Waves = npt.NDArray[np.complex64]
Levels = npt.NDArray[np.uint8]

USUAL_KEY: Final = "imagine-bot"
ALARMS: Final = 2e-4  # the most false alarms that are meant to be, a picture without a mark

_TILE_PX: Final = 128
# Waves a tile: longer ones are seen best, shorter ones are lost in a picture of half the size.
_LONGEST, _SHORTEST = 5, 24
_TILT: Final = 0.4  # long waves live through quantisation, short ones stand out in texture

# What codecs leave of it where a picture is all flat takes this much; there it is a faint grain to
# whoever looks for it. In what is lively nobody sees it.
_MOST_ERROR: Final = 255**2 / 10**4.03  # mean square: 40.3 dB, of which 40 are promised
_USUAL_LEVELS: Final = 2.4  # standard deviation of what is added
_MOST_LEVELS: Final = 4.0  # likewise, where the picture takes only a half of it
_QUIETEST: Final = 0.85  # share of it where the picture is flat, and it would be seen first
_LIVELY_LEVELS: Final = 6.0  # standard deviation within a block that takes all of it
_BLOCK_PX: Final = 8
_TINY: Final = 1e-9

_LOOKED_AT_PX: Final = 1_408  # the longer side; of what is larger, a whole fraction
_WINDOW_PX: Final = 512  # of its middle every scale is tried
_LIKELY_SCALES: Final = (1.0, 0.5)
# Others, in groups that are made ready for their largest.
_SCALES: Final = ((0.39, 0.55), (0.55, 0.78), (0.78, 1.1))
_PLACES: Final = 64  # along each side of a tile, where it may begin
_FINE_PX, _COARSE_PX, _AROUND_PX = 1.0, 2.5, 4.0  # blurs
_FAINTEST_LEVELS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of a watermark.

    score   how far the picture's phases agree with the key's, in standard deviations of chance
    scale   the picture's size, to that when it was marked
    alarms  how many pictures in one would score as high without a mark
    """

    score: float
    scale: float
    alarms: float

    @property
    def is_there(self) -> bool:
        """Whether this is more than chance."""
        return self.alarms <= ALARMS


class Watermark:
    """The watermark of one key; any thread may use it."""

    def __init__(self, key: str = USUAL_KEY) -> None:
        lengths = np.hypot(*_WAVES)
        self._chosen = (lengths >= _LONGEST) & (lengths <= _SHORTEST)
        # Of waves that differ only in their sign one is chosen: the other is the same.
        self._chosen &= (_WAVES[1] > 0) | (_WAVES[0] > 0)
        bits = hashlib.shake_256(key.encode()).digest(4 * lengths.size)
        turns = np.frombuffer(bits, ">u4").reshape(lengths.shape) / 2**32
        self._waves: Waves = np.exp(2j * np.pi * turns).astype(np.complex64)
        spectrum = self._chosen * self._waves * np.maximum(lengths, 1) ** -_TILT
        tile = np.fft.ifft2(_spread(spectrum, _TILE_PX)).real
        self._tile: Floats = (tile / tile.std()).astype(np.float32)

    def on(self, picture: Image.Image) -> Image.Image:
        """The picture (RGB) with the mark in it; 40 dB or more lie between the two.

        Takes 0.05 s a megapixel.
        """
        levels = np.asarray(picture)
        height_px, width_px, _ = levels.shape
        times = -(-height_px // _TILE_PX), -(-width_px // _TILE_PX)
        pattern = np.tile(self._tile, times)[:height_px, :width_px] * _room(levels)
        strength = _USUAL_LEVELS
        marked, error = _with(pattern, strength, levels)
        if error < 0.9 * _MOST_ERROR:  # of white, which can only be darkened, half of it is lost
            strength = min(strength * math.sqrt(_MOST_ERROR / max(error, _TINY)), _MOST_LEVELS)
            marked, error = _with(pattern, strength, levels)
        while error > _MOST_ERROR:
            strength *= 0.99 * math.sqrt(_MOST_ERROR / error)
            marked, error = _with(pattern, strength, levels)
        return Image.fromarray(marked)

    def sought(self, picture: Image.Image) -> Sighting:
        """Look for the mark in a picture or a part of it, made smaller or not.

        Takes up to 2 s of a core, most of it where there is none.
        """
        part = -(-max(picture.size) // _LOOKED_AT_PX)
        grey = np.asarray(picture.convert("L").reduce(part), np.float32)
        # Half of the false alarms are the likely scales', so that these need no high score.
        likely = [(self._score(_details(grey, one), one), one) for one in _LIKELY_SCALES]
        seen = _sighting(likely, part)
        if seen.is_there:
            return seen
        middle = _middle(grey)
        every = []
        for low, high in _SCALES:
            details = _details(middle, high)
            every += [(self._score(details, one), one) for one in _steps(low, high, middle)]
        return min(seen, _sighting(every, part), key=lambda one: one.alarms)

    def _score(self, details: Floats, scale: float) -> float:
        """The highest over all places where a tile may begin."""
        waves = _waves_in(details, _TILE_PX * scale)
        loud = np.abs(waves)
        # What is loud counts more, for quantisation leaves nothing of the rest, but not by its
        # whole size: then what the picture shows would drown the mark.
        weights = np.sqrt(loud) * self._chosen
        agreeing = waves / np.maximum(loud, _TINY) * self._waves.conj() * weights
        places = np.fft.ifft2(_spread(agreeing, _PLACES)).real * _PLACES**2
        chance = math.sqrt((weights**2).sum() / 2)
        return float(places.max()) / chance if chance else 0.0


# How many waves there are across a tile, down and to the right: a half of all, for the other half
# is the same.
_WAVES: Final = np.mgrid[-_SHORTEST : _SHORTEST + 1, 0 : _SHORTEST + 1]


def _spread(waves: npt.NDArray[np.complexfloating], side: int) -> npt.NDArray[np.complex128]:
    """The waves where an inverse Fourier transform of that side expects them."""
    spectrum = np.zeros((side, side), np.complex128)
    spectrum[_WAVES[0] % side, _WAVES[1]] = waves
    return spectrum


def _room(levels: Levels) -> Floats:
    """How much of the mark each pixel takes, up to 1."""
    height_px, width_px, _ = levels.shape
    down, across = height_px // _BLOCK_PX, width_px // _BLOCK_PX
    if not (down and across):
        return np.ones((height_px, width_px), np.float32)
    green = levels[: down * _BLOCK_PX, : across * _BLOCK_PX, 1].astype(np.float32)
    blocks = green.reshape(down, _BLOCK_PX, across, _BLOCK_PX)
    lively = np.minimum(blocks.std(axis=(1, 3)) / _LIVELY_LEVELS, 1)
    room = Image.fromarray(_QUIETEST + (1 - _QUIETEST) * lively)
    return np.asarray(room.resize((width_px, height_px), Image.Resampling.BILINEAR))


def _with(pattern: Floats, strength: float, levels: Levels) -> tuple[Levels, float]:
    """The picture with the pattern added, and the mean square of what that changed."""
    added = np.rint(pattern * strength).astype(np.int16)
    marked = np.clip(levels + added[..., None], 0, 255)
    changed = (marked - levels).ravel()
    error = float(np.dot(changed, changed.astype(np.float32))) / changed.size
    return marked.astype(np.uint8), error


def _middle(grey: Floats) -> Floats:
    top, left = (max(0, side - _WINDOW_PX) // 2 for side in grey.shape)
    return grey[top : top + _WINDOW_PX, left : left + _WINDOW_PX]


def _details(grey: Floats, scale: float) -> Floats:
    """What is neither larger nor smaller than the mark, as loud everywhere as around it."""
    # A tenth of a second, and marking a picture does without.
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415

    fine = gaussian_filter(grey, _FINE_PX * scale)
    details = fine - gaussian_filter(grey, _COARSE_PX * scale)
    loud = np.abs(details)
    result: Floats = details / (loud + gaussian_filter(loud, _AROUND_PX * scale) + _FAINTEST_LEVELS)
    return result


def _waves_in(details: Floats, tile_px: float) -> Waves:
    """How much of each wave there is, if tiles are that large: a Fourier transform at these."""
    height_px, width_px = details.shape
    across = _turning(np.arange(_SHORTEST + 1), width_px, tile_px)
    down = _turning(np.arange(-_SHORTEST, _SHORTEST + 1), height_px, tile_px)
    # Real times complex as two real products: half the work.
    real, imaginary = details @ across.real.T, details @ across.imag.T
    return np.asarray(down @ (real + 1j * imaginary), np.complex64)


def _turning(waves: npt.NDArray[np.int64], side_px: int, tile_px: float) -> Waves:
    turns = np.outer(waves, np.arange(side_px)) / tile_px
    turning: Waves = np.exp(-2j * np.pi * turns).astype(np.complex64)
    return turning


def _steps(low: float, high: float, grey: Floats) -> list[float]:
    """Scales so close that between two of them no wave is out of step."""
    shortest = _TILE_PX / _SHORTEST
    step = 1.5 * shortest * low / max(grey.shape)
    count = math.ceil(math.log(high / low) / step)
    return [low * (high / low) ** (place / count) for place in range(count)]


def _sighting(scores: list[tuple[float, float]], part: int) -> Sighting:
    """The best of them; each had a chance at each place, and this is one of two searches."""
    score, scale = max(scores)
    chance = math.erfc(score / math.sqrt(2)) / 2
    return Sighting(score, scale * part, min(1.0, 2 * chance * len(scores) * _PLACES**2))
