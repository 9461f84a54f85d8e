"""Schedules and steps against diffusers' Euler scheduler, in plain NumPy."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from sdxl_engine import samplers
from sdxl_engine.models.config import SchedulerConfig
from sdxl_engine.request import MAX_INFERENCE_STEPS
from sdxl_engine.samplers import C_IN, C_OUT, C_SKIP, TIMESTEP, A, B, C, D
from tests.sdxl_engine.conftest import GOLDENS, assert_within

ARRAYS = load_file(GOLDENS / "euler.safetensors")
CASES = json.loads((GOLDENS / "euler.json").read_text(encoding="utf-8"))
SPACINGS = ["leading", "trailing", "linspace"]
step_counts = st.integers(1, MAX_INFERENCE_STEPS)


def scheduler(
    spacing: str = "leading", prediction_type: str = "epsilon", total: int = 1000
) -> SchedulerConfig:
    return SchedulerConfig(total, 0.00085, 0.012, "scaled_linear", prediction_type, spacing, 1)


@pytest.mark.parametrize("name", CASES["schedules"])
def test_schedule_is_diffusers(name: str):
    case = CASES["schedules"][name]
    config, steps = SchedulerConfig(**case["scheduler"]), case["num_inference_steps"]
    timesteps = samplers.spaced_timesteps(config, steps)
    expected = ARRAYS[f"schedule.{name}.timesteps"]
    np.testing.assert_array_equal(timesteps.astype(np.float32), expected)
    sigmas = np.append(samplers.sigmas_at(config, timesteps), 0)
    # diffusers multiplies its betas up in float32.
    np.testing.assert_allclose(sigmas, ARRAYS[f"schedule.{name}.sigmas"], rtol=2e-5)
    schedule = samplers.euler(config, steps)
    np.testing.assert_array_equal(schedule.table[:steps, TIMESTEP], expected)
    np.testing.assert_allclose(
        schedule.initial_sigma, ARRAYS[f"schedule.{name}.init_noise_sigma"], rtol=2e-5
    )


@pytest.mark.parametrize("name", CASES["paths"])
def test_path_is_diffusers(name: str):
    """The table followed row by row, as the compiled loop does."""
    case = CASES["paths"][name]
    schedule = samplers.euler(SchedulerConfig(**case["scheduler"]), case["num_inference_steps"])
    x = ARRAYS["path.noise"] * schedule.initial_sigma
    assert not schedule.table[:, [C, D]].any()  # neither the estimate before nor noise
    for step, output in enumerate(ARRAYS["path.outputs"]):
        row = schedule.table[step]
        assert_within(row[C_IN] * x, ARRAYS[f"path.{name}.inputs"][step], 2e-5)
        denoised = row[C_SKIP] * x + row[C_OUT] * output
        assert_within(denoised, ARRAYS[f"path.{name}.denoised"][step], 2e-5)
        x = row[A] * x + row[B] * denoised
        assert_within(x, ARRAYS[f"path.{name}.samples"][step], 2e-5)


@given(st.integers(MAX_INFERENCE_STEPS, 5000), step_counts)
def test_trailing_spacing_of_any_training(total: int, steps: int):
    """Whatever the model was trained with, and not only where diffusers counts right."""
    timesteps = samplers.spaced_timesteps(scheduler("trailing", total=total), steps)
    assert timesteps.shape == (steps,)
    assert timesteps[0] == total - 1
    ideal = total * (1 - np.arange(steps) / steps) - 1
    np.testing.assert_allclose(timesteps, ideal, rtol=0, atol=0.5 + 1e-9)
    assert (np.diff(timesteps) < 0).all()
    assert timesteps[-1] >= 0


@pytest.mark.parametrize(("total", "steps"), [(1024, 49), (999, 13)])
def test_trailing_spacing_where_arange_counts_one_too_many(total: int, steps: int):
    assert len(np.arange(total, 0, -total / steps)) == steps + 1
    schedule = samplers.euler(scheduler("trailing", total=total), steps)
    assert schedule.table[0, TIMESTEP] == total - 1
    assert schedule.table[steps - 1, A] == 0
    assert not schedule.table[steps:].any()


@given(step_counts, st.sampled_from(SPACINGS), st.sampled_from(["epsilon", "v_prediction"]))
def test_a_perfect_model_ends_on_the_image(steps: int, spacing: str, prediction_type: str):
    """Along x = image + sigma * noise, a model that knows the noise leads Euler to the image."""
    config = scheduler(spacing, prediction_type)
    timesteps = samplers.spaced_timesteps(config, steps)
    sigmas = np.append(samplers.sigmas_at(config, timesteps), 0)
    table = samplers.euler_table(sigmas, timesteps, prediction_type).astype(np.float64)
    image, noise = 0.7, -1.3
    x = image + sigmas[0] * noise
    for row, sigma in zip(table, sigmas, strict=False):
        output = noise if prediction_type == "epsilon" else (noise - sigma * image) * row[C_IN]
        denoised = row[C_SKIP] * x + row[C_OUT] * output
        np.testing.assert_allclose(denoised, image, atol=1e-4)
        x = row[A] * x + row[B] * denoised
    np.testing.assert_allclose(x, image, atol=1e-4)


@given(step_counts, st.sampled_from(SPACINGS))
def test_the_table_is_whole_and_finite(steps: int, spacing: str):
    schedule = samplers.euler(scheduler(spacing), steps)
    assert schedule.table.dtype == np.float32
    assert np.isfinite(schedule.table).all()
    assert not schedule.table[steps:].any()
    used = schedule.table[:steps]
    assert (np.diff(used[:, TIMESTEP]) < 0).all()
    assert ((used[:, TIMESTEP] >= 0) & (used[:, TIMESTEP] <= 999)).all()
    np.testing.assert_allclose(used[:, A] + used[:, B], 1, atol=1e-6)
    assert used[-1, A] == 0
