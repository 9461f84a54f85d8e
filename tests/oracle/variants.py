"""UNets of other architectures than SDXL's own, each in the place of tiny_a's.

    .oracle/bin/python tests/oracle/variants.py

writes tests/goldens/variants/NAME: the UNet's folder, its weights in float16, and
goldens.safetensors with what PyTorch diffusers makes of it, in float32.
"""

import shutil
from typing import Any, Final

import torch
from diffusers import UNet2DConditionModel
from record import BATCH, Arrays, difference, save_copies, unet_arrays, unet_inputs
from safetensors.torch import save_file
from tiny_models import GOLDENS, TINY_A, enliven, load

FOLDER: Final = GOLDENS / "variants"
PROMPT: Final = "a red circle on a blue background"
NUM_STEPS: Final = 4
GUIDANCE_SCALE: Final = 5.0
TIMESTEP: Final = 951.0

VARIANTS: Final[dict[str, dict[str, Any]]] = {
    # SSD-1B, Segmind Vega: blocks counted attention by attention, more of them on the way up, a
    # middle of one resnet.
    "ssd_1b": {
        "transformer_layers_per_block": [1, [1, 2], [2, 1]],
        "reverse_transformer_layers_per_block": [[1, 3, 1], [2, 1, 1], 1],
        "mid_block_type": "UNetMidBlock2D",
    },
    # KOALA: one layer a level and no middle at all.
    "koala": {
        "layers_per_block": 1,
        "transformer_layers_per_block": [0, 1, 2],
        "mid_block_type": None,
    },
    # A consistency model that is told its guidance; and layers that differ from level to level.
    "told": {
        "layers_per_block": [1, 2, 1],
        "transformer_layers_per_block": 1,
        "time_cond_proj_dim": 16,
    },
    # Inpainting: beside the latents a mask and those of the picture without what it hides.
    "inpainting": {"layers_per_block": 1, "transformer_layers_per_block": 1, "in_channels": 9},
}


def build(changes: dict[str, Any]) -> UNet2DConditionModel:
    """A UNet with random weights that are float16's, in float32."""
    torch.manual_seed(TINY_A.seed)
    unet = UNet2DConditionModel(
        **{
            "in_channels": 4,
            "out_channels": 4,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "cross_attention_dim": TINY_A.text_1["hidden_size"] + TINY_A.text_2["hidden_size"],
            "projection_class_embeddings_input_dim": TINY_A.text_2["projection_dim"]
            + 6 * TINY_A.unet["addition_time_embed_dim"],
            **TINY_A.unet,
            **changes,
        }
    )
    enliven(unet, text_gain=TINY_A.text_gain, stream_gain=TINY_A.stream_gain)
    return unet.half().float().eval()


@torch.no_grad()
def goldens(unet: UNet2DConditionModel, dtype: torch.dtype) -> Arrays:
    """One pass, and where it draws from text alone a run."""
    pipeline = load(TINY_A, dtype)
    pipeline.unet = unet.to(dtype)
    draw = torch.Generator().manual_seed(TINY_A.seed + 1)
    inputs = unet_inputs(unet, TINY_A.max_length, draw)
    told = None
    if dim := unet.config.time_cond_proj_dim:
        scales = torch.full((BATCH,), GUIDANCE_SCALE - 1)
        told = pipeline.get_guidance_scale_embedding(scales, embedding_dim=dim, dtype=dtype)
    arrays: Arrays = inputs | unet_arrays(
        "unet",
        unet,
        inputs,
        size=TINY_A.unet_size,
        timestep=TIMESTEP,
        draw=draw,
        inside=False,
        timestep_cond=told,
    )
    if unet.config.in_channels == unet.config.out_channels:
        sides = (side // pipeline.vae_scale_factor for side in (TINY_A.height_px, TINY_A.width_px))
        arrays["run.noise"] = torch.randn(BATCH, 4, *sides, generator=draw).to(dtype)
        arrays["run.latents"] = pipeline(
            PROMPT,
            num_inference_steps=NUM_STEPS,
            guidance_scale=GUIDANCE_SCALE,
            height=TINY_A.height_px,
            width=TINY_A.width_px,
            num_images_per_prompt=BATCH,
            latents=arrays["run.noise"],
            output_type="latent",
        ).images
    return arrays


def write_variants() -> None:
    """Write all of them; stops where one would prove nothing."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name, changes in VARIANTS.items():
        unet = build(changes)
        arrays = goldens(unet, torch.float32)
        exact = goldens(build(changes), torch.float64)
        rounding = max(difference(arrays[key], exact[key]) for key in arrays)
        print(f"{name:12} float32 off by {rounding:.1e}")
        if rounding > 2e-5 or not all(tensor.isfinite().all() for tensor in arrays.values()):
            raise SystemExit(f"goldens not written: {name} is chaotic or not finite")
        build(changes).half().save_pretrained(FOLDER / name / "unet")
        save_file(save_copies(arrays), FOLDER / name / "goldens.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)  # one order of summation, however many cores there are
    write_variants()
