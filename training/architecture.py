"""The embedded model's shape: the JSON and the tokenizers of a folder in diffusers format.

It is SDXL in small: the same classes, two text encoders of different widths, text_time
conditioning, more than one transformer depth, an autoencoder of factor 8 and 4 channels.
"""

import json
from pathlib import Path
from typing import Any, Final

from clip_tokenizer import END, write_tokenizer

MAX_TOKENS: Final = 77


def unet_config() -> dict[str, Any]:
    """128 x 128 pixels are 16 x 16 latents: three levels of 16, 8 and 4."""
    return {
        "_class_name": "UNet2DConditionModel",
        "act_fn": "silu",
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 32,
        "attention_head_dim": [2, 4, 4],
        "block_out_channels": [64, 128, 128],
        "cross_attention_dim": 64 + 128,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 1,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "norm_eps": 1e-5,
        "norm_num_groups": 16,
        "out_channels": 4,
        "projection_class_embeddings_input_dim": 128 + 6 * 32,
        "sample_size": 16,
        "transformer_layers_per_block": [1, 2, 1],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "use_linear_projection": True,
    }


def vae_config() -> dict[str, Any]:
    """Four levels make a factor of 8; most of the width is where there are few pixels."""
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": [16, 32, 64, 96],
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
        "num_attention_heads": width // 32,
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
    """SDXL's noise schedule; the model says velocity, which small models learn sooner."""
    return {
        "_class_name": "EulerDiscreteScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }


def write_architecture(folder: Path, vocabulary: list[str]) -> None:
    """Write everything of the model folder but its weights."""
    sizes = [
        write_tokenizer(folder / name, vocabulary, pad_token=pad, max_length=MAX_TOKENS)
        for name, pad in (("tokenizer", END), ("tokenizer_2", "!"))
    ]
    for name, config in {
        "model_index.json": model_index(),
        "scheduler/scheduler_config.json": scheduler_config(),
        "text_encoder/config.json": text_config(64, sizes[0], projected=False),
        "text_encoder_2/config.json": text_config(128, sizes[1], projected=True),
        "unet/config.json": unet_config(),
        "vae/config.json": vae_config(),
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
