"""Trains the embedded model's picture check: a small vision transformer that names the subject.

    make doodle-check

It learns from the world's own drawings, whose subjects are known, and from the model's pictures,
whose subjects the judge tells (`judged.py`); it is written in transformers' format, in half
precision, to sdxl_engine/doodle_check.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from muon import Muon, matrices_of
from PIL import Image
from tqdm import tqdm
from transformers import ViTConfig, ViTForImageClassification
from world import (
    BACKGROUNDS,
    LEARNT,
    SUBJECTS,
    Pixels,
    draw_background,
    draw_scene,
    random_pair,
    random_scene,
    random_single,
    visible_colours,
)

F32 = npt.NDArray[np.float32]

LABELS: Final = (*SUBJECTS, "other")
"""What the check tells apart; "other" is whatever shows none of the subjects."""
_OTHER: Final = len(SUBJECTS)
_SIDE_PX: Final = 48
_FOLDER: Final = Path(__file__).resolve().parents[1] / "sdxl_engine" / "doodle_check"
_PROCESSING: Final = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": _SIDE_PX, "width": _SIDE_PX},
}
_BATCH: Final = 128
_RATE: Final = 2e-3
_WARM_UP: Final = 100  # steps
_OTHER_SHARE: Final = 0.08
_DRAWN_SHARE: Final = 0.35  # of a batch that the model drew; the rest are the world's
_LATENT_PX: Final = 8  # a preview has a pixel for so many
_PREVIEW_SHARE: Final = 0.08


def config() -> ViTConfig:
    """The network: 0.32 million weights."""
    return ViTConfig(
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=192,
        image_size=_SIDE_PX,
        patch_size=8,
        layer_norm_eps=1e-6,
        id2label=dict(enumerate(LABELS)),
        label2id={label: place for place, label in enumerate(LABELS)},
    )


def small(pixels: Pixels) -> Pixels:
    """A picture as the check sees it, u8[side, side, 3]."""
    image = Image.fromarray(pixels).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BILINEAR)
    return np.asarray(image)


def target(subjects: Sequence[str]) -> F32:
    """What the check shall say of a picture with these things, f32[labels]: each alike."""
    share = np.zeros(len(LABELS), np.float32)
    for subject in subjects or ("other",):
        share[LABELS.index(subject) if subject in LABELS else _OTHER] += 1 / max(len(subjects), 1)
    return share


def drawing(rng: random.Random) -> tuple[Pixels, F32]:
    """A drawing of the world, and what the check shall say of it."""
    size_px = rng.choice(((128, 128), (128, 128), (160, 96), (96, 160)))
    background = rng.choice(BACKGROUNDS)
    if rng.random() < _OTHER_SHARE:
        if rng.random() < 0.5:
            pixels = draw_background(background, *size_px, mirrored=rng.random() < 0.5)
            return np.asarray(pixels).astype(np.uint8), target(())
        colour = rng.choice(visible_colours(background))
        return draw_scene(random_single(rng, LEARNT[0], colour, background, size_px)), target(())
    scene = random_scene(rng, size_px)
    if len(scene.things) == 1 and not scene.things[0].hat:  # those held out, too
        colour = rng.choice(visible_colours(background))
        scene = random_single(rng, rng.choice(SUBJECTS), colour, background, size_px)
    elif len(scene.things) > 1:
        scene = random_pair(rng, background, size_px)
    return draw_scene(scene), target([thing.subject for thing in scene.things])


def augmented(rng: random.Random, pixels: Pixels) -> Pixels:
    """The same turned round, or as a preview has it, and small."""
    if rng.random() < _PREVIEW_SHARE:
        height, width, _ = pixels.shape
        image = Image.fromarray(pixels)
        size = width // _LATENT_PX, height // _LATENT_PX
        pixels = np.asarray(image.resize(size, Image.Resampling.BOX))
    return small(pixels)


def examples(count: int, seed: int) -> tuple[Pixels, F32]:
    """That many drawings, u8[n, side, side, 3], and what they show, f32[n, labels]."""
    rng = random.Random(seed)
    pictures, targets = [], []
    for _ in tqdm(range(count), "drawing", mininterval=5):
        pixels, shows = drawing(rng)
        pictures.append(augmented(rng, pixels))
        targets.append(shows)
    return np.stack(pictures), np.stack(targets)


def drawn_examples(file: Path) -> tuple[Pixels, F32]:
    """The same of what the model drew and the judge looked at."""
    with np.load(file) as judged:
        pixels, subjects = judged["pixels"], judged["subjects"]
    shows = [target(one.split(",") if one else ()) for one in subjects.tolist()]
    return np.stack([small(one) for one in pixels]), np.stack(shows)


def batch(
    rng: np.random.Generator, world: tuple[Pixels, F32], drawn: tuple[Pixels, F32]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures of both kinds, each mirrored and moved a little, in -1..1; and what they show."""
    of_drawn = int(_BATCH * _DRAWN_SHARE)
    pictures, targets = [], []
    for (pixels, shows), count in ((world, _BATCH - of_drawn), (drawn, of_drawn)):
        chosen = rng.integers(len(pixels), size=count)
        for picture in pixels[chosen]:
            turned = picture[:, ::-1] if rng.random() < 0.5 else picture
            padded = np.pad(turned, ((3, 3), (3, 3), (0, 0)), mode="edge")
            top, left = rng.integers(7, size=2)
            pictures.append(padded[top : top + _SIDE_PX, left : left + _SIDE_PX])
        targets.append(shows[chosen])
    levels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
    return levels / 127.5 - 1, torch.from_numpy(np.concatenate(targets))


def train(file: Path, drawings: int, steps: int) -> ViTForImageClassification:
    """Learn; the network is the running average of what it came to."""
    torch.set_num_threads(1)  # of so small a network two only wait for each other
    torch.manual_seed(0)
    world, drawn = examples(drawings, seed=0), drawn_examples(file)
    model = ViTForImageClassification(config())
    matrices = {id(weight) for weight in matrices_of(model.vit.layers)}
    muon = Muon([one for one in model.parameters() if id(one) in matrices], _RATE)
    others = [one for one in model.parameters() if id(one) not in matrices]
    adam = torch.optim.AdamW(others, lr=_RATE, weight_decay=0.01)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    rng = np.random.default_rng(0)
    begin_s = time.monotonic()
    for step in range(steps):
        rate = _RATE * min(1, (step + 1) / _WARM_UP) * (1 - step / steps)
        for optimiser in (muon, adam):
            optimiser.param_groups[0]["lr"] = rate
            optimiser.zero_grad()
        pixels, shows = batch(rng, world, drawn)
        loss = torch.nn.functional.cross_entropy(model(pixels).logits, shows)
        loss.backward()
        for optimiser in (muon, adam):
            optimiser.step()
        average.update_parameters(model)
        if step % 100 == 0:
            spent_s = time.monotonic() - begin_s
            print(f"{spent_s:5.0f} s  step {step}  loss {loss.item():.3f}", flush=True)
    trained: ViTForImageClassification = average.module
    return trained


def main() -> None:
    """Train, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("judged", type=Path, help="what judged.py wrote")
    parser.add_argument("--drawings", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=2_500)
    parser.add_argument("--folder", type=Path, default=_FOLDER)
    arguments = parser.parse_args()
    model = train(arguments.judged, arguments.drawings, arguments.steps)
    model.to(torch.float16).save_pretrained(arguments.folder)
    text = json.dumps(_PROCESSING, indent=2) + "\n"
    (arguments.folder / "preprocessor_config.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
