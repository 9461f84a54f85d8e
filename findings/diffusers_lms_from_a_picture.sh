#!/usr/bin/env bash
# diffusers 0.42.1: begun in the middle, as image-to-image does, LMSDiscreteScheduler takes its order from the
# number of the step in the whole schedule, though its history is empty. The weights of a higher order are
# then cut to as many derivatives as there are, and the first steps go too far: along a derivative of 1 the sample
# should move by the difference of the two noise levels.
#
# Seen: from step 0 moved 1.000, from step 10 moved 1.912
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0"
"$folder/venv/bin/pip" install --quiet "diffusers==0.42.1" "transformers==5.23.0" "scipy==1.17.1"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import torch
from diffusers import LMSDiscreteScheduler

moved = {}
for begin in (0, 10):
    scheduler = LMSDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    )
    scheduler.set_timesteps(20)
    scheduler.set_begin_index(begin)
    there, following = scheduler.sigmas[begin : begin + 2]
    sample = torch.zeros(1, 4, 8, 8)
    scheduler.is_scale_input_called = True
    # The derivative of epsilon prediction is what the model says.
    after = scheduler.step(torch.ones_like(sample), scheduler.timesteps[begin], sample).prev_sample
    moved[begin] = float(after.mean() / (following - there))
said = ", ".join(f"from step {begin} moved {share:.3f}" for begin, share in moved.items())
print(said)
assert abs(moved[0] - 1) < 1e-4
assert abs(moved[10] - 1) > 0.5, "this has changed"
PYTHON
