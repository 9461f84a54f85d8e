"""The TPU forecast where no TPU compiler is: what it says of wrong input, and how it counts."""

import importlib.util
import os
import subprocess
import sys

import jax
import pytest

from sdxl_engine import InvalidRequestError
from sdxl_engine.checkpoint.hub import sdxl_base
from sdxl_engine.forecast import tpu as forecast
from sdxl_engine.forecast.environment import ENVIRONMENT
from sdxl_engine.forecast.tpu import CHIPS, STEPS, Forecast, Forecaster

# Prints what the program finds in its environment, and what jax took from it.
PROGRAM = """
import os, runpy, sys
sys.argv = ["forecast", "v7:2x2"]
try:
    runpy.run_module("sdxl_engine.forecast.tpu", run_name="__main__")
except SystemExit as stop:
    import jax
    print(stop.code, jax.config.jax_platforms, os.environ["TPU_ACCELERATOR_TYPE"])
"""


@pytest.fixture(autouse=True)
def as_in_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_the_program_settles_its_environment_before_jax_starts() -> None:
    environ = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    done = subprocess.run(  # noqa: S603 - the text above
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env={**environ, "TPU_ACCELERATOR_TYPE": "a person's own"},
    )
    assert done.stdout == "2 cpu a person's own\n", done.stderr
    assert "There is no TPU 'v7:2x2'" in done.stderr


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands this machine's simulated devices in for a topology such as "4"."""
    monkeypatch.setattr(
        forecast, "devices_of", lambda count: (CHIPS["v5e"], tuple(jax.devices()[: int(count)]))
    )


@pytest.mark.parametrize(("devices", "passes"), [("1", 8), ("2", 4), ("4", 2), ("8", 1)])
@pytest.mark.usefixtures("on_cpu")
def test_a_guided_step_passes_once_for_each_picture_and_prompt_of_a_device(
    devices: str, passes: int
) -> None:
    forecaster = Forecaster(devices, sdxl_base(), (1024, 1024), 4)
    assert forecaster._passes("guided") == passes
    assert forecaster._passes("unguided") == max(passes // 2, 1)


@pytest.mark.usefixtures("on_cpu")
def test_a_request_is_every_program_with_its_steps() -> None:
    forecaster = Forecaster("4", sdxl_base(), (1024, 1024), 4)
    once = {"encode": 1.0, "decode": 100.0, "fit": 1000.0, "look": 10_000.0}
    seconds = {**once, "guided": 10.0, "unguided": 5.0, "preview": 100_000.0}
    assert {"fit", "look", "preview"} < set(forecaster._programs())
    forecasts = [Forecast(name, seconds=one) for name, one in seconds.items()]
    assert forecaster.request_s(forecasts) == 11_101 + 10 * STEPS


@pytest.mark.parametrize("topology", ["v7:2x2", "", "TPU", "v5e"])
def test_an_unknown_topology_is_a_sentence(topology: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^T.*\.$"):
        forecast.devices_of(topology)


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is here")
def test_without_the_compiler_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["forecast", "v5e:2x2"])
    assert forecast.main() == 2
    assert "It comes with `make setup ACCELERATOR=tpu`" in capsys.readouterr().err
