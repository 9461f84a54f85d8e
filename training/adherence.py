"""How well the embedded model draws what it is told, measured in the engine by the judge.

    python training/adherence.py [--model FOLDER] [--guidance 3] [--prompts 240]

The prompts of one thing are combinations that were never trained on; hats and pairs are any.
"""

import argparse
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from captions import article, in_scene
from judge import Judge, Seen, accuracy
from tqdm import tqdm
from world import (
    BACKGROUNDS,
    COLOURS,
    HAT_WEARERS,
    SUBJECTS,
    Pixels,
    is_held_out,
    is_visible,
)

from sdxl_engine import ImageRequest, SdxlPipeline

IMAGES: Final = 4
SIZE_PX: Final = 128
_RELATIONS: Final = {
    "left of": (-1, 0),
    "right of": (1, 0),
    "above": (0, -1),
    "below": (0, 1),
}
_WORDINGS: Final = (
    "{a} {colour} {subject} {setting}",
    "{colour} {subject}, {setting}",
    "a drawing of {a} {colour} {subject} {setting}",
    "{setting}: {colour} {subject}",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt, and what a picture of it must show.

    things     (subject, colour, hat) of each
    direction  where the first is seen from the second, in x and y; (0, 0) does not matter
    """

    prompt: str
    background: str
    things: tuple[tuple[str, str, bool], ...]
    direction: tuple[int, int] = (0, 0)


def held_out_prompts() -> list[Asked]:
    """Every combination of subject, colour and background that was not trained, in two wordings."""
    combinations = [
        (subject, colour, background)
        for subject, colour, background in product(SUBJECTS, COLOURS, BACKGROUNDS)
        if is_visible(colour, background) and is_held_out(subject, colour, background)
    ]
    # In no order, so that the first few are a fair sample; the same order every time.
    random.Random(0).shuffle(combinations)
    return [
        Asked(
            _said(_WORDINGS[(place + again) % 4], colour, subject, background),
            background,
            ((subject, colour, False),),
        )
        for again in (0, 1)
        for place, (subject, colour, background) in enumerate(combinations)
    ]


def hat_prompts(count: int) -> list[Asked]:
    """Fish and dolphins that wear a party hat."""
    rng = random.Random(1)
    asked = []
    for place in range(count):
        subject, background = HAT_WEARERS[place % 2], rng.choice(BACKGROUNDS)
        colour = rng.choice([c for c in COLOURS if is_visible(c, background)])
        wording = "{a} {colour} {subject} wearing a party hat {setting}"
        prompt = _said(wording, colour, subject, background)
        asked.append(Asked(prompt, background, ((subject, colour, True),)))
    return asked


def pair_prompts(count: int) -> list[Asked]:
    """Two things with a relation."""
    rng = random.Random(2)
    asked = []
    for place in range(count):
        relation = list(_RELATIONS)[place % len(_RELATIONS)]
        background = rng.choice(BACKGROUNDS)
        subjects = rng.sample(SUBJECTS, 2)
        colours = rng.sample([c for c in COLOURS if is_visible(c, background)], 2)
        other = f"{article(colours[1])} {colours[1]} {subjects[1]}"
        wording = f"{{a}} {{colour}} {{subject}} {relation} {other} {{setting}}"
        asked.append(
            Asked(
                _said(wording, colours[0], subjects[0], background),
                background,
                tuple((s, c, False) for s, c in zip(subjects, colours, strict=True)),
                _RELATIONS[relation],
            )
        )
    return asked


def _said(wording: str, colour: str, subject: str, background: str) -> str:
    return wording.format(
        a=article(colour), colour=colour, subject=subject, setting=in_scene(background)
    )


def draw(pipeline: SdxlPipeline, request: ImageRequest) -> list[Pixels]:
    """The pictures of a request, u8[height, width, 3] each."""
    *_, last = pipeline.generate(request)
    return [
        np.frombuffer(image.rgb, np.uint8).reshape(image.height_px, image.width_px, 3)
        for image in last.images
    ]


def measure(
    pipeline: SdxlPipeline, judge: Judge, asked: Sequence[Asked], *, guidance_scale: float
) -> dict[str, float]:
    """Shares of the pictures, IMAGES a prompt, that show what was asked for.

    subject, colour, background, hat  all things of a picture right in this respect
    relation                          the two things lie as asked (only where two were asked for)
    all                               everything right
    """
    shares: dict[str, list[bool]] = {}
    for place, one in enumerate(tqdm(asked, f"guidance {guidance_scale:g}", unit=" prompts")):
        for picture in draw(pipeline, _request(one.prompt, place, guidance_scale)):
            found = _found(one, judge.look(picture))
            for name, hit in (*found.items(), ("all", all(found.values()))):
                shares.setdefault(name, []).append(hit)
    return {name: float(np.mean(hits)) for name, hits in shares.items()}


def _request(
    prompt: str, seed: int, guidance_scale: float, negative: str | None = None
) -> ImageRequest:
    return ImageRequest(
        prompt,
        negative,
        seed=seed,
        guidance_scale=guidance_scale,
        width_px=SIZE_PX,
        height_px=SIZE_PX,
        num_images=IMAGES,
    )


def _found(asked: Asked, seen: Seen) -> dict[str, bool]:
    things = seen.things
    there = len(things) == len(asked.things)  # neither too few nor too many
    found = {
        "subject": there and _same((t.subject for t in things), (t[0] for t in asked.things)),
        "colour": there and _same((t.colour for t in things), (t[1] for t in asked.things)),
        "background": seen.background == asked.background,
        "hat": there and _same((t.hat for t in things), (t[2] for t in asked.things)),
    }
    if any(asked.direction):
        subject, colour, _ = asked.things[0]
        first = [t for t in things if (t.subject, t.colour) == (subject, colour)]
        others = [t for t in things if t not in first]
        found["relation"] = len(first) == 1 == len(others) and (
            asked.direction[0] * (first[0].x - others[0].x)
            + asked.direction[1] * (first[0].y - others[0].y)
            > SIZE_PX / 8  # plainly so
        )
    return found


def _same(seen: Iterable[object], asked: Iterable[object]) -> bool:
    return sorted(map(str, seen)) == sorted(map(str, asked))


def with_negative(
    pipeline: SdxlPipeline,
    judge: Judge,
    count: int,
    *,
    negative: str | None,
    guidance_scale: float,
) -> dict[str, float]:
    """What becomes of `count` prompts that name a subject, but no colour for it.

    red      share of pictures with a red thing
    subject  share of pictures that still show the subject
    """
    plain = [name for name in COLOURS if name != "red"]
    asked = [
        (subject, f"a {subject} {in_scene(background)}")
        for background, subject in product(plain, SUBJECTS)
    ]
    random.Random(3).shuffle(asked)
    red, right = [], []
    for seed, (subject, prompt) in enumerate(asked[:count]):
        for picture in draw(pipeline, _request(prompt, seed, guidance_scale, negative)):
            things = judge.look(picture).things
            red.append(any(thing.colour == "red" for thing in things))
            right.append(any(thing.subject == subject for thing in things))
    return {"red": float(np.mean(red)), "subject": float(np.mean(right))}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="doodle")
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--prompts", type=int, default=240, help="held-out ones")
    arguments = parser.parse_args()
    judge = Judge.train()
    pipeline = SdxlPipeline.load(arguments.model)
    pipeline.warm_up([(SIZE_PX, SIZE_PX)], num_images=IMAGES)
    begin_s = time.perf_counter()
    held_out = held_out_prompts()[: arguments.prompts]
    guidance = arguments.guidance
    _show("the judge on fresh drawings", accuracy(judge, 600))
    _show(
        f"{len(held_out)} held-out prompts, one thing",
        measure(pipeline, judge, held_out, guidance_scale=guidance),
    )
    for scale in (1.0, 3.0, 5.0):
        _show(
            f"50 held-out prompts, guidance {scale:g}",
            measure(pipeline, judge, held_out[:50], guidance_scale=scale),
        )
    for negative in (None, "red", "blue"):
        _show(
            f"50 prompts, negative {negative!r}",
            with_negative(pipeline, judge, 50, negative=negative, guidance_scale=guidance),
        )
    for name, asked in (("a hat", hat_prompts(40)), ("two things", pair_prompts(40))):
        _show(f"40 prompts with {name}", measure(pipeline, judge, asked, guidance_scale=guidance))
    print(f"{IMAGES} images a prompt, {time.perf_counter() - begin_s:.0f} s")


def _show(title: str, shares: dict[str, float]) -> None:
    print(f"{title:<40}" + "  ".join(f"{name} {share:.1%}" for name, share in shares.items()))


if __name__ == "__main__":
    main()
