import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_engine import samplers
from sdxl_engine.models.config import SchedulerConfig
from sdxl_engine.request import MAX_INFERENCE_STEPS
from sdxl_engine.samplers import C_IN, C_OUT, C_SKIP, TIMESTEP, A, B
from tests.sdxl_engine.conftest import Golden

SPACINGS = ["leading", "trailing", "linspace"]
step_counts = st.integers(1, MAX_INFERENCE_STEPS)


def scheduler(spacing: str = "leading", prediction_type: str = "epsilon") -> SchedulerConfig:
    return SchedulerConfig(1000, 0.00085, 0.012, "scaled_linear", prediction_type, spacing, 1)


@pytest.mark.parametrize("steps", [1, 5, 20, 50])
def test_euler_is_diffusers(golden: Golden, steps: int):
    config = golden.config.scheduler
    timesteps = samplers.spaced_timesteps(config, steps)
    sigmas = np.append(samplers.sigmas_at(config, timesteps), 0)
    np.testing.assert_array_equal(timesteps, golden[f"euler.{steps}.timesteps"])
    # diffusers sums the logarithms of its betas in float32.
    np.testing.assert_allclose(sigmas, golden[f"euler.{steps}.sigmas"], rtol=2e-5)
    schedule = samplers.euler(config, steps)
    np.testing.assert_allclose(
        schedule.initial_sigma, golden[f"euler.{steps}.init_noise_sigma"], rtol=2e-5
    )


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
