"""A sampler is a table of coefficients; nothing here touches a device.

In sigma space (Karras et al. 2022) every sampler is, per step, a linear map of what the loop holds:

    denoised = c_skip * x + c_out * model(c_in * x, timestep)
    x_next   = a * x + b * denoised + c * denoised_prev + d * noise

so the compiled loop takes the table as an argument, and neither the sampler nor its number of
steps compiles anything. Schedules are float64 on the host and float32 in the table: in bfloat16
they turn pictures black.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sdxl_engine.models.config import SchedulerConfig
from sdxl_engine.request import MAX_INFERENCE_STEPS

C_IN, TIMESTEP, C_SKIP, C_OUT, A, B, C, D = range(8)
COLUMNS: Final = 8

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Schedule:
    """One way through the noise.

    table          f32[MAX_INFERENCE_STEPS, COLUMNS], the rows past the last step zero
    initial_sigma  standard deviation of the sample that the loop starts from
    """

    table: F32
    initial_sigma: np.float32


def euler(config: SchedulerConfig, num_inference_steps: int) -> Schedule:
    """Euler's method with the model's own noise schedule and spacing."""
    timesteps = spaced_timesteps(config, num_inference_steps)
    sigmas = np.append(sigmas_at(config, timesteps), 0.0)
    table = np.zeros((MAX_INFERENCE_STEPS, COLUMNS), np.float32)
    table[:num_inference_steps] = euler_table(sigmas, timesteps, config.prediction_type)
    largest = sigmas[0]
    # With "leading" spacing the first sigma is below the largest: the sample has variance left.
    initial = np.hypot(largest, 1.0) if config.timestep_spacing == "leading" else largest
    return Schedule(table, np.float32(initial))


def euler_table(sigmas: F64, timesteps: F64, prediction_type: str) -> F32:
    """Coefficients of Euler's method (Karras et al. 2022, Alg. 2, no churn).

    sigmas     f64[steps + 1]  decreasing noise levels, the last one 0
    timesteps  f64[steps]      what the model is told, 0..999
    Returns    f32[steps, COLUMNS], one row a step
    """
    sigma, sigma_next = sigmas[:-1], sigmas[1:]
    table = np.zeros((len(sigma), COLUMNS))
    table[:, C_IN] = 1 / np.hypot(sigma, 1.0)
    table[:, TIMESTEP] = timesteps
    table[:, C_SKIP], table[:, C_OUT] = _output_scaling(sigma, prediction_type)
    table[:, A] = sigma_next / sigma
    table[:, B] = 1 - sigma_next / sigma
    return table.astype(np.float32)


def _output_scaling(sigma: F64, prediction_type: str) -> tuple[F64, F64]:
    """c_skip and c_out, which turn the model's output into the denoised sample."""
    if prediction_type == "v_prediction":  # Salimans and Ho 2022, in sigma space
        return 1 / (sigma**2 + 1), -sigma / np.hypot(sigma, 1.0)
    return np.ones_like(sigma), -sigma  # epsilon: Ho et al. 2020


def spaced_timesteps(config: SchedulerConfig, num_inference_steps: int) -> F64:
    """Decreasing training timesteps, f64[steps] (Lin et al. 2023, table 2)."""
    total, steps = config.num_train_timesteps, num_inference_steps
    if config.timestep_spacing == "linspace":
        return np.linspace(0, total - 1, steps)[::-1]
    if config.timestep_spacing == "trailing":
        # Cut: where total / steps is rounded down, arange takes one step too many. Its values stay:
        # where a timestep falls half-way between two whole ones, its rounding is diffusers' own.
        return np.round(np.arange(total, 0, -total / steps)[:steps]) - 1.0
    return np.arange(steps, dtype=np.float64)[::-1] * (total // steps) + config.steps_offset


def sigmas_at(config: SchedulerConfig, timesteps: F64) -> F64:
    """The noise level at each timestep, f64[steps], linear between whole timesteps."""
    steps = config.num_train_timesteps
    if config.beta_schedule == "scaled_linear":
        betas = np.linspace(config.beta_start**0.5, config.beta_end**0.5, steps) ** 2
    else:
        betas = np.linspace(config.beta_start, config.beta_end, steps)
    signal = np.cumprod(1 - betas)
    return np.interp(timesteps, np.arange(steps), np.sqrt((1 - signal) / signal))
