"""What gives way where a device's memory is short, and that pictures stay what they are."""

import shutil
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from sdxl_engine import ImageRequest, Lora, SdxlPipeline
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.hub import sdxl_base
from sdxl_engine.devices import OUTSIDE_BYTES, POOL_SHARE, memory_bytes, pool_share
from sdxl_engine.drawing import Drawing
from sdxl_engine.memory import CHECK, EVERYTHING, TEXT, UNET, VAE, WORDS, Memory, Offer, group_of
from sdxl_engine.model_set import ModelSet
from sdxl_engine.models.layers import GPU, TPU, Target
from sdxl_engine.picture_check import PictureCheck
from sdxl_engine.picture_worker import digest_of
from sdxl_engine.programs.compiler import Alone, Networks, working_bytes
from sdxl_engine.request import MAX_CHUNKS, Images, Picture, Source, Variation
from tests.sdxl_engine.conftest import GOLDENS, CompileCounter, drawn
from tests.sdxl_engine.lora.writing import KINDS, write

MODEL, CHECKS = GOLDENS / "tiny_a", GOLDENS / "checks"
SIZE = 192, 128  # of which the longer side is two tiles
LIKE = ImageRequest(
    "a red circle", width_px=192, height_px=128, num_images=3, num_inference_steps=3, seed=7
)
GB = 10**9


def loaded(limit_bytes: int | None, loras: Path, devices: int = 1) -> SdxlPipeline:
    some = jax.devices()[:devices]
    return SdxlPipeline.load(
        str(MODEL),
        devices=some,
        memory_bytes=limit_bytes,
        offer=Offer((SIZE,), 3),
        loras=loras,
        picture_check=PictureCheck.load(str(CHECKS / "classifier"), devices=some),
    )


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    write(folder / "one.safetensors", MODEL, KINDS["lora"], seed=1)
    return folder


@pytest.fixture(scope="module")
def ample(shelf: Path) -> SdxlPipeline:
    pipeline = loaded(None, shelf)
    pipeline.warm_up([SIZE], num_images=3)
    return pipeline


@pytest.fixture(scope="module")
def short(shelf: Path) -> SdxlPipeline:
    """Of which as little is on the device as can be."""
    pipeline = loaded(1, shelf)
    pipeline.warm_up([SIZE], num_images=3)
    return pipeline


def levels(images: Images) -> np.ndarray[Any, Any]:
    return np.stack([np.frombuffer(image.rgb, np.uint8) for image in images]).astype(int)


def on_the_device(pipeline: SdxlPipeline) -> set[str]:
    assert pipeline.picture_check is not None
    looking = set() if pipeline.picture_check.visits else {CHECK}
    return looking | {
        group_of(part, path)
        for part, state in zip(pipeline.weights._fields, pipeline.weights, strict=True)
        for path, leaf in nnx.to_flat_state(state)
        if isinstance(leaf.get_value(), jax.Array)
    }


# Over 2 s of CPU: two models are compiled, with all that people may ask for.
def test_pictures_are_alike_image_by_image_with_weights_that_visit(
    ample: SdxlPipeline, short: SdxlPipeline, compiles: CompileCounter
) -> None:
    assert (ample.programs[SIZE].num_images, short.programs[SIZE].num_images) == (3, 1)
    assert on_the_device(ample) == EVERYTHING
    assert on_the_device(short) == {UNET}
    before = compiles.count
    whole, one_by_one = (drawn(each.generate(LIKE)) for each in (ample, short))
    # In tiles of a model that was never trained: nothing is smooth.
    assert np.abs(levels(whole) - levels(one_by_one)).mean() < 5
    assert [image.index for image in one_by_one] == [0, 1, 2]
    for one, other in zip(whole, one_by_one, strict=True):
        assert one.scores is not None
        assert other.scores == pytest.approx(one.scores, abs=0.02)
    assert on_the_device(short) == {UNET}
    assert compiles.count == before


def test_what_visits_has_the_device_for_itself(ample: SdxlPipeline, short: SdxlPipeline) -> None:
    for pipeline in (ample, short):
        assert pipeline.picture_check is not None
        programs = [
            *pipeline.programs[SIZE].by_name().values(),
            *pipeline.picture_check._look.values(),
        ]
        assert [isinstance(one, Alone) for one in programs] == [pipeline is short] * len(programs)
    # By the compiler, with what visits: more than the same programs work in.
    assert short.working_bytes > max(map(working_bytes, short.programs[SIZE].by_name().values()))


# Over 2 s of CPU: one request's programs are compiled for two devices.
def test_groups_of_images_on_several_devices(ample: SdxlPipeline, shelf: Path) -> None:
    short = loaded(1, shelf, devices=2)
    request = replace(LIKE, variation=Variation(99, 0.3, index=1), first_index=2)
    short.warm_up_for([request])
    assert short.programs[SIZE].num_images == 2
    images = drawn(short.generate(request))
    assert [image.index for image in images] == [2, 3, 4]
    whole = drawn(ample.generate(request))
    assert np.abs(levels(whole) - levels(images)).mean() < 5


# Over 2 s of CPU: a model is compiled.
def test_of_several_models_one_that_is_short_makes_all_take_turns(shelf: Path) -> None:
    check = PictureCheck.load(str(CHECKS / "classifier"), devices=jax.devices()[:1])

    def load(folder: Path, limit_bytes: int | None) -> SdxlPipeline:
        return SdxlPipeline.load(
            str(folder), devices=jax.devices()[:1], memory_bytes=limit_bytes, picture_check=check
        )

    twin = shelf / "twin"
    shutil.copytree(MODEL, twin)
    models = ModelSet([lambda _: load(MODEL, None), lambda _: load(twin, 1)], None)
    models.warm_up([(64, 64)], num_images=1)
    assert check.visits
    every = [one for model in models._by_name.values() for one in model.programs.values()]
    programs = [*every[0].by_name().values(), *every[1].by_name().values(), *check._look.values()]
    assert all(isinstance(one, Alone) for one in programs)
    request = replace(LIKE, width_px=64, height_px=64, num_images=1)
    first, second = (
        drawn(models.generate(replace(request, model=name)))[0] for name in models.models
    )
    assert first.rgb == second.rgb


def test_the_samples_before_the_decoder_are_equal(ample: SdxlPipeline, short: SdxlPipeline) -> None:
    first = replace(LIKE, num_images=1)
    *_, (_, whole) = ample.denoise(LIKE)
    *_, (_, alone) = short.denoise(first)
    np.testing.assert_allclose(alone.latents[0], whole.latents[0], atol=1e-4, rtol=1e-4)


def test_progress_never_goes_back(short: SdxlPipeline) -> None:
    reports = list(short.generate(LIKE, previews=True))
    steps = [report.step for report in reports]
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] == 3
    assert all(step < 3 for step in steps[:-1])
    # The picture check would have to come for each.
    assert not any(report.previews for report in reports)


def test_previews_become_more(ample: SdxlPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = ample.programs[SIZE]
    one_by_one = [
        replace(LIKE, num_images=1, first_index=index) for index in range(LIKE.num_images)
    ]
    monkeypatch.setattr(
        Drawing, "parts", lambda whole: [replace(whole, request=one) for one in one_by_one]
    )
    assert programs.num_images == 3
    reports = list(ample.generate(LIKE, previews=True))
    counts = [len(report.previews) for report in reports[1:-1]]
    assert counts == sorted(counts)
    assert set(counts) == {1, 2, 3}
    assert [image.index for image in reports[-2].previews] == [0, 1, 2]
    assert levels(drawn(ample.generate(LIKE))).shape[0] == 3


def test_an_upscale_has_all_its_images(ample: SdxlPipeline, short: SdxlPipeline) -> None:
    (image,) = drawn(ample.generate(replace(LIKE, num_images=1)))
    rgba = np.full((image.height_px, image.width_px, 4), 255, np.uint8)
    rgba[..., :3] = np.frombuffer(image.rgb, np.uint8).reshape(*rgba.shape[:2], 3)
    digest = digest_of(image.width_px, image.height_px, rgba.tobytes()).hex()
    picture = Picture(digest, image.width_px, image.height_px, rgba.tobytes())
    request = replace(LIKE, source=Source(digest, 0.7), upscale=1.5)
    reports = list(short.generate(request, pictures={digest: picture}))
    steps = [report.step for report in reports]
    assert steps == sorted(steps)
    images = drawn(reports)
    assert [image.index for image in images] == [0, 1, 2]
    assert len({image.rgb for image in images}) == 3


def test_a_lora_comes_and_goes_where_the_weights_live(short: SdxlPipeline) -> None:
    plain = levels(drawn(short.generate(LIKE)))
    with_it = levels(drawn(short.generate(replace(LIKE, loras=(Lora("one"),)))))
    assert (with_it != plain).any()
    assert on_the_device(short) == {UNET}
    short.leave()
    assert on_the_device(short) == set()
    short.arrive()
    assert on_the_device(short) == {UNET}
    np.testing.assert_array_equal(levels(drawn(short.generate(LIKE))), plain)


def test_a_step_takes_nothing_of_what_visits(ample: SdxlPipeline) -> None:
    """Nor does `condition` of what stays: each group has all that its programs read."""
    compiler, unet = ample._compiler, ample.weights.unet
    programs = {**compiler.encode(), **compiler.denoise(64, 64, 1)}
    for name, own in (("guided", UNET), ("condition", TEXT)):
        program = programs[name]
        poisoned = nnx.from_flat_state(
            (path, leaf if group_of("unet", path) == own else jnp.full_like(leaf, jnp.nan))
            for path, leaf in ((path, leaf.get_value()) for path, leaf in nnx.to_flat_state(unet))
        )
        arguments = [
            poisoned
            if isinstance(one, nnx.State)
            else jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), one)
            for one in program.arguments
        ]
        results = jax.jit(program.function)(*arguments)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results)), name


def test_one_at_a_time() -> None:
    inside, seen, go_on = [], [], threading.Event()
    entered = threading.Event()

    def program(name: str) -> str:
        inside.append(name)
        seen.append(len(inside))
        if name == "first":
            entered.set()
            go_on.wait(10)
        inside.remove(name)
        return name

    alone = Alone(program), Alone(program)
    threads = [
        threading.Thread(target=one, args=(name,))
        for one, name in zip(alone, ("first", "second"), strict=True)
    ]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert seen == [1, 1]


@cache
def _sdxl(target: Target) -> Memory:
    config = SdxlConfig.load(sdxl_base())
    bfloat16 = np.dtype(jnp.bfloat16)
    networks = Networks.build(config, target)
    sizes = networks.size_bytes(bfloat16)
    sizes["picture check", CHECK] = 608 * 10**6
    turned_bytes = networks.kernels_bytes(bfloat16)
    return Memory(config, target, bfloat16, sizes, Offer(chunks=MAX_CHUNKS), turned_bytes)


def sdxl(target: Target, limit_bytes: int | None, offer: Offer | None = None) -> Memory:
    memory = _sdxl(target)
    return replace(memory, limit_bytes=limit_bytes, offer=offer or memory.offer)


OLD = replace(GPU, attention="xla")  # a GPU before Ampere


@pytest.mark.parametrize(
    ("target", "limit_gb", "visitors", "images", "tiled"),
    [
        (GPU, 6.5, {TEXT, VAE, CHECK}, 4, True),  # 8 GB that draw a screen as well
        (GPU, 7.7, {TEXT}, 4, False),  # 8 GB
        (GPU, 9.6, {TEXT}, 4, False),  # 10 GB
        (GPU, 11.6, set(), 4, False),  # 12 GB
        (OLD, 14.4, {TEXT}, 4, False),  # 16 GB
        (GPU, 21.6, set(), 4, False),
        (TPU, 16.0, set(), 4, False),
    ],
)
def test_what_fits(
    target: Target, limit_gb: float, visitors: set[str], images: int, tiled: bool
) -> None:
    """Nine tenths of cards; see `doctor --gpu`."""
    memory = sdxl(target, int(limit_gb * GB))
    plan = memory.plan((1024, 1024), 4)
    assert memory.visitors == visitors
    assert (plan.num_images, plan.tiled) == (images, tiled)
    assert plan.bytes <= limit_gb * GB


@given(
    st.sampled_from([GPU, TPU, OLD]),
    st.integers(1, 40 * GB),
    st.integers(0, 8 * GB),
    st.integers(1, 10),
    st.sampled_from([(512, 512), (832, 1216), (1024, 1024), (1536, 1536), (2048, 2048)]),
)
def test_more_memory_never_takes_anything_away(
    target: Target, limit_bytes: int, more_bytes: int, num_images: int, size_px: tuple[int, int]
) -> None:
    offer = Offer((size_px,), num_images, MAX_CHUNKS)
    memory = sdxl(target, limit_bytes, offer)
    larger, ample = sdxl(target, limit_bytes + more_bytes, offer), sdxl(target, None, offer)
    assert ample.stays == EVERYTHING
    assert ample.plan(size_px, num_images)[:2] == (num_images, False)
    plan, other = (each.plan(size_px, num_images) for each in (memory, larger))
    assert 1 <= plan.num_images <= num_images
    if plan.bytes <= limit_bytes:
        assert (not plan.tiled, plan.num_images) <= (not other.tiled, other.num_images)
        assert other.bytes <= limit_bytes + more_bytes
    else:  # nothing less can be done
        assert memory.stays == {UNET}
        assert (plan.num_images, plan.tiled) == (1, True)


def test_a_size_that_is_short_decides_for_all() -> None:
    one, both = ((1024, 1024),), ((1024, 1024), (1536, 1536))
    alone, together = (sdxl(GPU, 9 * GB + GB // 2, Offer(sizes, 2)) for sizes in (one, both))
    assert alone.stays == EVERYTHING
    assert together.visitors == {TEXT}
    for size in both:
        assert together.plan(size, 2)[:2] == (2, False)


@pytest.mark.parametrize("chunks", [1, 3])
def test_what_the_prompts_say_is_counted(ample: SdxlPipeline, chunks: int) -> None:
    condition = ample._compiler.encode(chunks)["condition"]
    said = jax.eval_shape(condition.function, *condition.arguments)
    keys_values = jax.tree.leaves((said.down, said.mid, said.up))
    memory = replace(ample._memory, offer=Offer(chunks=chunks))
    assert memory.said_bytes == sum(leaf.size * leaf.dtype.itemsize for leaf in keys_values)


def test_a_portrait_has_kernels_of_its_own() -> None:
    memory = sdxl(GPU, None)
    assert memory.turned_bytes == pytest.approx(0.67 * GB, rel=0.01)
    upright, lying = (memory.taken(EVERYTHING, size, 1) for size in ((832, 1216), (1216, 832)))
    assert upright - lying == memory.turned_bytes


def test_what_is_not_there_does_not_visit() -> None:
    memory = sdxl(GPU, 1)
    unchecked = {own: size for own, size in memory.weights.items() if own[1] != CHECK}
    assert replace(memory, weights=unchecked).visitors == {TEXT, VAE}


def test_words_are_never_on_a_device() -> None:
    assert WORDS not in EVERYTHING
    assert sdxl(GPU, None).resident_bytes([WORDS]) == 2 * 49_408 * (768 + 1280)


@pytest.mark.parametrize(
    ("told", "least"),
    [([None, None], None), ([{}, {}], None), ([{"bytes_limit": 3}, {"bytes_limit": 2}], 2)],
)
def test_the_device_with_the_least_memory_counts(told: list[Any], least: int | None) -> None:
    devices = [Mock(memory_stats=Mock(return_value=stats)) for stats in told]
    assert memory_bytes(devices) == least


class Driver:
    """NVIDIA's driver, with cards of so many bytes; `broken` names what fails."""

    def __init__(self, *cards: int, broken: str = "") -> None:
        self.cards, self.broken = cards, broken

    def cuInit(self, flags: int) -> int:  # noqa: N802 - as NVIDIA calls it
        assert flags == 0
        return self.broken == "init"

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802 - as above
        count._obj.value = len(self.cards)
        return self.broken == "count"

    def cuDeviceGet(self, device: Any, place: int) -> int:  # noqa: N802 - as above
        device._obj.value = place
        return self.broken == "get"

    def cuDeviceTotalMem_v2(self, total: Any, device: Any) -> int:  # noqa: N802 - as above
        total._obj.value = self.cards[device.value]
        return self.broken == "total"


def test_of_a_card_no_more_is_taken_than_its_owner_says() -> None:
    cards = 24 * GB, 16 * GB
    assert pool_share(None, Driver(*cards)) == POOL_SHARE
    assert pool_share(8 * GB, None) == POOL_SHARE
    assert pool_share(8 * GB, Driver(*cards)) == (8 * GB - OUTSIDE_BYTES) / (24 * GB)
    assert pool_share(1, Driver(*cards)) == 0
    assert pool_share(100 * GB, Driver(*cards)) == POOL_SHARE
    for broken in ("init", "count", "get", "total"):
        assert pool_share(8 * GB, Driver(*cards, broken=broken)) == POOL_SHARE
