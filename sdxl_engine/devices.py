"""What draws here: jax's devices, and a sentence where one of its plugins finds none."""

import logging
from typing import Final

import jax

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


def local_devices() -> tuple[jax.Device, ...]:
    """Those of this process; the first call takes them into possession."""
    if not any(isinstance(one, _Plainly) for one in _SAYS.filters):
        _SAYS.addFilter(_Plainly())
    return tuple(jax.local_devices())
