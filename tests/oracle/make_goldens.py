"""Make the goldens: two tiny SDXL models, samplers' ways, what PyTorch diffusers makes of them.

    make oracle
    .oracle/bin/python tests/oracle/make_goldens.py

writes tests/goldens anew, but loras and doodle, which have scripts of their own;
tests/goldens/README.md tells what the arrays are. Models that prove nothing are refused: every
array is finite and hardly off in float32, the images are lively, each kind of negative prompt draws
another one, each mistake in traps.py shows.
"""

import json
import shutil
from typing import Any, Final

import torch
from diffusers import StableDiffusionXLPipeline
from embeddings import write_embeddings
from pictures import write_pictures
from prompts import write_prompts
from record import (
    BATCH,
    Arrays,
    difference,
    save_copies,
    text_arrays,
    unet_arrays,
    unet_inputs,
    vae_arrays,
)
from safetensors.torch import save_file
from samplers import write_samplers
from tiny_models import TINY_A, TINY_B, Tiny, build, load, save
from traps import TRAPS
from variants import write_variants

NUM_STEPS: Final = 20
GUIDANCE_SCALE: Final = 5.0

PROMPTS: Final = (
    "a red circle on a blue background",
    "Three GREEN triangles, and a dolphin's party-hat!!! 42%",
    "a small yellow fish under a big tree beside the house, " * 6,
    "dessin d'un café été \U0001f42c\U0001f389 дом 家 ﬁsh",
    "",
    "word<|endoftext|>after the end",
)
RUN_PROMPT: Final = PROMPTS[0]
NEGATIVE_PROMPT: Final = "a blurry green square"


@torch.no_grad()
def goldens(tiny: Tiny, pipeline: StableDiffusionXLPipeline) -> Arrays:
    """All arrays of one model, by name."""
    return {
        **forwards(tiny, pipeline),
        **_conditioning(pipeline),
        **_runs(tiny, pipeline),
    }


@torch.no_grad()
def forwards(tiny: Tiny, pipeline: StableDiffusionXLPipeline) -> Arrays:
    """The arrays of the single forward passes."""
    draw = torch.Generator().manual_seed(tiny.seed + 1)
    unet = pipeline.unet
    inputs = unet_inputs(unet, tiny.max_length, draw)
    arrays = _text(pipeline) | inputs
    for case, timestep, inside in (("unet", 951.0, True), ("unet_fraction", 333.25, False)):
        arrays |= unet_arrays(
            case, unet, inputs, size=tiny.unet_size, timestep=timestep, draw=draw, inside=inside
        )
    return {**arrays, **vae_arrays(pipeline.vae, (tiny.height_px, tiny.width_px), draw)}


def _text(pipeline: StableDiffusionXLPipeline) -> Arrays:
    arrays: Arrays = {}
    for suffix, tokenizer, encoder in (
        ("", pipeline.tokenizer, pipeline.text_encoder),
        ("_2", pipeline.tokenizer_2, pipeline.text_encoder_2),
    ):
        token_ids = tokenizer(
            list(PROMPTS),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        arrays[f"tokenizer{suffix}.token_ids"] = token_ids.int()
        arrays |= text_arrays(f"text_encoder{suffix}", encoder, token_ids)
        if encoder.config.vocab_size > len(tokenizer):
            # An added token, larger than the end token: "the largest id" is no longer the end.
            added = token_ids[:2].clone()
            added[:, 2] = len(tokenizer)
            added[1, 3] = len(tokenizer) + 1
            arrays[f"text_encoder{suffix}_added.token_ids"] = added.int()
            arrays |= text_arrays(f"text_encoder{suffix}_added", encoder, added)
    return arrays


NEGATIVES: Final = {"none": None, "empty": "", "real": NEGATIVE_PROMPT}


def _conditioning(pipeline: StableDiffusionXLPipeline) -> Arrays:
    arrays: Arrays = {}
    for case, negative in NEGATIVES.items():
        embeds, negative_embeds, pooled, negative_pooled = pipeline.encode_prompt(
            list(PROMPTS),
            negative_prompt=None if negative is None else [negative] * len(PROMPTS),
            do_classifier_free_guidance=True,
        )
        # The positive half is the same in all cases; of the negative all prompts get the same.
        arrays["conditioning.prompt_embeds"] = embeds
        arrays["conditioning.pooled_prompt_embeds"] = pooled
        arrays[f"conditioning.{case}.negative_prompt_embeds"] = negative_embeds[:1]
        arrays[f"conditioning.{case}.negative_pooled_prompt_embeds"] = negative_pooled[:1]
    return arrays


def _runs(tiny: Tiny, pipeline: StableDiffusionXLPipeline) -> Arrays:
    draw = torch.Generator().manual_seed(tiny.seed + 2)
    sides = (side // pipeline.vae_scale_factor for side in (tiny.height_px, tiny.width_px))
    noise = torch.randn(BATCH, 4, *sides, generator=draw).to(pipeline.unet.dtype)
    arrays = {"run.noise": noise}
    steps = []

    def keep(_pipeline: object, _step: int, _timestep: object, kept: Arrays) -> Arrays:
        steps.append(kept["latents"])
        return kept

    def run(case: str, *, negative: str | None, guidance_scale: float, **options: Any) -> None:
        for output, name in (("latent", "latents"), ("np", "images")):
            images = pipeline(
                RUN_PROMPT,
                negative_prompt=negative,
                num_inference_steps=NUM_STEPS,
                guidance_scale=guidance_scale,
                height=tiny.height_px,
                width=tiny.width_px,
                num_images_per_prompt=BATCH,
                latents=noise,
                output_type=output,
                **(options if output == "latent" else {}),
            ).images
            arrays[f"run.{case}.{name}"] = torch.as_tensor(images)

    run("none", negative=None, guidance_scale=GUIDANCE_SCALE, callback_on_step_end=keep)
    arrays["run.none.steps"] = torch.stack(steps)
    run("empty", negative="", guidance_scale=GUIDANCE_SCALE)
    run("real", negative=NEGATIVE_PROMPT, guidance_scale=GUIDANCE_SCALE)
    run("unguided", negative=None, guidance_scale=1.0)
    return arrays


def check(tiny: Tiny, arrays: Arrays, exact: Arrays) -> None:
    """Print what was made; raise where a golden would prove nothing.

    exact  the same arrays computed in float64: how far float32 itself is off
    """
    print(f"\n{tiny.name}")
    for name, tensor in sorted(arrays.items()):
        values = tensor.double()
        rounding = difference(tensor, exact[name])
        spread = float(values.std(correction=0))
        print(
            f"  {name:46} {list(tensor.shape)!s:18} {str(tensor.dtype)[6:]:8}"
            f" {float(values.min()):9.3f} .. {float(values.max()):8.3f}"
            f"  std {spread:7.3f}  float32 off by {rounding:.1e}"
        )
        _require(bool(torch.isfinite(values).all()), f"{name} is not finite")
        _require(rounding < 2e-5, f"{name} is chaotic")
    for case in ("none", "empty", "real", "unguided"):
        images = arrays[f"run.{case}.images"]
        clipped = float(((images <= 0) | (images >= 1)).float().mean())
        print(
            f"  {case}: images std {float(images.std()):.3f}, {clipped:.0%} of the values clipped"
        )
        _require(float(images.std()) > 0.1, f"run.{case}.images is flat")
        _require(clipped < 0.3, f"run.{case}.images is mostly clipped")
    for case in ("empty", "real", "unguided"):
        apart = difference(arrays[f"run.{case}.latents"], arrays["run.none.latents"])
        print(f"  {case} against none: final latents {apart:.3f} apart")
        _require(apart > 1e-2, f"{case} and none draw the same")


def check_traps(tinies: tuple[Tiny, ...]) -> None:
    """Print what each known mistake changes; raise where none of the models shows it.

    The engine is held to 1e-4, so a mistake has to change more than that by a margin.
    """
    print("\nlargest change of a forward pass, of its largest value")
    right = {tiny.name: forwards(tiny, load(tiny)) for tiny in tinies}
    for mistake, spring in TRAPS.items():
        changes = {}
        for tiny in tinies:
            pipeline = load(tiny)
            spring(pipeline)
            wrong = forwards(tiny, pipeline)
            changes[tiny.name] = max(
                difference(wrong[name], tensor)
                for name, tensor in right[tiny.name].items()
                if ".inside." not in name
            )
        print(f"  {mistake:56}", *(f"{name} {by:.1e}  " for name, by in changes.items()))
        _require(max(changes.values()) > 2.5e-4, f"no model shows {mistake}")


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise SystemExit(f"goldens not written: {complaint}")


def write(tiny: Tiny) -> None:
    """Build, save, load back what was saved, and record what it computes."""
    shutil.rmtree(tiny.folder, ignore_errors=True)
    save(tiny, build(tiny))
    arrays = goldens(tiny, load(tiny))
    check(tiny, arrays, goldens(tiny, load(tiny, torch.float64)))
    save_file(save_copies(arrays), tiny.folder / "goldens.safetensors")
    settings = {
        "prompts": PROMPTS,
        "negative_prompts": NEGATIVES,
        "run": {
            "prompt": RUN_PROMPT,
            "height_px": tiny.height_px,
            "width_px": tiny.width_px,
            "num_inference_steps": NUM_STEPS,
            "guidance_scale": GUIDANCE_SCALE,
        },
    }
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (tiny.folder / "goldens.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Write everything."""
    torch.set_num_threads(1)  # one order of summation, however many cores there are
    torch.use_deterministic_algorithms(mode=True)
    for tiny in (TINY_A, TINY_B):
        write(tiny)
    write_variants()
    write_embeddings()
    write_pictures()
    write_prompts()
    write_samplers()
    check_traps((TINY_A, TINY_B))


if __name__ == "__main__":
    main()
