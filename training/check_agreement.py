"""How far the embedded model's picture check agrees with the judge.

    .venv/bin/python training/judged.py FRESH.npz --prompts 120 --seed 100000
    .venv/bin/python training/check_agreement.py FRESH.npz

Of pictures that it did not learn from; see `judged.py`.
"""

import argparse
from collections import Counter
from pathlib import Path

import jax
import numpy as np

from sdxl_engine.picture_check import PictureCheck
from sdxl_engine.programs.compiler import make_mesh


def agreement(file: Path) -> dict[str, tuple[int, int]]:
    """By what the judge saw, in how many pictures the check said the same, and of how many.

    Of two things the check must say one, and of nothing known "other".
    """
    with np.load(file) as judged:
        pixels, subjects = judged["pixels"], judged["subjects"].tolist()
    devices = jax.devices()[:1]
    check = PictureCheck.load("doodle", devices=devices)
    height, width = pixels.shape[1:3]
    check.warm_up(width, height, 1, make_mesh(devices, 1))
    found: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for scores, seen in zip(check.look(pixels)(), subjects, strict=True):
        things = [one if one in check.categories else "other" for one in seen.split(",")]
        name = things[0] if len(things) == 1 else "several"
        every[name] += 1
        found[name] += max(scores, key=lambda label: scores[label]) in things
    return {name: (found[name], every[name]) for name in sorted(every)}


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    by_name = agreement(parser.parse_args().file)
    for name, (found, every) in by_name.items():
        print(f"{name:<10}{found:5} of {every:4}  {found / every:6.1%}")
    single = [own for name, own in by_name.items() if name not in {"several", "other"}]
    found, every = (sum(each) for each in zip(*single, strict=True))
    print(f"one subject{found:4} of {every:4}  {found / every:6.1%}")


if __name__ == "__main__":
    main()
