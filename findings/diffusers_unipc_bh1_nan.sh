#!/usr/bin/env bash
# diffusers 0.42.1: UniPCMultistepScheduler with solver_type "bh1", one of its two, ends in latents of NaN with
# its own default end (final_sigmas_type "zero"), and raises nothing: pictures are black. B1(h) is h itself,
# which is infinite where the last step leads to no noise. With "bh2", the default, or with final_sigmas_type
# "sigma_min", the same steps are finite. One would expect the last step, which is of first order and needs
# no B(h), to leave it out.
#
# Seen: bh1 zero: NaN; bh1 sigma_min: finite; bh2 zero: finite
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0"
"$folder/venv/bin/pip" install --quiet "diffusers==0.42.1" "transformers==5.23.0"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import torch
from diffusers import UniPCMultistepScheduler

SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def is_nan(solver_type: str, final_sigmas_type: str) -> bool:
    scheduler = UniPCMultistepScheduler(
        **SDXL, solver_type=solver_type, final_sigmas_type=final_sigmas_type
    )
    scheduler.set_timesteps(10)
    sample = torch.ones(1, 4, 8, 8) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        said = 0.1 * scheduler.scale_model_input(sample, timestep)
        sample = scheduler.step(said, timestep, sample).prev_sample
    return bool(torch.isnan(sample).any())


ways = [("bh1", "zero"), ("bh1", "sigma_min"), ("bh2", "zero")]
found = [is_nan(*way) for way in ways]
print("; ".join(f"{' '.join(way)}: {'NaN' if nan else 'finite'}" for way, nan in zip(ways, found)))
assert found == [True, False, False], found
PYTHON
