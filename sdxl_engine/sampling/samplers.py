"""Every sampler as a table, and the one way to it: `make_schedule`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sdxl_engine.checkpoint.scheduler import SchedulerConfig
from sdxl_engine.checkpoint.solver import USUAL
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import OWN_SPACING_SAMPLERS, PASSES, SAMPLERS
from sdxl_engine.sampling import multistep
from sdxl_engine.sampling.noise import F64, sigmas_at, timesteps_at
from sdxl_engine.sampling.path import (
    NoisePath,
    distilled_path,
    explicit_path,
    multistep_path,
    noise_path,
    reached_sigmas,
)
from sdxl_engine.sampling.table import (
    C_IN,
    C_OUT,
    C_SKIP,
    DENOISED,
    F32,
    FIRST,
    NEGATIVE,
    NOISE,
    PREVIOUS,
    Table,
    X,
    as_trained,
    of_path,
)
from sdxl_engine.sentence import say

# What LCM's boundary condition is measured in: its authors' sigma_data and timestep_scaling.
_LCM_DATA, _LCM_TIMESTEP_SCALE = 0.5, 10.0
_TCD_GAMMA: Final = 0.3  # Zheng et al. 2024: how much of each step is noise anew


@dataclass(frozen=True, slots=True)
class Schedule:
    """One way through the noise.

    table            f32[MAX_PASSES, COLUMNS], a row a pass through the model, then zeros
    passes_per_step  1 or 2; the last step, which ends without noise, takes one
    steps            those taken, of the whole way
    initial_sigma    standard deviation of the sample that the loop starts from
    added_sigma      that of the noise on a picture, where the loop starts from one
    first_again      1 where the first step takes a pass more, otherwise 0
    """

    table: F32
    passes_per_step: int
    steps: range
    initial_sigma: np.float32
    added_sigma: np.float32
    first_again: int = 0

    def row(self, step: int) -> int:
        """The row where a step begins, or past the last row for the end of the last step."""
        taken = step - self.steps.start
        row = min(taken, len(self.steps) - 1) * self.passes_per_step
        return row + (taken == len(self.steps)) + self.first_again * (taken > 0)


def make_schedule(
    config: SchedulerConfig,
    sampler: str,
    spacing: str | None,
    num_inference_steps: int,
    timesteps: tuple[int, ...] | None = None,
    first_step: int = 0,
) -> Schedule:
    """The table of a sampler (one of `request.SAMPLERS`).

    spacing     one of `request.SPACINGS`; None is the model's own, or the sampler's where it has
                one
    timesteps   of training, decreasing, one a step; instead of a spacing
    first_step  how many steps are left out; the sampler begins there as it would at the first

    Raises InvalidRequestError for what this model cannot follow.
    """
    if sampler != config.sampler:
        config = replace(config, solver=USUAL)
    elif spacing is not None or timesteps is not None:
        config = replace(config, solver=replace(config.solver, strided=False))
    path = _path(config, sampler, spacing, num_inference_steps, timesteps).from_step(first_step)
    table = _TABLES[sampler](config, path)
    # A spacing that begins below the largest sigma: its sample has variance of its own. Euler at
    # the largest does without, where that is one part in 400.
    below = (config.timestep_spacing if spacing is None else spacing) == "leading"
    with_variance = sampler in _WITH_VARIANCE or config.solver.placing is not None
    from_noise_alone = not with_variance and not below and config.edm is None
    largest, each = path.sigmas[0], PASSES[sampler]
    return Schedule(
        table.packed(),
        each,
        range(first_step, num_inference_steps),
        np.float32(largest if from_noise_alone else np.hypot(largest, 1.0)),
        np.float32(largest),
        first_again=len(table.model) - (each * len(path.timesteps) - (each - 1)),
    )


def _path(
    config: SchedulerConfig,
    sampler: str,
    spacing: str | None,
    num_inference_steps: int,
    timesteps: tuple[int, ...] | None,
) -> NoisePath:
    distilled = sampler in OWN_SPACING_SAMPLERS
    if config.edm is not None and (distilled or timesteps is not None):
        raise InvalidRequestError(
            say(
                "{what} needs a model with numbered timesteps; this one was trained with noise of "
                "any level. Choose a sampler and a spacing instead.",
                what=SAMPLERS[sampler] if distilled else say("A list of timesteps"),
            )
        )
    if timesteps is not None:
        if timesteps[0] >= config.num_train_timesteps:
            raise InvalidRequestError(
                say(
                    "The model was trained with {number} timesteps, so the largest is {largest}, "
                    "not {first}.",
                    number=config.num_train_timesteps,
                    largest=config.num_train_timesteps - 1,
                    first=timesteps[0],
                )
            )
        return explicit_path(config, np.array(timesteps, np.float64), distilled=distilled)
    if distilled:
        return distilled_path(config, num_inference_steps)
    whole = sampler in _WHOLE_TIMESTEPS or config.solver.placing == "multistep"
    placed = multistep_path if whole else noise_path
    path = placed(config, spacing, num_inference_steps)
    if not (np.diff(path.sigmas[:-1]) < 0).all():
        raise InvalidRequestError(
            say(
                "In this model's schedule some of {steps} steps fall together. Choose another "
                "spacing, or fewer steps.",
                steps=num_inference_steps,
            )
        )
    return path


# One pass a step, looking back at most one estimate


def _euler(config: SchedulerConfig, path: NoisePath) -> Table:
    """Euler's method (Karras et al. 2022, Alg. 2, no churn)."""
    return _renoised(config, path, path.sigmas[1:])


def _ddim(config: SchedulerConfig, path: NoisePath) -> Table:
    """DDIM (Song et al. 2020) without noise of its own: Euler's steps in sigma space."""
    reached = reached_sigmas(config, path)
    return as_trained(_straight(config, path, reached), config, path, reached)


def _euler_ancestral(config: SchedulerConfig, path: NoisePath) -> Table:
    """Euler steps below each noise level and noise up to it: the variance that DDPM would add."""
    table = _renoised(config, path, _below(path.sigmas[:-1], path.sigmas[1:]))
    return as_trained(table, config, path)


def _euler_cfg_pp(config: SchedulerConfig, path: NoisePath) -> Table:
    """Euler, with the noise that the negative prompt sees (CFG++: Chung et al. 2024, Alg. 2)."""
    return _by_the_negative(_euler(config, path))


def _euler_ancestral_cfg_pp(config: SchedulerConfig, path: NoisePath) -> Table:
    """Euler ancestral, with the noise that the negative prompt sees (CFG++)."""
    return _by_the_negative(_euler_ancestral(config, path))


def _by_the_negative(table: Table) -> Table:
    # x - denoised is the noise there; of it, what the step keeps is told by the negative prompt.
    table.sample[:, DENOISED] = 1
    table.sample[:, NEGATIVE] = -table.sample[:, X]
    return table


def _lcm(config: SchedulerConfig, path: NoisePath) -> Table:
    """Latent consistency sampling (Luo et al. 2023, Alg. 3): to the image, and noise anew."""
    sigmas = np.append(path.sigmas[:-1], 0.0)  # the last image stays as it is
    table = _renoised(config, NoisePath(path.timesteps, sigmas), np.zeros(len(path.timesteps)))
    # The boundary condition mixes in the model's own input: near timestep 0 it is the image.
    scaled = path.timesteps * _LCM_TIMESTEP_SCALE
    boundary_skip = _LCM_DATA**2 / (scaled**2 + _LCM_DATA**2)
    boundary_out = scaled / np.hypot(scaled, _LCM_DATA)
    model = table.model
    model[:, C_SKIP] = boundary_out * model[:, C_SKIP] + boundary_skip * model[:, C_IN]
    model[:, C_OUT] *= boundary_out
    return table


def _tcd(config: SchedulerConfig, path: NoisePath) -> Table:
    """Trajectory consistency sampling (Zheng et al. 2024, Alg. 4): below the level, and noise."""
    following = np.append(path.timesteps[1:], 0.0)
    below = sigmas_at(config, np.floor((1 - _TCD_GAMMA) * following))
    table = _renoised(config, path, below)
    # It ends with the noise of timestep 0 and hands that on as the image, scaled as in training.
    table.sample[-1, [X, DENOISED]] /= np.hypot(path.sigmas[-1], 1.0)
    return table


# Two passes a step


def _heun(config: SchedulerConfig, path: NoisePath) -> Table:
    """Heun's method (Karras et al. 2022, Alg. 1, no churn): the mean of both ends' derivatives."""
    sigma, following = path.sigmas[:-2], path.sigmas[1:-1]
    table = _two_passes(config, path, following, path.timesteps[1:], following)
    change = (following - sigma) / 2
    second = table.sample[1::2]
    # The first derivative is (x - anchor) / (following - sigma), whatever it was made of.
    second[:, FIRST] = 0.5
    second[:, X] = 0.5 + change / following
    second[:, DENOISED] = -change / following
    return table


def _dpm2(config: SchedulerConfig, path: NoisePath) -> Table:
    """DPM-Solver-2 (Lu et al. 2022): along the derivative in the middle of the logarithms."""
    return _midpoint(config, path, path.sigmas[1:-1])


def _dpm2_ancestral(config: SchedulerConfig, path: NoisePath) -> Table:
    """DPM-Solver-2 below each noise level, and noise up to it."""
    table = _midpoint(config, path, _below(path.sigmas[:-2], path.sigmas[1:-1]))
    table.sample[1::2, NOISE] = _up_to(path)
    return table


def _midpoint(config: SchedulerConfig, path: NoisePath, down: F64) -> Table:
    sigma = path.sigmas[:-2]
    middle = np.sqrt(sigma * down)
    table = _two_passes(config, path, middle, timesteps_at(config, middle), middle)
    second = table.sample[1::2]
    second[:, FIRST] = 1
    second[:, X] = (down - sigma) / middle
    second[:, DENOISED] = -(down - sigma) / middle
    return table


def _dpmpp_2s_ancestral(config: SchedulerConfig, path: NoisePath) -> Table:
    """DPM-Solver++(2S) (Lu et al. 2022, Alg. 1) below each noise level, and noise up to it."""
    sigma = path.sigmas[:-2]
    down = _below(sigma, path.sigmas[1:-1])
    middle = np.sqrt(sigma * down)
    table = _two_passes(config, path, middle, timesteps_at(config, middle), middle)
    second = table.sample[1::2]
    second[:, FIRST], second[:, DENOISED] = down / sigma, 1 - down / sigma
    second[:, NOISE] = _up_to(path)
    return table


def _dpmpp_sde(config: SchedulerConfig, path: NoisePath) -> Table:
    """DPM-Solver++ for the SDE, as Crowson's k-diffusion has it.

    Both passes follow one Brownian motion in sigma, so the second goes on with the first's noise.
    """
    sigma, following = path.sigmas[:-2], path.sigmas[1:-1]
    middle = np.sqrt(sigma * following)
    half_down, down = _below(sigma, middle), _below(sigma, following)
    table = _two_passes(config, path, middle, timesteps_at(config, middle), half_down)
    half_up = np.sqrt(middle**2 - half_down**2)
    table.sample[:-1:2, NOISE] = half_up
    second = table.sample[1::2]
    second[:, FIRST], second[:, DENOISED] = down / sigma, 1 - down / sigma
    spread = _up_to(path) / np.sqrt(sigma - following)
    second[:, NOISE] = spread * np.sqrt(middle - following)
    # The first noise is read back from what the first pass made of it, the anchor and its estimate.
    kept = spread * np.sqrt(sigma - middle) / half_up
    second[:, X] = kept
    second[:, FIRST] -= kept * half_down / sigma
    second[:, PREVIOUS] = -kept * (1 - half_down / sigma)
    return table


def _two_passes(
    config: SchedulerConfig, path: NoisePath, middle: F64, timesteps: F64, first_to: F64
) -> Table:
    """Euler's first passes, to `first_to`, and the last step; what is at FIRST began the step.

    middle, timesteps  what the second passes are shown, f64[steps - 1]
    """
    passes = 2 * len(path.timesteps) - 1
    levels, told = np.zeros(passes), np.zeros(passes)
    levels[::2], levels[1::2] = path.sigmas[:-1], middle
    told[::2], told[1::2] = path.timesteps, timesteps
    table = Table.of(config, told, levels)
    table.sample[::2, X] = np.append(first_to, 0.0) / path.sigmas[:-1]
    table.sample[::2, DENOISED] = 1 - table.sample[::2, X]
    table.remember(X, FIRST)
    return table


# What they have in common


def _below(sigma: F64, following: F64) -> F64:
    """Where an ancestral step goes before its noise: DDPM's variance."""
    return following**2 / sigma


def _up_to(path: NoisePath) -> F64:
    """The deviation that leads from `_below` to the next level, f64[steps - 1]."""
    sigma, following = path.sigmas[:-2], path.sigmas[1:-1]
    return np.sqrt(np.maximum(following**2 - _below(sigma, following) ** 2, 0))


def _straight(config: SchedulerConfig, path: NoisePath, reached: F64) -> Table:
    """Steps along the derivative to `reached` f64[steps]."""
    table = of_path(config, path)
    table.sample[:, X] = reached / path.sigmas[:-1]
    table.sample[:, DENOISED] = 1 - table.sample[:, X]
    return table


def _renoised(config: SchedulerConfig, path: NoisePath, sigmas_down: F64) -> Table:
    """Steps straight to `sigmas_down` f64[steps], then noise up to the path's next sigma."""
    table = _straight(config, path, sigmas_down)
    table.sample[:, NOISE] = np.sqrt(np.maximum(path.sigmas[1:] ** 2 - sigmas_down**2, 0))
    return table


_TABLES: Final[Mapping[str, Callable[[SchedulerConfig, NoisePath], Table]]] = {
    "euler": _euler,
    "euler_ancestral": _euler_ancestral,
    "ddim": _ddim,
    "dpmpp_2m": multistep.dpmpp_2m,
    "dpmpp_2m_sde": multistep.dpmpp_2m_sde,
    "dpmpp_2m_sde_heun": multistep.dpmpp_2m_sde_heun,
    "dpmpp_3m": multistep.dpmpp_3m,
    "dpmpp_3m_sde": multistep.dpmpp_3m_sde,
    "dpmpp_sde": _dpmpp_sde,
    "dpmpp_2s_ancestral": _dpmpp_2s_ancestral,
    "dpm2": _dpm2,
    "dpm2_ancestral": _dpm2_ancestral,
    "heun": _heun,
    "dpmpp_2s": multistep.dpmpp_2s,
    "unipc": multistep.unipc,
    "lms": multistep.lms,
    "plms": multistep.plms,
    "deis": multistep.deis,
    "ipndm": multistep.ipndm,
    "euler_cfg_pp": _euler_cfg_pp,
    "euler_ancestral_cfg_pp": _euler_ancestral_cfg_pp,
    "lcm": _lcm,
    "tcd": _tcd,
}
# diffusers' multistep solvers place their steps so, and begin from a sample of training's variance.
_WHOLE_TIMESTEPS: Final = frozenset(
    {"dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m", "dpmpp_2s", "unipc", "deis"}
)
_WITH_VARIANCE: Final = _WHOLE_TIMESTEPS | {"ddim"} | OWN_SPACING_SAMPLERS
