"""What a process needs in its environment to compile for TPUs that are not there."""

import os
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = {
    # No search for a TPU in the cloud, and the CPU where one is needed.
    "TPU_SKIP_MDS_QUERY": "1",
    "JAX_PLATFORMS": "cpu",
    # libtpu tells of every file that it does not find, and of a machine that it does not know.
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    # Nor is anything locked: the compiler runs beside another, and beside a bot on a real TPU.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def settle_environment() -> None:
    """Add what this process lacks of it. For a program, before it imports jax; not for a module."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def dump_bundles(folder: Path) -> None:
    """Have the compiler write down its machine code, for `sdxl_engine.forecast.bundles`.

    Before it is first asked for anything. Only what is read there: all that it would write of
    SDXL's UNet is more than ten gigabytes, this a fifth of one.
    """
    flags = (
        f"--xla_jf_dump_to={folder}",
        "--xla_jf_dump_llo_text=true",
        "--xla_jf_dump_llo_pass_label_regex=final_bundles|deduplication-map",
    )
    own = os.environ.get("LIBTPU_INIT_ARGS", "")
    os.environ["LIBTPU_INIT_ARGS"] = " ".join([own, *flags]).strip()
