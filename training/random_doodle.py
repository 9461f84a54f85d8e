"""Write the embedded model with random weights: everything runs, the pictures mean nothing.

    python training/random_doodle.py [FOLDER]       by default sdxl_engine/doodle

The folder is in diffusers format, SDXL-shaped and small: the same classes, two text encoders of
different widths, text_time conditioning, more than one transformer depth, its own tokenizers.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
from clip_tokenizer import END, write_tokenizer
from safetensors.numpy import save_file

from sdxl_engine.checkpoint import WEIGHT_STEMS, ExpectedTensor, expected_tensors
from sdxl_engine.models.config import SdxlConfig
from sdxl_engine.programs import Networks

VOCABULARY: Final = """
a an the of on in at and with to is it its by from under over above below beside near between
left right top bottom centre center middle corner side small little tiny big large huge one two
red orange yellow green blue purple pink brown black white grey gray light dark bright pale three
circle square triangle star heart house tree fish dolphin disc ball shape behind
background sky meadow sea night pool plain grass water sun moon stars wave waves crisp
party hat wearing wears picture drawing painting sketch image illustration scene simple flat
"""
MAX_TOKENS: Final = 77
SEED: Final = 20


def unet_config() -> dict[str, Any]:
    """128 x 128 pixels are 16 x 16 latents: three levels of 16, 8 and 4."""
    return {
        "_class_name": "UNet2DConditionModel",
        "act_fn": "silu",
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 32,
        "attention_head_dim": [1, 2, 2],
        "block_out_channels": [32, 64, 64],
        "cross_attention_dim": 64 + 96,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 1,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "norm_eps": 1e-5,
        "norm_num_groups": 16,
        "out_channels": 4,
        "projection_class_embeddings_input_dim": 96 + 6 * 32,
        "sample_size": 16,
        "transformer_layers_per_block": [1, 1, 2],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "use_linear_projection": True,
    }


def vae_config() -> dict[str, Any]:
    """Four levels make a factor of 8."""
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": [16, 32, 48, 64],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "in_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "out_channels": 3,
        "sample_size": 128,
        "scaling_factor": 1.0,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    }


def text_config(width: int, vocabulary: int, *, projected: bool) -> dict[str, Any]:
    """An encoder as SDXL has them: quick_gelu in the first, gelu and a projection in the second."""
    end = vocabulary - 1
    return {
        "architectures": ["CLIPTextModelWithProjection" if projected else "CLIPTextModel"],
        "bos_token_id": end - 1,
        "eos_token_id": end,
        "hidden_act": "gelu" if projected else "quick_gelu",
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": MAX_TOKENS,
        "model_type": "clip_text_model",
        "num_attention_heads": 2,
        "num_hidden_layers": 3,
        "pad_token_id": 0 if projected else end,
        "projection_dim": width,
        "vocab_size": vocabulary,
    }


def model_index() -> dict[str, Any]:
    """Which class reads which folder."""
    return {
        "_class_name": "StableDiffusionXLPipeline",
        "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None],
        "force_zeros_for_empty_prompt": True,
        "image_encoder": [None, None],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def scheduler_config() -> dict[str, Any]:
    """SDXL's noise schedule."""
    return {
        "_class_name": "EulerDiscreteScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }


def random_weights(tensor: ExpectedTensor, generator: np.random.Generator) -> np.ndarray:
    """Values that keep signals at about their size: 1 / sqrt(fan in), norms at 1, biases at 0."""
    if tensor.name.endswith("bias"):
        return np.zeros(tensor.shape, np.float16)
    if len(tensor.shape) == 1:
        return np.ones(tensor.shape, np.float16)
    fan_in = 4 if tensor.path[-1] == "embedding" else np.prod(tensor.shape[1:])
    return (generator.standard_normal(tensor.shape) / np.sqrt(fan_in)).astype(np.float16)


def write_doodle(folder: Path) -> None:
    """Write the whole folder anew, the same bytes every time."""
    shutil.rmtree(folder, ignore_errors=True)
    sizes = [
        write_tokenizer(folder / name, VOCABULARY.split(), pad_token=pad, max_length=MAX_TOKENS)
        for name, pad in (("tokenizer", END), ("tokenizer_2", "!"))
    ]
    for name, config in {
        "model_index.json": model_index(),
        "scheduler/scheduler_config.json": scheduler_config(),
        "text_encoder/config.json": text_config(64, sizes[0], projected=False),
        "text_encoder_2/config.json": text_config(96, sizes[1], projected=True),
        "unet/config.json": unet_config(),
        "vae/config.json": vae_config(),
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    networks = Networks.build(SdxlConfig.load(folder))
    for index, (part, stem) in enumerate(WEIGHT_STEMS.items()):
        generator = np.random.default_rng([SEED, index])
        tensors = expected_tensors(part, getattr(networks, part))
        weights = {tensor.name: random_weights(tensor, generator) for tensor in tensors}
        path = folder / part / f"{stem}.safetensors"
        save_file(weights, path, metadata={"format": "pt"})
        print(f"{path}: {sum(array.size for array in weights.values()):,} parameters")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("sdxl_engine/doodle"))
    write_doodle(parser.parse_args().folder)
