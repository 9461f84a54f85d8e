"""A scheduler file is drawn as diffusers would, or refused, or people are told that it is not.

That what is drawn is the same is seen in tests/sdxl_engine/sampling, by goldens.
"""

import json
import re
from typing import Any

import numpy as np
import pytest

from sdxl_engine import CheckpointError
from sdxl_engine.checkpoint.scheduler import SchedulerConfig
from sdxl_engine.request import SAMPLERS

SOURCE = "scheduler/scheduler_config.json"
UNCLIPPED = {"clip_sample": False}


def read(kind: str, **said: object) -> SchedulerConfig:
    """The file of a scheduler with SDXL's noise."""
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return SchedulerConfig.from_json(SOURCE, {"_class_name": f"{kind}Scheduler", **betas, **said})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("DDIM", {"clip_sample": True}),
        ("DDIM", {"thresholding": True, **UNCLIPPED}),
        ("DDPM", {"clip_sample": True}),
        ("DDPM", {"variance_type": "learned_range", **UNCLIPPED}),
        ("DDPM", {"variance_type": "fixed_large", **UNCLIPPED}),
        ("HeunDiscrete", {"clip_sample": True}),
        ("LCM", {"clip_sample": True}),
        ("LCM", {"timestep_scaling": 5.0}),
        ("LCM", {"original_inference_steps": 1001}),
        ("TCD", {"original_inference_steps": "all"}),
        ("DPMSolverMultistep", {"thresholding": True}),
        ("DPMSolverMultistep", {"use_flow_sigmas": True}),
        ("DPMSolverMultistep", {"variance_type": "learned"}),
        ("DPMSolverMultistep", {"lambda_min_clipped": -1.0}),
        ("DPMSolverMultistep", {"lambda_min_clipped": -5.1, "rescale_betas_zero_snr": True}),
        ("DPMSolverMultistep", {"lambda_min_clipped": None}),
        ("DPMSolverMultistep", {"solver_order": 4}),
        ("DPMSolverMultistep", {"algorithm_type": "data_prediction"}),
        ("DPMSolverMultistep", {"solver_type": "euler"}),
        ("UniPCMultistep", {"disable_corrector": [-1]}),
        ("UniPCMultistep", {"solver_p": ["DPMSolverMultistepScheduler"]}),
        ("UniPCMultistep", {"use_karras_sigmas": True, "sigma_min": 0.1}),
        ("EulerDiscrete", {"beta_schedule": "squaredcos_cap_v2"}),
        ("EulerDiscrete", {"trained_betas": [0.1, 0.2]}),
        ("EulerDiscrete", {"use_karras_sigmas": True, "sigma_max": 80.0}),
        ("EulerDiscrete", {"timestep_type": "continuous", "prediction_type": "v_prediction"}),
    ],
)
def test_what_would_draw_other_pictures_is_refused(kind: str, said: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(kind, **said)
    sentence = str(caught.value)
    key = next(key for key in said if f"{key} is " in sentence)
    assert sentence.startswith(f"{SOURCE}: {key} is {json.dumps(said[key])}")
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("kind", "said", "told"),
    [
        ("DDIM", {}, "leaves out clip_sample, for which DDIMScheduler cuts latents"),
        ("DDPMParallel", {}, "leaves out clip_sample, for which DDPMParallelScheduler cuts"),
        ("SASolver", {}, "asks for SASolverScheduler, which .*; DPM\\+\\+ 2M SDE, the nearest, is"),
        ("PNDM", {}, r"asks for the Runge-Kutta steps of .*\(skip_prk_steps false\).*; PLMS, the"),
        ("TCD", {}, "asks for TCDScheduler, which is drawn with its authors' gamma of 0.3"),
        ("UniPCMultistep", {"predict_x0": False}, "predict_x0 false.*; UniPC, the nearest"),
        ("DPMSolverMultistep", {"algorithm_type": "dpmsolver"}, "algorithm dpmsolver, .* 2M, the"),
        (
            "DPMSolverMultistep",
            {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"},
            "the algorithm sde-dpmsolver, .* 2M SDE, the nearest",
        ),
        (
            "EDMDPMSolverMultistep",
            {"algorithm_type": "sde-dpmsolver++", "solver_order": 3},
            "third order sde-dpmsolver.*3M SDE, the nearest",
        ),
        ("DPMSolverSinglestep", {"solver_order": 3}, "third order, .* 3M, the nearest"),
        ("DPMSolverSinglestep", {"algorithm_type": "dpmsolver"}, "algorithm dpmsolver, .* 2S, the"),
        ("DPMSolverSinglestep", {"algorithm_type": "sde-dpmsolver++"}, "with sde-.* 2M SDE, the"),
    ],
)
def test_what_is_drawn_in_another_way_is_told(kind: str, said: dict[str, Any], told: str) -> None:
    config = read(kind, **said)
    assert config.sampler in SAMPLERS
    (sentence,) = config.told
    assert sentence.startswith(f"{SOURCE} ")
    assert sentence.endswith(".")
    assert re.search(told, sentence)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("EulerDiscrete", {"clip_sample": True, "thresholding": True, "skip_prk_steps": True}),
        ("EulerDiscrete", {"sigma_min": 0.1, "sigma_max": 10.0}),  # of curves alone
        ("EulerDiscrete", {"timestep_type": "continuous", "use_flow_sigmas": True}),
        ("EulerDiscrete", {"original_inference_steps": "all", "use_lu_lambdas": True}),
        (
            "EulerDiscrete",
            {"final_sigmas_type": "sigma_min", "_use_default_values": ["final_sigmas_type"]},
        ),
        ("EulerDiscrete", {"_use_default_values": 5}),
        ("EulerAncestralDiscrete", {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}),
        ("LMSDiscrete", {"rescale_betas_zero_snr": True}),
        ("HeunDiscrete", {"rescale_betas_zero_snr": True}),
        ("DPMSolverSDE", {"solver_order": 9, "thresholding": True}),
        ("DPMSolverMultistep", {"lambda_min_clipped": -np.inf}),
        ("DPMSolverMultistep", {"lambda_min_clipped": -5.1}),
        ("DPMSolverMultistep", {"solver_type": "bh2", "use_lu_lambdas": None}),
        ("DPMSolverSinglestep", {"timestep_spacing": "leading", "steps_offset": 1}),
        ("DEISMultistep", {"algorithm_type": "dpmsolver++", "solver_type": "midpoint"}),
        ("UniPCMultistep", {"solver_type": "midpoint", "sigma_max": 10.0}),
        ("DDPM", {"variance_type": "fixed_small_log", **UNCLIPPED}),
        ("LCM", {"set_alpha_to_one": False}),
        ("EDMEuler", {"beta_start": 0.5, "timestep_spacing": "none"}),
    ],
)
def test_what_changes_no_number_is_not_heard(kind: str, said: dict[str, Any]) -> None:
    clip = UNCLIPPED if "DD" in kind else {}
    assert read(kind, **said) == read(kind, **clip)
    assert not read(kind, **said).told
