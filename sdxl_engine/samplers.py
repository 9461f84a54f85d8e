"""A sampler is a table of coefficients; nothing here touches a device.

In sigma space (Karras et al. 2022), where x = image + sigma * noise, every sampler is, per step, a
linear map of what the loop holds:

    denoised = c_skip * x + c_out * model(c_in * x, timestep)
    x_next   = a * x + b * denoised + c * denoised_prev + d * noise

so the compiled loop takes the table as an argument, and neither the sampler nor its number of
steps compiles anything. Schedules are float64 on the host and float32 in the table: in bfloat16
they turn pictures black.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sdxl_engine.checkpoint.scheduler import SchedulerConfig
from sdxl_engine.request import MAX_INFERENCE_STEPS, OWN_SPACING_SAMPLERS

C_IN, TIMESTEP, C_SKIP, C_OUT, A, B, C, D = range(8)
COLUMNS: Final = 8

_KARRAS_RHO: Final = 7.0  # Karras et al. 2022, section 3.2
# Align Your Steps (Sabour et al. 2024): the ten noise levels published for SDXL.
_AYS_SIGMAS: Final = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113)
# Consistency models are distilled from a teacher that took 50 even steps.
_DISTILLED_STEPS: Final = 50
# What LCM's boundary condition is measured in: its authors' sigma_data and timestep_scaling.
_LCM_DATA, _LCM_TIMESTEP_SCALE = 0.5, 10.0
_TCD_GAMMA: Final = 0.3  # Zheng et al. 2024: how much of each step is noise anew

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


@dataclass(frozen=True, slots=True)
class NoisePath:
    """The noise levels that a sampler visits.

    timesteps  f64[steps]      what the model is told at each, 0..999, decreasing
    sigmas     f64[steps + 1]  decreasing, the last one where the image is finished
    """

    timesteps: F64
    sigmas: F64


def make_schedule(
    config: SchedulerConfig, sampler: str, spacing: str | None, num_inference_steps: int
) -> Schedule:
    """The table of a sampler (one of `request.SAMPLERS`).

    spacing  one of `request.SPACINGS`; None is the model's own, or the sampler's where it has one
    """
    spacing = spacing or config.timestep_spacing
    if sampler in OWN_SPACING_SAMPLERS:
        path = _distilled_path(config, num_inference_steps)
    elif sampler in _MULTISTEP:
        path = _multistep_path(config, spacing, num_inference_steps)
    else:
        path = noise_path(config, spacing, num_inference_steps)
    table = np.zeros((MAX_INFERENCE_STEPS, COLUMNS), np.float32)
    table[:num_inference_steps] = _TABLES[sampler](config, path)
    # A spacing that begins below the largest sigma: its sample has variance of its own. Euler at
    # the largest does without, where that is one part in 400.
    from_noise_alone = sampler in _EULER and spacing != "leading"
    largest = path.sigmas[0]
    return Schedule(table, np.float32(largest if from_noise_alone else np.hypot(largest, 1.0)))


# Paths


def noise_path(config: SchedulerConfig, spacing: str, num_inference_steps: int) -> NoisePath:
    """The path of one of `request.SPACINGS`, ending without noise."""
    if spacing == "karras":
        trained = trained_sigmas(config)
        sigmas = karras_sigmas(trained[0], trained[-1], num_inference_steps)
    elif spacing == "ays":
        sigmas = ays_sigmas(num_inference_steps)
    else:
        timesteps = spaced_timesteps(config, spacing, num_inference_steps)
        return NoisePath(timesteps, np.append(sigmas_at(config, timesteps), 0.0))
    return NoisePath(timesteps_at(config, sigmas), np.append(sigmas, 0.0))


def _multistep_path(config: SchedulerConfig, spacing: str, num_inference_steps: int) -> NoisePath:
    """As `noise_path`; whole timesteps, and the last of even ones well above no noise.

    The last step goes from there to the image at first order, so it must not be wasted on the
    first timesteps, where there is nothing left to do.
    """
    if spacing in {"leading", "linspace"}:
        timesteps = np.round(spaced_timesteps(config, spacing, num_inference_steps + 1)[:-1])
        return NoisePath(timesteps, np.append(sigmas_at(config, timesteps), 0.0))
    path = noise_path(config, spacing, num_inference_steps)
    return NoisePath(np.round(path.timesteps), path.sigmas)


def _distilled_path(config: SchedulerConfig, num_inference_steps: int) -> NoisePath:
    """Evenly chosen from the steps that a consistency model's teacher took, down to timestep 0."""
    stride = config.num_train_timesteps // _DISTILLED_STEPS
    teacher = np.arange(_DISTILLED_STEPS, 0.0, -1.0) * stride - 1.0
    chosen = np.arange(num_inference_steps) * _DISTILLED_STEPS // num_inference_steps
    timesteps = teacher[chosen]
    return NoisePath(timesteps, sigmas_at(config, np.append(timesteps, 0.0)))


def spaced_timesteps(config: SchedulerConfig, spacing: str, num_inference_steps: int) -> F64:
    """Decreasing training timesteps, f64[steps] (Lin et al. 2023, table 2)."""
    total, steps = config.num_train_timesteps, num_inference_steps
    if spacing == "linspace":
        return np.linspace(0.0, total - 1.0, steps)[::-1]
    if spacing == "trailing":
        # Cut: where total / steps is rounded down, arange takes one step too many. Its values stay:
        # where a timestep falls half-way between two whole ones, its rounding is diffusers' own.
        return np.round(np.arange(total, 0, -total / steps)[:steps]) - 1.0
    return np.arange(steps, dtype=np.float64)[::-1] * (total // steps) + config.steps_offset


def karras_sigmas(low: float, high: float, num_inference_steps: int) -> F64:
    """Noise levels from `high` to `low`, densest at `low` (Karras et al. 2022, eq. 5)."""
    ramp = np.linspace(high ** (1 / _KARRAS_RHO), low ** (1 / _KARRAS_RHO), num_inference_steps)
    sigmas: F64 = ramp**_KARRAS_RHO
    return sigmas


def ays_sigmas(num_inference_steps: int) -> F64:
    """The published ten levels; other counts interpolate their logarithms, as the authors do."""
    published = np.log(_AYS_SIGMAS)
    places = np.linspace(0, len(published) - 1, num_inference_steps)
    return np.exp(np.interp(places, np.arange(len(published)), published))


def sigmas_at(config: SchedulerConfig, timesteps: F64) -> F64:
    """The noise level at each timestep, f64[steps], linear between whole timesteps."""
    trained = trained_sigmas(config)
    return np.interp(timesteps, np.arange(len(trained)), trained)


def timesteps_at(config: SchedulerConfig, sigmas: F64) -> F64:
    """The timestep of each noise level, f64[steps], linear in its logarithm between whole ones."""
    trained = np.log(trained_sigmas(config))
    return np.interp(np.log(sigmas), trained, np.arange(len(trained)))


def trained_sigmas(config: SchedulerConfig) -> F64:
    """The noise level at every timestep of training, f64[timesteps], rising."""
    steps = config.num_train_timesteps
    if config.beta_schedule == "scaled_linear":
        betas = np.linspace(config.beta_start**0.5, config.beta_end**0.5, steps) ** 2
    else:
        betas = np.linspace(config.beta_start, config.beta_end, steps)
    signal = np.cumprod(1 - betas)
    trained: F64 = np.sqrt((1 - signal) / signal)
    return trained


# Tables: f64[steps, COLUMNS] of a path


def _euler(config: SchedulerConfig, path: NoisePath) -> F64:
    """Euler's method (Karras et al. 2022, Alg. 2, no churn).

    DDIM (Song et al. 2020) without noise of its own takes the same steps in sigma space.
    """
    return _renoised(config, path, path.sigmas[1:])


def _euler_ancestral(config: SchedulerConfig, path: NoisePath) -> F64:
    """Euler steps below each noise level and noise up to it: the variance that DDPM would add."""
    sigma, sigma_next = path.sigmas[:-1], path.sigmas[1:]
    return _renoised(config, path, sigma_next**2 / sigma)


def _lcm(config: SchedulerConfig, path: NoisePath) -> F64:
    """Latent consistency sampling (Luo et al. 2023, Alg. 3): to the image, and noise anew."""
    sigmas = np.append(path.sigmas[:-1], 0.0)  # the last image stays as it is
    table = _renoised(config, NoisePath(path.timesteps, sigmas), np.zeros(len(path.timesteps)))
    # The boundary condition mixes in the model's own input: near timestep 0 it is the image.
    scaled = path.timesteps * _LCM_TIMESTEP_SCALE
    boundary_skip = _LCM_DATA**2 / (scaled**2 + _LCM_DATA**2)
    boundary_out = scaled / np.hypot(scaled, _LCM_DATA)
    table[:, C_SKIP] = boundary_out * table[:, C_SKIP] + boundary_skip * table[:, C_IN]
    table[:, C_OUT] *= boundary_out
    return table


def _tcd(config: SchedulerConfig, path: NoisePath) -> F64:
    """Trajectory consistency sampling (Zheng et al. 2024, Alg. 4): below the level, and noise."""
    following = np.append(path.timesteps[1:], 0.0)
    below = sigmas_at(config, np.floor((1 - _TCD_GAMMA) * following))
    table = _renoised(config, path, below)
    # It ends with the noise of timestep 0 and hands that on as the image, scaled as in training.
    table[-1, [A, B]] /= np.hypot(path.sigmas[-1], 1.0)
    return table


def _dpmpp_2m(config: SchedulerConfig, path: NoisePath) -> F64:
    """DPM-Solver++(2M), midpoint (Lu et al. 2022, Alg. 2), at first order in the last step."""
    ratio = path.sigmas[1:] / path.sigmas[:-1]  # e^-h, with h the step in log signal-to-noise
    table = _model_columns(config, path)
    table[:, A] = ratio
    _extrapolate(table, path, 1 - ratio)
    return table


def _dpmpp_2m_sde(config: SchedulerConfig, path: NoisePath) -> F64:
    """SDE-DPM-Solver++(2M), midpoint (Lu et al. 2022, appendix B)."""
    ratio = path.sigmas[1:] / path.sigmas[:-1]
    table = _model_columns(config, path)
    table[:, A] = ratio**2
    _extrapolate(table, path, 1 - ratio**2)
    table[:, D] = path.sigmas[1:] * np.sqrt(1 - ratio**2)
    return table


def _extrapolate(table: F64, path: NoisePath, weight: F64) -> None:
    """Set B and C: `weight` times the denoised sample at the middle of the step, by two estimates.

    At first order (the first step has no estimate before it, the last goes to sigma 0, infinitely
    far in log signal-to-noise) it is the newest estimate alone.
    """
    table[:, B] = weight
    log_sigmas = np.log(path.sigmas[:-1])
    steps = -np.diff(log_sigmas)  # h of every step but the last
    # Half the step ahead, in units of the step behind: h / (2 h_prev).
    slope = steps[1:] / (2 * steps[:-1])
    table[1:-1, B] += weight[1:-1] * slope
    table[1:-1, C] -= weight[1:-1] * slope


def _renoised(config: SchedulerConfig, path: NoisePath, sigmas_down: F64) -> F64:
    """Steps straight to `sigmas_down` f64[steps], then noise up to the path's next sigma."""
    sigma, sigma_next = path.sigmas[:-1], path.sigmas[1:]
    table = _model_columns(config, path)
    table[:, A] = sigmas_down / sigma
    table[:, B] = 1 - table[:, A]
    table[:-1, D] = np.sqrt(np.maximum(sigma_next**2 - sigmas_down**2, 0))[:-1]  # none at the end
    return table


def _model_columns(config: SchedulerConfig, path: NoisePath) -> F64:
    """A table with what goes into the model and how its output becomes the denoised sample."""
    sigma = path.sigmas[:-1]
    table = np.zeros((len(sigma), COLUMNS))
    table[:, C_IN] = 1 / np.hypot(sigma, 1.0)
    table[:, TIMESTEP] = path.timesteps
    if config.prediction_type == "v_prediction":  # Salimans and Ho 2022, in sigma space
        table[:, C_SKIP], table[:, C_OUT] = 1 / (sigma**2 + 1), -sigma / np.hypot(sigma, 1.0)
    else:  # epsilon: Ho et al. 2020
        table[:, C_SKIP], table[:, C_OUT] = 1.0, -sigma
    return table


_EULER: Final = frozenset({"euler", "euler_ancestral"})
_MULTISTEP: Final = frozenset({"dpmpp_2m", "dpmpp_2m_sde"})
_TABLES: Final[Mapping[str, Callable[[SchedulerConfig, NoisePath], F64]]] = {
    "euler": _euler,
    "euler_ancestral": _euler_ancestral,
    "ddim": _euler,
    "dpmpp_2m": _dpmpp_2m,
    "dpmpp_2m_sde": _dpmpp_2m_sde,
    "lcm": _lcm,
    "tcd": _tcd,
}
