"""The JSON of a model folder: what is read, what is taken for granted, and what is refused."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from sdxl_engine import CheckpointError, InvalidRequestError
from sdxl_engine.checkpoint.config import (
    SdxlConfig,
    TextEncoderConfig,
    UNetConfig,
    VaeConfig,
)
from sdxl_engine.checkpoint.hub import sdxl_base
from sdxl_engine.checkpoint.json_reader import parse_json
from sdxl_engine.checkpoint.scheduler import _SCHEDULERS, EdmConfig, SchedulerConfig
from sdxl_engine.models.clip import ClipLayer
from sdxl_engine.models.layers import PLAIN, ResnetBlock
from sdxl_engine.models.unet import TransformerBlock
from sdxl_engine.programs.compiler import Networks
from sdxl_engine.request import MAX_INFERENCE_STEPS, SAMPLERS
from sdxl_engine.sampling.noise import spaced_timesteps
from sdxl_engine.sampling.samplers import make_schedule
from tests.sdxl_engine.conftest import GOLDENS

INDEX = "model_index.json"
SCHEDULER = "scheduler/scheduler_config.json"
UNET = "unet/config.json"
VAE = "vae/config.json"
TEXT, TEXT_2 = "text_encoder/config.json", "text_encoder_2/config.json"
READERS: dict[str, Callable[[str, Any], object]] = {
    SCHEDULER: SchedulerConfig.from_json,
    TEXT: TextEncoderConfig.from_json,
    TEXT_2: TextEncoderConfig.from_json,
    UNET: UNetConfig.from_json,
    VAE: VaeConfig.from_json,
}
MISSING = object()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The JSON of tiny_b, to be edited."""
    heavy = shutil.ignore_patterns("*.safetensors", "tokenizer*")
    return Path(shutil.copytree(GOLDENS / "tiny_b", tmp_path / "model", ignore=heavy))


def published(name: str) -> dict[str, Any]:
    """A file of stabilityai/stable-diffusion-xl-base-1.0."""
    data: dict[str, Any] = json.loads((sdxl_base() / name).read_text(encoding="utf-8"))
    return data


def edit(folder: Path, name: str, **values: object) -> None:
    data = {**json.loads((folder / name).read_text(encoding="utf-8")), **values}
    kept = {key: value for key, value in data.items() if value is not MISSING}
    (folder / name).write_text(json.dumps(kept), encoding="utf-8")


def load_error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        SdxlConfig.load(folder)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize(
    ("name", "key", "value", "said"),
    [
        (INDEX, "force_zeros_for_empty_prompt", "yes", "true or false"),
        (INDEX, "requires_aesthetics_score", True, "requires_aesthetics_score is true"),
        (SCHEDULER, "beta_schedule", "squaredcos_cap_v2", "scaled_linear"),
        (SCHEDULER, "final_sigmas_type", "sigma_max", "zero"),
        (SCHEDULER, "interpolation_type", "log_linear", "linear"),
        (SCHEDULER, "prediction_type", "flow_prediction", "epsilon"),
        (SCHEDULER, "use_karras_sigmas", "yes", "use_karras_sigmas"),
        (TEXT, "hidden_act", "relu", "quick_gelu"),
        (UNET, "_class_name", "UNetSpatioTemporalConditionModel", "UNet2DConditionModel"),
        (UNET, "act_fn", "gelu", 'act_fn is "gelu"'),
        (UNET, "addition_embed_type", "image", "text_time"),
        (UNET, "use_linear_projection", False, "use_linear_projection is false"),
        (UNET, "use_linear_projection", MISSING, "use_linear_projection is missing"),
        (VAE, "_class_name", "AutoencoderTiny", "AutoencoderKL"),
        (VAE, "in_channels", 4, "in_channels is 4"),
        (VAE, "out_channels", 4, "out_channels is 4"),
        (VAE, "shift_factor", 0.1, "shift_factor"),
    ],
)
def test_arithmetic_that_is_not_written_here(
    folder: Path, name: str, key: str, value: object, said: str
) -> None:
    edit(folder, name, **{key: value})
    sentence = load_error(folder)
    assert name in sentence
    assert said in sentence


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [
        (SCHEDULER, "beta_start", [0, -1e-4, np.nan, np.inf, 10**400, "0.1", True, None, 0.9]),
        (SCHEDULER, "beta_end", [0, np.nan, 0.5, 1, 2]),
        (SCHEDULER, "num_train_timesteps", [0, -1, 99, 1e3, 10**9, True]),
        (SCHEDULER, "rescale_betas_zero_snr", ["yes", None, 1]),
        (SCHEDULER, "steps_offset", [-1, 1000, None]),
        (SCHEDULER, "timestep_spacing", ["karras", [], {}]),
        (TEXT, "eos_token_id", [599, -1, None, [2, 3]]),
        (TEXT, "layer_norm_eps", [0, np.nan, -np.inf]),
        (TEXT, "num_attention_heads", [0, 5, 33]),
        (TEXT, "vocab_size", [0, "many", 10**30]),
        (TEXT_2, "architectures", [None, "CLIPTextModel", [["CLIPTextModel"]]]),
        (UNET, "addition_time_embed_dim", [0, 5]),
        (UNET, "attention_head_dim", [0, 5, [4, 4], [4, 4, 0], [4, 4, 5], [[4], 4, 4]]),
        (UNET, "block_out_channels", ["wide", [], [[16], 24, 32], [16.0, 24, 32], {}]),
        (UNET, "down_block_types", [["DownBlock2D"], [[], {}, "DownBlock2D"], None, "DownBlock2D"]),
        (UNET, "norm_eps", [0, np.nan]),
        (UNET, "norm_num_groups", [0, 3, 64, None]),
        (UNET, "layers_per_block", [[1, 1], [1, 0, 1], [1, 1, 1, 1], "1"]),
        (UNET, "mid_block_type", ["UNetMidBlock2DSimpleCrossAttn", 0, ["UNetMidBlock2D"]]),
        (UNET, "sample_size", [0, None, [64, 96], []]),
        (UNET, "time_cond_proj_dim", [0, 2, 7, 10**7, "256"]),
        (UNET, "transformer_layers_per_block", [0, -1, [1, 2], [[1, 1], 1, 1], [0, 1, 1]]),
        (
            UNET,
            "reverse_transformer_layers_per_block",
            [0, [1, 1], [1, [1], 1], [1, [1, 0], 1], [1, [1, 129], 1], "1"],
        ),
        (VAE, "norm_num_groups", [0, 3]),
        (VAE, "scaling_factor", [0, -0.13, np.nan, np.inf, 1e-300]),
    ],
)
def test_values_that_would_crash_late_or_draw_black(
    folder: Path, name: str, key: str, values: list[object]
) -> None:
    for value in values:
        edit(folder, name, **{key: value})
        sentence = load_error(folder)
        assert f"{name}: {key} is {json.dumps(value)};" in sentence


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [
        (TEXT, "max_position_embeddings", [5_000, 10**6]),
        (TEXT, "num_attention_heads", [-1, 10**9]),
        (TEXT, "num_hidden_layers", [129, 5_000, 10**12]),
        (TEXT_2, "hidden_size", [-2, 10**9]),
        (TEXT_2, "intermediate_size", [10**9]),
        (TEXT_2, "projection_dim", [10**9]),
        (UNET, "attention_head_dim", [-1, 10**9]),
        (UNET, "block_out_channels", [[10**9, 24, 32], [8] * 9]),
        (UNET, "cross_attention_dim", [10**12]),
        (UNET, "in_channels", [10**9]),
        (UNET, "layers_per_block", [129, 5_000, 10**5, 10**400]),
        (UNET, "norm_num_groups", [10**9]),
        (UNET, "sample_size", [1_025, 10**6]),
        (UNET, "transformer_layers_per_block", [129, 10**5, [1, 1, 10**9]]),
        (UNET, "reverse_transformer_layers_per_block", [129, [1, [10**9, 1], 1], [[1]] * 4]),
        (VAE, "block_out_channels", [[10**9], [8] * 9]),
        (VAE, "latent_channels", [10**9]),
        (VAE, "layers_per_block", [129, 5_000]),
    ],
)
def test_networks_larger_than_any_by_one_key(
    folder: Path, name: str, key: str, values: list[object]
) -> None:
    """Refused before one module of them is built: that alone would take hours."""
    for value in values:
        edit(folder, name, **{key: value})
        assert f"{name}: {key} is {json.dumps(value)}; " in load_error(folder)


def test_a_million_levels(folder: Path) -> None:
    """Of so many the error shows the first."""
    edit(folder, UNET, block_out_channels=[8] * 10**6)
    sentence = load_error(folder)
    assert f"{UNET}: block_out_channels is [8, 8, " in sentence
    assert sentence.endswith("a list of 1 to 8 whole numbers from 1 to 1,000,000.")
    assert len(sentence) < 1_000


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        (
            TEXT,
            {"hidden_size": 400_000},
            "hidden_size and others come to 1,920,399,600,000 weights",
        ),
        (TEXT, {"vocab_size": 10**6, "hidden_size": 16_384}, "weights"),
        (TEXT_2, {"intermediate_size": 10**6, "hidden_size": 10_000}, "weights"),
        (TEXT_2, {"projection_dim": 10**6, "hidden_size": 20_000}, "weights"),
        (UNET, {"block_out_channels": [10**6, 24, 32]}, "weights"),
        (UNET, {"block_out_channels": [16, 24, 10**6]}, "weights"),
        (UNET, {"in_channels": 10**6, "block_out_channels": [2_000, 24, 32]}, "weights"),
        (
            UNET,
            {
                "projection_class_embeddings_input_dim": 10**6,
                "block_out_channels": [4_000, 24, 32],
            },
            "weights",
        ),
        (
            UNET,
            {"cross_attention_dim": 10**6, "block_out_channels": [2_000, 2_000, 32]},
            "weights",
        ),
        (UNET, {"layers_per_block": 100}, "1,211 layers; this engine draws only models where they"),
        (UNET, {"layers_per_block": 10, "transformer_layers_per_block": 100}, "layers"),
        (UNET, {"reverse_transformer_layers_per_block": [1, [128, 128], [128, 128]]}, "layers"),
        (UNET, {"layers_per_block": [1, 128, 128]}, "layers"),
        (
            UNET,
            {"time_cond_proj_dim": 10**6, "block_out_channels": [12_000, 24, 32]},
            "weights",
        ),
        (VAE, {"block_out_channels": [10**6, 12, 16]}, "weights"),
        (VAE, {"latent_channels": 10**6}, "weights"),
        (VAE, {"layers_per_block": 128}, "775 layers"),
    ],
)
def test_networks_larger_than_any_by_several_keys(
    folder: Path, name: str, values: dict[str, object], said: str
) -> None:
    edit(folder, name, **values)
    sentence = load_error(folder)
    assert sentence.startswith(f"{name}: ")
    assert said in sentence
    assert "at most" in sentence


VARIANTS = ["ssd_1b", "koala", "told", "inpainting"]


@pytest.mark.parametrize("variant", [None, *VARIANTS])
@pytest.mark.parametrize("model", [sdxl_base(), GOLDENS / "tiny_a", GOLDENS / "tiny_b"])
def test_sizes_are_those_of_the_networks(model: Path, variant: str | None) -> None:
    """Counted before they are built, so told by a formula: about right is good enough."""
    config = SdxlConfig.load(model)
    if variant is not None:
        data = json.loads((GOLDENS / "variants" / variant / UNET).read_bytes())
        wide = published(UNET)["block_out_channels"] if model == sdxl_base() else [16, 24, 32]
        data |= {"block_out_channels": wide, "attention_head_dim": 4}
        config = replace(config, unet=UNetConfig.from_json(UNET, data))
    networks = Networks.build(config, PLAIN)
    for part in ("text_encoder", "text_encoder_2", "unet", "vae"):
        network = getattr(networks, part)
        layers, weights = getattr(config, part).size
        modules = [module for _, module in nnx.iter_modules(network)]
        kinds = (ClipLayer, ResnetBlock, TransformerBlock)
        assert layers == sum(isinstance(module, kinds) for module in modules)
        counted = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(network)))
        assert 0.8 * counted < weights <= counted


def test_an_odd_time_embedding(folder: Path) -> None:
    edit(folder, UNET, block_out_channels=[15, 24, 33], norm_num_groups=3, attention_head_dim=3)
    assert "block_out_channels" in load_error(folder)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        (UNET, {"cross_attention_dim": 8}, "cross_attention_dim is 8, but both text"),
        (UNET, {"projection_class_embeddings_input_dim": 40}, "pooled text width is 4"),
        (TEXT_2, {"projection_dim": 24}, "text_encoder_2's is 24"),
        (TEXT_2, {"architectures": ["CLIPTextModel"]}, "text_encoder_2's is None"),
        (TEXT, {"max_position_embeddings": 77}, "reads 77 tokens"),
        (TEXT_2, {"max_position_embeddings": 8}, "text_encoder_2 8"),
        (VAE, {"latent_channels": 16}, "the VAE's latent_channels is 16"),
        (UNET, {"out_channels": 8}, "out_channels is 8"),
    ],
)
def test_parts_of_two_models(folder: Path, name: str, values: dict[str, object], said: str) -> None:
    edit(folder, name, **values)
    sentence = load_error(folder)
    assert said in sentence
    assert "mixes two models" in sentence


def test_a_unet_may_see_a_picture_beside_the_latents(folder: Path) -> None:
    for channels, needed in ((4, False), (8, True), (9, True)):
        edit(folder, UNET, in_channels=channels)
        assert bool(SdxlConfig.load(folder).shown_channels) == needed
    edit(folder, UNET, in_channels=5)
    assert "in_channels is 5; this engine knows what those of 4, 8 (editing) and 9" in (
        load_error(folder)
    )


def test_a_list_of_one_value_is_that_value() -> None:
    plain = UNetConfig.from_json(UNET, published(UNET))
    lists = {
        "cross_attention_dim": [2048] * 3,
        "layers_per_block": [2, 2, 2],
        "only_cross_attention": [False] * 3,
        "sample_size": [128, 128],
        "transformer_layers_per_block": [[1, 1], [2, 2], [10, 10]],
        "reverse_transformer_layers_per_block": [[10] * 3, [2] * 3, [1] * 3],
    }
    assert UNetConfig.from_json(UNET, {**published(UNET), **lists}) == plain


def test_another_count_on_the_way_up_must_be_said(folder: Path) -> None:
    edit(folder, UNET, transformer_layers_per_block=[[2], 1, 3])
    assert "reverse_transformer_layers_per_block says the way up" in load_error(folder)
    edit(folder, UNET, reverse_transformer_layers_per_block=[0, [5, 4], [3, 2]])
    config = SdxlConfig.load(folder).unet
    assert config.down_transformers == ((2,), (1,), ())
    assert config.mid_transformers == (3,)
    assert config.up_transformers == ((), (5, 4), (3, 2))


# Published models


@pytest.mark.parametrize(
    ("index", "said"),
    [
        # stabilityai/stable-diffusion-xl-refiner-1.0
        (
            {
                "_class_name": "StableDiffusionXLImg2ImgPipeline",
                "force_zeros_for_empty_prompt": False,
                "requires_aesthetics_score": True,
                "scheduler": ["diffusers", "EulerDiscreteScheduler"],
                "text_encoder": [None, None],
                "tokenizer": [None, None],
            },
            "requires_aesthetics_score is true: the model is SDXL's refiner",
        ),
        # stable-diffusion-v1-5/stable-diffusion-v1-5
        (
            {
                "_class_name": "StableDiffusionPipeline",
                "scheduler": ["diffusers", "PNDMScheduler"],
                "text_encoder_2": MISSING,
            },
            "a StableDiffusionPipeline (Stable Diffusion 1 or 2)",
        ),
        # Kwai-Kolors/Kolors-diffusers
        (
            {"_class_name": "KolorsPipeline", "text_encoder_2": MISSING},
            "a KolorsPipeline (Kolors, whose text encoder is a language model)",
        ),
        # stabilityai/stable-diffusion-3-medium-diffusers
        (
            {
                "_class_name": "StableDiffusion3Pipeline",
                "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
            },
            "a StableDiffusion3Pipeline; this engine",
        ),
        ({"scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"]}, "FlowMatchEuler"),
        ({"scheduler": ["diffusers", ["a"]]}, 'the scheduler is ["a"]'),
        ({"_class_name": MISSING}, "of no named kind"),
        ({"_class_name": ["a"]}, "of no named kind"),
    ],
)
def test_models_of_another_kind(folder: Path, index: dict[str, object], said: str) -> None:
    """Said before anything else of the folder is read."""
    for part in ("text_encoder", "text_encoder_2", "unet", "vae", "scheduler"):
        shutil.rmtree(folder / part)
    edit(folder, INDEX, **index)
    sentence = load_error(folder)
    assert sentence.startswith("model_index.json: ")
    assert said in sentence


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionXLControlNetPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
        "StableDiffusionXLInstructPix2PixPipeline",
        "StableDiffusionXLPAGPipeline",
        "LEditsPPPipelineStableDiffusionXL",
    ],
)
def test_a_whole_model_saved_from_another_pipeline(folder: Path, name: str) -> None:
    plain = SdxlConfig.load(folder)
    edit(folder, INDEX, _class_name=name, requires_aesthetics_score=False)
    assert SdxlConfig.load(folder) == plain


def test_the_index_names_the_scheduler_that_reads_the_file(folder: Path) -> None:
    edit(folder, INDEX, scheduler=["diffusers", "DDIMScheduler"])
    edit(folder, SCHEDULER, clip_sample=False, use_karras_sigmas=True)
    config = SdxlConfig.load(folder).scheduler
    assert (config.sampler, config.spacing, config.told) == ("ddim", "leading", ())
    other = SCHEDULER, {"_class_name": "EDMEulerScheduler"}  # of a single file
    assert SdxlConfig.load(folder, {SCHEDULER: other}).scheduler.edm is not None


PLAYGROUND_25 = {
    "_class_name": "EDMDPMSolverMultistepScheduler",
    "algorithm_type": "dpmsolver++",
    "final_sigmas_type": "zero",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rho": 7.0,
    "sigma_data": 0.5,
    "sigma_max": 80.0,
    "sigma_min": 0.002,
}


def test_noise_of_any_level() -> None:
    """As of Playground 2.5, and with what diffusers takes for keys left out."""
    config = SchedulerConfig.from_json(SCHEDULER, PLAYGROUND_25)
    assert config.edm == EdmConfig(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0)
    assert (config.sampler, config.spacing) == ("dpmpp_2m", "karras")
    bare = {"_class_name": "EDMEulerScheduler", "sigma_schedule": "exponential"}
    config = SchedulerConfig.from_json(SCHEDULER, bare)
    assert config.edm == EdmConfig(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0)
    assert (config.sampler, config.spacing) == ("euler", "exponential")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"sigma_min": 90.0}, "sigma_min"),
        ({"sigma_data": 0}, "sigma_data"),
        ({"sigma_schedule": "beta"}, "sigma_schedule"),
        ({"prediction_type": "sample"}, "prediction_type"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "flow matching"),
        ({"_class_name": "VQDiffusionScheduler"}, "does not know"),
    ],
)
def test_noise_that_is_refused_by_name(edit: dict[str, object], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        SchedulerConfig.from_json(SCHEDULER, {**PLAYGROUND_25, **edit})


def test_the_last_step_of_training_may_be_noise_alone() -> None:
    """As NoobAI's v-prediction models are saved."""
    data = {
        **published(SCHEDULER),
        "final_sigmas_type": "zero",
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_type": "discrete",
    }
    config = SchedulerConfig.from_json(SCHEDULER, data)
    assert config.rescale_betas_zero_snr
    assert (config.prediction_type, config.sampler) == ("v_prediction", "euler")


def test_sdxl_turbo_is_drawn_on_its_schedule() -> None:
    turbo = {
        **published(SCHEDULER),
        "_class_name": "EulerAncestralDiscreteScheduler",
        "timestep_spacing": "trailing",
    }
    config = SchedulerConfig.from_json(SCHEDULER, turbo)
    assert config == SchedulerConfig(
        1000, 0.00085, 0.012, "scaled_linear", "epsilon", "trailing", 1, sampler="euler_ancestral"
    )
    assert list(spaced_timesteps(config, config.timestep_spacing, 1)) == [999]


@pytest.mark.parametrize(
    ("choices", "way"),
    [
        ({}, ("euler", "leading")),
        ({"timestep_spacing": "trailing"}, ("euler", "trailing")),
        ({"_class_name": "EulerAncestralDiscreteScheduler"}, ("euler_ancestral", "leading")),
        ({"_class_name": "LCMScheduler"}, ("lcm", "leading")),
        (
            {"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True},
            ("dpmpp_2m", "karras"),
        ),
        (
            {
                "_class_name": "DPMSolverMultistepScheduler",
                "algorithm_type": "sde-dpmsolver++",
                "lambda_min_clipped": -np.inf,
                "solver_order": 2,
                "use_exponential_sigmas": True,
                "use_flow_sigmas": False,
                "use_lu_lambdas": None,
            },
            ("dpmpp_2m_sde", "exponential"),
        ),
        (
            {
                "_class_name": "DPMSolverMultistepScheduler",
                "solver_order": 3,
                "use_lu_lambdas": True,
            },
            ("dpmpp_3m", "lu"),
        ),
        (
            {
                "_class_name": "DPMSolverMultistepScheduler",
                "algorithm_type": "sde-dpmsolver++",
                "solver_type": "heun",
            },
            ("dpmpp_2m_sde_heun", "leading"),
        ),
        (
            {"_class_name": "UniPCMultistepScheduler", "use_beta_sigmas": True},
            ("unipc", "beta"),
        ),
    ],
)
def test_the_file_says_how_the_model_wants_to_be_drawn(
    choices: dict[str, object], way: tuple[str, str]
) -> None:
    config = SchedulerConfig.from_json(SCHEDULER, {**published(SCHEDULER), **choices})
    assert (config.sampler, config.spacing) == way


def test_every_scheduler_has_a_sampler() -> None:
    for name in _SCHEDULERS:
        assert SchedulerConfig.from_json(SCHEDULER, {"_class_name": name}).sampler in SAMPLERS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("EulerDiscrete", (0.0001, 0.02, "linear", "linspace")),
        ("DPMSolverMultistep", (0.0001, 0.02, "linear", "linspace")),
        ("DDIM", (0.0001, 0.02, "linear", "leading")),
        ("PNDM", (0.0001, 0.02, "linear", "leading")),
        ("HeunDiscrete", (0.00085, 0.012, "linear", "linspace")),
        ("KDPM2AncestralDiscrete", (0.00085, 0.012, "linear", "linspace")),
        ("LCM", (0.00085, 0.012, "scaled_linear", "leading")),
    ],
)
def test_what_a_scheduler_leaves_out_is_as_in_diffusers(
    name: str, expected: tuple[float, float, str, str]
) -> None:
    config = SchedulerConfig.from_json(SCHEDULER, {"_class_name": f"{name}Scheduler"})
    read = config.beta_start, config.beta_end, config.beta_schedule, config.timestep_spacing
    assert read == expected
    assert (config.num_train_timesteps, config.prediction_type) == (1000, "epsilon")
    assert config.steps_offset == 0


def test_without_a_name_it_is_eulers() -> None:
    euler = SchedulerConfig.from_json(SCHEDULER, {"_class_name": "EulerDiscreteScheduler"})
    assert SchedulerConfig.from_json(SCHEDULER, {}) == euler


def test_what_changes_nothing_when_drawing_is_accepted() -> None:
    plain = UNetConfig.from_json(UNET, published(UNET))
    more = {**published(UNET), "dropout": 0.1, "upcast_attention": True}
    assert UNetConfig.from_json(UNET, more) == plain


def test_the_end_token_is_transformers_own_by_default() -> None:
    data = published(TEXT)
    del data["eos_token_id"]
    assert TextEncoderConfig.from_json(TEXT, data).eos_token_id == 49_407


# Files that are no JSON, and JSON that is no model


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"",
        b"[1]",
        b"\xff\xfe{}",
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"a": ' + b"1" * 5_000 + b"}",
    ],
)
@pytest.mark.parametrize("name", [INDEX, VAE])
def test_json_that_is_none(folder: Path, name: str, text: bytes) -> None:
    (folder / name).write_bytes(text)
    assert f"{name} cannot be read as JSON" in load_error(folder)


def test_a_file_that_is_a_folder(folder: Path) -> None:
    (folder / VAE).unlink()
    (folder / VAE).mkdir()
    assert f"{VAE} cannot be read as JSON" in load_error(folder)


numbers = st.integers() | st.floats() | st.sampled_from([0, 1, 2, 4, 8, 10**400])
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.data(), st.sampled_from(sorted(READERS)))
def test_any_value_loads_or_is_refused(data: st.DataObject, name: str) -> None:
    good = published(name)
    key = data.draw(st.sampled_from(sorted(good)))
    try:
        READERS[name](name, {**good, key: data.draw(values)})
    except CheckpointError:
        return


@given(st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_object_or_a_value_error(text: bytes) -> None:
    try:
        assert isinstance(parse_json(text), dict)
    except ValueError:
        return


# From what is refused as too small to what is refused as too large.
betas = st.floats(-12.5, -1).map(lambda exponent: 10**exponent)


@given(
    betas,
    betas,
    st.sampled_from(["linear", "scaled_linear"]),
    st.sampled_from(["leading", "trailing", "linspace"]),
    st.sampled_from(["epsilon", "v_prediction", "sample"]),
    st.sampled_from(sorted(SAMPLERS)),
    st.integers(1, MAX_INFERENCE_STEPS),
    st.booleans(),
    st.sampled_from([None, "karras", "exponential", "beta"]),
    st.sampled_from([100, 1000]),
    st.integers(0, 99),
)
def test_a_schedule_that_loads_has_finite_coefficients(
    start: float,
    end: float,
    curve: str,
    spacing: str,
    prediction: str,
    sampler: str,
    steps: int,
    zero_snr: bool,
    levels: str | None,
    total: int,
    offset: int,
) -> None:
    data = {
        "beta_start": start,
        "beta_end": end,
        "beta_schedule": curve,
        "timestep_spacing": spacing,
        "prediction_type": prediction,
        "rescale_betas_zero_snr": zero_snr,
        "num_train_timesteps": total,
        "steps_offset": offset,
        **({f"use_{levels}_sigmas": True} if levels else {}),
    }
    try:
        config = SchedulerConfig.from_json(SCHEDULER, data)
    except CheckpointError:
        return
    try:
        schedule = make_schedule(config, sampler, None, steps)
    except InvalidRequestError:
        return
    assert np.isfinite(schedule.table).all()
    assert np.isfinite(schedule.initial_sigma)
