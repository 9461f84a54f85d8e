"""How well pictures are changed, varied and enlarged as asked, measured in the engine by the judge.

    python training/picture_adherence.py [--prompts 50] [--only img2img ...]

Pictures that are brought are the world's own drawings, so that it is known what they show, and
where.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

import numpy as np
import numpy.typing as npt
from adherence import LIKE, held_out_prompts, pair_prompts
from captions import article, in_scene
from judge import Asked, Judge, Seen, found
from PIL import Image
from tqdm import tqdm
from world import (
    BACKGROUNDS,
    COLOURS,
    SUBJECTS,
    Pixels,
    Scene,
    draw_scene,
    random_single,
    visible_colours,
)

from sdxl_engine import ImageRequest, SdxlPipeline
from sdxl_engine.canvas import canvas_of
from sdxl_engine.request import (
    AROUND,
    EMPHASES,
    NO_PICTURES,
    UPSCALES,
    Picture,
    Pictures,
    Source,
    Variation,
)
from sdxl_engine.tiles import Tiling

_LIKE: Final = replace(LIKE, guidance_scale=3.0, num_images=1)
_STRENGTHS: Final = (0.2, 0.3, 0.4, 0.6, 0.8, 0.9)
_INPAINTING_STRENGTHS: Final = (0.9, 1.0)
_VARIATIONS: Final = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_UPSCALED: Final = ((0.0, 1.0), (0.2, 1.0), (0.3, 1.0), (0.3, 3.0))  # strength and guidance
_OTHER: Final = 1_000  # from a seed to that of its variation
_MOVED_PX: Final = 12
_AROUND_PX: Final = 12  # what a mask leaves around a thing, for another to fit in
_ZOOM: Final = 1.5
_WEIGHTS: Final = (0.5, 1.0, 1.5)

Floats = npt.NDArray[np.float64]
Row = dict[str, float]


@dataclass(frozen=True, slots=True)
class Brought:
    """A picture that is brought, and what else is asked for in its place.

    scene       what it shows, one thing
    prompt      of the same before the same background
    new_prompt  of another thing there, in another colour
    new         what that must show
    """

    scene: Scene
    prompt: str
    new_prompt: str
    new: Asked

    @property
    def picture(self) -> Picture:
        """As the engine takes it."""
        return picture_of(draw_scene(self.scene))

    def mask(self) -> Picture:
        """White around its thing."""
        (thing,) = self.scene.things
        half = thing.extent_px / 2 + _AROUND_PX
        rows, columns = np.ogrid[: self.scene.height_px, : self.scene.width_px]
        inside = (abs(rows - thing.y) < half) & (abs(columns - thing.x) < half)
        return picture_of(np.repeat(inside[..., None], 3, axis=-1).astype(np.uint8) * 255)

    def keeps(self, seen: Seen) -> Row:
        """Whether the thing that was there is still the one that is."""
        (thing,) = self.scene.things
        return {
            "old subject": float([one.subject for one in seen.things] == [thing.subject]),
            "old colour": float([one.colour for one in seen.things] == [thing.colour]),
        }

    def stays(self, seen: Seen) -> float:
        """Whether the one thing that is there lies where the old one lay."""
        (thing,) = self.scene.things
        near = [abs(one.x - thing.x) + abs(one.y - thing.y) < _MOVED_PX for one in seen.things]
        return float(near == [True])

    def follows(self, seen: Seen) -> Row:
        """Whether what is there is what was newly asked for."""
        right = found(self.new, seen)
        return {f"new {name}": float(right[name]) for name in ("subject", "colour", "all")}


def brought(count: int, backgrounds: Sequence[str] = BACKGROUNDS) -> list[Brought]:
    """Things of all kinds before all backgrounds."""
    rng = random.Random(5)
    pictures = []
    for place in range(count):
        background = rng.choice(backgrounds)
        subject = SUBJECTS[place % len(SUBJECTS)]
        other = rng.choice([one for one in SUBJECTS if one != subject])
        colour, new_colour = rng.sample(visible_colours(background), 2)
        scene = random_single(rng, subject, colour, background)
        pictures.append(
            Brought(
                scene,
                _prompt(colour, subject, background),
                _prompt(new_colour, other, background),
                Asked(background, ((other, new_colour, False),)),
            )
        )
    return pictures


def _prompt(colour: str, subject: str, background: str) -> str:
    return f"{article(colour)} {colour} {subject} {in_scene(background)}"


def picture_of(pixels: Pixels) -> Picture:
    """An opaque picture of u8[height, width, 3]."""
    height, width, _ = pixels.shape
    rgba = np.concatenate([pixels, np.full((height, width, 1), 255, np.uint8)], axis=-1).tobytes()
    return Picture(sha256(rgba).hexdigest(), width, height, rgba)


@dataclass(frozen=True, slots=True)
class Studio:
    """What draws, and what looks at it."""

    pipeline: SdxlPipeline
    judge: Judge

    def draw(self, request: ImageRequest, pictures: Pictures = NO_PICTURES) -> Pixels:
        """The one image of a request, u8[height, width, 3]."""
        *_, last = self.pipeline.generate(request, pictures=pictures)
        assert last.fetch is not None  # noqa: S101 - the engine's promise
        (image,) = last.fetch()
        return np.frombuffer(image.rgb, np.uint8).reshape(image.height_px, image.width_px, 3)


def img2img(studio: Studio, count: int) -> Iterator[tuple[str, Row]]:
    """Asked for the same thing and for another at several strengths: what is kept, what follows.

    `in its place` is a thing that has not moved by more than `_MOVED_PX`.
    """
    for asks in ("the same", "another"):
        for strength in _STRENGTHS:
            rows = []
            for place, one in enumerate(tqdm(brought(count), "img2img", leave=False)):
                source = Source(one.picture.digest, strength)
                prompt = one.prompt if asks == "the same" else one.new_prompt
                request = replace(_LIKE, prompt=prompt, seed=place, source=source)
                pixels = studio.draw(request, {one.picture.digest: one.picture})
                seen = studio.judge.look(pixels)
                row = one.keeps(seen) | {"in its place": one.stays(seen)}
                rows.append(row if asks == "the same" else row | one.follows(seen))
            yield f"img2img, {asks}, strength {strength:g}", _mean(rows)


def inpainting(studio: Studio, count: int) -> Iterator[tuple[str, Row]]:
    """Asked for another thing where the old one is masked: what is there, and what else changed."""
    for strength in _INPAINTING_STRENGTHS:
        rows = []
        for place, one in enumerate(tqdm(brought(count), "inpainting", leave=False)):
            pictures = {each.digest: each for each in (one.picture, one.mask())}
            source = Source(one.picture.digest, strength, mask=one.mask().digest, feather_px=8)
            request = replace(_LIKE, prompt=one.new_prompt, seed=place, source=source)
            pixels = studio.draw(request, pictures)
            seen = studio.judge.look(pixels)
            kept = {"kept bit for bit": _kept(request, pictures, pixels)}
            changed = {"changed": 1 - one.keeps(seen)["old subject"]}
            rows.append(changed | one.follows(seen) | kept)
        yield f"inpainting, strength {strength:g}", _mean(rows)


def outpainting(studio: Studio, count: int) -> Iterator[tuple[str, Row]]:
    """Zoomed out: whether the thing is still the only one."""
    rows = []
    for place, one in enumerate(tqdm(brought(count), "outpainting", leave=False)):
        pictures = {one.picture.digest: one.picture}
        source = Source(one.picture.digest, 1.0, zoom=_ZOOM, mask=AROUND, feather_px=4)
        request = replace(_LIKE, prompt=one.prompt, seed=place, source=source)
        pixels = studio.draw(request, pictures)
        seen = studio.judge.look(pixels)
        background = {"background": float(seen.background == one.scene.background)}
        kept = {"kept bit for bit": _kept(request, pictures, pixels)}
        rows.append(one.keeps(seen) | background | kept)
    yield f"outpainting, zoom {_ZOOM:g}", _mean(rows)


def variations(studio: Studio, count: int) -> Iterator[tuple[str, Row]]:
    """Noise turned towards another seed's, and the picture drawn over: what stays, how much moves.

    Only of pictures that show what was asked for. `moves` is the mean difference of a level, of
    256.
    """
    originals = []
    for place, (prompt, asked) in enumerate(
        tqdm(held_out_prompts()[:count], "originals", leave=False)
    ):
        request = replace(_LIKE, prompt=prompt, seed=place)
        pixels = studio.draw(request)
        if found(asked, studio.judge.look(pixels))["all"]:
            originals.append((request, asked, pixels))
    for name, change in _changes().items():
        rows = []
        for request, asked, pixels in tqdm(originals, name, leave=False):
            picture = picture_of(pixels)
            varied = studio.draw(change(request, picture), {picture.digest: picture})
            right = found(asked, studio.judge.look(varied))
            row = {key: float(right[key]) for key in ("subject", "colour", "background")}
            moves = np.abs(varied.astype(np.float64) - pixels).mean()
            rows.append(row | {"moves": float(moves)})
        yield f"{name}, of {len(originals)} pictures", _mean(rows)


Change = Callable[[ImageRequest, Picture], ImageRequest]


def _changes() -> dict[str, Change]:
    """What makes another picture of a request and its picture, by name."""

    def turned(strength: float) -> Change:
        def change(request: ImageRequest, _picture: Picture) -> ImageRequest:
            return replace(request, variation=Variation(request.seed + _OTHER, strength))

        return change

    def drawn_over(strength: float) -> Change:
        def change(request: ImageRequest, picture: Picture) -> ImageRequest:
            source = Source(picture.digest, strength)
            return replace(request, seed=request.seed + _OTHER, source=source)

        return change

    return {
        **{f"variation {strength:g}": turned(strength) for strength in _VARIATIONS},
        **{f"drawn over at {strength:g}": drawn_over(strength) for strength in _STRENGTHS[:4]},
    }


def upscales(studio: Studio, count: int) -> Iterator[tuple[str, Row]]:
    """Enlarged: whether it shows the same, shrunk again, and how steep it is where tiles end.

    Before plain backgrounds: of a scenery the judge knows what stands where, to the pixel. `seams`
    is against where none end, 8 and 16 pixels beside; of the plain enlargement at strength 0 it is
    chance alone: a thing's outline lies there now and then.
    """
    pictures = brought(count, tuple(COLOURS))
    for times in UPSCALES:
        for strength, guidance in _UPSCALED:
            rows = []
            for place, one in enumerate(tqdm(pictures, f"upscale {times:g}", leave=False)):
                source = Source(one.picture.digest, strength)
                request = replace(
                    _LIKE,
                    prompt=one.prompt,
                    seed=place,
                    source=source,
                    upscale=times,
                    guidance_scale=guidance,
                )
                pixels = studio.draw(request, {one.picture.digest: one.picture})
                size = request.width_px, request.height_px
                small = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
                kept = one.keeps(studio.judge.look(np.asarray(small)))
                tall, wide, _ = pixels.shape
                tiling = Tiling.of(tall, wide, request.height_px, request.width_px)
                rows.append(kept | _steepness(pixels, tiling))
            row = _mean(rows)
            seams = row.pop("at seams") / row.pop("beside them")
            title = f"{times:g} times, strength {strength:g}, guidance {guidance:g}"
            yield title, row | {"seams": seams}


def _steepness(pixels: Pixels, tiling: Tiling) -> Row:
    """Mean squared steps between neighbours where tiles end, and where they might as well."""
    levels = pixels.astype(np.float64)
    at, beside = [], []
    for axis, (starts, tile, side) in enumerate(
        zip((tiling.tops, tiling.lefts), tiling.tile, tiling.sides, strict=True)
    ):
        steps = np.square(np.diff(levels, axis=axis)).mean(axis=(1 - axis, 2))
        ends = {start for start in starts if start} | {start + tile for start in starts}
        for end in ends - {side}:
            at.append(steps[end - 1])
            # As far from the edges of latents.
            beside += [steps[end - 1 + by] for by in (-16, -8, 8, 16)]
    return {"at seams": float(np.mean(at)), "beside them": float(np.mean(beside))}


def weights(studio: Studio, count: int) -> Iterator[tuple[str, Row]]:
    """Words that weigh more, by either rule: of one thing its kind, of two the second."""
    singles, pairs = held_out_prompts()[:count], pair_prompts(count)
    for name, weigh in _WEIGHED.items():
        for emphasis in EMPHASES:
            rows = []
            for place, (prompt, asked) in enumerate(
                tqdm(singles, f"{name} {emphasis}", leave=False)
            ):
                ((subject, colour, _),) = asked.things
                text = weigh(prompt, subject, colour)
                request = replace(_LIKE, prompt=text, seed=place, emphasis=emphasis)
                pixels = studio.draw(request)
                right = found(asked, studio.judge.look(pixels))
                rows.append({key: float(right[key]) for key in _RESPECTS})
            yield f"{name}, {emphasis}", _mean(rows)
    for weight in _WEIGHTS:
        for emphasis in EMPHASES:
            rows = []
            for place, (prompt, asked) in enumerate(tqdm(pairs, f"pairs {emphasis}", leave=False)):
                first, second = asked.things
                phrase = f"{second[1]} {second[0]}"
                text = prompt.replace(phrase, f"({phrase}:{weight:g})")
                request = replace(_LIKE, prompt=text, seed=place, emphasis=emphasis)
                pixels = studio.draw(request)
                seen = studio.judge.look(pixels)
                things = [(thing.subject, thing.colour, thing.hat) for thing in seen.things]
                right = found(asked, seen)
                rows.append(
                    {
                        "first": float(first in things),
                        "second": float(second in things),
                        "all": float(right["all"]),
                    }
                )
            yield f"second of two at {weight:g}, {emphasis}", _mean(rows)


_RESPECTS: Final = ("subject", "colour", "background", "all")
_WEIGHED: Final[dict[str, Callable[[str, str, str], str]]] = {
    "as it is": lambda prompt, _subject, _colour: prompt,
    "(subject:1.3)": lambda prompt, subject, _: prompt.replace(subject, f"({subject}:1.3)"),
    "(colour:1.4)": lambda prompt, _, colour: prompt.replace(colour, f"({colour}:1.4)", 1),
    "(all:1.3)": lambda prompt, _subject, _colour: f"({prompt}:1.3)",
}
SECTIONS: Final = {
    section.__name__: section
    for section in (img2img, inpainting, outpainting, variations, upscales, weights)
}


def _kept(request: ImageRequest, pictures: Pictures, pixels: Pixels) -> float:
    """Whether all that is beyond mask and feather is the picture's own."""
    canvas = canvas_of(request, pictures)
    assert canvas is not None and canvas.feather is not None  # noqa: S101, PT018 - it is masked
    outside = canvas.feather == 0
    return float(np.array_equal(pixels[outside], canvas.pixels[outside]))


def _mean(rows: Sequence[Row]) -> Row:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    arguments = parser.parse_args()
    pipeline = SdxlPipeline.load("doodle")
    pipeline.warm_up([(LIKE.width_px, LIKE.height_px)], num_images=1)
    studio = Studio(pipeline, Judge.train())
    for name in arguments.only:
        begin_s = time.perf_counter()
        for title, row in SECTIONS[name](studio, arguments.prompts):
            figures = (
                f"{key} {value:.2f}" if key in _NUMBERS else f"{key} {value:.0%}"
                for key, value in row.items()
            )
            print(f"{title:<44}" + "  ".join(figures), flush=True)
        print(f"    {time.perf_counter() - begin_s:.0f} s", flush=True)


_NUMBERS: Final = frozenset({"moves", "seams"})


if __name__ == "__main__":
    main()
