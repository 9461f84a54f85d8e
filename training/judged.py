"""The embedded model's own pictures, and what the judge finds in them: what its check learns from.

    .venv/bin/python training/judged.py FILE.npz [--prompts 400] [--seed 0]

FILE.npz holds `pixels` u8[n, 128, 128, 3] and `subjects`, for each picture the subjects of its
things, the largest first, with commas between them.
"""

import argparse
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from adherence import LIKE, draw
from captions import caption
from judge import Judge
from tqdm import tqdm
from world import BACKGROUNDS, SUBJECTS, Pixels, Scene, random_single, visible_colours

from sdxl_engine import ImageRequest, SdxlPipeline

_GUIDED: Final = replace(LIKE, guidance_scale=3.0)


def single_scenes(count: int, seed: int) -> list[Scene]:
    """Scenes with one thing, each subject as often, in any colour that shows."""
    rng = random.Random(seed)
    scenes = []
    for place in range(count):
        background = rng.choice(BACKGROUNDS)
        colour = rng.choice(visible_colours(background))
        scenes.append(random_single(rng, SUBJECTS[place % len(SUBJECTS)], colour, background))
    return scenes


def requests(count: int, seed: int) -> Iterator[ImageRequest]:
    """For that many scenes, what people would say to get them; one in four without guidance."""
    rng = random.Random(seed)
    for place, scene in enumerate(single_scenes(count, seed)):
        like = LIKE if place % 4 == 0 else _GUIDED
        yield replace(like, prompt=caption(scene, rng), seed=seed + place)


def judged(judge: Judge, pictures: list[Pixels]) -> list[tuple[str, ...]]:
    """The subjects of each picture's things, the largest first."""
    return [tuple(thing.subject for thing in judge.look(one).things) for one in pictures]


def main() -> None:
    """Draw, judge and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pipeline = SdxlPipeline.load("doodle")
    pipeline.warm_up([(LIKE.width_px, LIKE.height_px)], num_images=LIKE.num_images)
    judge = Judge.train()
    pictures: list[Pixels] = []
    for request in tqdm(requests(arguments.prompts, arguments.seed), total=arguments.prompts):
        pictures += draw(pipeline, request)
    subjects = [",".join(found) for found in judged(judge, pictures)]
    np.savez_compressed(arguments.file, pixels=np.stack(pictures), subjects=np.array(subjects))


if __name__ == "__main__":
    main()
