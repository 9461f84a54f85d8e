"""The table of a sampler: what each pass through the model is shown, and what becomes of it."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from sdxl_engine.checkpoint.scheduler import SchedulerConfig
from sdxl_engine.request import MAX_INFERENCE_STEPS
from sdxl_engine.sampling.noise import F64
from sdxl_engine.sampling.path import NoisePath

F32 = npt.NDArray[np.float32]

MAX_PASSES: Final = 2 * MAX_INFERENCE_STEPS  # some samplers look twice a step
MEMORIES: Final = 3
# What the model is shown and how its output is read.
# LEFT is the noise level of the sample that each pass leaves: what a mask keeps must have it, too.
C_IN, TIMESTEP, C_SKIP, C_OUT, LEFT = range(5)
MODEL_COLUMNS: Final = 5
# What the sample and each memory are made of, anew in every pass.
X, DENOISED, PREVIOUS, NOISE, FIRST, SECOND, THIRD, NEGATIVE = range(8)
SOURCES: Final = 8
COLUMNS: Final = MODEL_COLUMNS + (1 + MEMORIES) * SOURCES


@dataclass(frozen=True, slots=True)
class Table:
    """The passes of one sampler, to be filled in.

    model    f64[passes, MODEL_COLUMNS]
    weights  f64[passes, 1 + MEMORIES, SOURCES], of the sample and then of the memories
    """

    model: F64
    weights: F64

    @classmethod
    def of(cls, config: SchedulerConfig, timesteps: F64, sigmas: F64) -> Self:
        """Passes that are shown these levels, f64[passes] both, and do nothing yet."""
        weights = np.zeros((len(sigmas), 1 + MEMORIES, SOURCES))
        return cls(_model_columns(config, timesteps, sigmas), weights)

    @property
    def sample(self) -> F64:
        """f64[passes, SOURCES], of what the sample is made; a view."""
        return self.weights[:, 0]

    def memory(self, place: int) -> F64:
        """As `sample`, of the memory at FIRST, SECOND or THIRD."""
        return self.weights[:, place - FIRST + 1]

    def remember(self, source: int, place: int) -> None:
        """Keep a source at a memory, as it was when the pass began, for the next pass."""
        self.memory(place)[:, source] = 1

    def packed(self) -> F32:
        """f32[MAX_PASSES, COLUMNS], the rows past the last pass zero."""
        table = np.zeros((MAX_PASSES, COLUMNS), np.float32)
        passes = len(self.model)
        table[:passes, :MODEL_COLUMNS] = self.model
        table[:passes, MODEL_COLUMNS:] = self.weights.reshape(passes, -1)
        return table


def _model_columns(config: SchedulerConfig, timesteps: F64, sigmas: F64) -> F64:
    columns = np.zeros((len(sigmas), MODEL_COLUMNS))
    data = 1.0 if config.edm is None else config.edm.sigma_data
    columns[:, C_IN] = 1 / np.hypot(sigmas, data)
    columns[:, TIMESTEP] = timesteps
    columns[:-1, LEFT] = sigmas[1:]  # and none at the end, whatever the last level is
    if config.prediction_type == "sample":
        columns[:, C_OUT] = 1
    elif config.prediction_type == "v_prediction" or config.edm is not None:
        # Salimans and Ho 2022 in sigma space; Karras et al. 2022, table 1, which diffusers' EDM
        # calls epsilon, has the other sign.
        sign = -1 if config.prediction_type == "v_prediction" else 1
        columns[:, C_SKIP] = data**2 / (sigmas**2 + data**2)
        columns[:, C_OUT] = sign * sigmas * data / np.hypot(sigmas, data)
    else:  # epsilon: Ho et al. 2020
        columns[:, C_SKIP], columns[:, C_OUT] = 1.0, -sigmas
    return columns


def of_path(config: SchedulerConfig, path: NoisePath) -> Table:
    """A pass at each level of a path but its end, which does nothing yet."""
    return Table.of(config, path.timesteps, path.sigmas[:-1])


def as_trained(
    table: Table, config: SchedulerConfig, path: NoisePath, reached: F64 | None = None
) -> Table:
    """The samples that a model's own solver hands on, scaled as in training.

    There each has a variance of one at the level that its step reached, which is taken as it is at
    the level where the next begins (and the last as the image), even if that is another.

    reached  f64[steps]; None: the path's own
    """
    if config.solver.placing is not None and config.edm is None:
        found = path.sigmas[1:] if reached is None else reached
        taken = np.append(path.sigmas[1:-1], 0.0)
        table.sample[:] *= (np.hypot(taken, 1.0) / np.hypot(found, 1.0))[:, None]
    return table
