"""The TPU forecast where no TPU compiler is: what it says of wrong input, and how it counts."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from sdxl_engine import InvalidRequestError
from sdxl_engine.checkpoint.hub import sdxl_base
from sdxl_engine.forecast import tpu as forecast
from sdxl_engine.forecast.environment import ENVIRONMENT, dump_bundles
from sdxl_engine.forecast.full_size import STEPS, FullSize
from sdxl_engine.forecast.tpu import CHIPS, Forecast, Forecaster
from tests.sdxl_engine.forecast.test_hlo import DOT, TEXT

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
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--a_flag=of a person's own")


def test_the_compiler_is_asked_for_its_code_beside_what_it_was_told(tmp_path: Path) -> None:
    dump_bundles(tmp_path)
    own, *flags = os.environ["LIBTPU_INIT_ARGS"].split(" --")
    assert own == "--a_flag=of a person's own"
    assert f"xla_jf_dump_to={tmp_path}" in flags


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
    said = {"text_encoder": 0.25, "text_encoder_2": 0.5, "condition": 0.25}
    once = {**said, "decode": 100.0, "fit": 1000.0, "look": 10_000.0}
    seconds = {**once, "guided": 10.0, "unguided": 5.0, "preview": 100_000.0}
    assert {"fit", "look", "preview"} < set(forecaster.full_size.programs())
    forecasts = [Forecast(name, seconds=one) for name, one in seconds.items()]
    assert forecaster.request_s(forecasts) == 11_101 + 10 * STEPS
    assert forecaster.request_s(forecasts, by_code=True) is None
    counted = [replace(one, code_s=2 * one.seconds) for one in forecasts]
    assert forecaster.request_s(counted, by_code=True) == 2 * (11_101 + 10 * STEPS)


class Compiled:
    """Stands in for both a program and what the compiler makes of it: `TEXT` in a loop of its own
    over prompts, of which the text does not say how many."""

    def compile(self) -> "Compiled":
        return self

    def as_text(self) -> str:
        unknown = TEXT.replace("%most = s32[]{:T(128)} constant(10)", "%most = s32[] parameter(1)")
        assert unknown != TEXT
        return unknown

    def cost_analysis(self) -> dict[str, float]:
        return {"optimal_seconds": 3.0 - 1.0}  # of one ConcatBitcast

    def memory_analysis(self) -> SimpleNamespace:
        names = "argument_size", "output_size", "alias_size", "temp_size", "generated_code_size"
        return SimpleNamespace(**{f"{name}_in_bytes": 1 for name in names})


@pytest.mark.usefixtures("on_cpu")
def test_of_one_program_for_both_a_guided_and_an_unguided_step_are_forecast(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forecaster = Forecaster("4", sdxl_base(), (1024, 1024), 4, dump=tmp_path)
    monkeypatch.setattr(FullSize, "programs", lambda _: {"either": Compiled()})
    monkeypatch.setattr(forecaster, "_unet_rounds_s", lambda chunks: 4.0)
    (tmp_path / "1-product-01-final_bundles.txt").write_text(" 0x0   :  {}\n" * 1500)
    monkeypatch.setattr(forecaster, "_forget_code", lambda: None)
    guided, unguided = forecaster.forecasts()
    assert (guided.program, unguided.program) == ("guided", "unguided")
    assert (guided.seconds, unguided.seconds) == (2 * (3 + 4), 3 + 4)
    # The unknown loop stands for that over the steps, of which one counts.
    assert guided.flops == unguided.flops > DOT
    assert guided.code_s == unguided.code_s == pytest.approx(1500 / 1.5e9, rel=0.1)
    assert unguided.compile_s == 0


def test_what_was_written_of_a_program_is_forgotten(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forecast, "devices_of", lambda _: (CHIPS["v5e"], tuple(jax.devices()[:1])))
        forecaster = Forecaster("1", sdxl_base(), (1024, 1024), 4, dump=tmp_path)
    (tmp_path / "1-fusion-01-final_bundles.txt").touch()
    forecaster._forget_code()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("topology", "bounds"),
    [
        ("v5e:1x1", {"chips_per_host_bounds": (1, 1, 1)}),
        ("v6e:1x2", {"chips_per_host_bounds": (1, 2, 1)}),
        ("tpu7x:1x1x1", {"chips_per_host_bounds": (1, 1, 1)}),
        ("v5e:2x2", {}),
        ("v5e", {}),
    ],
)
def test_the_compiler_is_told_of_a_part_of_a_host(
    topology: str, bounds: dict[str, tuple[int, ...]]
) -> None:
    assert forecast._part_of_a_host(topology) == bounds


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
    assert "Its compiler comes with `make setup ACCELERATOR=tpu`" in capsys.readouterr().err
