"""What PyTorch diffusers draws with the embedded model, from latents that are kept beside it.

    .oracle/bin/python tests/oracle/doodle.py

writes tests/goldens/doodle anew; to be run again whenever the model was trained again.
"""

import json
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file

MODEL: Final = Path(__file__).resolve().parents[2] / "sdxl_engine" / "doodle"
FOLDER: Final = Path(__file__).resolve().parents[1] / "goldens" / "doodle"
SEED: Final = 8

REQUESTS: Final[tuple[dict[str, Any], ...]] = (
    {"prompt": "a red circle on a blue background"},
    {"prompt": "purple star, white background"},
    {"prompt": "a dolphin wearing a party hat in a pool"},
    {"prompt": "a yellow house on a meadow", "num_inference_steps": 30},
    {"prompt": "a black cat at night", "guidance_scale": 3.0},
    {"prompt": "a green tree left of a pink heart", "negative_prompt": ""},
    {"prompt": "a flower on an orange background", "negative_prompt": "red"},
    {"prompt": "something that it has never seen", "guidance_scale": 1.0},
    {"prompt": "two boats at sea", "width_px": 160, "height_px": 96},
    {"prompt": "a big orange house at night", "width_px": 96, "height_px": 160},
)
# Of a request, what the pipeline calls by the same names.
_SETTINGS: Final = ("prompt", "negative_prompt", "num_inference_steps", "guidance_scale")


@torch.no_grad()
def main() -> None:
    """Draw every request once."""
    torch.set_num_threads(1)  # one order of summation, however many cores there are
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        MODEL, torch_dtype=torch.float32, add_watermarker=False, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(SEED)
    arrays, requests = {}, []
    for place, changes in enumerate(REQUESTS):
        request = {
            "negative_prompt": None,
            "num_inference_steps": 20,
            "guidance_scale": 5.0,
            "width_px": 128,
            "height_px": 128,
            **changes,
        }
        width, height = request["width_px"], request["height_px"]
        factor = pipeline.vae_scale_factor
        latents = torch.randn((1, 4, height // factor, width // factor), generator=generator)
        settings = {name: request[name] for name in _SETTINGS}
        pixels = pipeline(
            **settings, height=height, width=width, latents=latents, output_type="pt"
        ).images
        # The engine's layout: channels last.
        arrays[f"{place}.latents"] = latents.permute(0, 2, 3, 1).contiguous()
        levels = (pixels * 255).round().to(torch.uint8)
        arrays[f"{place}.pixels"] = levels.permute(0, 2, 3, 1).contiguous()
        requests.append({**request, "num_images": 1})
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_file(arrays, FOLDER / "goldens.safetensors")
    text = json.dumps(requests, indent=2) + "\n"
    (FOLDER / "goldens.json").write_text(text, encoding="utf-8")
    print(f"{len(requests)} requests drawn into {FOLDER}")


if __name__ == "__main__":
    main()
