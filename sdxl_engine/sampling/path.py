"""The noise levels that a sampler visits."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sdxl_engine.checkpoint.scheduler import SchedulerConfig
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.sampling.noise import (
    CURVES,
    F64,
    ays_sigmas,
    karras_sigmas,
    sigmas_at,
    spaced_timesteps,
    timesteps_at,
    trained_sigmas,
)
from sdxl_engine.sentence import say

_EVEN: Final = frozenset({"leading", "trailing", "linspace"})
# diffusers cuts these to whole timesteps and rounds the others. It looks them up in float32, where
# the last of training falls just short of itself, and so becomes the one before.
_CUT: Final = frozenset({"exponential", "beta"})
_SHORT: Final = 1e-5


@dataclass(frozen=True, slots=True)
class NoisePath:
    """The noise levels of one way through the noise.

    timesteps  f64[steps]      what the model is told at each, decreasing: 0..999, or what
                               `timesteps_at` gives
    sigmas     f64[steps + 1]  decreasing, the last one where the image is finished (no noise, or
                               that of the first timestep)
    left_out   how many steps of the whole way lie before these
    """

    timesteps: F64
    sigmas: F64
    left_out: int = 0

    @property
    def whole_steps(self) -> int:
        """The steps of the whole way."""
        return self.left_out + len(self.timesteps)

    def from_step(self, step: int) -> "NoisePath":
        """What is left of the way from there on."""
        return NoisePath(self.timesteps[step:], self.sigmas[step:], self.left_out + step)


def noise_path(config: SchedulerConfig, spacing: str | None, num_inference_steps: int) -> NoisePath:
    """The path of one of `request.SPACINGS` (None: the model's own)."""
    levels = _levels(config, spacing, num_inference_steps)
    if levels is None:
        even = spacing or config.timestep_spacing
        timesteps = spaced_timesteps(config, even, num_inference_steps)
        whole = config.solver.placing == "whole"
        return _by_timesteps(config, np.round(timesteps) if whole else timesteps)
    return NoisePath(timesteps_at(config, levels), np.append(levels, _end(config)))


def multistep_path(
    config: SchedulerConfig, spacing: str | None, num_inference_steps: int
) -> NoisePath:
    """As `noise_path`; whole timesteps, and the last of even ones well above no noise.

    The last step goes from there to the image at first order, so it must not be wasted on the
    first timesteps, where there is nothing left to do.
    """
    chosen = spacing or config.spacing
    if chosen in {"leading", "linspace"}:
        timesteps = np.round(spaced_timesteps(config, chosen, num_inference_steps + 1)[:-1])
        return _by_timesteps(config, timesteps)
    path = noise_path(config, chosen, num_inference_steps)
    if config.edm is not None:
        return path
    if chosen in _CUT:
        whole = np.floor(np.maximum(path.timesteps - _SHORT, 0))
    else:
        whole = np.round(path.timesteps)
    return NoisePath(whole, path.sigmas)


def distilled_path(config: SchedulerConfig, num_inference_steps: int) -> NoisePath:
    """Evenly chosen from the steps that a consistency model's teacher took, down to timestep 0.

    Raises InvalidRequestError for more steps than the teacher's.
    """
    taught = config.original_inference_steps
    if num_inference_steps > taught:
        raise InvalidRequestError(
            say(
                "The model was distilled from {taught} steps and draws in no more of them. Ask for "
                "fewer steps, or choose another sampler.",
                taught=taught,
            )
        )
    stride = config.num_train_timesteps // taught
    teacher = np.arange(taught, 0.0, -1.0) * stride - 1.0
    chosen = np.arange(num_inference_steps) * taught // num_inference_steps
    return explicit_path(config, teacher[chosen], distilled=True)


def explicit_path(config: SchedulerConfig, timesteps: F64, *, distilled: bool) -> NoisePath:
    """Through given training timesteps, decreasing, f64[steps].

    distilled  whether the path ends at timestep 0 and its trace of noise
    """
    if distilled:
        return NoisePath(timesteps, sigmas_at(config, np.append(timesteps, 0.0)))
    return _by_timesteps(config, timesteps)


def reached_sigmas(config: SchedulerConfig, path: NoisePath) -> F64:
    """The level that each step of the model's own solver leads to, f64[steps].

    The next of the path, but for schedulers which count timesteps down and do not look.
    """
    if not config.solver.strided:
        return path.sigmas[1:]
    after = path.timesteps - config.num_train_timesteps // path.whole_steps
    return np.where(after < 0, path.sigmas[-1], sigmas_at(config, after))


def _by_timesteps(config: SchedulerConfig, timesteps: F64) -> NoisePath:
    sigmas = sigmas_at(config, timesteps)
    told = timesteps if config.edm is None else timesteps_at(config, sigmas)
    return NoisePath(told, np.append(sigmas, _end(config)))


def _end(config: SchedulerConfig) -> float:
    """The level where the image is finished."""
    return float(trained_sigmas(config)[0]) if config.solver.ends_with_noise else 0.0


def _levels(config: SchedulerConfig, spacing: str | None, num_inference_steps: int) -> F64 | None:
    """Noise levels that are placed by themselves, f64[steps]; None where timesteps place them."""
    chosen = spacing or config.spacing
    if chosen in _EVEN:
        return None
    if chosen == "ays":
        return ays_sigmas(num_inference_steps)
    trained = trained_sigmas(config)
    low, high = float(trained[0]), float(trained[-1])
    if config.edm is not None and chosen == "karras":
        return karras_sigmas(low, high, num_inference_steps, rho=config.edm.rho)
    if spacing is None and config.edm is None:
        # The model's own curve spans what its even spacing would, as in diffusers; one that a
        # person chooses spans all that was trained.
        even = spaced_timesteps(config, config.timestep_spacing, num_inference_steps)
        high, low = (float(sigma) for sigma in sigmas_at(config, even[[0, -1]]))
    return CURVES[chosen](low, high, num_inference_steps)
