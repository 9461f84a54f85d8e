"""For scripts that were written for diffusers' removed `FlaxStableDiffusionXLPipeline`.

Such a script runs with only its imports changed:

    from sdxl_engine.compat import FlaxStableDiffusionXLPipeline, replicate

Token ids, keys and arrays have the shapes that they had. Underneath works `SdxlPipeline`, so that
another number of steps, guidance or prompt no longer compiles anything. What differs:

- `params` holds the engine's own arrangement of the weights, on every device from the start and in
  the dtype that suits it; `replicate` leaves them as they are.
- Sampling is Euler's method on the noise schedule of the model's files; `params["scheduler"]` is
  there to be left alone.
- A guidance scale up to 1 means no guidance. Limits are those of `ImageRequest`: 50 steps, say.
- Images are numpy arrays, in steps of 1/255. There is no `output_type` and no `return_dict`.
- Different prompts, or guidance scales, in one call are drawn one after the other.
- Keys give the noise they gave where `jax_threefry_partitionable` was on, as it is by default now.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from PIL import Image

from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.pipeline import SdxlPipeline
from sdxl_engine.programs.compiler import Weights
from sdxl_engine.request import MAX_IMAGES, ImageRequest

_SCHEDULER: Final = "scheduler"
# What is drawn is said by token ids alone.
_PLACEHOLDER: Final = "token ids"
_CHANNELS: Final = 3


@dataclass(frozen=True, slots=True)
class FlaxStableDiffusionXLPipelineOutput:
    """What a call returns.

    images  f32[devices, batch, h, w, 3] in 0..1, without the first axis if not `jit`
    """

    images: npt.NDArray[np.float32]


class FlaxStableDiffusionXLPipeline:
    """The removed class's interface over `SdxlPipeline`; made by `from_pretrained`."""

    def __init__(self, engine: SdxlPipeline) -> None:
        self._engine = engine
        self._warm: dict[tuple[int, int], int] = {}  # size -> most images at once

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str,
        *,
        revision: str | None = None,
        dtype: Any = None,  # noqa: ANN401 - whatever numpy takes for a dtype
        split_head_dim: bool = False,  # noqa: ARG003 - attention is the engine's own either way
    ) -> tuple[Self, dict[str, Any]]:
        """A pipeline, and its weights by the names of the model's parts, with a `scheduler` entry.

        pretrained_model_name_or_path
                        a folder in diffusers format with safetensors, or "owner/name"
        revision        branch, tag or commit of a Hugging Face repository
        dtype           float32 or bfloat16; by default what suits the devices
        split_head_dim  taken, and of no consequence

        Raises CheckpointError; InvalidRequestError for another dtype.
        """
        engine = SdxlPipeline.load(
            pretrained_model_name_or_path,
            revision=revision,
            dtype="auto" if dtype is None else np.dtype(dtype).name,
        )
        params: dict[str, Any] = dict(engine.weights._asdict())
        params[_SCHEDULER] = {"sigmas": engine.trained_sigmas}
        return cls(engine), params

    def prepare_inputs(self, prompt: str | Sequence[str]) -> npt.NDArray[np.int32]:
        """Token ids, i32[prompts, 2 encoders, tokens]; what the model does not read is cut off.

        Of the text as it stands: to the removed class brackets were words.
        """
        prompts = [prompt] if isinstance(prompt, str) else prompt
        return np.stack([self._engine.tokenizer.cut(each) for each in prompts])

    def __call__(
        self,
        prompt_ids: npt.ArrayLike,
        params: Mapping[str, Any],
        prng_seed: jax.Array,
        num_inference_steps: int = 50,
        guidance_scale: float | npt.ArrayLike = 7.5,
        height: int | None = None,
        width: int | None = None,
        latents: npt.ArrayLike | None = None,
        neg_prompt_ids: npt.ArrayLike | None = None,
        *,
        jit: bool = False,
    ) -> FlaxStableDiffusionXLPipelineOutput:
        """Draw; the first call of a size, or with more images than before, compiles.

        prompt_ids           i32[devices, batch, 2, tokens]; without the first axis if not `jit`
        params               from `from_pretrained`, perhaps cast and replicated
        prng_seed            a key a device, u32[devices, 2]; one key if not `jit`
        guidance_scale       one number, or one a device
        height, width        in pixels; the model's own by default
        latents              noise to start from instead of the keys', f32[..., channels, h, w]
        neg_prompt_ids       as prompt_ids; None conditions on zeros
        jit                  whether the arrays have an axis of devices

        Raises InvalidRequestError, DrawError.
        """
        ids = np.asarray(prompt_ids, np.int32)
        negative = None if neg_prompt_ids is None else np.asarray(neg_prompt_ids, np.int32)
        keys = jnp.asarray(prng_seed)
        if not jit:
            ids, keys = ids[None], keys[None]
            negative = None if negative is None else negative[None]
        self._check(ids, negative, keys)
        devices, batch = ids.shape[:2]
        count = devices * batch
        native_width, native_height = self._engine.native_size
        size = (width or native_width, height or native_height)
        if latents is None:
            noise = self._noise(keys, batch, size)
        else:
            noise = np.asarray(latents, np.float32)
            self._check_latents(noise, count, size)
        noise = np.moveaxis(noise.reshape(count, *noise.shape[-3:]), 1, -1)
        scales = np.broadcast_to(
            np.asarray(guidance_scale, np.float64).reshape(-1, 1), (devices, batch)
        ).reshape(count)

        # One request draws one prompt with one guidance scale.
        alike: dict[tuple[bytes, bytes, float], list[int]] = {}
        rows = ids.reshape(count, *ids.shape[2:])
        negative_rows = rows if negative is None else negative.reshape(rows.shape)
        for place in range(count):
            key = rows[place].tobytes(), negative_rows[place].tobytes(), float(scales[place])
            alike.setdefault(key, []).append(place)
        most = max(len(places) for places in alike.values())
        engine = self._warm_engine(params, size, min(most, MAX_IMAGES))
        images = np.empty((count, size[1], size[0], _CHANNELS), np.float32)
        for places in alike.values():
            for first in range(0, len(places), MAX_IMAGES):
                chosen = places[first : first + MAX_IMAGES]
                request = ImageRequest(
                    _PLACEHOLDER,
                    None if negative is None else _PLACEHOLDER,
                    num_inference_steps=num_inference_steps,
                    guidance_scale=float(scales[chosen[0]]),
                    width_px=size[0],
                    height_px=size[1],
                    num_images=len(chosen),
                )
                token_ids = np.stack([negative_rows[chosen[0]], rows[chosen[0]]])
                images[chosen] = _draw(engine, request, token_ids, noise[chosen])
        images = images.reshape(devices, batch, *images.shape[1:])
        return FlaxStableDiffusionXLPipelineOutput(images if jit else images[0])

    @staticmethod
    def numpy_to_pil(images: npt.NDArray[np.floating[Any]]) -> list[Image.Image]:
        """Pictures of numbers in 0..1, [n, h, w, 3] or [h, w, 3]."""
        batch = images[None] if images.ndim == _CHANNELS else images
        return [Image.fromarray(each) for each in (batch * 255).round().astype(np.uint8)]

    def _check(
        self, ids: npt.NDArray[np.int32], negative: npt.NDArray[np.int32] | None, keys: jax.Array
    ) -> None:
        tokens = self._engine.tokenizer.max_tokens
        if ids.ndim != 4 or ids.shape[2:] != (2, tokens):  # noqa: PLR2004 - devices, batch, encoders, tokens
            raise InvalidRequestError(
                f"prompt_ids must be (devices, batch, 2, {tokens}) with jit=True, "
                f"(batch, 2, {tokens}) without, not {ids.shape}. Take them from prepare_inputs, "
                "and with jit=True through replicate."
            )
        if negative is not None and negative.shape != ids.shape:
            raise InvalidRequestError(
                f"neg_prompt_ids are {negative.shape}; they must be {ids.shape}, as prompt_ids."
            )
        if len(keys) != len(ids):
            raise InvalidRequestError(
                f"{len(keys)} keys for {len(ids)} devices: split the key into one for each."
            )

    def _check_latents(
        self, noise: npt.NDArray[np.float32], count: int, size: tuple[int, int]
    ) -> None:
        height, width, channels = self._engine.latent_shape(*size)
        one = (channels, height, width)
        if noise.shape[-3:] != one or noise.size != count * math.prod(one):
            raise InvalidRequestError(
                f"The latents are {noise.shape}; they must be (..., {', '.join(map(str, one))}) "
                f"for {count} images."
            )

    def _noise(self, keys: jax.Array, batch: int, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """What the removed class drew from a device's key, f32[devices, batch, channels, h, w]."""
        height, width, channels = self._engine.latent_shape(*size)
        shape = (batch, channels, height, width)
        return np.stack([np.asarray(jax.random.normal(key, shape, jnp.float32)) for key in keys])

    def _warm_engine(
        self, params: Mapping[str, Any], size: tuple[int, int], count: int
    ) -> SdxlPipeline:
        """The engine with these weights, compiled for so many images of this size."""
        weights = Weights(*(params[part] for part in Weights._fields))
        if not _is_same(weights, self._engine.weights):
            self._engine = self._engine.with_weights(weights)
            self._warm = {}
        if self._warm.get(size, 0) < count:
            self._engine.warm_up([size], num_images=count)
            self._warm[size] = count
        return self._engine


def _is_same(given: Weights, held: Weights) -> bool:
    pairs = zip(jax.tree.leaves(given), jax.tree.leaves(held), strict=True)
    return all(one is other for one, other in pairs)


def _draw(
    engine: SdxlPipeline,
    request: ImageRequest,
    token_ids: npt.NDArray[np.int32],
    noise: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    *_, last = engine.generate(request, token_ids=token_ids, latents=noise)
    assert last.fetch is not None  # noqa: S101 - the engine's promise
    shape = (request.height_px, request.width_px, _CHANNELS)
    levels = [np.frombuffer(image.rgb, np.uint8).reshape(shape) for image in last.fetch()]
    return np.stack(levels).astype(np.float32) / np.float32(255)


def replicate(tree: Any) -> Any:  # noqa: ANN401 - any pytree
    """In place of `flax.jax_utils.replicate`.

    Weights are on every device already and stay as they are; arrays get a first axis of devices.
    """
    if isinstance(tree, Mapping) and set(Weights._fields) <= tree.keys():
        return tree
    count = jax.local_device_count()
    return jax.tree.map(lambda array: np.stack([np.asarray(array)] * count), tree)
