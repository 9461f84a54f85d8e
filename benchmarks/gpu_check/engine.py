"""SDXL in full size on one device, with random weights, as the engine draws a request with it."""

import math
import statistics
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.gpu_check.setting import DEVIATION, Part, failure
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.drawing import Drawing
from sdxl_engine.errors import DrawError
from sdxl_engine.models.layers import Target
from sdxl_engine.programs.compiler import (
    Compiler,
    EncodePrograms,
    Networks,
    Program,
    SizePrograms,
    TextPrograms,
    Weights,
    make_mesh,
    replicated,
    weights_dtype,
)
from sdxl_engine.request import ImageRequest
from sdxl_engine.sampling.samplers import make_schedule
from sdxl_engine.spans import Span

_SAMPLER: Final = "euler"
_GUIDANCE_SCALE: Final = 5.0
_BUSIEST: Final = 14  # kernels of the profile
_NAME: Final = 60  # characters of theirs
_LEFT_S: Final = 60.0  # for what no request of this check needs


def run(part: Part) -> None:
    """Compile and draw; where that fails, without cuDNN's attention, then one image at a time."""
    device = jax.local_devices()[0]
    config = SdxlConfig.load(part.setting.model)
    target = Target.of(device)
    dtype = weights_dtype("auto", device.platform)
    begin_s = time.perf_counter()
    weights = random_weights(Networks.build(config, target), dtype, device)
    jax.block_until_ready(weights)
    part.tell(
        dtype=dtype.name,
        weights_s=round(time.perf_counter() - begin_s, 1),
        weights_bytes=sum(leaf.nbytes for leaf in jax.tree.leaves(weights)),
        size_px=part.setting.size_px,
        steps=part.setting.steps,
    )
    formula = replace(target, attention="xla")
    ways = dict.fromkeys(
        [(target, part.setting.images), (formula, part.setting.images), (formula, 1)]
    )
    refused = []
    for own, images in ways:
        try:
            _Size(part, config, own, weights, device, images).measure()
        except Exception as error:  # noqa: BLE001 - another way may do
            way = f"{images} images, attention {own.attention}"
            refused.append({"way": way, **failure(error)})
            part.tell(refused=refused)
        else:
            return
    raise RuntimeError("No way of drawing worked; see `refused`.")


def random_weights(networks: Networks, dtype: np.dtype[Any], device: jax.Device) -> Weights:
    """Made where they will be used: norms at one, all else so small that nothing overflows."""
    everywhere = replicated([device])
    # The hardware's own generator: jax's usual one would be minutes of compiling.
    key = jax.random.key(0, impl="rbg")

    @cache
    def filled(shape: tuple[int, ...]) -> Any:
        def fill(key: jax.Array) -> jax.Array:
            return (DEVIATION * jax.random.normal(key, shape, jnp.float32)).astype(dtype)

        return jax.jit(fill, out_shardings=everywhere)

    def state(network: nnx.Module) -> Any:
        nonlocal key
        made = []
        for path, leaf in nnx.to_flat_state(nnx.state(network, nnx.Param)):
            key, own = jax.random.split(key)
            ones = path[-1] == "scale"
            array = (
                jax.device_put(jnp.ones(leaf.shape, dtype), everywhere)
                if ones
                else filled(tuple(leaf.shape))(own)
            )
            made.append((path, nnx.Param(array)))
        return nnx.from_flat_state(made)

    return Weights(*(state(getattr(networks, name)) for name in Weights._fields))


class _Size:
    """One image size and number of images, with one way of attending."""

    def __init__(
        self,
        part: Part,
        config: SdxlConfig,
        target: Target,
        weights: Weights,
        device: jax.Device,
        images: int,
    ) -> None:
        self._part, self._config, self._weights, self._device = part, config, weights, device
        self._images = images
        networks = Networks.build(config, target)
        self._compiler = Compiler(config, networks, weights, [device])
        part.tell(attention=target.attention, kernels=target.kernels, images=images)
        self._compile_s: dict[str, float] = {}

    def measure(self) -> None:
        """Everything, the most telling first."""
        size = (*self._part.setting.size_px, self._images)
        denoise, rest = self._compiler.denoise(*size), self._compiler.size(*size)
        programs = {name: rest.pop(name) for name in ("begin", "decode")}
        # A model that is told its guidance has one program for both.
        guided = "guided" if "guided" in denoise else "told"
        programs = {"guided": denoise.pop(guided), **self._compiler.encode(), **programs}
        compiled = {name: self._compiled(name, program) for name, program in programs.items()}
        encode = EncodePrograms(*(compiled[name] for name in EncodePrograms._fields))
        mesh = make_mesh([self._device], self._images)
        ready = SizePrograms(
            num_images=self._images,
            most_images=self._images,
            by_image=jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("images")),
            texts={1: TextPrograms.of(encode, {guided: compiled["guided"]})},
            begin=compiled["begin"],
            decode=compiled["decode"],
            # Nobody here brings a picture or looks at a preview.
            encode_picture=compiled["decode"],
            preview=compiled["decode"],
        )
        self._draw(ready)
        self._part.attempt("busiest", lambda: self._profile(ready))
        for name, program in {**denoise, **rest}.items():
            if self._part.left_s > _LEFT_S:
                self._compiled(name, program)

    def _compiled(self, name: str, program: Program) -> Any:
        begin_s = time.perf_counter()
        compiled = program.compile()
        self._compile_s[name] = round(time.perf_counter() - begin_s, 1)
        memory = compiled.memory_analysis()
        self._part.tell(
            compile_s=self._compile_s,
            **{f"{name}_temporary_bytes": memory.temp_size_in_bytes} if memory else {},
        )
        return compiled

    def _drawing(self, ready: SizePrograms, steps: int) -> Drawing:
        """A request as the pipeline has it drawn, of words that are no matter."""
        width_px, height_px = self._part.setting.size_px
        request = ImageRequest(
            "any",
            width_px=width_px,
            height_px=height_px,
            num_images=self._images,
            num_inference_steps=steps,
            guidance_scale=_GUIDANCE_SCALE,
            sampler=_SAMPLER,
        )
        config = self._config
        tokens = config.text_encoder.max_position_embeddings
        factor = config.vae.scale_factor
        return Drawing(
            request=request,
            programs=ready,
            weights=self._weights,
            schedule=make_schedule(config.scheduler, _SAMPLER, None, steps),
            spans=(Span.of_tokens(np.zeros((2, 2, tokens), np.int32), steps),),
            keep_negative=True,
            clip_skip=config.text_encoder.clip_skip,
            empty=np.zeros((2, tokens), np.int32),
            canvas=None,
            shape=(height_px // factor, width_px // factor, config.vae.latent_channels),
            inpaints=False,
            everywhere=self._compiler.replicated,
            picture_check=None,
        )

    def _draw(self, ready: SizePrograms) -> None:
        """Requests one after the other, the first of which is not counted."""
        setting, rounds = self._part.setting, []
        for place in range(1 + setting.rounds):
            drawing = self._drawing(ready, setting.steps)
            times_s = [time.perf_counter()]
            jax.block_until_ready(drawing.said_at(0)[1])
            times_s.append(time.perf_counter())
            *_, (_, sample) = drawing.denoise()
            times_s.append(time.perf_counter())
            try:
                drawing.decode(sample.latents)()
            except DrawError as error:  # its time is as good
                self._part.tell(no_picture=str(error))
            times_s.append(time.perf_counter())
            if place == 0:
                self._part.tell(first_request_s=round(times_s[-1] - times_s[0], 3))
                continue
            rounds.append([*np.diff(times_s), times_s[-1] - times_s[0]])
            encode_s, denoise_s, decode_s, request_s = map(
                statistics.median, zip(*rounds, strict=True)
            )
            step_s = denoise_s / setting.steps
            self._part.tell(
                rounds=place,
                request_s=round(request_s, 4),
                encode_ms=round(encode_s * 1e3, 3),
                step_ms=round(step_s * 1e3, 3),
                decode_ms=round(decode_s * 1e3, 3),
                peak_bytes=(self._device.memory_stats() or {}).get("peak_bytes_in_use"),
            )
            if setting.step_tflop and setting.decode_tflop:
                step, decode = (
                    2 * self._images * setting.step_tflop,
                    self._images * setting.decode_tflop,
                )
                self._part.tell(
                    step_tflop_per_s=round(step / step_s, 1),
                    decode_tflop_per_s=round(decode / decode_s, 1),
                    request_tflop_per_s=round((setting.steps * step + decode) / request_s, 1),
                )

    def _profile(self, ready: SizePrograms) -> list[dict[str, Any]]:
        """The kernels of one step that take longest, by jax's own trace."""
        with tempfile.TemporaryDirectory() as folder:
            drawing = self._drawing(ready, 1)
            jax.block_until_ready(drawing.said_at(0)[1])
            with jax.profiler.trace(folder):
                for _, sample in drawing.denoise():
                    sample.latents.block_until_ready()
            files = sorted(Path(folder).rglob("*.xplane.pb"))
            times_ns: dict[str, list[float]] = {}
            seen = []
            for plane in jax.profiler.ProfileData.from_file(str(files[0])).planes:
                # On a CPU there is no such plane: its kernels lie among its threads.
                for line in plane.lines if plane.name.startswith("/device:GPU") else ():
                    seen.append(line.name)
                    for event in line.events if line.name.startswith("Stream") else ():
                        times_ns.setdefault(event.name, []).append(event.duration_ns)
            if seen and not times_ns:
                raise RuntimeError(f"The trace has no stream with kernels, but: {seen}.")
        total_ns = math.fsum(map(math.fsum, times_ns.values()))
        by_time = sorted(times_ns.items(), key=lambda item: -sum(item[1]))[:_BUSIEST]
        return [
            {
                "kernel": name[:_NAME],
                "calls": len(own),
                "ms": round(sum(own) / 1e6, 3),
                "share": round(sum(own) / total_ns, 4),
            }
            for name, own in by_time
        ]
