"""Requests that name LoRAs, from the file to the picture."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from sdxl_engine import ImageRequest, InvalidRequestError, Lora, SdxlPipeline
from tests.sdxl_engine.conftest import (
    GOLDENS,
    CompileCounter,
    Golden,
    assert_within,
    drawn,
    fully_optimised,
)
from tests.sdxl_engine.lora.conftest import MODEL
from tests.sdxl_engine.lora.writing import KINDS, write

LIKE = ImageRequest("a red circle", width_px=64, height_px=64, num_images=2, num_inference_steps=2)
DIFFUSERS = ("kohya", "peft")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> SdxlPipeline:
    """The tiny model, warm, with a LoRA of each kind and those that diffusers has drawn with."""
    shelf = tmp_path_factory.mktemp("tiny_a")
    for seed, (kind, make) in enumerate(KINDS.items()):
        write(shelf / f"{kind}.safetensors", MODEL, make, seed=seed, one_in=5)
    for name in DIFFUSERS:
        shutil.copy(GOLDENS / "loras" / f"{name}.safetensors", shelf)
    pipeline = SdxlPipeline.load(str(MODEL), devices=jax.devices()[:1], loras=shelf)
    with fully_optimised():
        pipeline.warm_up([(LIKE.width_px, LIKE.height_px)], num_images=LIKE.num_images)
    return pipeline


def draw(pipeline: SdxlPipeline, *loras: Lora) -> list[bytes]:
    request = replace(LIKE, loras=loras)
    pipeline.check(request)
    return [image.rgb for image in drawn(pipeline.generate(request))]


def test_pictures_change_and_come_back(pipeline: SdxlPipeline) -> None:
    plain = draw(pipeline)
    changed = draw(pipeline, Lora("lora", 0.2))
    assert changed != plain
    assert draw(pipeline, Lora("lora", 0)) == plain
    assert draw(pipeline, Lora("lora", 0.2)) == changed
    both = draw(pipeline, Lora("lora", 0.2), Lora("lokr", 0.2))
    assert both not in (plain, changed)
    assert draw(pipeline, Lora("lokr", 0.2), Lora("lora", 0.2)) == both
    assert draw(pipeline) == plain


def test_a_model_that_comes_back_has_no_lora(pipeline: SdxlPipeline) -> None:
    plain, changed = draw(pipeline), draw(pipeline, Lora("lora", 0.2))
    pipeline.leave()
    for state in pipeline.weights:
        assert not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    pipeline.arrive()
    assert draw(pipeline, Lora("lora", 0.2)) == changed
    pipeline.leave()
    pipeline.arrive()
    assert draw(pipeline) == plain


# A hundred choices, a twentieth of a second each.
def test_no_choice_compiles_anything(pipeline: SdxlPipeline, compiles: CompileCounter) -> None:
    jax.jit(lambda x: x * 5)(LIKE.width_px)  # the listener hears a compile when there is one
    assert compiles.count == 1
    choose = random.Random(0)
    seen = set()
    for _ in range(100):
        names = choose.sample(list(KINDS), choose.choice([0, 1, 1, 1, 2, 3]))
        loras = [Lora(name, round(choose.uniform(-1, 1), 2)) for name in names]
        # One step without guidance: every network has used its weights.
        like = replace(LIKE, num_inference_steps=1, guidance_scale=1)
        list(pipeline.denoise(replace(like, loras=tuple(loras))))
        seen.update(names)
    assert seen == set(KINDS)
    assert compiles.count == 1


def test_what_is_on_offer(pipeline: SdxlPipeline) -> None:
    assert pipeline.loras.keys() == {*KINDS, *DIFFUSERS}
    assert all(facts.problem is None for facts in pipeline.loras.values())


def test_refused_before_anything_is_drawn(pipeline: SdxlPipeline) -> None:
    request = replace(LIKE, loras=(Lora("lorra"),))
    for refuse in (pipeline.check, pipeline.generate):
        with pytest.raises(InvalidRequestError, match="Did you mean lora"):
            refuse(request)


@pytest.mark.parametrize("golden", ["tiny_a"], indirect=True)
def test_an_engine_without_a_folder(golden: Golden, tmp_path: Path) -> None:
    pipeline = SdxlPipeline.load(str(golden.folder), devices=jax.devices()[:1])
    assert pipeline.loras == {}
    with pytest.raises(InvalidRequestError, match="was given no folder of LoRAs"):
        pipeline.check(replace(LIKE, loras=(Lora("any"),)))


def test_on_several_devices(tmp_path: Path) -> None:
    """Each of them holds the same, laid out as the programs want it."""
    write(tmp_path / "lora.safetensors", MODEL, KINDS["lora"])
    pipeline = SdxlPipeline.load(str(MODEL), devices=jax.devices()[:2], loras=tmp_path)
    assert pipeline._merged is not None
    before = jax.tree.leaves(pipeline.weights.unet)
    pipeline._merged.switch(pipeline._chosen(replace(LIKE, loras=(Lora("lora"),))))
    after = jax.tree.leaves(pipeline.weights.unet)
    changed = 0
    for old, new in zip(before, after, strict=True):
        assert (new.sharding, new.shape, new.dtype) == (old.sharding, old.shape, old.dtype)
        one, other = (np.asarray(shard.data) for shard in new.addressable_shards)
        assert np.array_equal(one, other)
        changed += not np.array_equal(one, np.asarray(old))
    assert changed > 50


@pytest.mark.parametrize(
    ("case", "loras"),
    [
        ("none", ()),
        ("kohya", (Lora("kohya", 0.7),)),
        ("peft", (Lora("peft"),)),
        ("both", (Lora("kohya", 0.7), Lora("peft", -0.4))),
    ],
)
def test_latents_as_diffusers_has_them(
    pipeline: SdxlPipeline, case: str, loras: tuple[Lora, ...]
) -> None:
    goldens = load_file(GOLDENS / "loras" / "goldens.safetensors")
    prompt = "a red circle on a blue background"  # of tests/oracle/loras.py, as the rest
    request = replace(LIKE, prompt=prompt, num_inference_steps=10, guidance_scale=3.0, loras=loras)
    noise = goldens["noise"].transpose(0, 2, 3, 1)
    *_, (_, sample) = pipeline.denoise(request, latents=noise)
    assert_within(sample.latents, goldens[case].transpose(0, 2, 3, 1), 1e-3)


def test_a_picture_tells_of_the_files_that_are_still_there(pipeline: SdxlPipeline) -> None:
    draw(pipeline, Lora("lora", 0.1), Lora("loha", 0.1))
    request = replace(LIKE, loras=(Lora("lora"), Lora("loha")))
    card = pipeline.card(request)
    assert list(card.lora_hashes) == ["lora", "loha"]
    assert len(card.lora_hashes["lora"]) == 12
    path = pipeline.loras["loha"].path
    whole = path.read_bytes()
    path.write_bytes(whole)  # another file, though an equal one
    assert list(pipeline.card(request).lora_hashes) == ["lora"]
    path.unlink()
    assert list(pipeline.card(request).lora_hashes) == ["lora"]
    path.write_bytes(whole)
