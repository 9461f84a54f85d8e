"""Several models on the same devices."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from safetensors.numpy import load_file, save_file

from sdxl_engine import CheckpointError, ImageRequest, InvalidRequestError, Lora, SdxlPipeline
from sdxl_engine.model_set import MakeRoom, ModelSet
from tests.sdxl_engine.conftest import GOLDENS, CompileCounter, drawn

LIKE = ImageRequest("a red circle", width_px=64, height_px=64, num_images=1, num_inference_steps=2)


def load(folder: Path, make_room: MakeRoom | None = None) -> SdxlPipeline:
    return SdxlPipeline.load(str(folder), devices=jax.devices()[:1], make_room=make_room)


def together(*folders: Path, memory_bytes: int | None = None) -> ModelSet:
    return ModelSet([partial(load, folder) for folder in folders], memory_bytes)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """tiny_a, and two of its shapes whose UNets end in other numbers."""
    found = [GOLDENS / "tiny_a"]
    for name, factor in (("other", -1), ("third", 2)):
        folder = shutil.copytree(found[0], tmp_path_factory.mktemp("models") / name)
        path = folder / "unet" / "diffusion_pytorch_model.safetensors"
        weights = load_file(path)
        save_file({**weights, "conv_out.weight": factor * weights["conv_out.weight"]}, path)
        found.append(folder)
    return found


@pytest.fixture(scope="module")
def models(folders: list[Path]) -> ModelSet:
    return together(*folders[:2])


# Over 2 s of CPU: the programs are compiled once.
def test_models_of_one_shape_share_their_programs(
    models: ModelSet, compiles: CompileCounter
) -> None:
    models.warm_up([(64, 64)], num_images=1)
    before = compiles.count
    first, named, other = (
        [image.rgb for image in drawn(models.generate(replace(LIKE, model=model)))]
        for model in (None, "tiny_a", "other")
    )
    assert first == named != other
    assert drawn(models.generate(LIKE))[0].rgb == first[0]
    assert compiles.count == before
    assert models.card(replace(LIKE, model="other")).hash != models.card(LIKE).hash
    assert models.card(LIKE).name == "tiny_a"


# Over 2 s of CPU: the programs are compiled once more.
def test_models_that_do_not_fit_take_turns(
    folders: list[Path],
    compiles: CompileCounter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = load(folders[0])
    one.warm_up([(64, 64)], num_images=1)
    assert one.working_bytes > 0
    # As of large models, less than the weights.
    working_bytes = one.size_bytes // 2
    monkeypatch.setattr(SdxlPipeline, "working_bytes", working_bytes)
    fits_two = 2 * one.size_bytes + working_bytes
    caplog.set_level("INFO", "sdxl_engine.model_set")
    models = together(*folders, memory_bytes=fits_two)
    assert models.on_devices == ("other", "third")  # nothing draws yet, and still no more fit
    models.warm_up([(64, 64)], num_images=1)
    before = compiles.count
    pictures: dict[str, bytes] = {}
    for name, there in (
        ("tiny_a", ("third", "tiny_a")),
        ("third", ("tiny_a", "third")),
        ("other", ("third", "other")),
        ("tiny_a", ("other", "tiny_a")),
        ("third", ("tiny_a", "third")),
        ("other", ("third", "other")),
    ):
        (image,) = drawn(models.generate(replace(LIKE, model=name)))
        assert models.on_devices == there
        assert pictures.setdefault(name, image.rgb) == image.rgb
    assert len(set(pictures.values())) == len(pictures)
    assert pictures["tiny_a"] == drawn(one.generate(LIKE))[0].rgb
    assert compiles.count == before
    assert caplog.messages[-2:] == [
        "moving tiny_a from the device to the host's memory",
        "putting other on the device",
    ]
    # With a byte less there is no room beside what drawing takes, which nobody knew before.
    models = together(*folders[:2], memory_bytes=fits_two - 1)
    assert list(models.on_devices) == ["tiny_a", "other"]
    models.warm_up([(64, 64)], num_images=1)
    drawn(models.generate(LIKE))
    assert list(models.on_devices) == ["tiny_a"]


def test_a_model_that_cannot_arrive_leaves_nothing(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = together(*folders[:2], memory_bytes=1)
    models.warm_up([(64, 64)], num_images=1)
    pipeline, places = models._by_name["tiny_a"], iter(range(9))

    def place(array: Any) -> jax.Array:
        if next(places, None) is None:
            raise RuntimeError("RESOURCE_EXHAUSTED")
        return jnp.asarray(array)

    monkeypatch.setattr(pipeline._host, "_place", place)
    with pytest.raises(RuntimeError, match="EXHAUSTED"):
        drawn(models.generate(LIKE))
    leaves = [leaf for state in pipeline.weights for leaf in jax.tree.leaves(state)]
    assert not any(isinstance(leaf, jax.Array) for leaf in leaves)
    assert models.on_devices == ()


def test_what_is_refused_moves_nothing(folders: list[Path]) -> None:
    models = together(*folders, memory_bytes=1)  # less than one: the one in hand is there alone
    assert models.on_devices == ("third",)
    models.warm_up([(64, 64)], num_images=1)
    with pytest.raises(InvalidRequestError, match="There is no LoRA"):
        models.generate(replace(LIKE, model="other", loras=(Lora("any"),)))
    with pytest.raises(InvalidRequestError, match="is not ready here"):
        models.generate(replace(LIKE, model="other", width_px=128))
    assert models.on_devices == ("third",)


def test_models_of_other_shapes_do_not() -> None:
    one, again, other = (load(GOLDENS / name) for name in ("tiny_a", "tiny_a", "tiny_b"))
    assert one.shapes == again.shapes
    assert one.shapes != other.shapes


def test_a_model_that_is_not_here_is_refused(models: ModelSet) -> None:
    assert models.models == ("tiny_a", "other")
    for refusing in (models.check, models.resolved, models.card):
        with pytest.raises(InvalidRequestError, match="Choose one of: tiny_a, other"):
            refusing(replace(LIKE, model="third"))


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    twin = shutil.copytree(GOLDENS / "tiny_a", tmp_path / "tiny_a")
    with pytest.raises(CheckpointError, match="Two models have one name"):
        together(GOLDENS / "tiny_a", twin)
