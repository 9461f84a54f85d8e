"""The ways diffusers' schedulers take, with a model that says the same whatever it is shown."""

import sys
from collections.abc import Iterator
from itertools import product
from typing import Any, Final

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    TCDScheduler,
)
from diffusers.schedulers import AysSchedules
from record import Arrays, save_copies
from safetensors.torch import save_file
from tiny_models import GOLDENS, SCHEDULER

EVEN: Final = ("leading", "trailing", "linspace")
PREDICTION_TYPES: Final = ("epsilon", "v_prediction")
LINEAR_BETAS: Final = {"beta_schedule": "linear", "beta_start": 0.0015, "beta_end": 0.0195}
# 48: trailing timesteps fall half-way between whole ones, and diffusers' rounding errors decide.
NUM_STEPS: Final = (1, 2, 5, 20, 48, 49, 50)
# diffusers' DDIM steps to t - 1000 // steps, whatever its next timestep is; where the two are not
# the same it goes on from another noise level than it stepped to, which nobody should copy.
DDIM_STEPS: Final = {"leading": NUM_STEPS, "trailing": (1, 2, 5, 20, 50)}
AYS_STEPS: Final = 10
MAX_STEPS: Final = max(NUM_STEPS)
WIDTH: Final = 4

SAMPLERS: Final[dict[str, tuple[type, dict[str, Any]]]] = {
    "euler": (EulerDiscreteScheduler, {}),
    "euler_ancestral": (EulerAncestralDiscreteScheduler, {}),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_sde": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "lcm": (LCMScheduler, {}),
    "tcd": (TCDScheduler, {}),
}


def write_samplers() -> None:
    """Write `samplers.safetensors`; the name of each case says its settings."""
    draw = torch.Generator().manual_seed(0)
    noises = torch.randn(MAX_STEPS + 1, WIDTH, generator=draw)
    outputs = torch.randn(MAX_STEPS, WIDTH, generator=draw)
    arrays = {"noises": noises, "outputs": outputs}
    for case in _cases():
        name = ".".join(map(str, case.values()))
        arrays |= _follow(name, noises, outputs, **case)
    save_file(save_copies(arrays), GOLDENS / "samplers.safetensors")


def _cases() -> Iterator[dict[str, Any]]:
    for prediction_type, betas, (sampler, spacing, num_steps) in product(
        PREDICTION_TYPES, ("scaled_linear", "linear"), _ways()
    ):
        if betas == "scaled_linear" or (sampler, prediction_type) == ("euler", "epsilon"):
            yield {
                "sampler": sampler,
                "spacing": spacing,
                "num_inference_steps": num_steps,
                "prediction_type": prediction_type,
                "beta_schedule": betas,
            }


def _ways() -> Iterator[tuple[str, str | None, int]]:
    for sampler in ("euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde"):
        yield from product([sampler], EVEN, NUM_STEPS)
    for sampler in ("euler", "dpmpp_2m", "dpmpp_2m_sde"):
        # One level cannot be spread; diffusers divides by zero there.
        yield from product([sampler], ["karras"], NUM_STEPS[1:])
    for spacing, counts in DDIM_STEPS.items():
        yield from product(["ddim"], [spacing], counts)
    yield from product(["lcm", "tcd"], [None], NUM_STEPS)
    yield "euler", "ays", AYS_STEPS


def _follow(
    name: str,
    noises: torch.Tensor,
    outputs: torch.Tensor,
    *,
    sampler: str,
    spacing: str | None,
    num_inference_steps: int,
    prediction_type: str,
    beta_schedule: str,
) -> Arrays:
    """What the model is told and shown at each step, and the sample at the end."""
    kind, settings = SAMPLERS[sampler]
    settings = {**SCHEDULER, "prediction_type": prediction_type, **settings}
    if spacing in EVEN:
        settings["timestep_spacing"] = spacing
    elif spacing is not None:
        settings["timestep_spacing"] = "linspace"  # of their own three the one that spans all
    if spacing == "karras":
        settings["use_karras_sigmas"] = True
    if beta_schedule == "linear":
        settings |= LINEAR_BETAS
    scheduler = kind(**settings)
    if spacing == "ays":
        scheduler.set_timesteps(sigmas=AysSchedules["StableDiffusionXLSigmas"])
    else:
        scheduler.set_timesteps(num_inference_steps)
    x = noises[0] * scheduler.init_noise_sigma
    inputs = []
    for step, timestep in enumerate(scheduler.timesteps):
        inputs.append(scheduler.scale_model_input(x, timestep))
        # Every scheduler draws its noise by this one function.
        vars(sys.modules[kind.__module__])["randn_tensor"] = lambda *_, step=step, **__: noises[
            step + 1
        ]
        x = scheduler.step(outputs[step], timestep, x).prev_sample
    return {
        f"{name}.timesteps": scheduler.timesteps.float(),
        f"{name}.inputs": torch.stack(inputs),
        f"{name}.sample": x,
    }
