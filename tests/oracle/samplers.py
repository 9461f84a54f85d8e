"""What diffusers' Euler scheduler makes of other settings than the tiny models have."""

import json
from itertools import product
from typing import Any, Final

import torch
from diffusers import EulerDiscreteScheduler
from record import Arrays, save_copies
from safetensors.torch import save_file
from tiny_models import GOLDENS, SCHEDULER

SPACINGS: Final = ("leading", "trailing", "linspace")
BETAS: Final[dict[str, dict[str, Any]]] = {
    "scaled_linear": {},  # SDXL's own
    "linear": {"beta_schedule": "linear", "beta_start": 0.0015, "beta_end": 0.0195},
}
PREDICTION_TYPES: Final = ("epsilon", "v_prediction")
# 48: trailing timesteps fall half-way between whole ones, and diffusers' rounding errors decide.
NUM_STEPS: Final = (1, 5, 20, 48, 49, 50)
PATH_STEPS: Final = 20
PATH_WIDTH: Final = 4


def write_euler() -> None:
    """Write `euler.safetensors` and, to tell the settings of each case, `euler.json`."""
    schedules = {
        f"{spacing}.{betas}.{num_steps}": {
            "scheduler": {**SCHEDULER, **BETAS[betas], "timestep_spacing": spacing},
            "num_inference_steps": num_steps,
        }
        for spacing, betas, num_steps in product(SPACINGS, BETAS, NUM_STEPS)
    }
    paths = {
        f"{prediction_type}.{spacing}": {
            "scheduler": {
                **SCHEDULER,
                "timestep_spacing": spacing,
                "prediction_type": prediction_type,
            },
            "num_inference_steps": PATH_STEPS,
        }
        for prediction_type, spacing in product(PREDICTION_TYPES, SPACINGS)
    }
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(PATH_WIDTH, generator=draw)
    outputs = torch.randn(PATH_STEPS, PATH_WIDTH, generator=draw)
    arrays = {"path.noise": noise, "path.outputs": outputs}
    for name, case in schedules.items():
        arrays |= _schedule(f"schedule.{name}", **case)
    for name, case in paths.items():
        arrays |= _path(f"path.{name}", noise, outputs, **case)
    save_file(save_copies(arrays), GOLDENS / "euler.safetensors")
    text = json.dumps({"schedules": schedules, "paths": paths}, indent=2)
    (GOLDENS / "euler.json").write_text(text + "\n", encoding="utf-8")


def _ready(settings: dict[str, Any], num_inference_steps: int) -> EulerDiscreteScheduler:
    scheduler = EulerDiscreteScheduler(**settings)
    scheduler.set_timesteps(num_inference_steps)
    return scheduler


def _schedule(name: str, *, scheduler: dict[str, Any], num_inference_steps: int) -> Arrays:
    ready = _ready(scheduler, num_inference_steps)
    return {
        f"{name}.sigmas": ready.sigmas,
        f"{name}.timesteps": ready.timesteps,
        f"{name}.init_noise_sigma": torch.as_tensor(ready.init_noise_sigma),
    }


def _path(
    name: str,
    noise: torch.Tensor,
    outputs: torch.Tensor,
    *,
    scheduler: dict[str, Any],
    num_inference_steps: int,
) -> Arrays:
    """A whole way through the noise, with a model that says the same whatever it is shown."""
    ready = _ready(scheduler, num_inference_steps)
    x = noise * ready.init_noise_sigma
    inputs, estimates, samples = [], [], []
    for timestep, output in zip(ready.timesteps, outputs, strict=True):
        inputs.append(ready.scale_model_input(x, timestep))
        step = ready.step(output, timestep, x)
        estimates.append(step.pred_original_sample)
        x = step.prev_sample
        samples.append(x)
    return {
        f"{name}.inputs": torch.stack(inputs),
        f"{name}.denoised": torch.stack(estimates),
        f"{name}.samples": torch.stack(samples),
    }
