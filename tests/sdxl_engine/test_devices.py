"""A plugin of jax that finds no device is a sentence."""

import logging

import jax
import pytest

from sdxl_engine.devices import local_devices


def test_a_plugin_without_a_device_is_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    assert local_devices() == local_devices() == tuple(jax.local_devices())
    jaxs_own = logging.getLogger("jax._src.xla_bridge")
    jaxs_own.error(
        "Jax plugin configuration error: Exception when calling %s.initialize()",
        "a_plugin",
        exc_info=RuntimeError("Unable to load cuPTI. Is it installed?"),
    )
    jaxs_own.error("Something else, %s", "with its own words")
    plugin, other = caplog.records
    assert plugin.getMessage() == (
        "A plugin of jax finds nothing to draw with: Unable to load cuPTI. Is it installed? A GPU "
        "needs a driver for CUDA 13; what else is here draws."
    )
    assert plugin.exc_info is None
    assert other.getMessage() == "Something else, with its own words"
