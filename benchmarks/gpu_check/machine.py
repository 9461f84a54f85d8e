"""What is here: the card, its driver, and the versions of everything that meets on it."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from benchmarks.gpu_check.setting import Part

_PACKAGES: Final = (
    "jax",
    "jaxlib",
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "nvidia-cudnn-cu12",
    "nvidia-cudnn-cu13",
    "flax",
    "numpy",
    "transformers",
    "torch",
    "triton",
    "diffusers",
    "pillow",
)
_QUERY: Final = ("name", "driver_version", "memory.total", "power.limit", "clocks.max.sm")


def run(part: Part) -> None:
    """Tell all of it; what jax sees last, for that may fail."""
    part.tell(
        python=platform.python_version(),
        cores=os.cpu_count(),
        versions={name: _version(name) for name in _PACKAGES},
        xla_flags=os.environ.get("XLA_FLAGS", ""),
        compilation_cache=os.environ.get("JAX_COMPILATION_CACHE_DIR", ""),
    )
    part.attempt("cards", _cards)
    part.tell(**_seen())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cards() -> list[dict[str, str]]:
    command = ["nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=15)  # noqa: S603 - the text above
    return [
        dict(zip(_QUERY, map(str.strip, line.split(",")), strict=True))
        for line in done.stdout.strip().splitlines()
    ]


def _seen() -> dict[str, Any]:
    import jax  # noqa: PLC0415 - what is told before it is worth telling without it

    devices = jax.local_devices()
    one = devices[0]
    memory = one.memory_stats() or {}
    return {
        "platform": one.platform,
        "device": one.device_kind,
        "devices": len(devices),
        "compute_capability": str(getattr(one, "compute_capability", "")),
        "limit_bytes": memory.get("bytes_limit"),
        "platform_version": one.client.platform_version.strip().splitlines()[0][:80],
    }
