"""How well the embedded model draws what it is told, measured in the engine by the judge.

    python training/adherence.py [--model FOLDER] [--prompts 240] [--others 80]
                                 [--dtype bfloat16] [--quantise int8]

The prompts of one thing are combinations that were never trained on; hats and pairs are any.
"""

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt
from captions import article, in_scene
from judge import Asked, Judge, accuracy, found
from tqdm import tqdm
from world import (
    BACKGROUNDS,
    COLOURS,
    HAT_BACKGROUNDS,
    HAT_WEARERS,
    SUBJECTS,
    Pixels,
    is_held_out,
    is_visible,
    visible_colours,
)

from sdxl_engine import ImageRequest, SdxlPipeline

_GUIDANCES: Final = (1.0, 3.0)  # none, and what the model draws best with
_RESPECTS: Final = ("subject", "colour", "background", "hat", "order", "all")
# With each prompt and seed in turn.
LIKE: Final = ImageRequest("a prompt", width_px=128, height_px=128, num_images=4)
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


# What is asked for in words, and what a picture of it must show.
Prompt = tuple[str, Asked]


def held_out_prompts() -> list[Prompt]:
    """Every combination of subject, colour and background that was not trained, in two wordings."""
    combinations = [
        (subject, colour, background)
        for subject, colour, background in product(SUBJECTS, COLOURS, BACKGROUNDS)
        if is_visible(colour, background) and is_held_out(subject, colour, background)
    ]
    # In no order, so that the first few are a fair sample; the same order every time.
    random.Random(0).shuffle(combinations)
    return [
        (
            _said(_WORDINGS[(place + again) % 4], colour, subject, background),
            Asked(background, ((subject, colour, False),)),
        )
        for again in (0, 1)
        for place, (subject, colour, background) in enumerate(combinations)
    ]


def hat_prompts(count: int) -> list[Prompt]:
    """Fish and dolphins that wear a party hat."""
    rng = random.Random(1)
    asked = []
    for place in range(count):
        subject, background = HAT_WEARERS[place % 2], rng.choice(HAT_BACKGROUNDS)
        colour = rng.choice(visible_colours(background))
        wording = "{a} {colour} {subject} wearing a party hat {setting}"
        prompt = _said(wording, colour, subject, background)
        asked.append((prompt, Asked(background, ((subject, colour, True),))))
    return asked


def pair_prompts(count: int) -> list[Prompt]:
    """Two things with a relation."""
    rng = random.Random(2)
    asked = []
    for place in range(count):
        relation = list(_RELATIONS)[place % len(_RELATIONS)]
        background = rng.choice(BACKGROUNDS)
        subjects = rng.sample(SUBJECTS, 2)
        colours = rng.sample(visible_colours(background), 2)
        other = f"{article(colours[1])} {colours[1]} {subjects[1]}"
        wording = f"{{a}} {{colour}} {{subject}} {relation} {other} {{setting}}"
        things = tuple((s, c, False) for s, c in zip(subjects, colours, strict=True))
        prompt = _said(wording, colours[0], subjects[0], background)
        asked.append((prompt, Asked(background, things, _RELATIONS[relation])))
    return asked


def _said(wording: str, colour: str, subject: str, background: str) -> str:
    return wording.format(
        a=article(colour), colour=colour, subject=subject, setting=in_scene(background)
    )


def draw(pipeline: SdxlPipeline, request: ImageRequest) -> list[Pixels]:
    """The pictures of a request, u8[height, width, 3] each."""
    *_, last = pipeline.generate(request)
    assert last.fetch is not None  # noqa: S101 - the engine's promise
    return [
        np.frombuffer(image.rgb, np.uint8).reshape(image.height_px, image.width_px, 3)
        for image in last.fetch()
    ]


Shares = dict[str, npt.NDArray[np.float64]]
"""For each respect of `judge.found` the share of a prompt's pictures, NaN where none was asked."""


def measure(
    pipeline: SdxlPipeline, judge: Judge, prompts: Sequence[Prompt], like: ImageRequest
) -> Shares:
    """What pictures of each prompt show, otherwise drawn alike; the same seeds for each `like`."""
    names: dict[str, list[float]] = {}
    for place, (prompt, asked) in enumerate(
        tqdm(prompts, f"guidance {like.guidance_scale:g}", unit=" prompts")
    ):
        pictures = draw(pipeline, replace(like, prompt=prompt, seed=place))
        looks = [found(asked, judge.look(picture)) for picture in pictures]
        for name in _RESPECTS:
            hits = [look[name] for look in looks if name in look]
            names.setdefault(name, []).append(float(np.mean(hits)) if hits else float("nan"))
    return {name: np.array(shares) for name, shares in names.items()}


def with_negative(
    pipeline: SdxlPipeline, judge: Judge, count: int, like: ImageRequest
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
        for picture in draw(pipeline, replace(like, prompt=prompt, seed=seed)):
            things = judge.look(picture).things
            red.append(any(thing.colour == "red" for thing in things))
            right.append(any(thing.subject == subject for thing in things))
    return {"red": float(np.mean(red)), "subject": float(np.mean(right))}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="doodle")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--quantise", default="none")
    parser.add_argument("--prompts", type=int, default=240, help="held-out ones")
    parser.add_argument("--others", type=int, default=80, help="with hats, and with two things")
    arguments = parser.parse_args()
    judge = Judge.train()
    pipeline = SdxlPipeline.load(
        arguments.model, dtype=arguments.dtype, quantise=arguments.quantise
    )
    pipeline.warm_up([(LIKE.width_px, LIKE.height_px)], num_images=LIKE.num_images)
    begin_s = time.perf_counter()
    _show("the judge on fresh drawings", accuracy(judge, 600))
    for name, prompts in (
        ("held-out prompts", held_out_prompts()[: arguments.prompts]),
        ("prompts with a hat", hat_prompts(arguments.others)),
        ("prompts with two things", pair_prompts(arguments.others)),
    ):
        plain, guided = (
            measure(pipeline, judge, prompts, replace(LIKE, guidance_scale=scale))
            for scale in _GUIDANCES
        )
        for scale, shares in zip(_GUIDANCES, (plain, guided), strict=True):
            means = {
                key: float(np.nanmean(values))
                for key, values in shares.items()
                if not np.isnan(values).all()
            }
            _show(f"{len(prompts)} {name}, guidance {scale:g}", means)
        for key in ("subject", "all"):
            rise = guided[key] - plain[key]
            # Over prompts: the pictures of one prompt are not independent.
            error = rise.std(ddof=1) / len(rise) ** 0.5
            print(f"    {key} rises by {rise.mean():.1%}, give or take {error:.1%} (one deviation)")
        subjects = [asked.things[0][0] for _, asked in prompts]
        by_subject = {
            subject: float(guided["all"][[one == subject for one in subjects]].mean())
            for subject in sorted(set(subjects))
        }
        _show("    everything right, by the first subject", by_subject)
    guided_like = replace(LIKE, guidance_scale=_GUIDANCES[1])
    for negative in (None, "red", "blue"):
        _show(
            f"50 prompts, negative {negative!r}",
            with_negative(pipeline, judge, 50, replace(guided_like, negative_prompt=negative)),
        )
    print(f"{LIKE.num_images} images a prompt, {time.perf_counter() - begin_s:.0f} s")


def _show(title: str, shares: dict[str, float]) -> None:
    print(
        f"{title:<44}" + "  ".join(f"{name} {share:.1%}" for name, share in shares.items()),
        flush=True,
    )


if __name__ == "__main__":
    main()
