"""In which floating point this machine trains fastest."""

from typing import Final

import torch

# Without AVX-512 a CPU has no bfloat16: PyTorch then works it out number by number, 10 to 30 times
# slower than float32.
_HAS_BFLOAT16: Final = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
NARROW: Final = torch.bfloat16 if _HAS_BFLOAT16 else torch.float32


def mixed_precision() -> torch.autocast:
    """Within it, matrices are multiplied in `NARROW`."""
    return torch.autocast("cpu", torch.bfloat16, enabled=_HAS_BFLOAT16)
