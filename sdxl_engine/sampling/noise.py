"""Noise levels: those of training, and the curves on which a sampler's are placed."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from sdxl_engine.checkpoint.scheduler import SchedulerConfig

F64 = npt.NDArray[np.float64]

_KARRAS_RHO: Final = 7.0  # Karras et al. 2022, section 3.2
# Align Your Steps (Sabour et al. 2024): the ten noise levels published for SDXL.
_AYS_SIGMAS: Final = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113)
_BETA_SHAPE: Final = 0.6  # Lee et al. 2024: alpha and beta of the distribution
# What is left of the signal where nothing should be: the smallest number of float16, as in
# diffusers, so that the first noise level is 4096 and not infinite.
_ZERO_SNR_SIGNAL: Final = 2.0**-24
_EDM_TIMESTEP_SCALE: Final = 0.25  # Karras et al. 2022, table 1: c_noise = ln(sigma) / 4


def trained_sigmas(config: SchedulerConfig) -> F64:
    """The noise level at every timestep of training, f64[timesteps], rising.

    A model that was trained with noise of any level has as many on its own curve.
    """
    steps = config.num_train_timesteps
    if config.edm is not None:
        low, high = config.edm.sigma_min, config.edm.sigma_max
        if config.sigma_spacing == "exponential":
            return exponential_sigmas(low, high, steps)[::-1]
        return karras_sigmas(low, high, steps, rho=config.edm.rho)[::-1]
    if config.beta_schedule == "scaled_linear":
        betas = np.linspace(config.beta_start**0.5, config.beta_end**0.5, steps) ** 2
    else:
        betas = np.linspace(config.beta_start, config.beta_end, steps)
    signal = np.cumprod(1 - betas)
    if config.rescale_betas_zero_snr:
        # Lin et al. 2023, Alg. 1: the last level is noise alone, the first stays what it is.
        root = np.sqrt(signal)
        signal = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        signal = np.maximum(signal, _ZERO_SNR_SIGNAL)
    trained: F64 = np.sqrt((1 - signal) / signal)
    return trained


def sigmas_at(config: SchedulerConfig, timesteps: F64) -> F64:
    """The noise level at each timestep, f64[steps], linear between whole timesteps."""
    trained = trained_sigmas(config)
    return np.interp(timesteps, np.arange(len(trained)), trained)


def timesteps_at(config: SchedulerConfig, sigmas: F64) -> F64:
    """What the model is told of each noise level, f64[steps].

    The timestep, linear in the level's logarithm between whole ones; a model that was trained with
    noise of any level is told the logarithm itself.
    """
    if config.edm is not None:
        told: F64 = _EDM_TIMESTEP_SCALE * np.log(sigmas)
        return told
    trained = np.log(trained_sigmas(config))
    return np.interp(np.log(sigmas), trained, np.arange(len(trained)))


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


def karras_sigmas(low: float, high: float, count: int, *, rho: float = _KARRAS_RHO) -> F64:
    """Noise levels from `high` to `low`, densest at `low` (Karras et al. 2022, eq. 5)."""
    ramp = np.linspace(high ** (1 / rho), low ** (1 / rho), count)
    sigmas: F64 = ramp**rho
    return sigmas


def exponential_sigmas(low: float, high: float, count: int) -> F64:
    """Even in the logarithm, so in the log signal-to-noise ratio too (Lu et al. 2022, sec. 3.4)."""
    return np.exp(np.linspace(np.log(high), np.log(low), count))


def beta_sigmas(low: float, high: float, count: int) -> F64:
    """At even quantiles of a beta distribution, dense at both ends (Lee et al. 2024).

    Over the levels and not the timesteps, as diffusers and A1111 read the paper.
    """
    from scipy.special import betaincinv  # noqa: PLC0415 - a tenth of a second for this alone

    quantiles = betaincinv(_BETA_SHAPE, _BETA_SHAPE, np.linspace(1.0, 0.0, count))
    sigmas: F64 = low + quantiles * (high - low)
    return sigmas


def kl_optimal_sigmas(low: float, high: float, count: int) -> F64:
    """Even in the arctangent (Sabour et al. 2024, theorem 3.1: least bound on the divergence)."""
    return np.tan(np.linspace(np.arctan(high), np.arctan(low), count))


def ays_sigmas(count: int) -> F64:
    """The published ten levels; other counts interpolate their logarithms, as the authors do."""
    published = np.log(_AYS_SIGMAS)
    places = np.linspace(0, len(published) - 1, count)
    return np.exp(np.interp(places, np.arange(len(published)), published))


# Those of `request.SPACINGS` that lie between two levels, the last and the first.
CURVES: Final[Mapping[str, Callable[[float, float, int], F64]]] = {
    "karras": karras_sigmas,
    "exponential": exponential_sigmas,
    "lu": exponential_sigmas,
    "beta": beta_sigmas,
    "kl_optimal": kl_optimal_sigmas,
}
