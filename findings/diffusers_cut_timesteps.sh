#!/usr/bin/env bash
# diffusers 0.42.1: with `use_exponential_sigmas` or `use_beta_sigmas` the multistep solvers (DPMSolverMultistep,
# DPMSolverSinglestep, UniPC, DEIS, SASolver) look the timestep of each noise level up as a fraction and cut it
# to a whole number, where with `use_karras_sigmas` they round it. The level of the last timestep of training,
# 999, is looked up in float32 as a little less, and the model is told 998; on the way it is told up to one
# timestep too few. One would expect the nearest.
#
# Seen: first timestep told for the noise of 999: karras 999, exponential 998, beta 998
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0"
"$folder/venv/bin/pip" install --quiet "diffusers==0.42.1" "transformers==5.23.0" "scipy==1.17.1"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
from diffusers import (
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    SASolverScheduler,
    UniPCMultistepScheduler,
)

betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
said = []
for curve, wanted in (("karras", 999), ("exponential", 998), ("beta", 998)):
    told = set()
    for kind in (
        DPMSolverMultistepScheduler,
        DPMSolverSinglestepScheduler,
        UniPCMultistepScheduler,
        DEISMultistepScheduler,
        SASolverScheduler,
    ):
        scheduler = kind(**betas, **{f"use_{curve}_sigmas": True})
        level = ((1 - scheduler.alphas_cumprod[-1]) / scheduler.alphas_cumprod[-1]) ** 0.5
        scheduler.set_timesteps(20)
        assert abs(float(scheduler.sigmas[0] / level) - 1) < 1e-6  # it is the level of 999
        told.add(int(scheduler.timesteps[0]))
    said.append(f"{curve} {', '.join(map(str, sorted(told)))}")
    assert told == {wanted}, f"{curve}: {told}: this has changed"
print("first timestep told for the noise of 999:", ", ".join(said))
PYTHON
