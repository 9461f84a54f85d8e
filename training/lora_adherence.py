"""What a LoRA of the embedded model adds, and what it costs, measured in the engine by the judge.

    .venv/bin/python training/lora_adherence.py [--loras FOLDER]

Rockets before backgrounds, in colours in which none was shown; and the held-out prompts of
adherence.py, which a LoRA should leave alone. With it and without, from the same noise.
"""

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from adherence import LIKE, Prompt, held_out_prompts, measure
from captions import article, in_scene
from judge import Asked, Judge
from world import BACKGROUNDS, COLOURS, LEARNT, is_taught, is_visible

from sdxl_engine import Lora, SdxlPipeline

_GUIDANCE: Final = 3.0
_STRENGTHS: Final = (0.0, 1.0)


def rocket_prompts(subject: str) -> list[Prompt]:
    """Every combination that the LoRA was not shown."""
    return [
        (
            f"{article(colour)} {colour} {subject} {in_scene(background)}",
            Asked(background, ((subject, colour, False),)),
        )
        for colour, background in product(COLOURS, BACKGROUNDS)
        if is_visible(colour, background) and not is_taught(colour, background)
    ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--loras", type=Path, help="another folder than the embedded one")
    parser.add_argument("--prompts", type=int, default=60, help="of those that were known before")
    arguments = parser.parse_args()
    judge = Judge.train(also=LEARNT)
    pipeline = SdxlPipeline.load("doodle", loras=arguments.loras)
    pipeline.warm_up([(LIKE.width_px, LIKE.height_px)], num_images=LIKE.num_images)
    for subject in LEARNT:
        for name, prompts in (
            (f"{subject}s", rocket_prompts(subject)),
            ("known things", held_out_prompts()[: arguments.prompts]),
        ):
            for strength in _STRENGTHS:
                loras = (Lora(subject, strength),)
                like = replace(LIKE, guidance_scale=_GUIDANCE, loras=loras)
                shares = measure(pipeline, judge, prompts, like)
                means = {
                    respect: f"{np.mean(shares[respect]):.1%}"
                    for respect in ("subject", "colour", "background", "all")
                }
                print(f"{len(prompts)} {name}, strength {strength:g}: {means}", flush=True)


if __name__ == "__main__":
    main()
