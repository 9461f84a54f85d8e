"""The ways diffusers' schedulers take, with a model that says the same whatever it is shown.

And those of samplers that diffusers has not, or has with a slip: their authors' rules, in float64.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise, product
from types import ModuleType
from typing import Any, Final

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    TCDScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import AysSchedules
from record import Arrays, save_copies
from safetensors.torch import save_file
from tiny_models import GOLDENS, SCHEDULER

# What DPMSolverSDE draws its noise with. It is not needed: `_brownian` takes its place.
sys.modules["torchsde"] = ModuleType("torchsde")
from diffusers.schedulers.scheduling_dpmsolver_sde import (  # noqa: E402 - after the line above
    DPMSolverSDEScheduler,
)

EVEN: Final = ("leading", "trailing", "linspace")
PREDICTION_TYPES: Final = ("epsilon", "v_prediction")
LINEAR_BETAS: Final = {"beta_schedule": "linear", "beta_start": 0.0015, "beta_end": 0.0195}
# 48: trailing timesteps fall half-way between whole ones, and diffusers' rounding errors decide.
NUM_STEPS: Final = (1, 2, 5, 20, 48, 49, 50)
# diffusers' DDIM steps to t - 1000 // steps, whatever its next timestep is; where the two are not
# the same it goes on from another noise level than it stepped to, which nobody should copy.
DDIM_STEPS: Final = {"leading": NUM_STEPS, "trailing": (1, 2, 5, 20, 50)}
AYS_STEPS: Final = 10
FEW_NUM_STEPS: Final = (1, 2, 3, 14, 20)  # of the samplers whose path is another one's
CURVES: Final = ("karras", "exponential", "beta", "lu")
MAX_STEPS: Final = 2 * max(NUM_STEPS)
WIDTH: Final = 4
_NO_NOISE: Final = 1e-8  # for formulas that take its logarithm

SDE: Final = {"algorithm_type": "sde-dpmsolver++"}
SAMPLERS: Final[dict[str, tuple[type, dict[str, Any]]]] = {
    "euler": (EulerDiscreteScheduler, {}),
    "euler_ancestral": (EulerAncestralDiscreteScheduler, {}),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_sde": (DPMSolverMultistepScheduler, SDE),
    "dpmpp_2m_sde_heun": (DPMSolverMultistepScheduler, {**SDE, "solver_type": "heun"}),
    "dpmpp_3m": (DPMSolverMultistepScheduler, {"solver_order": 3}),
    "dpmpp_sde": (DPMSolverSDEScheduler, {}),
    "dpmpp_2s": (DPMSolverSinglestepScheduler, {}),
    "dpm2": (KDPM2DiscreteScheduler, {}),
    "dpm2_ancestral": (KDPM2AncestralDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}),
    "lms": (LMSDiscreteScheduler, {}),
    "deis": (DEISMultistepScheduler, {}),
    "lcm": (LCMScheduler, {}),
    "tcd": (TCDScheduler, {}),
}
# Of these diffusers has no scheduler for this noise; of 3M SDE its third order has a sign wrong:
# the weight of the curvature does not vanish with the step.
RULES: Final = (
    "dpmpp_3m_sde",
    "dpmpp_2s_ancestral",
    "ipndm",
    "plms",
    "euler_cfg_pp",
    "euler_ancestral_cfg_pp",
)
MULTISTEP: Final = ("dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m", "unipc", "deis")
LIKE_EULER: Final = ("dpmpp_sde", "dpm2", "dpm2_ancestral", "heun", "lms")
LINSPACE: Final = {"timestep_spacing": "linspace"}
V: Final = {"prediction_type": "v_prediction"}
SIGMA_MIN: Final = {"final_sigmas_type": "sigma_min"}
THIRD: Final = {"solver_order": 3}
FULL_ORDER: Final = {"lower_order_final": False}
BH1: Final = {"solver_type": "bh1"}
ZERO_SNR: Final = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
DMD2: Final = (999, 749, 499, 249)
# Other noise, other predictions, a model's own curve, explicit timesteps: the scheduler file's
# part and what is asked for, by the name of the case.
SPECIAL: Final[Mapping[str, tuple[type, dict[str, Any], dict[str, Any]]]] = {
    **{
        f"zero_snr.{name}.{spacing}": (kind, {**ZERO_SNR, "timestep_spacing": spacing}, {})
        for name, kind in (
            ("euler", EulerDiscreteScheduler),
            ("euler_ancestral", EulerAncestralDiscreteScheduler),
            ("dpmpp_2m", DPMSolverMultistepScheduler),
            ("unipc", UniPCMultistepScheduler),
        )
        for spacing in EVEN
    },
    "zero_snr.ddim.trailing": (
        DDIMScheduler,
        {**ZERO_SNR, "timestep_spacing": "trailing", "clip_sample": False},
        {},
    ),
    "ddim_to_alpha": (DDIMScheduler, {"set_alpha_to_one": False, "clip_sample": False}, {}),
    "sample.ddim": (DDIMScheduler, {"prediction_type": "sample", "clip_sample": False}, {}),
    "sample.dpmpp_2m": (DPMSolverMultistepScheduler, {"prediction_type": "sample"}, {}),
    **{
        f"own_{curve}.{name}": (kind, {f"use_{curve}_sigmas": True}, {})
        for curve in ("karras", "exponential", "beta")
        for name, kind in (("euler", EulerDiscreteScheduler), ("heun", HeunDiscreteScheduler))
    },
    **{
        f"own_{curve}.{name}": (kind, {setting: True, "timestep_spacing": "leading"}, {})
        for curve, setting in (
            ("karras", "use_karras_sigmas"),
            ("exponential", "use_exponential_sigmas"),
            ("beta", "use_beta_sigmas"),
            ("lu", "use_lu_lambdas"),
        )
        for name, kind in (
            ("dpmpp_2m", DPMSolverMultistepScheduler),
            ("unipc", UniPCMultistepScheduler),
        )
        if (curve, name) != ("lu", "unipc")  # it has no such flag
    },
    **{
        f"edm.{name}.{schedule}.{prediction}": (
            kind,
            {"sigma_schedule": schedule, "prediction_type": prediction, **levels},
            {},
        )
        for name, kind in (
            ("euler", EDMEulerScheduler),
            ("dpmpp_2m", EDMDPMSolverMultistepScheduler),
        )
        for schedule, prediction, levels in (
            ("karras", "epsilon", {}),  # Playground 2.5
            ("exponential", "v_prediction", {"sigma_max": 120.0, "sigma_data": 1.0}),  # CosXL
        )
    },
    "edm.dpmpp_2m_sde.karras.epsilon": (EDMDPMSolverMultistepScheduler, SDE, {}),
    **{
        f"own.{name}": (kind, settings, {})
        for name, kind, settings in (
            ("plms.leading", PNDMScheduler, {"skip_prk_steps": True}),
            ("plms.linspace", PNDMScheduler, {"skip_prk_steps": True, **LINSPACE}),
            ("plms.v", PNDMScheduler, {"skip_prk_steps": True, **V, "set_alpha_to_one": True}),
            ("ddim.linspace", DDIMScheduler, {"clip_sample": False, **LINSPACE}),
            ("ddpm.linspace", DDPMScheduler, {"clip_sample": False, **LINSPACE}),
            ("euler.sigma_min", EulerDiscreteScheduler, SIGMA_MIN),
            ("dpmpp_1", DPMSolverMultistepScheduler, {"solver_order": 1}),
            ("dpmpp_2m.heun", DPMSolverMultistepScheduler, {"solver_type": "heun"}),
            ("dpmpp_2m.sigma_min", DPMSolverMultistepScheduler, {**SIGMA_MIN, **FULL_ORDER}),
            ("dpmpp_2m_sde.sigma_min", DPMSolverMultistepScheduler, {**SDE, **SIGMA_MIN}),
            ("dpmpp_3m.sigma_min", DPMSolverMultistepScheduler, {**THIRD, **SIGMA_MIN}),
            ("dpmpp_3m.full", DPMSolverMultistepScheduler, {**THIRD, **FULL_ORDER}),
            ("dpmpp_2s", DPMSolverSinglestepScheduler, {}),
            ("dpmpp_2s.heun.v", DPMSolverSinglestepScheduler, {"solver_type": "heun", **V}),
            ("dpmpp_2s.sigma_min", DPMSolverSinglestepScheduler, SIGMA_MIN),
            ("unipc_3", UniPCMultistepScheduler, THIRD),
            ("unipc_3.bh1.sigma_min", UniPCMultistepScheduler, {**THIRD, **BH1, **SIGMA_MIN}),
            ("unipc.bh1.sigma_min", UniPCMultistepScheduler, {**BH1, **SIGMA_MIN, **FULL_ORDER}),
            ("unipc.uncorrected", UniPCMultistepScheduler, {"disable_corrector": [0, 2]}),
            ("deis", DEISMultistepScheduler, {}),
            ("deis_3.karras", DEISMultistepScheduler, {**THIRD, "use_karras_sigmas": True}),
            ("deis_3.full", DEISMultistepScheduler, {**THIRD, **FULL_ORDER}),
        )
    },
    "timesteps.lcm": (LCMScheduler, {}, {"timesteps": DMD2}),
    "timesteps.tcd": (TCDScheduler, {}, {"timesteps": DMD2}),
    "timesteps.euler": (EulerDiscreteScheduler, {}, {"timesteps": DMD2}),
    "timesteps.dpmpp_2m": (DPMSolverMultistepScheduler, {}, {"timesteps": DMD2}),
    "distilled_40.lcm": (LCMScheduler, {"original_inference_steps": 40}, {}),
    "distilled_40.tcd": (TCDScheduler, {"original_inference_steps": 40}, {}),
}
SPECIAL_NUM_STEPS: Final = 8


def write_samplers() -> None:
    """Write `samplers.safetensors`; the name of each case says its settings.

    Of the special ones its metadata have the scheduler's file.
    """
    draw = torch.Generator().manual_seed(0)
    # Those of one pass a step came first, and keep theirs.
    noises = torch.randn(max(NUM_STEPS) + 1, WIDTH, generator=draw)
    outputs = torch.randn(max(NUM_STEPS), WIDTH, generator=draw)
    noises = torch.cat([noises, torch.randn(max(NUM_STEPS), WIDTH, generator=draw)])
    outputs = torch.cat([outputs, torch.randn(max(NUM_STEPS), WIDTH, generator=draw)])
    negatives = torch.randn(MAX_STEPS, WIDTH, generator=draw)
    arrays = {"noises": noises, "outputs": outputs, "negatives": negatives}
    for case in _cases():
        name = ".".join(map(str, case.values()))
        if case["sampler"] in RULES:
            arrays |= _by_rule(name, noises, outputs, negatives, **case)
        else:
            arrays |= _follow(name, noises, outputs, *_scheduler(**case))
    files = {}
    for name, (kind, settings, asked) in SPECIAL.items():
        edm = kind in (EDMEulerScheduler, EDMDPMSolverMultistepScheduler)
        scheduler = _made(kind, ({} if edm else SCHEDULER) | settings)
        if "timesteps" in asked:
            scheduler.set_timesteps(timesteps=list(asked["timesteps"]))
        else:
            scheduler.set_timesteps(SPECIAL_NUM_STEPS)
        files[name] = scheduler.to_json_string()
        arrays |= _follow(f"special.{name}", noises, outputs, scheduler)
    save_file(save_copies(arrays), GOLDENS / "samplers.safetensors", files)


def _cases() -> Iterator[dict[str, Any]]:
    for prediction_type, betas, (sampler, spacing, num_steps) in product(
        PREDICTION_TYPES, ("scaled_linear", "linear"), _ways()
    ):
        if betas == "scaled_linear" or (sampler, prediction_type) == ("euler", "epsilon"):
            yield {
                "sampler": sampler,
                "spacing": spacing,
                "num_inference_steps": num_steps,
                "prediction_type": prediction_type,
                "beta_schedule": betas,
            }


def _ways() -> Iterator[tuple[str, str | None, int]]:
    for sampler in ("euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde"):
        yield from product([sampler], EVEN, NUM_STEPS)
    for sampler in ("euler", "dpmpp_2m", "dpmpp_2m_sde"):
        # One level cannot be spread; diffusers divides by zero there.
        yield from product([sampler], ["karras"], NUM_STEPS[1:])
    for spacing, counts in DDIM_STEPS.items():
        yield from product(["ddim"], [spacing], counts)
    yield from product(["lcm", "tcd"], [None], NUM_STEPS)
    yield "euler", "ays", AYS_STEPS
    for sampler in (*LIKE_EULER, *MULTISTEP[2:], *RULES):
        yield from product([sampler], ["leading", "trailing"], FEW_NUM_STEPS)
    yield from product(["dpmpp_2s"], ["linspace"], FEW_NUM_STEPS)
    for sampler in (*LIKE_EULER, *RULES, "dpmpp_2s"):
        yield sampler, "karras", FEW_NUM_STEPS[-1]
    for sampler, curve in product(("euler", "dpmpp_2m", "unipc"), CURVES):
        # Nobody but DPM-Solver places its levels by lu's flag, and of those it is the last here.
        if (sampler, curve) not in {("euler", "karras"), ("dpmpp_2m", "karras")} and (
            curve != "lu" or sampler == "dpmpp_2m"
        ):
            yield from product([sampler], [curve], FEW_NUM_STEPS[1:])
    yield from product(["euler"], ["kl_optimal"], [2, 20])


def _scheduler(
    *,
    sampler: str,
    spacing: str | None,
    num_inference_steps: int,
    prediction_type: str,
    beta_schedule: str,
) -> tuple[Any]:
    kind, settings = SAMPLERS[sampler]
    settings = {**SCHEDULER, "prediction_type": prediction_type, **settings}
    if spacing in EVEN:
        settings["timestep_spacing"] = spacing
    elif spacing is not None:
        settings["timestep_spacing"] = "linspace"  # of their own three the one that spans all
    if spacing in CURVES:
        settings["use_lu_lambdas" if spacing == "lu" else f"use_{spacing}_sigmas"] = True
    if beta_schedule == "linear":
        settings |= LINEAR_BETAS
    scheduler = _made(kind, settings)
    if spacing == "ays":
        scheduler.set_timesteps(sigmas=AysSchedules["StableDiffusionXLSigmas"])
    elif spacing == "kl_optimal":
        # Sabour et al. 2024, theorem 3.1.
        levels = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod).double() ** 0.5
        ends = torch.atan(levels[[-1, 0]])
        part = torch.linspace(0, 1, num_inference_steps, dtype=torch.float64)
        sigmas = torch.tan(part * ends[1] + (1 - part) * ends[0])
        scheduler.set_timesteps(sigmas=[*sigmas.tolist(), 0.0])
    else:
        scheduler.set_timesteps(num_inference_steps)
    if sampler == "deis":
        # diffusers' ends with the first timestep's noise; all others here end without.
        scheduler.sigmas[-1] = _NO_NOISE
    return (scheduler,)


def _made(kind: type, settings: dict[str, Any]) -> Any:
    if kind is DPMSolverSinglestepScheduler:  # it places its steps itself, and a file may say more
        return kind.from_config(settings)
    return kind(**settings)


def _follow(name: str, noises: torch.Tensor, outputs: torch.Tensor, scheduler: Any) -> Arrays:
    """What the model is told and shown at each pass, and the sample at the end."""
    noises, outputs = noises[:, None], outputs[:, None]  # a batch of one
    x = noises[0] * scheduler.init_noise_sigma
    inputs = []
    for step, timestep in enumerate(scheduler.timesteps):
        inputs.append(scheduler.scale_model_input(x, timestep))
        # Every scheduler draws its noise by this one function.
        fresh = noises[step + 1]
        vars(sys.modules[type(scheduler).__module__])["randn_tensor"] = (
            lambda *_, fresh=fresh, **__: fresh
        )
        if isinstance(scheduler, DPMSolverSDEScheduler):
            scheduler.noise_sampler = _brownian(noises, step)
        x = scheduler.step(outputs[step], timestep, x).prev_sample
    return {
        f"{name}.timesteps": scheduler.timesteps.float(),
        f"{name}.inputs": torch.cat(inputs),
        f"{name}.sample": x[0],
    }


def _brownian(noises: torch.Tensor, step: int) -> Callable[..., torch.Tensor]:
    """The motion of DPMSolverSDE's two passes, of unit variance over each span."""

    def between(sigma: torch.Tensor, sigma_next: torch.Tensor) -> torch.Tensor:
        if step % 2 == 0:
            return noises[step + 1]
        middle = (sigma * sigma_next) ** 0.5
        first = noises[step] * (sigma - middle) ** 0.5
        return (first + noises[step + 1] * (middle - sigma_next) ** 0.5) / (
            sigma - sigma_next
        ) ** 0.5

    return between


def _by_rule(
    name: str,
    noises: torch.Tensor,
    outputs: torch.Tensor,
    negatives: torch.Tensor,
    *,
    sampler: str,
    spacing: str,
    num_inference_steps: int,
    prediction_type: str,
    beta_schedule: str,
) -> Arrays:
    """As `_follow`, through Euler's noise levels: k-diffusion's and the papers' update rules."""
    (euler,) = _scheduler(
        sampler="euler",
        spacing=spacing,
        num_inference_steps=num_inference_steps,
        prediction_type=prediction_type,
        beta_schedule=beta_schedule,
    )
    trained = ((1 - euler.alphas_cumprod) / euler.alphas_cumprod).double() ** 0.5
    timesteps: list[float] = []
    inputs: list[torch.Tensor] = []

    def look(x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The estimates by the prompt and by the negative one."""
        place = len(inputs)
        inputs.append(x / (sigma**2 + 1) ** 0.5)
        # A scheduler's one way from a level to its timestep.
        told = euler._sigma_to_t(sigma.numpy().reshape(1), trained.log().numpy())
        timesteps.append(float(told[0]))
        both = (
            _estimate(prediction_type, x, sigma, output[place].double())
            for output in (outputs, negatives)
        )
        return next(both), next(both)

    x = noises[0].double() * float(euler.init_noise_sigma)
    sigmas = euler.sigmas.double()
    past: list[torch.Tensor] = []  # estimates, or derivatives, the newest first
    spans: list[torch.Tensor] = []  # h of the steps before, the newest first
    for sigma, following in pairwise(sigmas):
        began = len(inputs)
        denoised, negative = look(x, sigma)
        down = following**2 / sigma  # eta = 1
        up = (following**2 - down**2) ** 0.5
        noise = noises[began + 1].double()
        if sampler == "euler_cfg_pp":
            x = denoised + (x - negative) / sigma * following
        elif sampler == "euler_ancestral_cfg_pp":
            x = denoised + (x - negative) / sigma * down + up * noise
        elif sampler in ("ipndm", "plms"):
            past = [(x - denoised) / sigma, *past[:3]]
            mean = _adams_bashforth(past)
            if sampler == "plms" and began == 0 and following > 0:
                mean = _mean_of_ends(x, sigma, following, past[0], look)
            x = x + (following - sigma) * mean
        elif following == 0:
            x = denoised
        elif sampler == "dpmpp_2s_ancestral":
            t, t_next = -sigma.log(), -down.log()
            h = t_next - t
            middle = (-(t + h / 2)).exp()
            shown = middle / sigma * x - (-h / 2).expm1() * denoised
            second, _ = look(shown, middle)
            x = down / sigma * x - (-h).expm1() * second + up * noises[began + 2].double()
        else:  # dpmpp_3m_sde
            h = sigma.log() - following.log()
            estimate = _by_three(x, [denoised, *past], [h, *spans])
            x = estimate + noise * following * (-(-2 * h).expm1()) ** 0.5
            past, spans = [denoised, *past[:1]], [h, *spans[:1]]
    return {
        f"{name}.timesteps": torch.tensor(timesteps, dtype=torch.float32),
        f"{name}.inputs": torch.stack(inputs).float(),
        f"{name}.sample": x.float(),
    }


def _mean_of_ends(
    x: torch.Tensor,
    sigma: torch.Tensor,
    following: torch.Tensor,
    derivative: torch.Tensor,
    look: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
) -> torch.Tensor:
    ahead = x + (following - sigma) * derivative
    denoised, _ = look(ahead, following)
    return (derivative + (ahead - denoised) / following) / 2


def _adams_bashforth(past: list[torch.Tensor]) -> torch.Tensor:
    """Of up to four derivatives, the newest first."""
    weights = ([1], [3, -1], [23, -16, 5], [55, -59, 37, -9])[len(past) - 1]
    terms = (weight * each for weight, each in zip(weights, past, strict=True))
    return sum(terms, torch.zeros_like(past[0])) / sum(weights)


def _estimate(
    prediction_type: str, x: torch.Tensor, sigma: torch.Tensor, output: torch.Tensor
) -> torch.Tensor:
    if prediction_type == "epsilon":
        return x - sigma * output
    return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5


def _by_three(
    x: torch.Tensor, estimates: list[torch.Tensor], spans: list[torch.Tensor]
) -> torch.Tensor:
    """DPM-Solver++(3M) for the SDE without its noise, or of the order that so many allow."""
    stretched = 2 * spans[0]
    stepped = (-stretched).exp() * x - (-stretched).expm1() * estimates[0]
    phi_2 = (-stretched).expm1() / stretched + 1
    slopes = [
        (newer - older) / (span / spans[0])
        for (newer, older), span in zip(pairwise(estimates), spans[1:], strict=True)
    ]
    if len(slopes) > 1:
        near, far = (span / spans[0] for span in spans[1:])
        slope = slopes[0] + (slopes[0] - slopes[1]) * near / (near + far)
        bend = (slopes[0] - slopes[1]) / (near + far)
        return stepped + phi_2 * slope - (phi_2 / stretched - 0.5) * bend
    return stepped + phi_2 * slopes[0] if slopes else stepped
