"""A model's scheduler file: the noise that it was trained with, and how it wants to be drawn."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from sdxl_engine.checkpoint.json_reader import Json, JsonReader, shown
from sdxl_engine.checkpoint.solver import USUAL, Solver, read_way
from sdxl_engine.errors import CheckpointError

# What the noisiest training step must leave of the picture: below it, noise levels overflow.
_LEAST_SIGNAL: Final = 1e-30
_LEAST_TIMESTEPS: Final = 100  # twice the most steps, so that no two of them fall together

_ANY: Final[Json] = {"num_train_timesteps": 1000, "prediction_type": "epsilon"}
_BETAS: Final[Json] = {
    **_ANY,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
}
_SD_BETAS: Final[Json] = {**_BETAS, "beta_start": 0.00085, "beta_end": 0.012}
_PLACES: Final[Json] = {"timestep_spacing": "linspace", "steps_offset": 0}
_LEADING: Final[Json] = {**_PLACES, "timestep_spacing": "leading"}
# The spacings of this engine that a flag asks for; the first that is set counts.
_CURVES: Final = {
    "use_karras_sigmas": "karras",
    "use_lu_lambdas": "lu",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta",
}
_FLAGS: Final[Json] = {key: False for key in _CURVES if key != "use_lu_lambdas"}
_ZERO_SNR: Final[Json] = {"rescale_betas_zero_snr": False}
_END: Final[Json] = {"final_sigmas_type": "zero"}
_ENDS: Final[Json] = {"sigma_min": None, "sigma_max": None}
_CUTS: Final[Json] = {"thresholding": False, "clip_sample": False}
_SOLVER: Final[Json] = {
    "thresholding": False,
    "solver_order": 2,
    "lower_order_final": True,
    "euler_at_final": False,
    "algorithm_type": "dpmsolver++",
    "solver_type": "midpoint",
}
_MULTISTEP: Final[Json] = {**_BETAS, **_FLAGS, **_SOLVER, "use_flow_sigmas": False}
_CLIPPED: Final[Json] = {"lambda_min_clipped": -math.inf, "variance_type": None}
_DDPM: Final[Json] = {**_BETAS, **_LEADING, **_ZERO_SNR, **_CUTS, "clip_sample": True}
_DISTILLED: Final[Json] = {
    **_SD_BETAS,
    **_LEADING,
    **_ZERO_SNR,
    "beta_schedule": "scaled_linear",
    "original_inference_steps": 50,
}
# Of noise of any level, with the network between Karras et al. 2022's factors.
_EDM: Final[Json] = {
    **_ANY,
    **_END,
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "sigma_data": 0.5,
    "sigma_schedule": "karras",
    "rho": 7.0,
}
# The schedulers of diffusers 0.42 whose noise is known here (variance preserving and discrete, by
# betas, or of any level): the keys that each goes by, with what it takes for one that is left out.
_SCHEDULERS: Final[Mapping[str, Json]] = {
    f"{name}Scheduler": known
    for names, known in {
        "EulerDiscrete": {
            **_BETAS,
            **_PLACES,
            **_FLAGS,
            **_ZERO_SNR,
            **_END,
            **_ENDS,
            "interpolation_type": "linear",
            "timestep_type": "discrete",
        },
        "EulerAncestralDiscrete": {**_BETAS, **_PLACES, **_ZERO_SNR},
        "LMSDiscrete": {**_BETAS, **_PLACES, **_FLAGS},
        "HeunDiscrete": {**_SD_BETAS, **_PLACES, **_FLAGS, "clip_sample": False},
        "KDPM2Discrete KDPM2AncestralDiscrete DPMSolverSDE": {**_SD_BETAS, **_PLACES, **_FLAGS},
        "DPMSolverMultistep": {
            **_MULTISTEP,
            **_PLACES,
            **_CLIPPED,
            **_ZERO_SNR,
            **_END,
            "use_lu_lambdas": False,
        },
        "DPMSolverSinglestep": {**_MULTISTEP, **_CLIPPED, **_END, "lower_order_final": False},
        "DEISMultistep": {
            **_MULTISTEP,
            **_PLACES,
            "algorithm_type": "deis",
            "solver_type": "logrho",
        },
        "UniPCMultistep": {
            **_MULTISTEP,
            **_PLACES,
            **_ZERO_SNR,
            **_END,
            **_ENDS,
            "solver_type": "bh2",
            "predict_x0": True,
            "disable_corrector": [],
            "solver_p": None,
        },
        "SASolver": {**_MULTISTEP, **_PLACES, **_CLIPPED, "algorithm_type": "data_prediction"},
        "DDIM DDIMParallel": {**_DDPM, "set_alpha_to_one": True},
        "DDPM DDPMParallel": {**_DDPM, "variance_type": "fixed_small"},
        "PNDM": {**_BETAS, **_LEADING, "skip_prk_steps": False, "set_alpha_to_one": False},
        "LCM": {**_DISTILLED, **_CUTS, "timestep_scaling": 10.0},
        "TCD": _DISTILLED,
        "EDMEuler": _EDM,
        "EDMDPMSolverMultistep": {**_EDM, **_SOLVER},
    }.items()
    for name in names.split()
}


@dataclass(frozen=True, slots=True)
class EdmConfig:
    """Training with noise of any level (Karras et al. 2022), as of Playground 2.5 and CosXL.

    sigma_min, sigma_max  the levels between which to draw
    sigma_data            standard deviation of the latents that it was trained with
    rho                   how much denser the levels lie where there is little noise
    """

    sigma_min: float
    sigma_max: float
    sigma_data: float
    rho: float


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """The noise that the model was trained with, and the way in which it wants to be drawn.

    prediction_type           "epsilon", "v_prediction" or "sample"
    timestep_spacing          "leading", "trailing" or "linspace"
    rescale_betas_zero_snr    whether the last timestep was noise alone (Lin et al. 2023)
    sampler                   the model's own, one of `request.SAMPLERS`
    solver                    what is its own in that sampler
    sigma_spacing             the model's own of the `request.SPACINGS` that place noise levels;
                              None where timestep_spacing places them
    original_inference_steps  how many steps its teacher took, if it is a consistency model
    edm                       instead of the betas
    told                      what is not drawn as PyTorch diffusers would, a sentence each
    """

    num_train_timesteps: int
    beta_start: float
    beta_end: float
    beta_schedule: str
    prediction_type: str
    timestep_spacing: str
    steps_offset: int
    rescale_betas_zero_snr: bool = False
    sampler: str = "euler"
    solver: Solver = USUAL
    sigma_spacing: str | None = None
    original_inference_steps: int = 50
    edm: EdmConfig | None = None
    told: tuple[str, ...] = ()

    @property
    def training(self) -> str:
        """What the model was trained to predict, and of which noise, in a few words."""
        noise = ", EDM" if self.edm else ", zero SNR" if self.rescale_betas_zero_snr else ""
        return f"{self.prediction_type}{noise}"

    @property
    def spacing(self) -> str:
        """The model's own, one of `request.SPACINGS`."""
        return self.sigma_spacing or self.timestep_spacing

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read `scheduler/scheduler_config.json` as diffusers does; raises CheckpointError.

        What the scheduler that it names does not go by plays no part.
        """
        name = data.get("_class_name", "EulerDiscreteScheduler")
        defaults = scheduler_defaults(source, name)
        unset = data.get("_use_default_values")  # keys that were left to the scheduler
        unset = unset if isinstance(unset, list) else []
        heard = {key: data[key] for key in defaults if key in data and key not in unset}
        reader = JsonReader(source, {**_BETAS, **_PLACES, **defaults, **heard})
        edm = "sigma_data" in defaults
        way = read_way(reader, source, name, left_out=defaults.keys() - heard.keys())
        steps = reader.whole("num_train_timesteps", least=_LEAST_TIMESTEPS)
        config = cls(
            num_train_timesteps=steps,
            beta_start=reader.real("beta_start"),
            beta_end=reader.real("beta_end"),
            beta_schedule=reader.one_of("beta_schedule", "scaled_linear", "linear"),
            prediction_type=_prediction_type(reader, edm=edm),
            timestep_spacing=reader.one_of("timestep_spacing", "leading", "trailing", "linspace"),
            steps_offset=reader.whole("steps_offset", least=0),
            rescale_betas_zero_snr=reader.flag("rescale_betas_zero_snr", default=False),
            sampler=way.sampler,
            solver=way.solver,
            sigma_spacing=_sigma_spacing(reader, edm=edm),
            original_inference_steps=reader.whole(
                "original_inference_steps", min(50, steps), most=steps
            ),
            edm=_edm(reader) if edm else None,
            told=way.told,
        )
        config._check(reader)
        return config

    def _check(self, reader: JsonReader) -> None:
        """Raise CheckpointError for what would change the numbers and is not drawn here."""
        reader.only(
            interpolation_type="linear",
            solver_p=None,
            timestep_scaling=10.0,
            trained_betas=None,
            use_flow_sigmas=(None, False),
        )
        if self.prediction_type == "v_prediction":
            reader.only(timestep_type="discrete")  # of others it changes nothing
        if self.edm is None and self.sigma_spacing is not None:
            reader.only(sigma_min=None, sigma_max=None)
        steps = self.num_train_timesteps
        for key, beta in (("beta_start", self.beta_start), ("beta_end", self.beta_end)):
            if max(0.0, 1.0 - beta) ** steps < _LEAST_SIGNAL:
                raise reader.error(key, f"small enough to leave a picture after {steps} steps")
        if self.steps_offset >= steps:
            raise reader.error("steps_offset", f"below num_train_timesteps, {steps}")
        reader.at_most("lambda_min_clipped", self._least_log_signal())

    def _least_log_signal(self) -> float:
        """Lambda of the noisiest step of training (Lu et al. 2022): the logarithm of 1 / sigma."""
        if self.rescale_betas_zero_snr:
            return math.log(2.0**-24) / 2  # of what diffusers leaves of the signal
        power = 2 if self.beta_schedule == "scaled_linear" else 1
        start, end = (beta ** (1 / power) for beta in (self.beta_start, self.beta_end))
        ramp = (place / (self.num_train_timesteps - 1) for place in range(self.num_train_timesteps))
        signal = math.prod(1 - (start + (end - start) * place) ** power for place in ramp)
        return math.log(signal / (1 - signal)) / 2


def _prediction_type(reader: JsonReader, *, edm: bool) -> str:
    others = () if edm else ("sample", "original_sample")  # two names of the same
    kind: str = reader.one_of("prediction_type", "epsilon", "v_prediction", *others)
    return "sample" if kind == "original_sample" else kind


def _sigma_spacing(reader: JsonReader, *, edm: bool) -> str | None:
    if edm:
        schedule: str = reader.one_of("sigma_schedule", "karras", "exponential")
        return schedule
    asked = (curve for key, curve in _CURVES.items() if reader.one_of(key, None, False, True))
    return next(asked, None)


def _edm(reader: JsonReader) -> EdmConfig:
    edm = EdmConfig(
        sigma_min=reader.real("sigma_min"),
        sigma_max=reader.real("sigma_max"),
        sigma_data=reader.real("sigma_data"),
        rho=reader.real("rho"),
    )
    if edm.sigma_min >= edm.sigma_max:
        raise reader.error("sigma_min", f"below sigma_max, {edm.sigma_max:g}")
    return edm


def scheduler_defaults(source: str, name: object) -> Json:
    """What diffusers takes for keys left out; raises CheckpointError for another noise schedule."""
    if not isinstance(name, str) or name not in _SCHEDULERS:
        kind = "whose noise schedule this engine does not know"
        if isinstance(name, str) and "FlowM" in name:
            kind = "of flow matching, which this engine does not draw"
        raise CheckpointError(
            f"{source}: the scheduler is {shown(name)}, {kind}. "
            "Choose a model trained with the noise of EulerDiscreteScheduler or EDMEulerScheduler."
        )
    return _SCHEDULERS[name]
