"""Portraits by the programs of their landscapes, against programs compiled for portraits."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, strategies
from hypothesis.extra.numpy import arrays

from sdxl_engine import ImageRequest, SdxlPipeline
from sdxl_engine.models.layers import (
    PLAIN,
    Conv,
    DoublingConv,
    FeatureMap,
    KernelLayout,
    Target,
    quarter_kernels,
    transposed_kernel,
)
from sdxl_engine.programs import compiler
from sdxl_engine.programs.compiler import Needs, Program
from sdxl_engine.programs.upright import ForTransposed, spatial, transposed_kernels
from sdxl_engine.request import AROUND, Picture, Source, Variation
from tests.sdxl_engine.conftest import GOLDENS, Array, CompileCounter, assert_within, drawn

LAYOUTS: tuple[KernelLayout, ...] = "HWIO", "OHWI"
SIZE = 64, 96
PICTURE = Picture(
    "a" * 64,
    48,
    40,
    np.random.default_rng(0).integers(256, size=(40, 48, 4), dtype=np.uint8).tobytes(),
)


# Layers


@given(arrays(np.float32, (3, 3, 2, 3), elements=strategies.integers(-99, 99).map(float)))
def test_quarters_of_a_transposed_kernel(kernel: Array) -> None:
    expected = quarter_kernels(kernel.swapaxes(0, 1))
    np.testing.assert_array_equal(
        transposed_kernel(jnp.asarray(quarter_kernels(kernel)), "HWIO"), expected
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "make",
    [
        lambda target: Conv(2, 3, target=target),
        lambda target: Conv(2, 3, stride=2, target=target),
        # As on the autoencoder's way down: nothing above and to the left.
        lambda target: Conv(2, 3, stride=2, padding=(0, 1), target=target),
        lambda target: Conv(2, 3, 1, target=target),
        lambda target: DoublingConv(3, target),
    ],
    ids=["same", "half", "half of the vae", "one", "double"],
)
def test_a_transposed_picture(layout: KernelLayout, make: Callable[[Target], nnx.Module]) -> None:
    """Of either layout, under kernels that are transposed where `spatial` finds some."""
    layer = make(Target(kernels=layout))
    draw = np.random.default_rng(0)

    def numbers(leaf: Any) -> jax.Array:
        return jnp.asarray(draw.standard_normal(leaf.shape), jnp.float32)

    definition, shapes = nnx.split(layer)
    weights = jax.tree.map(numbers, shapes)
    channels = 3 if isinstance(layer, DoublingConv) else 2
    x = numbers(np.empty((1, 6, 4, channels)))
    places = spatial(weights, layout)
    of_one_pixel = isinstance(layer, Conv) and layer.kernel.size == channels * 3
    assert len(places) == (not of_one_pixel)
    turn = ForTransposed(places, lambda kernels: transposed_kernels(layout, kernels))
    turned = turn(weights)
    for place, (old, new) in enumerate(
        zip(jax.tree.leaves(weights), jax.tree.leaves(turned), strict=True)
    ):
        assert (old is new) == (place not in places)  # nothing else is copied

    def apply(weights: Any, x: jax.Array) -> jax.Array:
        result: jax.Array | FeatureMap = nnx.merge(definition, weights)(x)
        return result.pixels if isinstance(result, FeatureMap) else result

    upright = apply(weights, x)
    assert_within(apply(turned, x.swapaxes(1, 2)).swapaxes(1, 2), np.asarray(upright), 1e-6)
    if places:
        with pytest.raises(AssertionError, match="differs"):
            assert_within(
                apply(weights, x.swapaxes(1, 2)).swapaxes(1, 2), np.asarray(upright), 1e-2
            )


# Whole pipelines


Both = tuple[SdxlPipeline, SdxlPipeline]


def warm(folder: Path, target: Target) -> Both:
    """The model of a folder, twice: portraits are its landscapes' work, or have their own programs.

    Seconds each.
    """
    # Guidance tells nothing of portraits that one more large program would be worth.
    needs = Needs.everything(chunks=1)
    needs = replace(needs, names=needs.names - {"unguided"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Target, "of", lambda _: target)
        both = tuple(SdxlPipeline.load(str(folder), devices=jax.devices()[:1]) for _ in range(2))
        both[0]._warm_up([SIZE], 2, needs)
        patch.setattr(compiler, "_lying", lambda width_px, height_px: (width_px, height_px))
        both[1]._warm_up([SIZE], 2, needs)
    return both[0], both[1]


@pytest.fixture(scope="module")
def four_channels() -> Both:
    return warm(GOLDENS / "tiny_a", PLAIN)


@pytest.fixture(scope="module")
def nine_channels(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """An inpainting model, laid out as for TPUs and GPUs."""
    folder = tmp_path_factory.mktemp("model")
    others = shutil.ignore_patterns("unet", "golden*")
    shutil.copytree(GOLDENS / "tiny_a", folder, ignore=others, dirs_exist_ok=True)
    shutil.copytree(GOLDENS / "variants" / "inpainting" / "unet", folder / "unet")
    return warm(folder, Target(stacked=True, one_by_one=True, kernels="OHWI"))


def request_of(**changes: Any) -> ImageRequest:
    settings = {"num_inference_steps": 5, "seed": 3, "num_images": 2, **changes}
    return ImageRequest("a red circle", "blue", width_px=SIZE[0], height_px=SIZE[1], **settings)


OUTPAINTED = Source(PICTURE.digest, 0.8, zoom=1.5, mask=AROUND)
CASES: dict[str, dict[str, Any]] = {
    "euler": {"sampler": "euler"},
    "varied": {"sampler": "euler_ancestral", "variation": Variation(9, 0.3)},
    "from a picture": {"sampler": "dpmpp_sde", "source": Source(PICTURE.digest, 0.6)},
    "outpainted": {"sampler": "dpmpp_3m_sde", "source": OUTPAINTED},
    "outpainted anew": {"sampler": "lcm", "source": replace(OUTPAINTED, strength=1.0)},
}
UPSCALED = {"sampler": "euler_ancestral", "source": Source(PICTURE.digest, 0.6), "upscale": 1.5}
# The name in front keeps all that share a fixture with one worker.
RUNS = [
    pytest.param(model, case, id=f"tiny_a-{model}-{name}")
    for model in ("four_channels", "nine_channels")
    for name, case in CASES.items()
    if model == "four_channels" or "source" in case
]


@pytest.mark.parametrize(
    ("model", "changes"), [*RUNS, pytest.param("four_channels", UPSCALED, id="tiny_a-upscaled")]
)
def test_a_portrait_is_drawn_as_by_programs_of_its_own(
    request: pytest.FixtureRequest, compiles: CompileCounter, model: str, changes: dict[str, Any]
) -> None:
    both: Both = request.getfixturevalue(model)
    wanted = request_of(**changes)
    compiled, pictures = compiles.count, {PICTURE.digest: PICTURE}
    drawn_by = []
    for pipeline in both:
        reports = list(pipeline.generate(wanted, pictures=pictures, previews=True))
        previews = [one for report in reports for one in report.previews]
        images = drawn(reports)
        assert {(one.width_px, one.height_px) for one in images} == {wanted.result_px}
        assert {(one.width_px, one.height_px) for one in previews} <= {(8, 12)}
        assert bool(previews) != bool(wanted.upscale)
        levels = [np.frombuffer(one.rgb, np.uint8).astype(int) for one in (*images, *previews)]
        drawn_by.append(np.concatenate(levels))
    assert drawn_by[1].std() > 10
    # A number on the edge of two levels may fall to either.
    assert np.abs(drawn_by[0] - drawn_by[1]).max() <= 1
    assert compiles.count == compiled


@pytest.mark.parametrize("brought", [False, True], ids=["", "latents"])
@pytest.mark.parametrize(("model", "changes"), RUNS)
def test_its_latents_are_a_portraits(
    request: pytest.FixtureRequest, model: str, changes: dict[str, Any], *, brought: bool
) -> None:
    both: Both = request.getfixturevalue(model)
    wanted, noise = request_of(**changes), None
    if brought:
        shape = wanted.num_images, *both[0].latent_shape(*SIZE)
        noise = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    samples = []
    for pipeline in both:
        steps = pipeline.denoise(wanted, pictures={PICTURE.digest: PICTURE}, latents=noise)
        samples.append([jax.tree.map(np.asarray, sample) for _, sample in steps])
    assert len(samples[0]) > 1
    for own, others in zip(*(jax.tree.leaves(each) for each in samples), strict=True):
        assert own.shape == (2, 12, 8, 4)
        # Some of what is remembered is nothing but rounding.
        assert np.abs(own - others).max() <= 1e-4 * max(np.abs(others).max(), 1)


@pytest.mark.parametrize("model", ["four_channels"], ids=["tiny_a"])
def test_the_memory_of_a_portrait_has_its_kernels(
    request: pytest.FixtureRequest, model: str
) -> None:
    both: Both = request.getfixturevalue(model)
    by_landscape, alone = (pipeline.working_bytes for pipeline in both)
    own = both[0].programs[SIZE]
    assert isinstance(own.unet, ForTransposed)
    leaves = jax.tree.leaves(both[0].weights.unet)
    kernels = sum(leaves[place].nbytes for place in own.unet.places)
    assert kernels > 0
    assert by_landscape >= alone + kernels


# What is compiled


def test_nine_sizes_are_drawn_by_the_programs_of_five(monkeypatch: pytest.MonkeyPatch) -> None:
    """SDXL's own are as these: a square, and four landscapes with their portraits."""
    pipeline = SdxlPipeline.load(str(GOLDENS / "tiny_a"), devices=jax.devices()[:1])
    landscapes = [(96, 64), (128, 64), (128, 96), (160, 64)]
    sizes = [(64, 64), *landscapes, *(size[::-1] for size in landscapes)]
    compiled: list[Program] = []

    def compile_(program: Program) -> Mock:
        compiled.append(program)
        return Mock(out_info=None)

    monkeypatch.setattr(pipeline, "_compiled", compile_)
    pipeline.warm_up(sizes)
    assert pipeline.sizes == tuple(sizes)
    assert Counter(program.name for program in compiled) == {
        "read": 2,  # an encoder each
        "condition": 1,
        "denoise": 2 * 5,  # guided and not
        "encode_picture": 5,
        "decode": 5,
        "begin": 9,
        "preview": 9,
        "transposed": 4 * 6,  # of three programs what they are given and what they return
        "transposed_kernels": 2,  # of the UNet and of the VAE
    }
    for landscape in landscapes:
        lying, upright = (pipeline.programs[size] for size in (landscape, landscape[::-1]))
        assert upright.decode.lying is lying.decode  # type: ignore[attr-defined] # `Upright`


def test_one_portrait_needs_no_more_than_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = SdxlPipeline.load(str(GOLDENS / "tiny_a"), devices=jax.devices()[:1])
    compiled: list[str] = []

    def compile_(program: Program) -> Mock:
        compiled.append(program.name)
        return Mock(out_info=None)

    monkeypatch.setattr(pipeline, "_compiled", compile_)
    pipeline.warm_up_for([request_of()])
    transposing = ["transposed"] * 4 + ["transposed_kernels"] * 2
    encode = ["read", "read", "condition"]
    assert sorted(compiled) == sorted([*encode, "denoise", "begin", "decode", *transposing])
