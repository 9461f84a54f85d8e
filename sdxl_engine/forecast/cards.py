"""NVIDIA's cards, as published, and in the form in which their compiler is told of one.

What all chips of one generation have is from the table of compute capabilities in the CUDA C++
Programming Guide; of a card its multiprocessors, clock, caches, memory and rate are from its data
sheet, or from the white paper of its generation: H100, H200 and A100 as SXM modules; Ada, Ampere
and Turing for the others.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

_GIB: Final = 2**30
_MIB: Final = 2**20
_KIB: Final = 2**10


@dataclass(frozen=True, slots=True)
class Generation:
    """What a multiprocessor of a compute capability has.

    lanes          numbers of float32 that it computes with at once
    threads        at once
    shared_bytes   of shared memory, of which a block may have 1 KiB less where there is a cache
    block_bytes    of it that one block may have
    """

    lanes: int
    threads: int
    shared_bytes: int
    block_bytes: int


_GENERATIONS: Final = {
    (7, 5): Generation(64, 1024, 64 * _KIB, 64 * _KIB),
    (8, 0): Generation(64, 2048, 164 * _KIB, 163 * _KIB),
    (8, 6): Generation(128, 1536, 100 * _KIB, 99 * _KIB),
    (8, 9): Generation(128, 1536, 100 * _KIB, 99 * _KIB),
    (9, 0): Generation(128, 2048, 228 * _KIB, 227 * _KIB),
}


@dataclass(frozen=True, slots=True)
class Card:
    """One card.

    name               the maker's
    capability         compute capability, major and minor
    multiprocessors    of them it has so many
    clock_ghz          boosted
    cache_bytes        of the last level
    memory_bytes       its own
    bandwidth_bytes_s  to it
    flops_per_s        dense, of matrix products in bfloat16 with sums in float32; of a card that
                       has none, in float32
    int8_per_s         dense, of matrix products in int8 with sums in int32. Where sums in float32
                       go at full rate it is twice that; a GeForce has them at half
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    clock_ghz: float
    cache_bytes: int
    memory_bytes: int
    bandwidth_bytes_s: float
    flops_per_s: float
    int8_per_s: float

    def description(self) -> str:
        """Its GpuTargetConfigProto (xla/service/gpu), as text."""
        own = _GENERATIONS[self.capability]
        major, minor = self.capability
        return f"""
            gpu_device_info {{
              threads_per_block_limit: 1024
              threads_per_warp: 32
              shared_memory_per_block: {48 * _KIB}
              shared_memory_per_core: {own.shared_bytes}
              threads_per_core_limit: {own.threads}
              core_count: {self.multiprocessors}
              fpus_per_core: {own.lanes}
              block_dim_limit_x: {2**31 - 1}
              block_dim_limit_y: {2**16 - 1}
              block_dim_limit_z: {2**16 - 1}
              memory_bandwidth: {round(self.bandwidth_bytes_s)}
              l2_cache_size: {self.cache_bytes}
              clock_rate_ghz: {self.clock_ghz}
              device_memory_size: {self.memory_bytes}
              shared_memory_per_block_optin: {own.block_bytes}
              cuda_compute_capability {{ major: {major} minor: {minor} }}
              registers_per_core_limit: {64 * _KIB}
              registers_per_block_limit: {64 * _KIB}
            }}
            platform_name: "CUDA"
            dnn_version_info {{ {_cudnn()} }}
            device_description_str: "{self.name}"
        """


def _cudnn() -> str:
    """The version of cuDNN that is installed here, whose kernels are chosen from."""
    try:
        major, minor, patch = version("nvidia-cudnn-cu13").split(".")[:3]
    except PackageNotFoundError:
        return ""
    return f"major: {major} minor: {minor} patch: {patch}"


CARDS: Final = {
    "h200": Card("NVIDIA H200", (9, 0), 132, 1.98, 50 * _MIB, 141 * 10**9, 4.8e12, 989e12, 1979e12),
    "h100": Card(
        "NVIDIA H100 80GB HBM3", (9, 0), 132, 1.98, 50 * _MIB, 80 * 10**9, 3.35e12, 989e12, 1979e12
    ),
    "a100": Card(
        "NVIDIA A100-SXM4-40GB", (8, 0), 108, 1.41, 40 * _MIB, 40 * 10**9, 1.555e12, 312e12, 624e12
    ),
    "l4": Card("NVIDIA L4", (8, 9), 58, 2.04, 48 * _MIB, 24 * 10**9, 300e9, 121e12, 242e12),
    # Without matrix products in bfloat16: these are computed in float32.
    "t4": Card("Tesla T4", (7, 5), 40, 1.59, 4 * _MIB, 16 * 10**9, 320e9, 8.1e12, 130e12),
    "rtx3060": Card(
        "NVIDIA GeForce RTX 3060", (8, 6), 28, 1.78, 3 * _MIB, 12 * _GIB, 360e9, 25.5e12, 102e12
    ),
    "rtx4060": Card(
        "NVIDIA GeForce RTX 4060", (8, 9), 24, 2.46, 24 * _MIB, 8 * _GIB, 272e9, 30.2e12, 121e12
    ),
    "rtx4070": Card(
        "NVIDIA GeForce RTX 4070", (8, 9), 46, 2.48, 36 * _MIB, 12 * _GIB, 504e9, 58.3e12, 233e12
    ),
    "rtx4090": Card(
        "NVIDIA GeForce RTX 4090", (8, 9), 128, 2.52, 72 * _MIB, 24 * _GIB, 1008e9, 165.2e12, 661e12
    ),
}
