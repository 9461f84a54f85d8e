"""What a file of weights says of how it was trained, and what that changes in SDXL's own JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from sdxl_engine.checkpoint.config import SCHEDULER_CONFIG
from sdxl_engine.checkpoint.json_reader import Json, plain, read_json
from sdxl_engine.checkpoint.safetensors_file import DTYPES, StoredFile, StoredTensor
from sdxl_engine.errors import CheckpointError

_MAX_NUMBERS: Final = 64  # more channels than any latents have
VAE_CONFIG: Final = "vae/config.json"
_PREDICTIONS: Final = {"epsilon": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"}
_PREDICTION_KEYS: Final = ("modelspec.prediction_type", "modelspec.predict_key")
# Playground v2.5's own numbers, which its file names no more than the latents' (diffusers,
# single_file_utils.py: create_scheduler_from_ldm, PLAYGROUND_VAE_SCALING_FACTOR).
_PLAYGROUND: Final[Json] = {
    "_class_name": "EDMDPMSolverMultistepScheduler",
    "algorithm_type": "dpmsolver++",
    "final_sigmas_type": "zero",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rho": 7.0,
    "sigma_data": 0.5,
    "sigma_max": 80.0,
    "sigma_min": 0.002,
    "solver_order": 2,
    "solver_type": "midpoint",
}
_PLAYGROUND_SCALING: Final = 0.5
# What CosXL's folder says; its file holds both ends of its noise levels, under these names.
_COSXL: Final[Json] = {
    "_class_name": "EDMEulerScheduler",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "sigma_data": 1.0,
    "sigma_schedule": "exponential",
}
_COSXL_ENDS: Final = {"sigma_min": "edm_vpred.sigma_min", "sigma_max": "edm_vpred.sigma_max"}


@dataclass(frozen=True, slots=True)
class Markers:
    """What was found; None, or nothing, where the file does not say.

    prediction  as diffusers writes it, such as "v_prediction"
    zero_snr    it was trained down to noise alone
    latents     the mean and the standard deviation of its latents, a number a channel
    sigmas      the ends of its noise levels, as its scheduler's JSON calls them
    """

    prediction: str | None = None
    zero_snr: bool | None = None
    latents: tuple[tuple[float, ...], ...] = ()
    sigmas: Mapping[str, float] | None = None

    @classmethod
    def of(cls, file: StoredFile) -> Self:
        """Those in a file: tensors that are no weights, and its metadata; raises CheckpointError.

        `v_pred` and `ztsnr` are empty tensors of Forge's and ComfyUI's; `edm_mean` and `edm_std`
        are Playground v2.5's.
        """
        tensors = file.tensors
        said = (file.metadata.get(key, "").lower() for key in _PREDICTION_KEYS)
        prediction = next((_PREDICTIONS[word] for word in said if word in _PREDICTIONS), None)
        latents: tuple[tuple[float, ...], ...] = ()
        if {"edm_mean", "edm_std"} <= set(tensors):
            latents = (_numbers(tensors["edm_mean"]), _numbers(tensors["edm_std"]))
        sigmas = None
        if set(_COSXL_ENDS.values()) <= set(tensors):
            sigmas = {key: _numbers(tensors[name])[0] for key, name in _COSXL_ENDS.items()}
        return cls(
            "v_prediction" if "v_pred" in tensors else prediction,
            True if "ztsnr" in tensors else None,
            latents,
            sigmas,
        )

    def corrected(self, prediction: str | None, zero_snr: bool | None) -> "Markers":
        """The same, but for what is said more strongly elsewhere."""
        return replace(
            self,
            prediction=self.prediction if prediction is None else prediction,
            zero_snr=self.zero_snr if zero_snr is None else zero_snr,
        )

    def told(
        self, home: Path, told: Mapping[str, tuple[str, Json]], source: str
    ) -> dict[str, tuple[str, Json]]:
        """The JSON that they change, as `SdxlConfig.load` takes it.

        home    the folder with the JSON of a model like it
        told    what has been changed already
        source  whose markers they are, for an error
        """
        if self == Markers():
            return {}
        changed = {SCHEDULER_CONFIG: (source, self.schedule(read_json(home, SCHEDULER_CONFIG)))}
        if self.latents:
            _, vae = told.get(VAE_CONFIG) or ("", read_json(home, VAE_CONFIG))
            changed[VAE_CONFIG] = (source, self.autoencoder(vae))
        return changed

    def schedule(self, base: Json) -> Json:
        """`scheduler_config.json` of the model, from that of a model like it."""
        if self.latents:
            base = _PLAYGROUND
        elif self.sigmas:
            base = {**_COSXL, **self.sigmas}
        changes: dict[str, Any] = {}
        if self.prediction is not None:
            changes["prediction_type"] = self.prediction
        if self.zero_snr is not None:
            changes["rescale_betas_zero_snr"] = self.zero_snr
        if self.zero_snr:
            # Trained down to noise alone, it is drawn from there (Lin et al. 2023, section 3.3).
            changes["timestep_spacing"] = "trailing"
        return {**base, **changes}

    def autoencoder(self, base: Json) -> Json:
        """`vae/config.json` of the model, from that of a model like it."""
        mean, deviation = map(list, self.latents)
        return {
            **base,
            "latents_mean": mean,
            "latents_std": deviation,
            "scaling_factor": _PLAYGROUND_SCALING,
        }


def _numbers(tensor: StoredTensor) -> tuple[float, ...]:
    """A few numbers that a file holds as a tensor; raises CheckpointError."""
    if tensor.dtype not in DTYPES or not 1 <= math.prod(tensor.shape) <= _MAX_NUMBERS:
        raise CheckpointError(
            f"{tensor.path} says how it was trained with a tensor of type {tensor.dtype} and shape "
            f"{list(tensor.shape)}, which are not a few numbers. Fetch the model again."
        )
    return tuple(float(number) for number in tensor.read().reshape(-1))


def trigger_words(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """What a prompt should hold, as who trained a file says in its header."""
    phrase = plain(metadata.get("modelspec.trigger_phrase", ""))
    return tuple(filter(None, (word.strip() for word in phrase.split(","))))
