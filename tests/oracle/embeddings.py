"""Words learnt by textual inversion, as PyTorch diffusers reads them.

    .oracle/bin/python tests/oracle/embeddings.py

writes tests/goldens/embeddings/NAME for each tiny model: the words' files, and goldens.safetensors
with what its tokenizers and encoders make of PROMPTS, and in DRAWN a run of the first.
"""

import shutil
from typing import Final

import torch
from record import Arrays, save_copies
from safetensors.torch import save_file
from tiny_models import GOLDENS, TINY_A, TINY_B, Tiny, load

FOLDER: Final = GOLDENS / "embeddings"
# How many vectors each word is, in the order in which their files are read.
WORDS: Final = {"Quux": 1, "zorg": 3}
PROMPTS: Final = ("a red zorg circle", "Quux and zorg.", "a quux on a blue background", "a fish")

DRAWN: Final = TINY_B
NUM_STEPS: Final = 4
GUIDANCE_SCALE: Final = 5.0


@torch.no_grad()
def write(tiny: Tiny) -> None:
    """The words of one model."""
    pipeline = load(tiny)
    draw = torch.Generator().manual_seed(tiny.seed)
    folder = FOLDER / tiny.folder.name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "words").mkdir(parents=True)
    halves = (
        ("clip_l", pipeline.tokenizer, pipeline.text_encoder),
        ("clip_g", pipeline.tokenizer_2, pipeline.text_encoder_2),
    )
    for word, count in WORDS.items():
        vectors = {
            name: torch.randn(count, encoder.config.hidden_size, generator=draw)
            for name, _, encoder in halves
        }
        save_file(vectors, folder / "words" / f"{word}.safetensors")
        for name, tokenizer, encoder in halves:
            pipeline.load_textual_inversion(
                vectors[name], token=word, tokenizer=tokenizer, text_encoder=encoder
            )
    arrays: Arrays = {}
    for suffix, (_, tokenizer, _) in zip(("", "_2"), halves, strict=True):
        prompts = pipeline.maybe_convert_prompt(list(PROMPTS), tokenizer)
        arrays[f"tokenizer{suffix}.token_ids"] = tokenizer(
            prompts, padding="max_length", max_length=tiny.max_length, return_tensors="pt"
        ).input_ids.int()
    embeds, _, pooled, _ = pipeline.encode_prompt(list(PROMPTS), do_classifier_free_guidance=False)
    arrays |= {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
    if tiny is DRAWN:
        sides = (side // pipeline.vae_scale_factor for side in (tiny.height_px, tiny.width_px))
        noise = torch.randn(1, 4, *sides, generator=draw)
        latents = pipeline(
            PROMPTS[0],
            num_inference_steps=NUM_STEPS,
            guidance_scale=GUIDANCE_SCALE,
            height=tiny.height_px,
            width=tiny.width_px,
            latents=noise,
            output_type="latent",
        ).images
        arrays |= {"run.noise": noise, "run.latents": latents}
    save_file(save_copies(arrays), folder / "goldens.safetensors")


def write_embeddings() -> None:
    """The words of both tiny models, whose folders are there."""
    for tiny in (TINY_A, TINY_B):
        write(tiny)


if __name__ == "__main__":
    torch.set_num_threads(1)  # one order of summation, however many cores there are
    write_embeddings()
