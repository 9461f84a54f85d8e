"""A model's scheduler file: the noise that it was trained with, and how it wants to be drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from sdxl_engine.checkpoint.json_reader import Json, JsonReader, shown
from sdxl_engine.errors import CheckpointError

# What the noisiest training step must leave of the picture: below it, noise levels overflow.
_LEAST_SIGNAL: Final = 1e-30


class _SchedulerDefaults(NamedTuple):
    """What diffusers takes for a key that a scheduler's JSON leaves out."""

    beta_start: float
    beta_end: float
    beta_schedule: str
    timestep_spacing: str


# The diffusers schedulers that share one noise schedule: variance preserving, discrete, by betas.
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
        _SchedulerDefaults(0.00085, 0.012, "scaled_linear", "leading"): "LCM TCD",
    }.items()
    for name in names.split()
}


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """The noise schedule that the model was trained with (any diffusers scheduler of its kind).

    Which sampler the file names, and how that would place its noise levels (Karras and the like),
    is the sampler's choice and not the model's: this engine goes its own way through the schedule.

    prediction_type  "epsilon" or "v_prediction"
    timestep_spacing "leading", "trailing" or "linspace"
    """

    num_train_timesteps: int
    beta_start: float
    beta_end: float
    beta_schedule: str
    prediction_type: str
    timestep_spacing: str
    steps_offset: int

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read `scheduler/scheduler_config.json`; raises CheckpointError."""
        reader = JsonReader(source, data)
        defaults = scheduler_defaults(source, data.get("_class_name", "EulerDiscreteScheduler"))
        reader.only(
            final_sigmas_type="zero",
            interpolation_type="linear",
            rescale_betas_zero_snr=False,
            timestep_type="discrete",
            trained_betas=None,
            use_flow_sigmas=(None, False),
            use_lu_lambdas=(None, False),
        )
        config = cls(
            num_train_timesteps=reader.whole("num_train_timesteps", 1000),
            beta_start=reader.real("beta_start", defaults.beta_start),
            beta_end=reader.real("beta_end", defaults.beta_end),
            beta_schedule=reader.one_of(
                "beta_schedule", "scaled_linear", "linear", default=defaults.beta_schedule
            ),
            prediction_type=reader.one_of(
                "prediction_type", "epsilon", "v_prediction", default="epsilon"
            ),
            timestep_spacing=reader.one_of(
                "timestep_spacing",
                "leading",
                "trailing",
                "linspace",
                default=defaults.timestep_spacing,
            ),
            steps_offset=reader.whole("steps_offset", 0, least=0),
        )
        steps = config.num_train_timesteps
        for key, beta in (("beta_start", config.beta_start), ("beta_end", config.beta_end)):
            if max(0.0, 1.0 - beta) ** steps < _LEAST_SIGNAL:
                raise reader.error(key, f"small enough to leave a picture after {steps} steps")
        if config.steps_offset >= steps:
            raise reader.error("steps_offset", f"below num_train_timesteps, {steps}")
        return config


def scheduler_defaults(source: str, name: object) -> _SchedulerDefaults:
    """What diffusers takes for keys left out; raises CheckpointError for another noise schedule."""
    if not isinstance(name, str) or name not in _SCHEDULERS:
        raise CheckpointError(
            f"{source}: the scheduler is {shown(name)}, whose noise schedule this engine does "
            "not know. Choose a model trained with that of EulerDiscreteScheduler."
        )
    return _SCHEDULERS[name]
