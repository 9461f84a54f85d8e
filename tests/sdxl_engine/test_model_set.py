"""Several models on the same devices."""

import shutil
from dataclasses import replace
from pathlib import Path

import jax
import pytest
from safetensors.numpy import load_file, save_file

from sdxl_engine import CheckpointError, ImageRequest, InvalidRequestError, SdxlPipeline
from sdxl_engine.model_set import ModelSet
from tests.sdxl_engine.conftest import GOLDENS, CompileCounter, drawn

LIKE = ImageRequest("a red circle", width_px=64, height_px=64, num_images=1, num_inference_steps=2)


def load(folder: Path) -> SdxlPipeline:
    return SdxlPipeline.load(str(folder), devices=jax.devices()[:1])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """tiny_a, and one of its shapes whose UNet ends in other numbers."""
    other = shutil.copytree(GOLDENS / "tiny_a", tmp_path_factory.mktemp("models") / "other")
    path = other / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    save_file({**weights, "conv_out.weight": -weights["conv_out.weight"]}, path)
    return ModelSet([load(GOLDENS / "tiny_a"), load(other)])


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
        ModelSet([load(GOLDENS / "tiny_a"), load(twin)])
