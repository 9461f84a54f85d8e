"""What is asked of a device before it is taken, and a sentence where there is none."""

import logging
import os

import jax
import pytest

from sdxl_engine.devices import POOL_SHARE, local_devices


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


def test_a_share_of_a_cards_memory_is_asked_for_unless_somebody_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new, old = "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"
    asked: list[str | None] = []

    def devices() -> list[jax.Device]:
        asked.append(os.environ.get(new))
        return []

    monkeypatch.setattr(jax, "local_devices", devices)
    monkeypatch.delenv(new, raising=False)
    monkeypatch.setenv(old, "0.5")
    local_devices()
    monkeypatch.delenv(old)
    local_devices()
    assert asked == [None, f"{POOL_SHARE:.4f}"]
    assert new not in os.environ
