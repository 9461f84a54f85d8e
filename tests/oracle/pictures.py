"""What PyTorch diffusers makes of a picture: img2img, and inpainting with four channels and nine.

    .oracle/bin/python tests/oracle/pictures.py

writes tests/goldens/pictures anew. Two things of the pipelines are changed: they take the mode of
the VAE's posterior, where they would sample it, and the noise that is kept beside the goldens,
where they would draw it. Goldens that a known mistake (TRAPS) would not change are refused.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import torch
from diffusers import (
    DiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)
from diffusers.pipelines.stable_diffusion_xl import (
    pipeline_stable_diffusion_xl_img2img as img2img,
)
from diffusers.pipelines.stable_diffusion_xl import (
    pipeline_stable_diffusion_xl_inpaint as inpaint,
)
from PIL import Image
from record import BATCH, Arrays, difference, save_copies
from safetensors.torch import save_file
from samplers import SAMPLERS
from tiny_models import GOLDENS, SCHEDULER, TINY_A, TINY_B, Tiny, load
from torch.nn import functional
from variants import VARIANTS, build

FOLDER: Final = GOLDENS / "pictures"
NUM_STEPS: Final = 20
SETTINGS: Final = {"prompt": "a red circle on a blue background", "negative_prompt": "a tree"}
_INPAINTING: Final = "inpainting"
_CHAOTIC: Final = 5e-5
_SHOWS: Final = 5e-3  # the engine is held to 1e-3


class Case(NamedTuple):
    """One run; sampler None is the model's own, Euler."""

    strength: float
    masked: bool = False
    guidance_scale: float = 5.0
    sampler: str | None = None


IMG2IMG: Final = {
    "img2img.0.3": Case(0.3),
    "img2img.0.75": Case(0.75),
    "img2img.1": Case(1.0),
    "img2img.unguided": Case(0.75, guidance_scale=1.0),
    "img2img.dpmpp_2m": Case(0.75, sampler="dpmpp_2m"),
}
INPAINT: Final = {
    "inpaint.0.6": Case(0.6, masked=True),
    "inpaint.1": Case(1.0, masked=True),
    "inpaint.unguided": Case(0.6, masked=True, guidance_scale=1.0),
}
# Of those that look twice a step what is known is put back after each look.
OTHERS: Final = {
    f"inpaint.{sampler}": Case(0.6, masked=True, sampler=sampler)
    for sampler in ("dpmpp_2m", "heun", "unipc")
}
MODELS: Final[dict[str, tuple[Tiny, dict[str, Case]]]] = {
    TINY_A.name: (TINY_A, IMG2IMG | INPAINT | OTHERS),
    TINY_B.name: (TINY_B, IMG2IMG | INPAINT | OTHERS),
    _INPAINTING: (TINY_A, INPAINT),
}

Trap = Callable[[Any], None]
Noised = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]


def given(tiny: Tiny) -> Arrays:
    """The picture, the noise, and the mask: of whole latents, so that all shrink it alike."""
    draw = torch.Generator().manual_seed(tiny.seed + 3)
    height, width = tiny.height_px, tiny.width_px
    factor = 2 ** (len(tiny.vae["block_out_channels"]) - 1)
    blots = torch.rand(1, 3, 5, 5, generator=draw)
    smooth = functional.interpolate(blots, (height, width), mode="bicubic")
    rough = 0.05 * torch.randn(1, 3, height, width, generator=draw)
    mask = torch.zeros(1, 1, height, width, dtype=torch.uint8)
    mask[..., height // 4 : height * 3 // 4, width // 2 :] = 255
    mask[..., height // 2 :, width // 4 : width // 2] = 255
    return {
        "picture": ((smooth + rough).clamp(0, 1) * 255).round().to(torch.uint8),
        "mask": mask,
        "noise": torch.randn(BATCH, 4, height // factor, width // factor, generator=draw),
    }


@contextmanager
def steered(noise: torch.Tensor) -> Iterator[list[torch.Tensor]]:
    """Have both pipelines take this noise and the posterior's mode; what they encode, in order."""
    encoded: list[torch.Tensor] = []

    def mode(output: Any, **_generator: object) -> torch.Tensor:
        latents: torch.Tensor = output.latent_dist.mode()
        encoded.append(latents)
        return latents

    def draw(shape: tuple[int, ...], *, dtype: torch.dtype, **_generator: object) -> torch.Tensor:
        assert noise.shape == shape
        return noise.to(dtype)

    with (
        patch.object(img2img, "retrieve_latents", mode),
        patch.object(inpaint, "retrieve_latents", mode),
        patch.object(img2img, "randn_tensor", draw),
        patch.object(inpaint, "randn_tensor", draw),
    ):
        yield encoded


@torch.no_grad()
def goldens(model: str, dtype: torch.dtype, trap: Trap | None = None) -> Arrays:
    """All arrays of one model."""
    tiny, cases = MODELS[model]
    base = load(tiny, dtype)
    parts = base.components
    if model == _INPAINTING:
        parts["unet"] = build(VARIANTS[_INPAINTING]).to(dtype)
    arrays = given(tiny)
    picture, mask = (
        Image.fromarray(arrays[name][0].permute(1, 2, 0).squeeze(-1).numpy())
        for name in ("picture", "mask")
    )
    scaling_factor = base.vae.config.scaling_factor
    # Else diffusers would encode in float32 whatever the type.
    base.vae.register_to_config(force_upcast=False)
    for name, case in cases.items():
        kind: type[DiffusionPipeline] = (
            StableDiffusionXLInpaintPipeline if case.masked else StableDiffusionXLImg2ImgPipeline
        )
        scheduler = base.scheduler
        if case.sampler:
            own, settings = SAMPLERS[case.sampler]
            scheduler = own(**SCHEDULER, **settings)
        unet = deepcopy(parts["unet"])  # a trap changes it
        pipeline = kind(**parts | {"scheduler": scheduler, "unet": unet}, add_watermarker=False)
        pipeline.set_progress_bar_config(disable=True)
        if trap:
            trap(pipeline)
        canvas = {"mask_image": mask, "height": tiny.height_px, "width": tiny.width_px}
        with steered(arrays["noise"]) as encoded:
            arrays[f"{name}.latents"] = pipeline(
                **SETTINGS,
                image=picture,
                strength=case.strength,
                num_inference_steps=NUM_STEPS,
                guidance_scale=case.guidance_scale,
                num_images_per_prompt=BATCH,
                output_type="latent",
                **(canvas if case.masked else {}),
            ).images
        if not case.masked:
            arrays["image_latents"] = encoded[0] * scaling_factor
        elif model == _INPAINTING and case.strength < 1:
            arrays["image_latents"], arrays["masked_image_latents"] = (
                latents * scaling_factor for latents in encoded
            )
    return arrays


def _noised(
    change: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor], *, start: bool
) -> Trap:
    """Noise the picture otherwise, at the start or after each step."""

    def spring(pipeline: Any) -> None:
        scheduler = pipeline.scheduler
        right = type(scheduler).add_noise

        def add_noise(samples: torch.Tensor, noise: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            if (scheduler.step_index is None) == start:
                return change(scheduler, samples, noise)
            return right(scheduler, samples, noise, at)

        scheduler.add_noise = add_noise

    return spring


def _shown(change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Trap:
    """Show the UNet something else; only for one of nine channels."""

    def spring(pipeline: Any) -> None:
        def hook(_unet: object, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            sample, *others = inputs
            if sample.shape[1] == VARIANTS[_INPAINTING]["in_channels"]:
                sigma = pipeline.scheduler.sigmas[pipeline.scheduler.step_index]
                sample = change(sample, sigma)
            return (sample, *others)

        pipeline.unet.register_forward_pre_hook(hook)

    return spring


def _black(pipeline: Any) -> None:
    if hasattr(pipeline, "_encode_vae_image"):
        right = pipeline._encode_vae_image

        def encode(image: torch.Tensor, generator: object) -> torch.Tensor:
            # No pixel of eight bits is exactly grey: what is, lies under the mask.
            return right(image.where(image != 0, -1), generator)

        pipeline._encode_vae_image = encode


def _scaled(sample: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return torch.cat([sample[:, :4], sample[:, 4:] / (sigma**2 + 1) ** 0.5], dim=1)


_FOUR: Final = (TINY_A.name, TINY_B.name)
_NINE: Final = (_INPAINTING,)
# Known mistakes, each with the models whose goldens must show it.
TRAPS: Final[dict[str, tuple[tuple[str, ...], Trap]]] = {
    "the start noised by the root of sigma^2 + 1": (
        _FOUR,
        _noised(
            lambda scheduler, samples, noise: (
                samples + noise * (scheduler.sigmas[scheduler.begin_index] ** 2 + 1) ** 0.5
            ),
            start=True,
        ),
    ),
    "the start without the picture": (
        _FOUR,
        _noised(
            lambda scheduler, _, noise: noise * scheduler.sigmas[scheduler.begin_index], start=True
        ),
    ),
    "what is known left clean": (
        _FOUR,
        _noised(lambda _scheduler, samples, _noise: samples, start=False),
    ),
    "what is known noised as before the step": (
        _FOUR,
        _noised(
            lambda scheduler, samples, noise: (
                samples + noise * scheduler.sigmas[scheduler.step_index - 1]
            ),
            start=False,
        ),
    ),
    "black under the mask": (_NINE, _black),
    "the mask scaled, too": (_NINE, _shown(_scaled)),
    "the mask after the picture": (
        _NINE,
        _shown(lambda sample, _: torch.cat([sample[:, :4], sample[:, 5:], sample[:, 4:5]], dim=1)),
    ),
}


def check(model: str, arrays: Arrays) -> None:
    """Print what was made; raise where a golden would prove nothing."""
    exact = goldens(model, torch.float64)
    print(f"\n{model}")
    for name, tensor in sorted(arrays.items()):
        rounding = difference(tensor, exact[name])
        spread = float(tensor.double().std())
        print(
            f"  {name:24} {list(tensor.shape)!s:16} std {spread:7.3f}"
            f"  float32 off by {rounding:.1e}"
        )
        if rounding > _CHAOTIC or not tensor.isfinite().all():
            raise SystemExit(f"goldens not written: {name} is chaotic or not finite")
    for mistake, (models, trap) in TRAPS.items():
        if model not in models:
            continue
        wrong = goldens(model, torch.float32, trap)
        # What the traps do is said in Euler's terms.
        changes = {
            name: difference(wrong[f"{name}.latents"], arrays[f"{name}.latents"])
            for name, case in MODELS[model][1].items()
            if case.sampler is None
        }
        print(f"  {mistake:44}", *(f"{name} {by:.0e} " for name, by in changes.items()))
        if max(changes.values()) < _SHOWS:
            raise SystemExit(f"goldens not written: they do not show {mistake}")


def write_pictures() -> None:
    """Write all of them; stops where one would prove nothing."""
    FOLDER.mkdir(exist_ok=True)
    facts: dict[str, Any] = {**SETTINGS, "num_inference_steps": NUM_STEPS, "models": {}}
    for model, (tiny, cases) in MODELS.items():
        arrays = goldens(model, torch.float32)
        check(model, arrays)
        save_file(save_copies(arrays), FOLDER / f"{model}.safetensors")
        facts["models"][model] = {
            "width_px": tiny.width_px,
            "height_px": tiny.height_px,
            "cases": {name: case._asdict() for name, case in cases.items()},
        }
    text = json.dumps(facts, indent=2) + "\n"
    (FOLDER / "goldens.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)  # one order of summation, however many cores there are
    write_pictures()
