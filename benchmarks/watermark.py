"""What does the watermark live through, how much of it is there to see, and how often is it a lie?

    PYTHONPATH=training .venv/bin/python -m benchmarks.watermark [--pictures 50] [--unmarked 1000]
        [--photos FOLDER]

Marks pictures of several kinds and sizes, does to them what chats and people do, and looks for the
mark; then looks for it in pictures that bear none. The kinds are scenes as the embedded model
learnt them, colours and gradients, clouds with the spectrum of photographs, and texture from edge
to edge, where a mark has it hardest. `--photos` adds squares out of your own pictures. Takes some 5
minutes of a core.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from sdxl_engine.marks.watermark import Watermark
from tests.sdxl_engine.marks.attacks import ATTACKS, KINDS, Draw, psnr_db

SIDES_PX = {128: 1.0, 256: 1.0, 512: 0.4, 1024: 0.2}  # and which share of the pictures is marked
UNMARKED_SIDES_PX = (128, 256, 512)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=50, help="of each kind, the small ones")
    parser.add_argument("--unmarked", type=int, default=1_000, help="pictures without a mark")
    parser.add_argument("--photos", type=Path, help="a folder of pictures to cut squares from")
    args = parser.parse_args()
    kinds = dict(KINDS)
    if args.photos is not None:
        kinds["photo"] = squares(sorted(args.photos.iterdir()))
    watermark = Watermark()
    for side_px, share in SIDES_PX.items():
        _print_found(watermark, kinds, side_px, max(1, round(args.pictures * share)))
    _print_false(watermark, kinds, args.unmarked)


def squares(files: list[Path]) -> Draw:
    """Squares out of pictures, scaled to the side that is asked for."""

    def draw(seed: int, side_px: int) -> Image.Image:
        rng = np.random.default_rng(seed)
        with Image.open(files[seed % len(files)]) as opened:
            picture = opened.convert("RGB")
        most = min(picture.size)
        side = int(rng.integers(most * 6 // 10, most, endpoint=True))
        x, y = (int(rng.integers(0, whole - side, endpoint=True)) for whole in picture.size)
        cut = picture.crop((x, y, x + side, y + side))
        return cut.resize((side_px, side_px), Image.Resampling.LANCZOS)

    return draw


def _print_found(watermark: Watermark, kinds: dict[str, Draw], side_px: int, count: int) -> None:
    print(f"\n{side_px} x {side_px}, {count} pictures of each kind: found, lowest score")
    print(f"{'':<18}" + "".join(f"{kind:>16}" for kind in kinds))
    marked, least_db, took_s = {}, {}, 0.0
    for kind, draw in kinds.items():
        plain = [draw(seed, side_px) for seed in range(count)]
        begun_s = time.process_time()
        marked[kind] = [watermark.on(one) for one in plain]
        took_s += time.process_time() - begun_s
        pairs = zip(plain, marked[kind], strict=True)
        least_db[kind] = min(psnr_db(one, other) for one, other in pairs)
    for name, attack in ATTACKS.items():
        row = f"{name:<18}"
        for kind in kinds:
            seen = [watermark.sought(attack(one)) for one in marked[kind]]
            share = sum(one.is_there for one in seen) / count
            row += f"{share:>9.1%} {min(one.score for one in seen):>6.1f}"
        print(row, flush=True)
    print(f"{'lowest PSNR, dB':<18}" + "".join(f"{least_db[kind]:>16.1f}" for kind in kinds))
    print(f"{1000 * took_s / count / len(kinds):.0f} ms of a core a picture to mark it")


def _print_false(watermark: Watermark, kinds: dict[str, Draw], count: int) -> None:
    begun_s = time.process_time()
    alarms, highest = 0, 0.0
    for draw, seed, side_px in _unmarked(kinds, count):
        seen = watermark.sought(draw(seed, side_px))
        alarms += seen.is_there
        highest = max(highest, seen.score)
    took_s = time.process_time() - begun_s
    print(f"\n{count} pictures without a mark: {alarms} false alarms, highest score {highest:.1f}")
    print(f"{took_s / count:.2f} s of a core a picture to look for it")


def _unmarked(kinds: dict[str, Draw], count: int) -> Iterator[tuple[Draw, int, int]]:
    draws = list(kinds.values())
    for number in range(count):
        # Others than those that were marked above.
        sides = UNMARKED_SIDES_PX[number // len(draws) % len(UNMARKED_SIDES_PX)]
        yield draws[number % len(draws)], 10_000 + number, sides


if __name__ == "__main__":
    main()
