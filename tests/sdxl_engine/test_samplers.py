"""Every sampler's table against diffusers' scheduler of that name, in plain NumPy."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from sdxl_engine import samplers
from sdxl_engine.checkpoint.scheduler import SchedulerConfig
from sdxl_engine.request import MAX_INFERENCE_STEPS, OWN_SPACING_SAMPLERS, SAMPLERS, SPACINGS
from sdxl_engine.samplers import C_IN, C_OUT, C_SKIP, TIMESTEP, A, B, C, D
from tests.sdxl_engine.conftest import GOLDENS, assert_within

ARRAYS = load_file(GOLDENS / "samplers.safetensors")
CASES = sorted(name.removesuffix(".sample") for name in ARRAYS if name.endswith(".sample"))
EVEN_SPACINGS = ["leading", "trailing", "linspace"]
BETAS = {"scaled_linear": (0.00085, 0.012), "linear": (0.0015, 0.0195)}
WITHOUT_NOISE = ["euler", "ddim", "dpmpp_2m"]
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


def test_every_sampler_has_its_cases() -> None:
    assert {case.split(".")[0] for case in CASES} == set(SAMPLERS)
    assert {case.split(".")[1] for case in CASES} == {*SPACINGS, "None"}


@pytest.mark.parametrize("case", CASES)
def test_the_way_is_diffusers(case: str) -> None:
    """The table followed row by row, as the compiled loop does."""
    sampler, spacing, count, prediction_type, beta_schedule = case.split(".")
    steps = int(count)
    config = scheduler(prediction_type=prediction_type, beta_schedule=beta_schedule)
    schedule = samplers.make_schedule(
        config, sampler, None if spacing == "None" else spacing, steps
    )
    # Where noise levels were placed first, diffusers looks their timesteps up in float32.
    tolerance = 5e-3 if spacing in {"karras", "ays"} else 0
    timesteps = schedule.table[:steps, TIMESTEP]
    np.testing.assert_allclose(timesteps, ARRAYS[f"{case}.timesteps"], rtol=0, atol=tolerance)
    x, denoised_prev = ARRAYS["noises"][0] * schedule.initial_sigma, np.float32(0)
    for step, row in enumerate(schedule.table[:steps]):
        shown = row[C_IN] * x
        # diffusers multiplies its betas up in float32.
        assert_within(shown, ARRAYS[f"{case}.inputs"][step], 1e-4)
        denoised = row[C_SKIP] * x + row[C_OUT] * ARRAYS["outputs"][step]
        noise = ARRAYS["noises"][step + 1]
        x = row[A] * x + row[B] * denoised + row[C] * denoised_prev + row[D] * noise
        denoised_prev = denoised
    assert_within(x, ARRAYS[f"{case}.sample"], 1e-4)


@given(st.integers(MAX_INFERENCE_STEPS, 5000), step_counts)
def test_trailing_spacing_of_any_training(total: int, steps: int) -> None:
    """Whatever the model was trained with, and not only where diffusers counts right."""
    timesteps = samplers.spaced_timesteps(scheduler(total=total), "trailing", steps)
    assert timesteps.shape == (steps,)
    assert timesteps[0] == total - 1
    ideal = total * (1 - np.arange(steps) / steps) - 1
    np.testing.assert_allclose(timesteps, ideal, rtol=0, atol=0.5 + 1e-9)
    assert (np.diff(timesteps) < 0).all()
    assert timesteps[-1] >= 0


@pytest.mark.parametrize(("total", "steps"), [(1024, 49), (999, 13)])
def test_trailing_spacing_where_arange_counts_one_too_many(total: int, steps: int) -> None:
    assert len(np.arange(total, 0, -total / steps)) == steps + 1
    schedule = samplers.make_schedule(scheduler(total=total), "euler", "trailing", steps)
    assert schedule.table[0, TIMESTEP] == total - 1
    assert schedule.table[steps - 1, A] == 0
    assert not schedule.table[steps:].any()


@given(step_counts)
def test_karras_levels_span_what_was_trained(steps: int) -> None:
    path = samplers.noise_path(scheduler(), "karras", steps)
    trained = samplers.sigmas_at(scheduler(), np.arange(1000.0))
    np.testing.assert_allclose(path.sigmas[0], trained[-1])
    if steps > 1:
        np.testing.assert_allclose(path.sigmas[-2], trained[0])
        # Even in the seventh root.
        np.testing.assert_allclose(np.diff(path.sigmas[:-1] ** (1 / 7), n=2), 0, atol=1e-12)


def test_ays_levels_pass_through_the_published_ones() -> None:
    published = samplers.ays_sigmas(10)
    np.testing.assert_allclose(samplers.ays_sigmas(19)[::2], published)
    np.testing.assert_allclose(samplers.ays_sigmas(19)[1::2] ** 2, published[1:] * published[:-1])


# The samplers with a spacing of their own end on purpose with a trace of x: see the goldens.
@given(step_counts, any_spacing, st.sampled_from(["epsilon", "v_prediction"]))
def test_a_perfect_model_ends_on_the_image(
    steps: int, way: tuple[str, str | None], prediction_type: str
) -> None:
    """Along x = image + sigma * noise, a model that knows the noise leads to the image."""
    sampler, spacing = way
    config = scheduler(prediction_type=prediction_type)
    table = samplers.make_schedule(config, sampler, spacing, steps).table[:steps].astype(np.float64)
    # Read back from float32, the least of them to four digits: so it counts for no more than it is.
    sigmas = np.sqrt(1 / table[:, C_IN] ** 2 - 1)
    image, denoised_prev = 0.7, 0.0
    x = image - 0.7 * sigmas[0]
    for row, sigma in zip(table, sigmas, strict=True):
        noise = (x - image) / sigma
        output = noise if prediction_type == "epsilon" else (noise - sigma * image) * row[C_IN]
        denoised = row[C_SKIP] * x + row[C_OUT] * output
        np.testing.assert_allclose(denoised, image, atol=1e-4)
        x = row[A] * x + row[B] * denoised + row[C] * denoised_prev + row[D] * 1.3
        denoised_prev = denoised
    np.testing.assert_allclose(x, image, atol=1e-4)


@given(step_counts, ways)
def test_the_table_is_whole_and_finite(steps: int, way: tuple[str, str | None]) -> None:
    sampler, spacing = way
    schedule = samplers.make_schedule(scheduler(), sampler, spacing, steps)
    assert schedule.table.dtype == np.float32
    assert np.isfinite(schedule.table).all()
    assert np.isfinite(schedule.initial_sigma)
    assert not schedule.table[steps:].any()
    used = schedule.table[:steps]
    # Rounded Karras and leading timesteps may meet at the low end; none goes back.
    assert (np.diff(used[:, TIMESTEP]) <= 0).all()
    assert ((used[:, TIMESTEP] >= 0) & (used[:, TIMESTEP] <= 999)).all()
    assert used[0, C] == 0  # there is no estimate before the first
    assert used[-1, D] == 0  # and no noise on the finished image
    if sampler in WITHOUT_NOISE:
        assert not used[:, D].any()
    if sampler not in OWN_SPACING_SAMPLERS:
        # An image without noise stays what it is, whatever the step.
        np.testing.assert_allclose(used[:, A] + used[:, B] + used[:, C], 1, atol=1e-5)
        assert used[-1, A] == 0


@given(step_counts, st.sampled_from(EVEN_SPACINGS))
def test_ddim_is_euler_in_sigma_space(steps: int, spacing: str) -> None:
    euler = samplers.make_schedule(scheduler(), "euler", spacing, steps)
    ddim = samplers.make_schedule(scheduler(), "ddim", spacing, steps)
    np.testing.assert_array_equal(euler.table, ddim.table)
