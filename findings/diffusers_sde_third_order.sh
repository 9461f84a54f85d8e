#!/usr/bin/env bash
# diffusers 0.42.1: the third order of `sde-dpmsolver++` (DPMSolverMultistepScheduler with solver_order 3) adds
# the curvature with a constant of the wrong sign: `(1 - e^-2h - 2h) / (2h)^2 - 0.5`, where k-diffusion's
# `sample_dpmpp_3m_sde` and Lu et al.'s exponential integrator have `+ 0.5`. So the estimate of two steps ago
# keeps half of the weight of everything, however short the steps are; it should vanish with them. The other
# algorithm, `dpmsolver++`, is right.
#
# Seen: weight of the estimate of two steps ago, at h = 0.01: diffusers -0.493, k-diffusion 0.007
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0"
"$folder/venv/bin/pip" install --quiet "diffusers==0.42.1" "transformers==5.23.0" "scipy==1.17.1"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import math

import torch
from diffusers import DPMSolverMultistepScheduler

step = 0.01
scheduler = DPMSolverMultistepScheduler(solver_order=3, algorithm_type="sde-dpmsolver++")
scheduler.sigmas = torch.exp(-step * torch.arange(4, dtype=torch.float64))
scheduler._step_index = 2
nothing, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
after = scheduler.multistep_dpm_solver_third_order_update(
    [one, nothing, nothing], sample=nothing, noise=nothing  # the oldest estimate first
)
alpha = 1 / math.hypot(1.0, float(scheduler.sigmas[3]))
seen = float(after) / alpha

h_eta = 2 * step  # k-diffusion, sampling.py: sample_dpmpp_3m_sde with eta 1
phi_2 = math.expm1(-h_eta) / h_eta + 1
phi_3 = phi_2 / h_eta - 0.5
d1_0, d1_1 = 0.0, -1.0
d1, d2 = d1_0 + (d1_0 - d1_1) / 2, (d1_0 - d1_1) / 2
wanted = phi_2 * d1 - phi_3 * d2
print(f"weight of the estimate of two steps ago, at h = {step}: diffusers {seen:.3f}, k-diffusion {wanted:.3f}")
assert abs(wanted) < 0.02 and seen < -0.4, "this has changed"
PYTHON
