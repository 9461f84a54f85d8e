"""Make the goldens of LoRAs: files, and what PyTorch diffusers draws with them.

    make oracle
    .oracle/bin/python tests/oracle/loras.py

writes tests/goldens/loras anew: `kohya.safetensors` changes linears, convolutions and both text
encoders, `peft.safetensors` has PEFT's names, several ranks and its settings in the header;
`goldens.safetensors` has the noise and, a case each, the latents of tiny_a after ten steps.
diffusers drops what makes a LoRA a DoRA, and refuses cores, LoHa, LoKr and whole differences: those
are checked by their formulas.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import StableDiffusionXLPipeline
from record import difference
from safetensors.torch import save_file
from torch import Tensor, nn

GOLDENS: Final = Path(__file__).resolve().parents[1] / "goldens"
FOLDER: Final = GOLDENS / "loras"
PROMPT: Final = "a red circle on a blue background"
CASES: Final[dict[str, dict[str, float]]] = {
    "none": {},
    "kohya": {"kohya": 0.7},
    "peft": {"peft": 1.0},
    "both": {"kohya": 0.7, "peft": -0.4},
}
_LOUD: Final = 0.35  # of a change, beside its weight
_CHANGED: Final = (
    "attn1.to_q",
    "attn2.to_v",
    "to_out.0",
    "ff.net.0.proj",
    "conv1",
    "samplers.0.conv",
)


def _factors(draw: torch.Generator, weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """up and down of a change that is a little quieter than the weight."""
    up = torch.randn(len(weight), rank, generator=draw)
    down = torch.randn(rank, *weight.shape[1:], generator=draw)
    loud = _LOUD * weight.norm() / (up @ down.flatten(1)).norm()
    return (up * loud).reshape(len(weight), rank, *[1] * (weight.ndim - 2)), down


def _modules(network: nn.Module, ends: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    for name, module in network.named_modules():
        if name.endswith(ends) and isinstance(module, nn.Linear | nn.Conv2d):
            yield name, module.weight


def write_files(pipeline: StableDiffusionXLPipeline) -> None:
    """Both files."""
    draw = torch.Generator().manual_seed(4)
    kohya: dict[str, Tensor] = {}
    for network, tag, ends in (
        (pipeline.unet, "unet", _CHANGED),
        # Without out_proj diffusers 0.42.1 takes the others of attention for names of another kind,
        # and drops them.
        (pipeline.text_encoder, "te1", ("q_proj", "out_proj", "fc1")),
        (pipeline.text_encoder_2, "te2", ("v_proj", "out_proj", "fc2")),
    ):
        for name, weight in _modules(network, ends):
            own = name if tag == "unet" or name.startswith("text_model") else f"text_model.{name}"
            flat = f"lora_{tag}_{own.replace('.', '_')}"
            up, down = _factors(draw, weight, rank=2)
            # alpha / rank is 1/2, which the factors make good.
            kohya |= {f"{flat}.lora_up.weight": 2 * up, f"{flat}.lora_down.weight": down}
            kohya[f"{flat}.alpha"] = torch.tensor(1.0)
    FOLDER.mkdir(exist_ok=True)
    facts = {"ss_base_model_version": "sdxl_base_v1-0"}
    save_file(
        {name: tensor.half() for name, tensor in kohya.items()}, FOLDER / "kohya.safetensors", facts
    )
    peft: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for place, (name, weight) in enumerate(_modules(pipeline.unet, ("attn1.to_k", "attn2.to_q"))):
        rank = ranks[name] = 2 + place % 2
        up, down = _factors(draw, weight, rank)
        peft |= {
            f"unet.{name}.lora_B.weight": up * rank / 6,
            f"unet.{name}.lora_A.weight": down,
        }
    settings: dict[str, Any] = {
        "unet.r": 2,
        "unet.lora_alpha": 6,
        "unet.rank_pattern": {name: rank for name, rank in ranks.items() if rank != 2},
        "unet.target_modules": sorted(ranks),
    }
    facts = {"lora_adapter_metadata": json.dumps(settings), "format": "pt"}
    save_file(peft, FOLDER / "peft.safetensors", facts)


@torch.no_grad()
def draw(dtype: torch.dtype) -> dict[str, Tensor]:
    """The latents of every case, from the same noise."""
    found = {"noise": torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))}
    for case, strengths in CASES.items():
        pipeline = StableDiffusionXLPipeline.from_pretrained(GOLDENS / "tiny_a", torch_dtype=dtype)
        pipeline.set_progress_bar_config(disable=True)
        for name in strengths:
            pipeline.load_lora_weights(FOLDER, weight_name=f"{name}.safetensors", adapter_name=name)
        if strengths:
            pipeline.set_adapters(list(strengths), list(strengths.values()))
        found[case] = pipeline(
            PROMPT,
            num_inference_steps=10,
            guidance_scale=3.0,
            height=64,
            width=64,
            num_images_per_prompt=2,
            latents=found["noise"].to(dtype),
            output_type="latent",
        ).images
    return found


def main() -> None:
    """Write them; refuse goldens that prove nothing."""
    write_files(StableDiffusionXLPipeline.from_pretrained(GOLDENS / "tiny_a"))
    arrays, exact = draw(torch.float32), draw(torch.float64)
    for case, array in arrays.items():
        rounding = difference(array, exact[case])
        moved = difference(array, arrays["none"]) if case in CASES else 0.0
        print(f"{case:6} moved by {moved:.3f}, float32 off by {rounding:.1e}")
        if rounding > 2e-5 or (case in CASES and case != "none" and moved < 0.05):
            raise SystemExit(f"{case} proves nothing")
    save_file(
        {name: array.contiguous() for name, array in arrays.items()}, FOLDER / "goldens.safetensors"
    )


if __name__ == "__main__":
    main()
