"""Samplers of one pass a step that look back at estimates or derivatives of earlier steps.

As papers and diffusers write them, h is a step in the logarithm of 1 / sigma.
"""

from math import factorial
from typing import Final

import numpy as np

from sdxl_engine.checkpoint.scheduler import SchedulerConfig
from sdxl_engine.sampling.noise import F64, sigmas_at
from sdxl_engine.sampling.path import NoisePath, reached_sigmas
from sdxl_engine.sampling.table import (
    DENOISED,
    FIRST,
    NOISE,
    PREVIOUS,
    SECOND,
    THIRD,
    Table,
    X,
    as_trained,
    of_path,
)

_LMS_ORDER: Final = 4
# Adams and Bashforth's weights for even steps, a row an order, the newest derivative first.
_ADAMS_BASHFORTH: Final = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
_FEW_STEPS: Final = 15  # with fewer, diffusers ends some samplers at a lower order
_NO_NOISE: Final = float(np.finfo(np.float64).tiny)  # where a logarithm is taken of it
_ESTIMATES: Final = (DENOISED, PREVIOUS, FIRST)  # of DPM-Solver, the newest first


# By the estimates


def dpmpp_2m(config: SchedulerConfig, path: NoisePath) -> Table:
    """DPM-Solver++(2M), midpoint (Lu et al. 2022, Alg. 2), at first order in the last step."""
    return _dpmpp(config, path, order=2, rate=1)


def dpmpp_2m_sde(config: SchedulerConfig, path: NoisePath) -> Table:
    """SDE-DPM-Solver++(2M), midpoint (Lu et al. 2022, appendix B)."""
    return _dpmpp(config, path, order=2, rate=2)


def dpmpp_2m_sde_heun(config: SchedulerConfig, path: NoisePath) -> Table:
    """SDE-DPM-Solver++(2M) with the slope of Heun's form."""
    return _dpmpp(config, path, order=2, rate=2, heun=True)


def dpmpp_3m(config: SchedulerConfig, path: NoisePath) -> Table:
    """DPM-Solver++(3M) (Lu et al. 2022, appendix), of lower order at both ends."""
    return _dpmpp(config, path, order=3, rate=1)


def dpmpp_3m_sde(config: SchedulerConfig, path: NoisePath) -> Table:
    """SDE-DPM-Solver++(3M), as Crowson's k-diffusion has it."""
    return _dpmpp(config, path, order=3, rate=2, heun=True)


def _dpmpp(
    config: SchedulerConfig, path: NoisePath, *, order: int, rate: int, heun: bool = False
) -> Table:
    """DPM-Solver++ for the ODE (rate 1) or the SDE (rate 2), whose exponent is rate * h."""
    solver, ratio = config.solver, path.sigmas[1:] / path.sigmas[:-1]  # e^-h
    steps = -np.diff(np.log(np.maximum(path.sigmas, _NO_NOISE)))  # h
    table = of_path(config, path)
    table.sample[:, X] = ratio**rate
    table.sample[:, DENOISED] = 1 - ratio**rate
    if rate > 1:
        table.sample[:, NOISE] = path.sigmas[1:] * np.sqrt(1 - ratio**2)
    table.remember(PREVIOUS, FIRST)
    few = path.whole_steps < _FEW_STEPS and solver.lower_order_final and (order, rate) != (3, 2)
    ends_low = solver.euler_at_final or not solver.ends_with_noise
    for step, looks in enumerate(_orders(len(ratio), order, few=few, ends_low=ends_low)):
        ahead, behind = steps[step], steps[step - looks + 1 : step][::-1]
        if looks == 1 or not ahead:  # there is no noise left to take away
            continue
        slope, bend = _slope_and_bend(behind / ahead)
        phi_2, phi_3 = _phi(rate * ahead)
        midpoint = looks == 2 and not (heun or solver.heun)  # noqa: PLR2004 - estimates
        by_slope = (1 - ratio[step] ** rate) / 2 if midpoint else phi_2
        table.sample[step, _ESTIMATES] += by_slope * slope - phi_3 * bend
    return as_trained(table, config, path)


def _orders(count: int, most: int, *, few: bool, ends_low: bool) -> list[int]:
    """How many estimates each step looks at.

    few       whether there are so few that they end with two of lower orders
    ends_low  whether the last step is of first order
    """
    orders = [min(most, step + 1) for step in range(count)]
    if few:
        orders[-2:] = [min(order, 2) for order in orders[-2:]]
    if few or ends_low:
        orders[-1] = 1
    return orders


def _slope_and_bend(spans: F64) -> tuple[F64, F64]:
    """Slope and curvature at the newest of two or three estimates, as weights of them, f64[3] both.

    spans  between them, the newest first, in units of the step ahead
    """
    near = np.array([1.0, -1.0, 0.0]) / spans[0]
    if len(spans) == 1:
        return near, np.zeros(3)
    far = np.array([0.0, 1.0, -1.0]) / spans[1]
    bend = (near - far) / spans.sum()
    return near + bend * spans[0], bend


def _phi(exponent: float) -> tuple[float, float]:
    """(e^-u - 1) / u + 1, and of that (...) / u - 1 / 2; both are 1 and -1 / 2 at infinity."""
    if not np.isfinite(exponent):
        return 1.0, -0.5
    phi_2 = np.expm1(-exponent) / exponent + 1
    return phi_2, phi_2 / exponent - 0.5


def dpmpp_2s(config: SchedulerConfig, path: NoisePath) -> Table:
    """DPM-Solver++(2S) (Lu et al. 2022, Alg. 1), whose step is two of ours.

    The first goes there at first order, the second anew from where it began.
    """
    solver, sigmas, count = config.solver, path.sigmas, len(path.timesteps)
    table = of_path(config, path)
    table.sample[:, X] = sigmas[1:] / sigmas[:-1]
    table.sample[:, DENOISED] = 1 - table.sample[:, X]
    table.remember(X, FIRST)
    last_alone = solver.lower_order_final or not solver.ends_with_noise
    for step in range(1, count - (last_alone and count % 2 == 0), 2):
        there, whole = np.log(sigmas[step - 1] / sigmas[step : step + 2])
        ratio = sigmas[step + 1] / sigmas[step - 1]
        slope = (_phi(whole)[0] if solver.heun else (1 - ratio) / 2) * whole / there
        table.sample[step] = 0
        table.sample[step, [FIRST, PREVIOUS, DENOISED]] = ratio, 1 - ratio - slope, slope
    return as_trained(table, config, path)


def unipc(config: SchedulerConfig, path: NoisePath) -> Table:
    """UniPC (Zhao et al. 2023, Alg. 5 and 6) of order 2 with B2(h), of lower order at both ends.

    Each pass corrects the sample that it was shown, from the one before (FIRST) and the estimates
    since (PREVIOUS, SECOND, THIRD), and predicts the next from there.
    """
    solver, sigmas, count = config.solver, path.sigmas, len(path.timesteps)
    most, ends_low = solver.order or 2, solver.lower_order_final or not solver.ends_with_noise
    orders = [min(most, step + 1, count - step if ends_low else most) for step in range(count)]
    estimates = (DENOISED, PREVIOUS, SECOND, THIRD)
    table = of_path(config, path)
    table.remember(PREVIOUS, SECOND)
    table.remember(SECOND, THIRD)
    corrected = table.memory(FIRST)
    for step, order in enumerate(orders):
        before = orders[step - 1]
        if step == 0 or step - 1 in solver.uncorrected:
            corrected[step, X] = 1
        else:
            corrected[step, FIRST] = sigmas[step] / sigmas[step - 1]
            known = _unipc_weights(sigmas[step - before : step + 1], bh1=solver.bh1, corrects=True)
            corrected[step, estimates[: before + 1]] = known
        table.sample[step] = sigmas[step + 1] / sigmas[step] * corrected[step]
        known = _unipc_weights(sigmas[step - order + 1 : step + 2], bh1=solver.bh1, corrects=False)
        table.sample[step, estimates[:order]] += known
    return as_trained(table, config, path)


def _unipc_weights(sigmas: F64, *, bh1: bool, corrects: bool) -> F64:
    """What a step takes of the estimates, the newest first, f64[order + corrects].

    sigmas    where they were made, and where the step leads, f64[order + 1]
    corrects  whether there is one where it leads, too
    """
    *_, here, there = sigmas
    order, newest = len(sigmas) - 1, int(corrects)
    weights = np.zeros(order + newest)
    weights[newest] = 1 - there / here
    if there == here or (order == 1 and not corrects):
        return weights
    exponent = np.log(there / here)
    # Of the other estimates, in units of the step: what was before it, and its own end.
    ratios = np.append(np.log(sigmas[-3::-1] / here) / exponent, 1.0)
    scale = exponent if bh1 else np.expm1(exponent)
    phi, moments = np.expm1(exponent) / exponent - 1, []
    for power in range(1, order + 1):
        moments.append(phi * factorial(power) / scale)
        phi = phi / exponent - 1 / factorial(power + 1)
    powers = np.vander(ratios, increasing=True).T
    if corrects:
        shares = np.linalg.solve(powers, moments)
    else:
        shares, ratios = np.linalg.solve(powers[:-1, :-1], moments[:-1]), ratios[:-1]
    if len(shares) == 1:  # as its authors set it, whatever the moment says
        shares = np.array([0.5])
    changes = -scale * shares / ratios
    weights[newest] -= changes.sum()
    if corrects:
        weights[0], changes = changes[-1], changes[:-1]
    weights[newest + 1 :] = changes
    return weights


# By the derivatives


def lms(config: SchedulerConfig, path: NoisePath) -> Table:
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


def ipndm(config: SchedulerConfig, path: NoisePath) -> Table:
    """Improved pseudo linear multistep (Zhang and Chen 2022), order 4: as if steps were even."""
    weights = _adams_bashforth(len(path.timesteps))
    return _by_derivatives(config, path, weights * np.diff(path.sigmas)[:, None])


def _adams_bashforth(count: int) -> F64:
    """The weights of each step, f64[count, 4], of as many derivatives as there are by then."""
    weights = np.zeros((count, len(_ADAMS_BASHFORTH)))
    for step in range(count):
        order = min(step, len(_ADAMS_BASHFORTH) - 1)
        weights[step, : order + 1] = _ADAMS_BASHFORTH[order]
    return weights


def deis(config: SchedulerConfig, path: NoisePath) -> Table:
    """DEIS (Zhang and Chen 2022), order 2: a polynomial in the logarithm of sigma, integrated."""
    count, most = len(path.timesteps), config.solver.order or 2
    weights = np.zeros((count, most))
    few = path.whole_steps < _FEW_STEPS and config.solver.lower_order_final
    orders = _orders(count, most, few=few, ends_low=False)
    for step, order in enumerate(orders):
        here, there = _log_integrals(path.sigmas[step : step + 2])
        known = np.log(path.sigmas[step - np.arange(order)])
        for newest, own in enumerate(known):
            others = np.delete(known, newest)
            lagrange = np.atleast_1d(np.poly(others)) / np.prod(own - others)  # by falling powers
            weights[step, newest] = lagrange[::-1] @ (there - here)[:order]
    return as_trained(_by_derivatives(config, path, weights), config, path)


def _log_integrals(sigmas: F64) -> F64:
    """Of the powers 0 to 2 of the logarithm, from no noise up to each level, f64[levels, 3]."""
    log = np.log(np.maximum(sigmas, _NO_NOISE))
    return np.stack([sigmas, sigmas * (log - 1), sigmas * (log**2 - 2 * log + 2)], axis=-1)


def _by_derivatives(config: SchedulerConfig, path: NoisePath, weights: F64) -> Table:
    """Steps along the last derivatives, (x - denoised) / sigma; weights f64[steps, order]."""
    table = of_path(config, path)
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


def plms(config: SchedulerConfig, path: NoisePath) -> Table:
    """Pseudo linear multistep (Liu et al. 2022), order 4, of the noise that the model sees.

    As Crowson begins it: the first step is taken twice, the second time by the mean of what the
    model says at both ends. diffusers' own is of what the model says, even if that is no noise.
    """
    count, levels = len(path.timesteps), path.sigmas[:-1]
    visits = [*range(min(count, 2)), *range(1, count)]  # 0, 1, 1, 2, 3, ...
    passes = NoisePath(path.timesteps[visits], np.append(levels[visits], path.sigmas[-1]))
    begun, reached = levels[visits], reached_sigmas(config, path)[visits]
    if count > 1:
        begun[1], reached[1] = levels[0], levels[1]
        if config.solver.strided:
            begun[1] = sigmas_at(
                config, path.timesteps[1] + config.num_train_timesteps // path.whole_steps
            )
    # What the model says, and what a step along it makes of a sample: by noise, or by v.
    shown, keep, along = levels[visits], np.ones(len(visits)), reached - begun
    said = np.stack([1 / shown, -1 / shown])  # of x and of the estimate
    if config.prediction_type == "v_prediction" and config.solver.placing == "whole":
        keep += along * begun / (1 + begun**2)
        along /= np.hypot(begun, 1.0)
        said *= np.stack([1 / np.hypot(shown, 1.0), np.hypot(shown, 1.0)])
    weights = _adams_bashforth(count)
    if count > 1:
        weights = np.insert(weights, 1, (0.5, 0.5, 0.0, 0.0), axis=0)
    weights *= along[:, None]
    table = of_path(config, passes)
    table.sample[:, [FIRST, SECOND, THIRD]] = weights[:, 1:]
    table.sample[:, X] = keep + weights[:, 0] * said[0]
    table.sample[:, DENOISED] = weights[:, 0] * said[1]
    table.memory(FIRST)[:, X], table.memory(FIRST)[:, DENOISED] = said
    table.memory(SECOND)[2:, FIRST] = table.memory(THIRD)[2:, SECOND] = 1
    if count > 1:  # anew from where it began, which SECOND keeps for one pass; FIRST stays
        table.memory(SECOND)[0, X] = np.hypot(begun[1], 1.0) / np.hypot(levels[0], 1.0)
        table.sample[1, X] -= keep[1]
        table.sample[1, SECOND] = keep[1]
        table.memory(FIRST)[1] = 0
        table.memory(FIRST)[1, FIRST] = 1
    return as_trained(table, config, passes, reached)
