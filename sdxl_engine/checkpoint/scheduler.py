"""A model's scheduler file: the noise that it was trained with, and how it wants to be drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from sdxl_engine.checkpoint.json_reader import Json, JsonReader, shown
from sdxl_engine.errors import CheckpointError

# What the noisiest training step must leave of the picture: below it, noise levels overflow.
_LEAST_SIGNAL: Final = 1e-30
_LEAST_TIMESTEPS: Final = 100  # twice the most steps, so that no two of them fall together


class _SchedulerDefaults(NamedTuple):
    """What diffusers takes for a key that a scheduler's JSON leaves out."""

    beta_start: float
    beta_end: float
    beta_schedule: str
    timestep_spacing: str


# The diffusers schedulers whose noise is known here: variance preserving and discrete, by betas,
# or of any level.
_SCHEDULERS: Final[Mapping[str, _SchedulerDefaults]] = {
    f"{name}Scheduler": defaults
    for defaults, names in {
        _SchedulerDefaults(0.0001, 0.02, "linear", "linspace"): (
            "EulerDiscrete EulerAncestralDiscrete DPMSolverMultistep DPMSolverSinglestep "
            "DEISMultistep UniPCMultistep LMSDiscrete SASolver"
        ),
        _SchedulerDefaults(0.0001, 0.02, "linear", "leading"): (
            "DDIM DDIMParallel DDPM DDPMParallel PNDM"
        ),
        _SchedulerDefaults(0.00085, 0.012, "linear", "linspace"): (
            "DPMSolverSDE HeunDiscrete KDPM2Discrete KDPM2AncestralDiscrete"
        ),
        _SchedulerDefaults(0.00085, 0.012, "scaled_linear", "leading"): (
            "LCM TCD EDMEuler EDMDPMSolverMultistep"  # of the last two the betas play no part
        ),
    }.items()
    for name in names.split()
}
# Those of noise of any level, with the network between Karras et al. 2022's factors.
_EDM: Final = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")
# The samplers of this engine that the schedulers stand for, or the nearest where there is none.
_SAMPLERS: Final = {
    "EulerDiscrete": "euler",
    "EulerAncestralDiscrete": "euler_ancestral",
    "EDMEuler": "euler",
    "DDIM": "ddim",
    "DDIMParallel": "ddim",
    "DDPM": "euler_ancestral",
    "DDPMParallel": "euler_ancestral",
    "DPMSolverMultistep": "dpmpp_2m",
    "DPMSolverSinglestep": "dpmpp_2m",
    "EDMDPMSolverMultistep": "dpmpp_2m",
    "DPMSolverSDE": "dpmpp_sde",
    "DEISMultistep": "deis",
    "UniPCMultistep": "unipc",
    "SASolver": "dpmpp_2m_sde",
    "LMSDiscrete": "lms",
    "PNDM": "ipndm",
    "HeunDiscrete": "heun",
    "KDPM2Discrete": "dpm2",
    "KDPM2AncestralDiscrete": "dpm2_ancestral",
    "LCM": "lcm",
    "TCD": "tcd",
}
# DPM-Solver++ by (whether it is stochastic, its order).
_DPM_SOLVERS: Final = {
    (False, 1): "ddim",
    (False, 2): "dpmpp_2m",
    (False, 3): "dpmpp_3m",
    (True, 1): "euler_ancestral",
    (True, 2): "dpmpp_2m_sde",
    (True, 3): "dpmpp_3m_sde",
}
_ALGORITHMS: Final = ("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver")
_OTHER_TYPES: Final = ("logrho", "bh1", "bh2")  # of other schedulers; diffusers reads midpoint
# The spacings of this engine that a flag of the file asks for.
_CURVES: Final = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta",
    "use_lu_lambdas": "lu",
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
    set_alpha_to_one          whether DDIM ends without noise, not with the first timestep's
    sampler                   the model's own, one of `request.SAMPLERS`
    sigma_spacing             the model's own of the `request.SPACINGS` that place noise levels;
                              None where timestep_spacing places them
    original_inference_steps  how many steps its teacher took, if it is a consistency model
    edm                       instead of the betas
    """

    num_train_timesteps: int
    beta_start: float
    beta_end: float
    beta_schedule: str
    prediction_type: str
    timestep_spacing: str
    steps_offset: int
    rescale_betas_zero_snr: bool = False
    set_alpha_to_one: bool = True
    sampler: str = "euler"
    sigma_spacing: str | None = None
    original_inference_steps: int = 50
    edm: EdmConfig | None = None

    @property
    def spacing(self) -> str:
        """The model's own, one of `request.SPACINGS`."""
        return self.sigma_spacing or self.timestep_spacing

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read `scheduler/scheduler_config.json`; raises CheckpointError."""
        reader = JsonReader(source, data)
        name = data.get("_class_name", "EulerDiscreteScheduler")
        defaults = scheduler_defaults(source, name)
        reader.only(
            final_sigmas_type="zero",
            interpolation_type="linear",
            timestep_scaling=10.0,
            timestep_type="discrete",
            trained_betas=None,
            use_flow_sigmas=(None, False),
        )
        edm = name in _EDM
        if not edm:
            reader.only(sigma_max=None, sigma_min=None)
        steps = reader.whole("num_train_timesteps", 1000, least=_LEAST_TIMESTEPS)
        config = cls(
            num_train_timesteps=steps,
            beta_start=reader.real("beta_start", defaults.beta_start),
            beta_end=reader.real("beta_end", defaults.beta_end),
            beta_schedule=reader.one_of(
                "beta_schedule", "scaled_linear", "linear", default=defaults.beta_schedule
            ),
            prediction_type=_prediction_type(reader, edm=edm),
            timestep_spacing=reader.one_of(
                "timestep_spacing",
                "leading",
                "trailing",
                "linspace",
                default=defaults.timestep_spacing,
            ),
            steps_offset=reader.whole("steps_offset", 0, least=0),
            rescale_betas_zero_snr=reader.flag("rescale_betas_zero_snr", default=False),
            # SDXL's own file has the key for another scheduler than the one that it names.
            set_alpha_to_one=not name.startswith("DDIM")
            or reader.flag("set_alpha_to_one", default=True),
            sampler=_sampler(reader, name),
            sigma_spacing=_sigma_spacing(reader, data, edm=edm),
            original_inference_steps=reader.whole(
                "original_inference_steps", min(50, steps), most=steps
            ),
            edm=_edm(reader) if edm else None,
        )
        for key, beta in (("beta_start", config.beta_start), ("beta_end", config.beta_end)):
            if max(0.0, 1.0 - beta) ** steps < _LEAST_SIGNAL:
                raise reader.error(key, f"small enough to leave a picture after {steps} steps")
        if config.steps_offset >= steps:
            raise reader.error("steps_offset", f"below num_train_timesteps, {steps}")
        return config


def _prediction_type(reader: JsonReader, *, edm: bool) -> str:
    others = () if edm else ("sample", "original_sample")  # two names of the same
    kind: str = reader.one_of(
        "prediction_type", "epsilon", "v_prediction", *others, default="epsilon"
    )
    return "sample" if kind == "original_sample" else kind


def _sampler(reader: JsonReader, name: str) -> str:
    sampler = _SAMPLERS[name.removesuffix("Scheduler")]
    if not name.removesuffix("Scheduler").endswith("DPMSolverMultistep"):
        return sampler
    algorithm: str = reader.one_of("algorithm_type", *_ALGORITHMS, "deis", default="dpmsolver++")
    order = reader.whole("solver_order", 2, most=3)
    sampler = _DPM_SOLVERS[algorithm.startswith("sde"), order]
    kind = reader.one_of("solver_type", "midpoint", "heun", *_OTHER_TYPES, default="midpoint")
    return "dpmpp_2m_sde_heun" if (sampler, kind) == ("dpmpp_2m_sde", "heun") else sampler


def _sigma_spacing(reader: JsonReader, data: Json, *, edm: bool) -> str | None:
    if edm:
        schedule: str = reader.one_of("sigma_schedule", "karras", "exponential", default="karras")
        return schedule
    for key, spacing in _CURVES.items():
        reader.only(**{key: (None, False, True)})
        if data.get(key):
            return spacing
    return None


def _edm(reader: JsonReader) -> EdmConfig:
    """With diffusers' values for keys that are left out."""
    edm = EdmConfig(
        sigma_min=reader.real("sigma_min", 0.002),
        sigma_max=reader.real("sigma_max", 80.0),
        sigma_data=reader.real("sigma_data", 0.5),
        rho=reader.real("rho", 7.0),
    )
    if edm.sigma_min >= edm.sigma_max:
        raise reader.error("sigma_min", f"below sigma_max, {edm.sigma_max:g}")
    return edm


def scheduler_defaults(source: str, name: object) -> _SchedulerDefaults:
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
