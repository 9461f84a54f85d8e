"""Make the goldens of picture checks: two tiny networks, and what PyTorch sees in pictures.

    make oracle
    .oracle/bin/python tests/oracle/checks.py

writes tests/goldens/checks anew: `safety_checker/` as Stable Diffusion's was published, with its
names and its thresholds among what the pictures come to; `classifier/` as transformers saves a
vision transformer; `goldens.safetensors`, whose arrays README.md tells.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import (
    StableDiffusionSafetyChecker,
    cosine_distance,
)
from PIL import Image
from record import Arrays, save_copies
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPTextConfig,
    CLIPVisionConfig,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

FOLDER: Final = Path(__file__).resolve().parents[1] / "goldens" / "checks"
SIZES_PX: Final = {"wide": (75, 44), "tall": (40, 77), "small": (20, 17)}
_COUNT: Final = 4
_CHECKER_TOKENS: Final = 17
_LABELS: Final = ("normal", "nsfw", "drawings")


def pictures() -> dict[str, torch.Tensor]:
    """Of each size a few, u8[n, height, width, 3]: large shapes with noise, and hard edges."""
    rng = np.random.default_rng(5)
    found = {}
    for name, (width, height) in SIZES_PX.items():
        drawn = []
        for _ in range(_COUNT):
            coarse = Image.fromarray(rng.integers(256, size=(4, 5, 3), dtype=np.uint8))
            smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
            noisy = smooth.astype(int) + rng.integers(-60, 60, size=smooth.shape)
            noisy[: height // 3, : width // 3] = rng.choice((0, 255))
            drawn.append(np.clip(noisy, 0, 255).astype(np.uint8))
        found[name] = torch.from_numpy(np.stack(drawn))
    return found


def enliven(network: nn.Module, seed: int) -> None:
    """Weights that are nothing's: norms too, so that none could be left out unseen."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            noise = torch.randn(weight.shape, generator=draw)
            norm = "norm" in name or "layrnorm" in name
            if norm and name.endswith("weight"):
                weight.copy_(1 + 0.3 * noise)
            elif weight.ndim == 1:
                weight.copy_(0.3 * noise)
            else:
                weight.copy_(noise * (1.5 / weight[0].numel() ** 0.5))


def safety_checker(shown: dict[str, torch.Tensor]) -> Arrays:
    """Write the one, and return what it sees."""
    vision = CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=3,
        image_size=28,
        patch_size=7,
        projection_dim=20,
    )
    text = CLIPTextConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)
    checker = StableDiffusionSafetyChecker(config).eval()
    enliven(checker, seed=1)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 31}, crop_size={"height": 28, "width": 28}
    )
    arrays: Arrays = {}
    for name, pixels in shown.items():
        values = prepared(processor, pixels)
        with torch.no_grad():
            embeds = checker.visual_projection(checker.vision_model(values)[1])
            arrays[f"safety_checker.{name}.pixels"] = values
            arrays[f"safety_checker.{name}.cosines"] = cosine_distance(
                embeds, checker.concept_embeds
            )
            arrays[f"safety_checker.{name}.special"] = cosine_distance(
                embeds, checker.special_care_embeds
            )
    # So that some are beyond them, some are not, and some by the adjustment alone.
    with torch.no_grad():
        for kind, share, weights in (
            ("cosines", 0.92, checker.concept_embeds_weights),
            ("special", 0.8, checker.special_care_embeds_weights),
        ):
            every = torch.cat([arrays[f"safety_checker.{name}.{kind}"] for name in shown])
            weights.copy_(every.quantile(share, dim=0))
    for name in shown:
        values = arrays[f"safety_checker.{name}.pixels"]
        _, found = checker(values, [np.ones(1)] * _COUNT)
        arrays[f"safety_checker.{name}.found"] = torch.tensor(found)
    folder = FOLDER / "safety_checker"
    checker.save_pretrained(folder)
    processor.save_pretrained(folder)
    weights = {
        name.replace("vision_model.", "vision_model.vision_model."): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    position_ids = torch.arange(_CHECKER_TOKENS)[None]
    weights["vision_model.vision_model.embeddings.position_ids"] = position_ids
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return arrays


def classifier(shown: dict[str, torch.Tensor]) -> Arrays:
    """Write the other, and return what it sees."""
    config = ViTConfig(
        hidden_size=24,
        intermediate_size=52,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
        id2label=dict(enumerate(_LABELS)),
        label2id={label: place for place, label in enumerate(_LABELS)},
    )
    network = ViTForImageClassification(config)
    enliven(network.train(mode=False), seed=2)
    processor = ViTImageProcessorPil(
        size={"height": 32, "width": 32}, image_mean=[0.5, 0.45, 0.4], image_std=[0.5, 0.3, 0.4]
    )
    arrays: Arrays = {}
    for name, pixels in shown.items():
        values = prepared(processor, pixels)
        with torch.no_grad():
            arrays[f"classifier.{name}.pixels"] = values
            arrays[f"classifier.{name}.scores"] = network(values).logits.softmax(-1)
    network.save_pretrained(FOLDER / "classifier")
    processor.save_pretrained(FOLDER / "classifier")
    return arrays


def prepared(processor: Any, pixels: torch.Tensor) -> torch.Tensor:
    """As the networks are shown them, f32[n, 3, side, side]."""
    images = [Image.fromarray(one.numpy()) for one in pixels]
    values: torch.Tensor = processor(images, return_tensors="pt").pixel_values
    return values


def main() -> None:
    """Write everything; raise where the goldens would prove nothing."""
    torch.set_num_threads(1)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    shown = pictures()
    arrays = {f"pictures.{name}": pixels for name, pixels in shown.items()}
    arrays |= safety_checker(shown) | classifier(shown)
    for name, tensor in sorted(arrays.items()):
        spread = tensor.double().std()
        print(f"{name:32} {list(tensor.shape)!s:18} std {spread:.3f}")
        if not torch.isfinite(tensor.double()).all() or not spread:
            raise SystemExit(f"{name} proves nothing")
    found = torch.cat([arrays[f"safety_checker.{name}.found"] for name in shown])
    print("found", found.tolist())
    save_file(save_copies(arrays), FOLDER / "goldens.safetensors")
    for file in FOLDER.glob("*/*.json"):  # as the others here are written
        data = json.loads(file.read_text("utf-8"))
        file.write_text(json.dumps(data, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
