"""The two tiny SDXL models that the goldens come from.

Random weights are drawn so that signals keep their size from layer to layer, and no norm is left at
its neutral 1 and 0: a swapped pair of tensors or a forgotten bias shows in the output.
"""

import math
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

from clip_tokenizer import END, write_tokenizer

GOLDENS: Final = Path(__file__).resolve().parents[1] / "goldens"

WORDS_A: Final = (
    "a an the on in of and under over beside with red green blue yellow circle square triangle "
    "house tree fish dolphin party hat background big small"
)
WORDS_B: Final = "a the on red blue circle background under tree three blurry"

SCHEDULER: Final[dict[str, Any]] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}


@dataclass(frozen=True)
class Tiny:
    """One tiny model: the settings in which it differs from the other.

    seed                 of its weights and inputs
    height_px, width_px  of the drawn images
    unet_size            height and width of the latents of the single UNet forwards
    as_published         saved as Stability AI published SDXL: tokenizers as vocab.json and
                         merges.txt, encoder names with "text_model.", position_ids in the file,
                         the old end token id 2; else as the newest libraries save
    unet_shard           largest file of the UNet's weights
    text_gain            how strongly the text speaks in the UNet: too loud, and guidance makes a
                         run of 20 steps chaotic
    stream_gain          size of what the residual streams carry: where it is small, their variance
                         comes so near to the norms' epsilons that a wrong epsilon shows
    """

    name: str
    seed: int
    height_px: int
    width_px: int
    unet_size: tuple[int, int]
    words: tuple[str, str]
    max_length: int
    as_published: bool
    unet_shard: str
    text_gain: float
    stream_gain: float
    text_1: dict[str, Any] = field(repr=False)
    text_2: dict[str, Any] = field(repr=False)
    unet: dict[str, Any] = field(repr=False)
    vae: dict[str, Any] = field(repr=False)

    @property
    def folder(self) -> Path:
        return GOLDENS / self.name


TINY_A: Final = Tiny(
    name="tiny_a",
    seed=12,
    height_px=64,
    width_px=64,
    unet_size=(8, 8),
    words=(WORDS_A, WORDS_A),
    max_length=77,
    as_published=True,
    unet_shard="10GB",
    text_gain=0.3,
    stream_gain=1.0,
    text_1={
        "hidden_size": 24,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "hidden_act": "quick_gelu",
        "projection_dim": 24,
    },
    text_2={
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "hidden_act": "gelu",
        "projection_dim": 32,
    },
    unet={
        "sample_size": 8,
        "block_out_channels": (8, 16, 24),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 2,
        "transformer_layers_per_block": [1, 1, 2],
        "attention_head_dim": [2, 4, 6],
        "norm_num_groups": 4,
        "addition_time_embed_dim": 8,
    },
    vae={
        "sample_size": 64,
        "block_out_channels": (8, 16, 16, 24),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "scaling_factor": 0.13025,
    },
)

TINY_B: Final = Tiny(
    name="tiny_b",
    seed=23,
    height_px=64,
    width_px=96,
    unet_size=(8, 12),
    words=(WORDS_A, WORDS_B),
    max_length=16,
    as_published=False,
    unet_shard="400KB",
    text_gain=1.0,
    stream_gain=0.012,
    text_1={
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "hidden_act": "quick_gelu",
        "projection_dim": 32,
    },
    text_2={
        "hidden_size": 16,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "hidden_act": "gelu",
        "projection_dim": 20,
    },
    unet={
        "sample_size": 24,
        "block_out_channels": (16, 24, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "transformer_layers_per_block": [2, 1, 3],
        "attention_head_dim": 4,
        "norm_num_groups": 8,
        "addition_time_embed_dim": 6,
    },
    vae={
        "sample_size": 96,
        "block_out_channels": (8, 12, 16),
        "layers_per_block": 2,
        "norm_num_groups": 4,
        "scaling_factor": 0.18,
    },
)


def build(tiny: Tiny) -> StableDiffusionXLPipeline:
    """The pipeline with random weights; writes its two tokenizers into the model's folder."""
    torch.manual_seed(tiny.seed)
    tokenizers = write_tokenizers(tiny.folder, tiny.words, max_length=tiny.max_length)
    encoders = [
        encoder_class(_text_config(tiny, tokenizer, shape))
        for encoder_class, tokenizer, shape in zip(
            (CLIPTextModel, CLIPTextModelWithProjection),
            tokenizers,
            (tiny.text_1, tiny.text_2),
            strict=True,
        )
    ]
    cross_attention_dim = tiny.text_1["hidden_size"] + tiny.text_2["hidden_size"]
    added_dim = tiny.text_2["projection_dim"] + 6 * tiny.unet["addition_time_embed_dim"]
    unet = UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        cross_attention_dim=cross_attention_dim,
        projection_class_embeddings_input_dim=added_dim,
        **tiny.unet,
    )
    num_blocks = len(tiny.vae["block_out_channels"])
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * num_blocks,
        up_block_types=("UpDecoderBlock2D",) * num_blocks,
        latent_channels=4,
        **tiny.vae,
    )
    for part in (*encoders, unet, vae):
        enliven(part, text_gain=tiny.text_gain, stream_gain=tiny.stream_gain)
        part.eval()
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        unet=unet,
        scheduler=EulerDiscreteScheduler(**SCHEDULER),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def write_tokenizers(
    model: Path, words: tuple[str, str], *, max_length: int
) -> list[CLIPTokenizer]:
    """Both tokenizers of a model's folder, each of its own words, read back."""
    tokenizers = []
    for part, known, pad_token in zip(("tokenizer", "tokenizer_2"), words, (END, "!"), strict=True):
        folder = model / part
        write_tokenizer(folder, known.split(), pad_token=pad_token, max_length=max_length)
        tokenizers.append(CLIPTokenizer.from_pretrained(folder))
    return tokenizers


def _text_config(tiny: Tiny, tokenizer: CLIPTokenizer, shape: dict[str, Any]) -> CLIPTextConfig:
    if tiny.as_published:
        # SDXL's own configs: the end token is found as the largest id, 2 stands for "the old way".
        ids: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
        spare = 0
    else:
        ids = {
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        spare = 2  # ids above the end token, as textual inversion adds them
    return CLIPTextConfig(
        vocab_size=len(tokenizer) + spare,
        max_position_embeddings=tiny.max_length,
        **ids,
        **shape,
    )


# What writes into a residual stream, by the end of its name, and how loudly: feed-forward layers
# so loudly that their activation function shows.
STREAM: Final = {
    "token_embedding": 0.7,
    "position_embedding": 0.7,
    "out_proj": 1.0,
    "fc2": 3.0,
    "conv_in": 1.0,
    "conv2": 1.0,
    "proj_in": 1.0,
    "to_out.0": 1.0,
    "ff.net.2": 1.5,
}


@torch.no_grad()
def enliven(model: nn.Module, *, text_gain: float, stream_gain: float) -> None:
    """Draw every parameter anew, so that the variance of the signal is about kept."""
    for name, module in model.named_modules():
        loudness = [loud for end, loud in STREAM.items() if name.endswith(end)]
        gain = stream_gain * loudness[0] if loudness else 1.0
        if ".attn2.to_out" in name or name == "add_embedding.linear_2":
            gain *= text_gain
        for kind, parameter in module.named_parameters(recurse=False):
            noise = torch.randn_like(parameter)
            if isinstance(module, nn.GroupNorm | nn.LayerNorm):
                parameter.copy_(0.25 * noise + (1.0 if kind == "weight" else 0.0))
            elif kind == "bias":
                parameter.copy_(0.1 * gain * noise)
            elif isinstance(module, nn.Embedding):
                parameter.copy_(gain * noise)
            else:
                parameter.copy_(gain * noise / math.sqrt(parameter[0].numel()))


def save(tiny: Tiny, pipeline: StableDiffusionXLPipeline) -> None:
    """The model's folder in diffusers format."""
    shutil.rmtree(tiny.folder)  # the tokenizers as built: the pipeline saves its own files
    pipeline.save_pretrained(tiny.folder, safe_serialization=True)
    shutil.rmtree(tiny.folder / "unet")
    pipeline.unet.save_pretrained(tiny.folder / "unet", max_shard_size=tiny.unet_shard)
    if tiny.as_published:
        _as_published(tiny)


def _as_published(tiny: Tiny) -> None:
    """Bring tokenizers and text encoders into the form in which SDXL was published."""
    for tokenizer in ("tokenizer", "tokenizer_2"):
        shutil.rmtree(tiny.folder / tokenizer)
    write_tokenizers(tiny.folder, tiny.words, max_length=tiny.max_length)
    prefix = "text_model."
    for encoder in ("text_encoder", "text_encoder_2"):
        path = tiny.folder / encoder / "model.safetensors"
        tensors = {
            name if name.startswith((prefix, "text_projection")) else prefix + name: tensor
            for name, tensor in load_file(path).items()
        }
        tensors[prefix + "embeddings.position_ids"] = torch.arange(tiny.max_length)[None]
        save_file(tensors, path, {"format": "pt"})


def load(tiny: Tiny, dtype: torch.dtype = torch.float32) -> StableDiffusionXLPipeline:
    """The pipeline as diffusers reads it from the model's folder."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny.folder, dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
