"""A scheduler's solver: the sampler of this engine that it is, and what is its own in it."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

from sdxl_engine.checkpoint.json_reader import JsonReader
from sdxl_engine.errors import CheckpointError
from sdxl_engine.request import SAMPLERS

_MOST_ESTIMATES: Final = 3
# DPM-Solver++ by (whether it is stochastic, its order).
_DPM_SOLVERS: Final = {
    (False, 1): "ddim",
    (False, 2): "dpmpp_2m",
    (False, 3): "dpmpp_3m",
    (True, 1): "euler_ancestral",
    (True, 2): "dpmpp_2m_sde",
    (True, 3): "dpmpp_3m_sde",
}
_OLDER: Final = ("dpmsolver", "sde-dpmsolver")  # by the noise; not of DPM-Solver++
_ALGORITHMS: Final = ("dpmsolver++", "sde-dpmsolver++", *_OLDER, "deis")
_FORMS: Final = ("midpoint", "heun", "logrho", "bh1", "bh2")
# The schedulers that are one sampler whatever their file says.
_PLAIN: Final = {
    "EulerDiscrete": "euler",
    "EulerAncestralDiscrete": "euler_ancestral",
    "EDMEuler": "euler",
    "DPMSolverSDE": "dpmpp_sde",
    "LMSDiscrete": "lms",
    "HeunDiscrete": "heun",
    "KDPM2Discrete": "dpm2",
    "KDPM2AncestralDiscrete": "dpm2_ancestral",
    "LCM": "lcm",
    "TCD": "tcd",
}


@dataclass(frozen=True, slots=True)
class Solver:
    """What a model's file asks of its own sampler; by itself, as that sampler is everywhere.

    placing            "whole": evenly placed timesteps are rounded; "multistep": as
                       `multistep_path` places them. Both begin and end with a sample of training's
                       variance. None: as the sampler does
    ends_with_noise    whether it ends at the first timestep's noise and hands that on
    strided            whether each step ends num_train_timesteps // steps below where it began,
                       wherever the next one begins
    order              how many estimates a step looks at; None: as the sampler does
    heun               whether DPM-Solver takes the slope of Heun's form
    bh1                whether UniPC takes B1(h)
    uncorrected        the steps whose end UniPC does not correct, from 0
    lower_order_final  whether few steps end at a lower order
    euler_at_final     whether the last step is of first order
    """

    placing: str | None = None
    ends_with_noise: bool = False
    strided: bool = False
    order: int | None = None
    heun: bool = False
    bh1: bool = False
    uncorrected: frozenset[int] = frozenset()
    lower_order_final: bool = True
    euler_at_final: bool = False


USUAL: Final = Solver()


class Way(NamedTuple):
    """How a model wants to be drawn.

    sampler  one of `request.SAMPLERS`
    told     what is not drawn as its file asks, a sentence each
    """

    sampler: str
    solver: Solver = USUAL
    told: tuple[str, ...] = ()


def read_way(reader: JsonReader, source: str, name: str, left_out: AbstractSet[str]) -> Way:
    """The way of diffusers' scheduler of that name; raises CheckpointError.

    reader    of its file, with what the scheduler takes for a key that the file leaves out
    left_out  those keys
    """
    kind = name.removesuffix("Scheduler")
    cut = _cut(reader, source, name, left_out)
    if kind in _PLAIN:
        noisy_end = _ends_with_noise(reader)
        way = _Read(_PLAIN[kind], Solver(ends_with_noise=noisy_end))
    elif kind.endswith("DPMSolverMultistep"):
        way = _multistep(reader)
    elif kind == "DPMSolverSinglestep":
        way = _singlestep(reader)
    elif kind == "UniPCMultistep":
        way = _unipc(reader)
    elif kind == "DEISMultistep":
        way = _deis(reader)
    elif kind == "SASolver":
        way = _Read("dpmpp_2m_sde", asked=name)
    elif kind == "PNDM":
        way = _pndm(reader)
    elif kind.startswith("DDPM"):
        reader.one_of("variance_type", "fixed_small", "fixed_small_log")  # two names of the same
        way = _Read("euler_ancestral", Solver("whole"))
    else:
        way = _Read("ddim", Solver("whole", _ends_below_one(reader), strided=True))
    told = [cut] if cut else []
    if way.asked:
        told.append(
            f"{source} asks for {way.asked}, which this engine does not have; "
            f"{SAMPLERS[way.sampler]}, the nearest, is drawn instead."
        )
    if kind == "TCD":
        told.append(
            f"{source} asks for {name}, which is drawn with its authors' gamma of 0.3; diffusers' "
            "pipeline takes 0 where nobody sets its eta."
        )
    return Way(way.sampler, way.solver, tuple(told))


class _Read(NamedTuple):
    """A way, and what was asked for where that is another one."""

    sampler: str
    solver: Solver = USUAL
    asked: str | None = None


def _cut(reader: JsonReader, source: str, name: str, left_out: AbstractSet[str]) -> str | None:
    """What is told where latents would be cut unasked; raises CheckpointError where it is asked."""
    cut = None
    for key in ("thresholding", "clip_sample"):
        if not reader.one_of(key, None, False, True):
            continue
        does = f"{name} cuts latents as if they were pixels"
        if key not in left_out:
            raise CheckpointError(
                f"{source}: {key} is true, with which {does}; this engine does not. Set it to "
                "false."
            )
        cut = f"{source} leaves out {key}, for which {does}; this engine leaves them whole."
    return cut


def _ends_with_noise(reader: JsonReader) -> bool:
    end: str = reader.one_of("final_sigmas_type", "zero", "sigma_min", default="zero")
    return end == "sigma_min"


def _ends_below_one(reader: JsonReader) -> bool:
    return not reader.flag("set_alpha_to_one")


def _order(reader: JsonReader) -> int:
    return reader.whole("solver_order", most=_MOST_ESTIMATES)


def _multistep(reader: JsonReader) -> _Read:
    """DPM-Solver++ by estimates of earlier steps, also of noise of any level."""
    reader.only(variance_type=None)
    algorithm = reader.one_of("algorithm_type", *_ALGORITHMS)
    form, order = reader.one_of("solver_type", *_FORMS), _order(reader)
    stochastic = algorithm.startswith("sde")
    sampler = _DPM_SOLVERS[stochastic, order]
    if (sampler, form) == ("dpmpp_2m_sde", "heun"):
        sampler = "dpmpp_2m_sde_heun"
    asked = None
    if algorithm in _OLDER and (stochastic or order > 1):  # of first order both are DDIM
        asked = f"the algorithm {algorithm}"
    elif sampler == "dpmpp_3m_sde":
        asked = "diffusers' own form of third order sde-dpmsolver++"
    solver = Solver(
        "multistep",
        _ends_with_noise(reader),
        heun=form == "heun",
        lower_order_final=reader.flag("lower_order_final"),
        euler_at_final=reader.flag("euler_at_final"),
    )
    return _Read(sampler, solver, asked)


def _singlestep(reader: JsonReader) -> _Read:
    """DPM-Solver++ by estimates within each two steps."""
    reader.only(variance_type=None)
    algorithm = reader.one_of("algorithm_type", "dpmsolver++", "sde-dpmsolver++", "dpmsolver")
    form, order = reader.one_of("solver_type", *_FORMS), _order(reader)
    solver = Solver(
        "multistep",
        _ends_with_noise(reader),
        heun=form == "heun",
        lower_order_final=reader.flag("lower_order_final"),
    )
    if algorithm == "sde-dpmsolver++":
        return _Read("dpmpp_2m_sde", solver, f"DPMSolverSinglestepScheduler with {algorithm}")
    if order == _MOST_ESTIMATES:
        return _Read("dpmpp_3m", solver, "DPMSolverSinglestepScheduler of third order")
    if order == 1:
        return _Read("ddim", solver)
    asked = "the algorithm dpmsolver" if algorithm == "dpmsolver" else None
    return _Read("dpmpp_2s", solver, asked)


def _unipc(reader: JsonReader) -> _Read:
    form, uncorrected = reader.one_of("solver_type", *_FORMS), reader.indices("disable_corrector")
    solver = Solver(
        "multistep",
        _ends_with_noise(reader),
        order=_order(reader),
        bh1=form == "bh1",
        uncorrected=frozenset(uncorrected),
        lower_order_final=reader.flag("lower_order_final"),
    )
    data = reader.flag("predict_x0")
    return _Read("unipc", solver, None if data else "UniPC by the noise (predict_x0 false)")


def _deis(reader: JsonReader) -> _Read:
    reader.one_of("algorithm_type", "deis", "dpmsolver", "dpmsolver++")
    reader.one_of("solver_type", *_FORMS)
    lower = reader.flag("lower_order_final")
    # Its end is no choice: diffusers has it at the first timestep's noise.
    return _Read("deis", Solver("multistep", True, order=_order(reader), lower_order_final=lower))


def _pndm(reader: JsonReader) -> _Read:
    whole = reader.flag("skip_prk_steps")
    return _Read(
        "plms",
        Solver("whole", _ends_below_one(reader), strided=True),
        None if whole else "the Runge-Kutta steps of PNDMScheduler (skip_prk_steps false)",
    )
