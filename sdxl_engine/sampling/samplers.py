"""Every sampler as a table, and the one way to it: `make_schedule`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import factorial
from typing import Final

import numpy as np

from sdxl_engine.checkpoint.scheduler import SchedulerConfig
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.request import OWN_SPACING_SAMPLERS, PASSES, SAMPLERS
from sdxl_engine.sampling.noise import F64, sigmas_at, timesteps_at, trained_sigmas
from sdxl_engine.sampling.path import (
    NoisePath,
    distilled_path,
    explicit_path,
    multistep_path,
    noise_path,
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
    SECOND,
    SOURCES,
    THIRD,
    Table,
    X,
)

# What LCM's boundary condition is measured in: its authors' sigma_data and timestep_scaling.
_LCM_DATA, _LCM_TIMESTEP_SCALE = 0.5, 10.0
_TCD_GAMMA: Final = 0.3  # Zheng et al. 2024: how much of each step is noise anew
_LMS_ORDER: Final = 4
# Adams and Bashforth's weights for even steps, a row an order, the newest derivative first.
_ADAMS_BASHFORTH: Final = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
_FEW_STEPS: Final = 15  # with fewer, diffusers ends some samplers at a lower order


@dataclass(frozen=True, slots=True)
class Schedule:
    """One way through the noise.

    table            f32[MAX_PASSES, COLUMNS], a row a pass through the model, then zeros
    passes_per_step  1 or 2; the last step, which ends without noise, takes one
    initial_sigma    standard deviation of the sample that the loop starts from
    """

    table: F32
    passes_per_step: int
    num_inference_steps: int
    initial_sigma: np.float32

    def row(self, step: int) -> int:
        """The row where a step begins, or past the last row for the end of the last step."""
        return min(step, self.num_inference_steps - 1) * self.passes_per_step + (
            step == self.num_inference_steps
        )


def make_schedule(
    config: SchedulerConfig,
    sampler: str,
    spacing: str | None,
    num_inference_steps: int,
    timesteps: tuple[int, ...] | None = None,
) -> Schedule:
    """The table of a sampler (one of `request.SAMPLERS`).

    spacing    one of `request.SPACINGS`; None is the model's own, or the sampler's where it has one
    timesteps  of training, decreasing, one a step; instead of a spacing

    Raises InvalidRequestError for what this model cannot follow.
    """
    path = _path(config, sampler, spacing, num_inference_steps, timesteps)
    table = _TABLES[sampler](config, path)
    # A spacing that begins below the largest sigma: its sample has variance of its own. Euler at
    # the largest does without, where that is one part in 400.
    below = (config.timestep_spacing if spacing is None else spacing) == "leading"
    from_noise_alone = sampler not in _WITH_VARIANCE and not below and config.edm is None
    largest = path.sigmas[0]
    return Schedule(
        table.packed(),
        PASSES[sampler],
        num_inference_steps,
        np.float32(largest if from_noise_alone else np.hypot(largest, 1.0)),
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
        what = SAMPLERS[sampler] if distilled else "A list of timesteps"
        raise InvalidRequestError(
            f"{what} needs a model with numbered timesteps; this one was trained with noise of any "
            "level. Choose a sampler and a spacing instead."
        )
    if timesteps is not None:
        if timesteps[0] >= config.num_train_timesteps:
            raise InvalidRequestError(
                f"The model was trained with {config.num_train_timesteps} timesteps, so the "
                f"largest is {config.num_train_timesteps - 1}, not {timesteps[0]}."
            )
        return explicit_path(config, np.array(timesteps, np.float64), distilled=distilled)
    if distilled:
        return distilled_path(config, num_inference_steps)
    placed = multistep_path if sampler in _WHOLE_TIMESTEPS else noise_path
    path = placed(config, spacing, num_inference_steps)
    if not (np.diff(path.sigmas) < 0).all():
        raise InvalidRequestError(
            f"In this model's schedule some of {num_inference_steps} steps fall together. Choose "
            "another spacing, or fewer steps."
        )
    return path


# One pass a step, looking back at most one estimate


def _euler(config: SchedulerConfig, path: NoisePath) -> Table:
    """Euler's method (Karras et al. 2022, Alg. 2, no churn)."""
    return _renoised(config, path, path.sigmas[1:])


def _ddim(config: SchedulerConfig, path: NoisePath) -> Table:
    """DDIM (Song et al. 2020) without noise of its own: Euler's steps in sigma space."""
    if config.set_alpha_to_one:
        return _euler(config, path)
    # It ends at the first timestep's noise and hands that on as the image, scaled as in training.
    end = trained_sigmas(config)[0]
    table = _euler(config, NoisePath(path.timesteps, np.append(path.sigmas[:-1], end)))
    table.sample[-1] /= np.hypot(end, 1.0)
    return table


def _euler_ancestral(config: SchedulerConfig, path: NoisePath) -> Table:
    """Euler steps below each noise level and noise up to it: the variance that DDPM would add."""
    return _renoised(config, path, _below(path.sigmas[:-1], path.sigmas[1:]))


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


def _dpmpp_2m(config: SchedulerConfig, path: NoisePath) -> Table:
    """DPM-Solver++(2M), midpoint (Lu et al. 2022, Alg. 2), at first order in the last step."""
    ratio = path.sigmas[1:] / path.sigmas[:-1]  # e^-h, with h the step in log signal-to-noise
    table = _of_path(config, path)
    table.sample[:, X] = ratio
    _extrapolate(table, path, 1 - ratio, (1 - ratio) / 2)
    return table


def _dpmpp_2m_sde(config: SchedulerConfig, path: NoisePath) -> Table:
    """SDE-DPM-Solver++(2M), midpoint (Lu et al. 2022, appendix B)."""
    ratio = path.sigmas[1:] / path.sigmas[:-1]
    table = _stochastic(config, path)
    _extrapolate(table, path, 1 - ratio**2, (1 - ratio**2) / 2)
    return table


def _dpmpp_2m_sde_heun(config: SchedulerConfig, path: NoisePath) -> Table:
    """SDE-DPM-Solver++(2M) with the slope of Heun's form."""
    table = _stochastic(config, path)
    _extrapolate(table, path, 1 - (path.sigmas[1:] / path.sigmas[:-1]) ** 2, _phi_2(path, 2.0))
    return table


def _stochastic(config: SchedulerConfig, path: NoisePath) -> Table:
    """The sample's and the noise's share of a stochastic step; the estimates' is not filled in."""
    ratio = path.sigmas[1:] / path.sigmas[:-1]
    table = _of_path(config, path)
    table.sample[:, X] = ratio**2
    table.sample[:, NOISE] = path.sigmas[1:] * np.sqrt(1 - ratio**2)
    return table


def _extrapolate(table: Table, path: NoisePath, weight: F64, slope_weight: F64) -> None:
    """Take `weight` of the denoised sample, and `slope_weight` of its change, by two estimates.

    At first order (the first step has no estimate before it, the last goes to sigma 0, infinitely
    far in log signal-to-noise) it is the newest estimate alone.
    """
    table.sample[:, DENOISED] = weight
    steps = _log_steps(path)
    # The step ahead in units of the step behind: h / h_prev.
    slope = slope_weight[1:-1] * steps[1:] / steps[:-1]
    table.sample[1:-1, DENOISED] += slope
    table.sample[1:-1, PREVIOUS] -= slope


# One pass a step, looking further back


def _dpmpp_3m(config: SchedulerConfig, path: NoisePath) -> Table:
    """DPM-Solver++(3M) (Lu et al. 2022, appendix), of lower order at both ends."""
    table = _dpmpp_2m(config, path)
    _third_order(table, path, 1.0, last=-2 if len(path.timesteps) < _FEW_STEPS else -1)
    return table


def _dpmpp_3m_sde(config: SchedulerConfig, path: NoisePath) -> Table:
    """SDE-DPM-Solver++(3M), as Crowson's k-diffusion has it."""
    table = _dpmpp_2m_sde_heun(config, path)
    _third_order(table, path, 2.0, last=-1)
    return table


def _third_order(table: Table, path: NoisePath, rate: float, *, last: int) -> None:
    """The steps from the third up to `last` by three estimates; their exponent is `rate` * h."""
    table.remember(PREVIOUS, FIRST)
    rows = slice(2, len(path.timesteps) + last)
    steps = _log_steps(path)
    ahead, before, earlier = (steps[2 - back : max(rows.stop - back, 0)] for back in range(3))
    if not len(ahead):
        return
    near, far = before / ahead, earlier / ahead
    # Both slopes, and the curvature, as weights of the three estimates from the newest on.
    slope_near = np.stack([1 / near, -1 / near, np.zeros_like(near)])
    slope_far = np.stack([np.zeros_like(far), 1 / far, -1 / far])
    bend = (slope_near - slope_far) / (near + far)
    slope = slope_near + bend * near
    phi_2 = _phi_2(path, rate)[rows]
    phi_3 = phi_2 / (rate * ahead) - 0.5
    estimates = phi_2 * slope - phi_3 * bend
    estimates[0] -= np.expm1(-rate * ahead)
    table.sample[rows, DENOISED], table.sample[rows, PREVIOUS], table.sample[rows, FIRST] = (
        estimates
    )


def _phi_2(path: NoisePath, rate: float) -> F64:
    """f64[steps], (e^-u - 1) / u + 1 of u = rate * h; 1 in the last step, where h is infinite."""
    exponent = rate * _log_steps(path)
    return np.append(np.expm1(-exponent) / exponent + 1, 1.0)


def _log_steps(path: NoisePath) -> F64:
    """H of every step but the last, f64[steps - 1]."""
    return -np.diff(np.log(path.sigmas[:-1]))


def _lms(config: SchedulerConfig, path: NoisePath) -> Table:
    """Linear multistep, order 4: the polynomial through the last derivatives, integrated."""
    nodes, node_weights = np.polynomial.legendre.leggauss(_LMS_ORDER)  # exact for polynomials of 7
    sigmas = path.sigmas
    weights = np.zeros((len(path.timesteps), _LMS_ORDER))
    for step in range(len(weights)):
        order = min(step + 1, _LMS_ORDER)
        known = sigmas[step - np.arange(order)]
        half = (sigmas[step + 1] - sigmas[step]) / 2
        places = sigmas[step] + half * (nodes + 1)
        for newest, own in enumerate(known):
            others = np.delete(known, newest)[:, None]
            lagrange = np.prod((places - others) / (own - others), axis=0)
            weights[step, newest] = half * (node_weights @ lagrange)
    return _by_derivatives(config, path, weights)


def _ipndm(config: SchedulerConfig, path: NoisePath) -> Table:
    """Improved pseudo linear multistep (Zhang and Chen 2022), order 4: as if steps were even."""
    weights = np.zeros((len(path.timesteps), len(_ADAMS_BASHFORTH)))
    for step in range(len(weights)):
        order = min(step, len(_ADAMS_BASHFORTH) - 1)
        weights[step, : order + 1] = _ADAMS_BASHFORTH[order]
    return _by_derivatives(config, path, weights * np.diff(path.sigmas)[:, None])


def _deis(config: SchedulerConfig, path: NoisePath) -> Table:
    """DEIS (Zhang and Chen 2022), order 2: linear in the logarithm of sigma, integrated."""
    sigmas, count = path.sigmas, len(path.timesteps)
    weights = np.zeros((count, 2))
    weights[:, 0] = np.diff(sigmas)
    last = max(1, count - (count < _FEW_STEPS))
    before, here, following = sigmas[: last - 1], sigmas[1:last], sigmas[2 : last + 1]

    def integral(own: F64, other: F64) -> F64:
        """Of the line that is 1 at `own` and 0 at `other`."""
        upper, lower = (
            sigma * (np.log(np.maximum(sigma, np.finfo(float).tiny)) - np.log(other) - 1)
            for sigma in (following, here)
        )
        area: F64 = (upper - lower) / (np.log(own) - np.log(other))
        return area

    weights[1:last, 0] = integral(here, before)
    weights[1:last, 1] = integral(before, here)
    return _by_derivatives(config, path, weights)


def _by_derivatives(config: SchedulerConfig, path: NoisePath, weights: F64) -> Table:
    """Steps along the last derivatives, (x - denoised) / sigma; weights f64[steps, order]."""
    table = _of_path(config, path)
    inverse = 1 / path.sigmas[:-1]
    table.sample[:, X] = 1 + weights[:, 0] * inverse
    table.sample[:, DENOISED] = -weights[:, 0] * inverse
    places = (FIRST, SECOND, THIRD)[: weights.shape[1] - 1]
    for back, place in enumerate(places, start=1):
        table.sample[:, place] = weights[:, back]
    table.memory(FIRST)[:, X], table.memory(FIRST)[:, DENOISED] = inverse, -inverse
    table.remember(FIRST, SECOND)
    table.remember(SECOND, THIRD)
    return table


def _unipc(config: SchedulerConfig, path: NoisePath) -> Table:
    """UniPC-2 with B2(h) (Zhao et al. 2023, Alg. 5 and 6), of first order at both ends.

    Each pass corrects the sample that it was shown, from the one before (FIRST) and the estimates
    since (PREVIOUS, SECOND), and predicts the next from there.
    """
    count = len(path.timesteps)
    table = _of_path(config, path)
    table.remember(PREVIOUS, SECOND)
    steps = _log_steps(path)
    ratio = path.sigmas[1:] / path.sigmas[:-1]
    corrected = table.memory(FIRST)
    corrected[0, X] = 1
    for step in range(count):
        if step:
            # Of second order where the prediction was: not in the first and not in the last step.
            behind = steps[step - 2] / steps[step - 1] if step > 1 else None
            corrected[step] = _unipc_corrected(steps[step - 1], behind)
        table.sample[step] = ratio[step] * corrected[step]
        table.sample[step, DENOISED] += 1 - ratio[step]
        if 0 < step < count - 1:
            slope = (1 - ratio[step]) / 2 * steps[step] / steps[step - 1]
            table.sample[step, DENOISED] += slope
            table.sample[step, PREVIOUS] -= slope
    return table


def _unipc_corrected(step: float, behind: float | None) -> F64:
    """What a corrected sample is made of, f64[SOURCES].

    step    h of the step that led to it
    behind  the step before, in units of it; None where there was none
    """
    exponent = -step
    scale = np.expm1(exponent)  # B2(h), and h phi_1(h) alike
    phi, moments = scale / exponent - 1, []
    for order in (1, 2):
        moments.append(phi * factorial(order) / scale)
        phi = phi / exponent - 1 / factorial(order + 1)
    old, new = 0.0, 0.5
    if behind is not None:
        old, new = np.linalg.solve([[1.0, 1.0], [-behind, 1.0]], moments)
        old /= -behind
    weights = np.zeros(SOURCES)
    weights[FIRST] = np.exp(exponent)
    weights[DENOISED] = -scale * new
    weights[SECOND] = -scale * old
    weights[PREVIOUS] = -scale * (1 - new - old)
    return weights


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


def _renoised(config: SchedulerConfig, path: NoisePath, sigmas_down: F64) -> Table:
    """Steps straight to `sigmas_down` f64[steps], then noise up to the path's next sigma."""
    sigma, sigma_next = path.sigmas[:-1], path.sigmas[1:]
    table = _of_path(config, path)
    table.sample[:, X] = sigmas_down / sigma
    table.sample[:, DENOISED] = 1 - table.sample[:, X]
    up = np.sqrt(np.maximum(sigma_next**2 - sigmas_down**2, 0))
    table.sample[:-1, NOISE] = up[:-1]  # none at the end
    return table


def _of_path(config: SchedulerConfig, path: NoisePath) -> Table:
    return Table.of(config, path.timesteps, path.sigmas[:-1])


_TABLES: Final[Mapping[str, Callable[[SchedulerConfig, NoisePath], Table]]] = {
    "euler": _euler,
    "euler_ancestral": _euler_ancestral,
    "ddim": _ddim,
    "dpmpp_2m": _dpmpp_2m,
    "dpmpp_2m_sde": _dpmpp_2m_sde,
    "dpmpp_2m_sde_heun": _dpmpp_2m_sde_heun,
    "dpmpp_3m": _dpmpp_3m,
    "dpmpp_3m_sde": _dpmpp_3m_sde,
    "dpmpp_sde": _dpmpp_sde,
    "dpmpp_2s_ancestral": _dpmpp_2s_ancestral,
    "dpm2": _dpm2,
    "dpm2_ancestral": _dpm2_ancestral,
    "heun": _heun,
    "unipc": _unipc,
    "lms": _lms,
    "deis": _deis,
    "ipndm": _ipndm,
    "euler_cfg_pp": _euler_cfg_pp,
    "euler_ancestral_cfg_pp": _euler_ancestral_cfg_pp,
    "lcm": _lcm,
    "tcd": _tcd,
}
# diffusers' multistep solvers place their steps so, and begin from a sample of training's variance.
_WHOLE_TIMESTEPS: Final = frozenset(
    {"dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m", "unipc", "deis"}
)
_WITH_VARIANCE: Final = _WHOLE_TIMESTEPS | {"ddim"} | OWN_SPACING_SAMPLERS
