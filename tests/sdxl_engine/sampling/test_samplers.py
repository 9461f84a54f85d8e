"""Every sampler's table against diffusers' scheduler of that name, in plain NumPy."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from sdxl_engine import InvalidRequestError
from sdxl_engine.checkpoint.scheduler import EdmConfig, SchedulerConfig
from sdxl_engine.request import (
    CFG_PP_SAMPLERS,
    MAX_INFERENCE_STEPS,
    OWN_SPACING_SAMPLERS,
    PASSES,
    SAMPLERS,
    SPACINGS,
)
from sdxl_engine.sampling import noise, path
from sdxl_engine.sampling.samplers import Schedule, make_schedule
from sdxl_engine.sampling.table import (
    C_IN,
    C_OUT,
    C_SKIP,
    FIRST,
    MEMORIES,
    MODEL_COLUMNS,
    NEGATIVE,
    NOISE,
    PREVIOUS,
    SECOND,
    SOURCES,
    THIRD,
    TIMESTEP,
)
from tests.sdxl_engine.conftest import GOLDENS, assert_within

Numbers = npt.NDArray[Any]

ARRAYS = load_file(GOLDENS / "samplers.safetensors")
with safe_open(GOLDENS / "samplers.safetensors", "numpy") as opened:
    FILES = opened.metadata()  # of the special cases
ALL_CASES = sorted(name.removesuffix(".sample") for name in ARRAYS if name.endswith(".sample"))
CASES = [case for case in ALL_CASES if not case.startswith("special.")]
SPECIAL_STEPS, DMD2 = 8, (999, 749, 499, 249)
EVEN_SPACINGS = ["leading", "trailing", "linspace"]
BETAS = {"scaled_linear": (0.00085, 0.012), "linear": (0.0015, 0.0195)}
STOCHASTIC = frozenset(
    {"dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde", "dpmpp_sde", "lcm", "tcd"}
    | {name for name in SAMPLERS if "ancestral" in name}
)
EDM = EdmConfig(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0)
step_counts = st.integers(1, MAX_INFERENCE_STEPS)
any_spacing = st.sampled_from(
    list(itertools.product(sorted(SAMPLERS.keys() - OWN_SPACING_SAMPLERS), [None, *SPACINGS]))
)
ways = any_spacing | st.sampled_from([(sampler, None) for sampler in sorted(OWN_SPACING_SAMPLERS)])


def scheduler(
    spacing: str = "leading",
    prediction_type: str = "epsilon",
    total: int = 1000,
    beta_schedule: str = "scaled_linear",
) -> SchedulerConfig:
    betas = BETAS[beta_schedule]
    return SchedulerConfig(total, *betas, beta_schedule, prediction_type, spacing, 1)


PREDICTIONS = [
    scheduler(),
    scheduler(prediction_type="v_prediction"),
    scheduler(prediction_type="sample"),
    replace(scheduler(prediction_type="v_prediction"), rescale_betas_zero_snr=True),
    replace(scheduler(), edm=EDM, sigma_spacing="karras"),
    replace(scheduler(prediction_type="v_prediction"), edm=EDM, sigma_spacing="exponential"),
]
# What the loop holds where only x is not zero.
X_ALONE = [np.ones(1), *[np.zeros(1)] * (SOURCES - 1)]


def rows_of(schedule: Schedule) -> npt.NDArray[np.float32]:
    """Those of the passes that the loop makes."""
    return schedule.table[: schedule.row(schedule.steps.stop)]


def next_held(row: Numbers, sources: Sequence[Numbers]) -> list[Numbers]:
    """The sample and the memories after a pass."""
    weights = row[MODEL_COLUMNS:].reshape(1 + MEMORIES, SOURCES)
    return list(np.tensordot(weights, np.stack(sources), 1))


def test_every_sampler_has_its_cases() -> None:
    assert {case.split(".")[0] for case in CASES} == set(SAMPLERS)
    assert {case.split(".")[1] for case in CASES} == {*SPACINGS, "None"}


def follow(case: str, schedule: Schedule, *, tolerance: float, values: float = 1e-4) -> None:
    """The table row by row, as the compiled loop does, beside the golden's way.

    tolerance  of timesteps; values, of what the model is shown and of the sample: diffusers
               multiplies its betas up in float32
    """
    rows = rows_of(schedule)
    timesteps = rows[:, TIMESTEP]
    np.testing.assert_allclose(timesteps, ARRAYS[f"{case}.timesteps"], rtol=0, atol=tolerance)
    x, denoised, memory = (
        ARRAYS["noises"][0] * schedule.initial_sigma,
        np.zeros(4, np.float32),
        [np.zeros(4, np.float32)] * MEMORIES,
    )
    for place, row in enumerate(rows):
        assert_within(row[C_IN] * x, ARRAYS[f"{case}.inputs"][place], values)
        previous = denoised
        denoised, negative = (
            row[C_SKIP] * x + row[C_OUT] * ARRAYS[name][place] for name in ("outputs", "negatives")
        )
        sources = [x, denoised, previous, ARRAYS["noises"][place + 1], *memory, negative]
        x, *memory = next_held(row, sources)
    assert_within(x, ARRAYS[f"{case}.sample"], values)


@pytest.mark.parametrize("case", CASES)
def test_the_way_is_diffusers(case: str) -> None:
    sampler, spacing, count, prediction_type, beta_schedule = case.split(".")
    config = scheduler(prediction_type=prediction_type, beta_schedule=beta_schedule)
    own = None if spacing == "None" else spacing
    # Where noise levels were placed first, diffusers looks their timesteps up in float32.
    tolerance = 1e-4 if own in {None, *EVEN_SPACINGS} and PASSES[sampler] == 1 else 5e-3
    if own == "karras" and "dpm2" in sampler:
        tolerance = 0.5  # every other timestep it rounds
    follow(case, make_schedule(config, sampler, own, int(count)), tolerance=tolerance)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_models_own_way_is_diffusers(name: str) -> None:
    """By the file that diffusers' scheduler writes, and nothing else that is asked for."""
    config = SchedulerConfig.from_json("file", json.loads(FILES[name]))
    timesteps = DMD2 if name.startswith("timesteps.") else None
    steps = len(timesteps or range(SPECIAL_STEPS))
    schedule = make_schedule(config, config.sampler, None, steps, timesteps)
    # diffusers' DDIM begins with a signal of exactly 0, as no noise level can.
    values = 1e-3 if name == "zero_snr.ddim.trailing" else 1e-4
    follow(f"special.{name}", schedule, tolerance=5e-3, values=values)


@given(st.integers(MAX_INFERENCE_STEPS, 5000), step_counts)
def test_trailing_spacing_of_any_training(total: int, steps: int) -> None:
    """Whatever the model was trained with, and not only where diffusers counts right."""
    timesteps = noise.spaced_timesteps(scheduler(total=total), "trailing", steps)
    assert timesteps.shape == (steps,)
    assert timesteps[0] == total - 1
    ideal = total * (1 - np.arange(steps) / steps) - 1
    np.testing.assert_allclose(timesteps, ideal, rtol=0, atol=0.5 + 1e-9)
    assert (np.diff(timesteps) < 0).all()
    assert timesteps[-1] >= 0


@pytest.mark.parametrize(("total", "steps"), [(1024, 49), (999, 13)])
def test_trailing_spacing_where_arange_counts_one_too_many(total: int, steps: int) -> None:
    assert len(np.arange(total, 0, -total / steps)) == steps + 1
    schedule = make_schedule(scheduler(total=total), "euler", "trailing", steps)
    assert schedule.table[0, TIMESTEP] == total - 1
    assert not next_held(schedule.table[steps - 1], X_ALONE)[0].any()
    assert not schedule.table[steps:].any()


@given(step_counts)
def test_karras_levels_span_what_was_trained(steps: int) -> None:
    way = path.noise_path(scheduler(), "karras", steps)
    trained = noise.sigmas_at(scheduler(), np.arange(1000.0))
    np.testing.assert_allclose(way.sigmas[0], trained[-1])
    if steps > 1:
        np.testing.assert_allclose(way.sigmas[-2], trained[0])
        # Even in the seventh root.
        np.testing.assert_allclose(np.diff(way.sigmas[:-1] ** (1 / 7), n=2), 0, atol=1e-12)


def test_ays_levels_pass_through_the_published_ones() -> None:
    published = noise.ays_sigmas(10)
    np.testing.assert_allclose(noise.ays_sigmas(19)[::2], published)
    np.testing.assert_allclose(noise.ays_sigmas(19)[1::2] ** 2, published[1:] * published[:-1])


@pytest.mark.parametrize("curve", noise.CURVES)
def test_curves_lead_from_the_most_noise_to_the_least(curve: str) -> None:
    sigmas = noise.CURVES[curve](0.03, 14.6, 20)
    np.testing.assert_allclose(sigmas[[0, -1]], [14.6, 0.03])
    assert (np.diff(sigmas) < 0).all()


def test_a_last_level_of_noise_alone_leaves_the_first() -> None:
    """Lin et al. 2023, Alg. 1."""
    usual, rescaled = scheduler(), replace(scheduler(), rescale_betas_zero_snr=True)
    levels = noise.trained_sigmas(rescaled)
    np.testing.assert_allclose(levels[0], noise.trained_sigmas(usual)[0])
    np.testing.assert_allclose(levels[-1], 4096, rtol=1e-7)
    assert (np.diff(levels) > 0).all()


# The samplers with a spacing of their own end on purpose with a trace of x: see the goldens.
@given(step_counts, any_spacing, st.sampled_from(PREDICTIONS))
def test_a_perfect_model_ends_on_the_image(
    steps: int, way: tuple[str, str | None], kind: SchedulerConfig
) -> None:
    """Along x = image + sigma * noise, a model that knows the image leads to it.

    Whatever it is asked to predict: what that is follows from the columns that read it.
    """
    sampler, spacing = way
    rows = rows_of(make_schedule(kind, sampler, spacing, steps)).astype(np.float64)
    image, data = 0.7, 1.0 if kind.edm is None else kind.edm.sigma_data
    # Read back from float32, the least of them to four digits: so it counts for no more than it is.
    sigmas = np.sqrt(np.maximum(1 / rows[:, C_IN] ** 2 - data**2, 0))
    denoised: Numbers = np.zeros(1)
    memory: list[Numbers] = [denoised] * MEMORIES
    x = np.array([image - 0.7 * sigmas[0]])
    for row in rows:
        previous = denoised
        output = (image - row[C_SKIP] * x) / row[C_OUT]
        denoised = row[C_SKIP] * x + row[C_OUT] * output
        x, *memory = next_held(row, [x, denoised, previous, np.array([1.3]), *memory, denoised])
    # The table is float32, whose rounding the first noise level enlarges, at most 4096 times.
    # Of all ways, kinds and numbers of steps, the worst is off by 0.98 of this before the factor.
    rounding = np.finfo(np.float32).eps * (1 + sigmas[0])
    np.testing.assert_allclose(x, image, rtol=0, atol=2 * rounding)


@given(step_counts, ways)
def test_the_table_is_whole_and_finite(steps: int, way: tuple[str, str | None]) -> None:
    sampler, spacing = way
    schedule = make_schedule(scheduler(), sampler, spacing, steps)
    assert schedule.table.dtype == np.float32
    assert np.isfinite(schedule.table).all()
    assert np.isfinite(schedule.initial_sigma)
    used = rows_of(schedule)
    again = sampler == "plms" and steps > 1  # it takes the first step twice
    assert len(used) == steps * PASSES[sampler] - (PASSES[sampler] - 1) + again
    assert not schedule.table[len(used) :].any()
    # Rounded Karras and leading timesteps may meet at the low end; none goes back.
    assert (np.diff(used[:, TIMESTEP]) <= 1e-4).all()
    assert ((used[:, TIMESTEP] >= 0) & (used[:, TIMESTEP] <= 999)).all()
    made = used[:, MODEL_COLUMNS:].reshape(-1, 1 + MEMORIES, SOURCES)
    assert not made[0, 0, [PREVIOUS, FIRST, SECOND, THIRD]].any()  # there is nothing before
    assert not made[-1, 0, NOISE].any()  # and no noise on the finished image
    if sampler not in STOCHASTIC:
        assert not made[:, :, NOISE].any()
    if sampler not in CFG_PP_SAMPLERS:
        assert not made[:, :, NEGATIVE].any()


@given(step_counts, st.sampled_from(EVEN_SPACINGS))
def test_ddim_is_euler_in_sigma_space(steps: int, spacing: str) -> None:
    euler = make_schedule(scheduler(), "euler", spacing, steps)
    ddim = make_schedule(scheduler(), "ddim", spacing, steps)
    np.testing.assert_array_equal(euler.table, ddim.table)


@given(step_counts, st.sampled_from(sorted(SAMPLERS)))
def test_a_step_begins_where_the_one_before_ended(steps: int, sampler: str) -> None:
    schedule = make_schedule(scheduler(), sampler, None, steps)
    begins = [schedule.row(step) for step in range(steps + 1)]
    assert begins[0] == 0
    assert begins[-1] == len(rows_of(schedule))
    passes = np.diff(begins)
    if sampler == "plms" and steps > 1:
        passes[0] -= 1  # it takes the first step twice
    assert set(passes[:-1]) <= {PASSES[sampler]}
    assert passes[-1] == 1


@pytest.mark.parametrize("sampler", ["euler", "heun", "unipc", "dpmpp_3m_sde", "lcm"])
def test_timesteps_may_be_told(sampler: str) -> None:
    schedule = make_schedule(scheduler(), sampler, None, 4, DMD2)
    told = rows_of(schedule)[:, TIMESTEP]
    assert set(DMD2) <= set(told)
    np.testing.assert_allclose(
        1 / rows_of(schedule)[0, C_IN],
        np.hypot(noise.trained_sigmas(scheduler())[-1], 1),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("config", "sampler", "timesteps", "said"),
    [
        (replace(scheduler(), edm=EDM), "lcm", None, "LCM needs a model with numbered timesteps"),
        (replace(scheduler(), edm=EDM), "euler", DMD2, "A list of timesteps needs a model"),
        (scheduler(total=500), "euler", DMD2, "the largest is 499, not 999"),
        (replace(scheduler(), original_inference_steps=3), "tcd", None, "distilled from 3 steps"),
        (replace(scheduler(), steps_offset=999), "dpmpp_2m", None, "some of 4 steps fall together"),
    ],
)
def test_what_a_model_cannot_follow_is_said(
    config: SchedulerConfig, sampler: str, timesteps: tuple[int, ...] | None, said: str
) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        make_schedule(config, sampler, None, 4, timesteps)
