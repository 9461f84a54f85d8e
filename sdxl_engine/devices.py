"""What draws here: jax's devices and their memory, and a sentence where a plugin finds none."""

import ctypes
import logging
import os
from collections.abc import Sequence
from typing import Any, Final

import jax

# Of a card's memory, what jax is to take for itself; it would take three quarters.
POOL_SHARE: Final = 0.9
# What the driver and NVIDIA's libraries load takes beside it.
OUTSIDE_BYTES: Final = 700_000_000
_POOL_VARIABLES: Final = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
# Where jax says that a plugin does not start, with the whole trace.
_SAYS: Final = logging.getLogger("jax._src.xla_bridge")


class _Plainly(logging.Filter):
    """Makes a sentence of a trace.

    Whoever installed the plugin for CUDA and has no driver should read that, and that everything
    goes on; twenty lines which end with a library that is there tell neither.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and "plugin configuration error" in record.getMessage():
            reason = str(record.exc_info[1]).strip() or type(record.exc_info[1]).__name__
            record.msg = (
                "A plugin of jax finds nothing to draw with: %s A GPU needs a driver for CUDA 13; "
                "what else is here draws."
            )
            record.args, record.exc_info, record.exc_text = (reason,), None, None
        return True


def local_devices(limit_bytes: int | None = None) -> tuple[jax.Device, ...]:
    """Those of this process; the first call takes them into possession.

    limit_bytes  of a GPU's memory, that this process takes at the most
    """
    # Whoever set one of them knows better. It is read when jax takes the devices, and removed then:
    # a process that this one becomes, or begins, decides for itself.
    if any(os.environ.get(name) for name in _POOL_VARIABLES):
        return _local_devices()
    os.environ[_POOL_VARIABLES[0]] = f"{pool_share(limit_bytes, _cuda()):.4f}"
    try:
        return _local_devices()
    finally:
        del os.environ[_POOL_VARIABLES[0]]


def _local_devices() -> tuple[jax.Device, ...]:
    if not any(isinstance(one, _Plainly) for one in _SAYS.filters):
        _SAYS.addFilter(_Plainly())
    return tuple(jax.local_devices())


def memory_bytes(devices: Sequence[jax.Device]) -> int | None:
    """What each of these devices has for arrays and programs; None where they do not tell.

    A CPU's do not: the host's memory is theirs, and there is nowhere to move a model to.
    """
    told = [(device.memory_stats() or {}).get("bytes_limit") for device in devices]
    known = [limit for limit in told if limit is not None]
    return min(known) if len(known) == len(told) else None


def pool_share(limit_bytes: int | None, cuda: Any) -> float:  # noqa: ANN401 - a library by ctypes
    """Of each card's memory, what jax is to take for itself: one number for all of them.

    limit_bytes  of any card, with what is loaded beside
    cuda  NVIDIA's driver, which alone knows how much there is before jax takes it; None: none
    """
    count, device, total = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    if limit_bytes is None or cuda is None or cuda.cuInit(0):
        return POOL_SHARE
    if cuda.cuDeviceGetCount(ctypes.byref(count)):
        return POOL_SHARE
    shares = [POOL_SHARE]
    for place in range(count.value):
        failed = cuda.cuDeviceGet(ctypes.byref(device), place)
        if not failed and not cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device):
            shares.append(max(limit_bytes - OUTSIDE_BYTES, 0) / total.value)
    return min(shares)


def _cuda() -> Any:  # noqa: ANN401 - as above
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
