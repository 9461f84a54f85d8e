"""UNets of other architectures than SDXL's own, against PyTorch diffusers."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from safetensors.numpy import load_file, save_file

from sdxl_engine import ImageRequest, InvalidRequestError, SdxlPipeline
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.load import load_part
from sdxl_engine.model_set import MakeRoom, ModelSet
from sdxl_engine.models.layers import Target
from sdxl_engine.models.unet import UNet
from sdxl_engine.programs.arithmetic import IMAGES
from sdxl_engine.programs.compiler import EncodePrograms, SizePrograms, TextPrograms, make_mesh
from tests.sdxl_engine.conftest import GOLDENS, Array, CompileCounter, assert_within

VARIANTS = GOLDENS / "variants"
# As tests/oracle/variants.py has it.
REQUEST = ImageRequest(
    "a red circle on a blue background",
    num_inference_steps=4,
    guidance_scale=5.0,
    width_px=64,
    height_px=64,
    num_images=2,
)


def goldens(name: str) -> dict[str, Array]:
    return load_file(VARIANTS / name / "goldens.safetensors")


def nhwc(array: Array) -> Array:
    return array.transpose(0, 2, 3, 1)


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """tiny_a with the UNet of a variant."""
    folder = Path(
        shutil.copytree(
            GOLDENS / "tiny_a", tmp_path / "model", ignore=shutil.ignore_patterns("unet", "golden*")
        )
    )
    shutil.copytree(VARIANTS / request.param / "unet", folder / "unet")
    return folder


# Each compiles a network, as do the runs: seconds.
@pytest.mark.parametrize("folder", ["ssd_1b", "koala", "told", "inpainting"], indirect=True)
def test_one_pass_with_stacked_layers(folder: Path, request: pytest.FixtureRequest) -> None:
    arrays = goldens(request.node.callspec.params["folder"])
    network = UNet(SdxlConfig.load(folder).unet, Target(stacked=True))
    state = load_part(folder, "unet", network, dtype=np.float32, place=jnp.asarray)
    unet: UNet = nnx.merge(nnx.graphdef(network), state)
    conditioning = unet.condition(
        jnp.asarray(arrays["unet.encoder_hidden_states"]),
        jnp.asarray(arrays["unet.text_embeds"]),
        jnp.asarray(arrays["unet.time_ids"]),
        jnp.float32(REQUEST.guidance_scale),
    )
    output = jax.jit(unet)(
        jnp.asarray(nhwc(arrays["unet.sample"])), jnp.asarray(arrays["unet.timestep"]), conditioning
    )
    assert_within(output, nhwc(arrays["unet.output"]), 1e-4)


@pytest.mark.parametrize("folder", ["ssd_1b", "koala", "told"], indirect=True)
def test_a_run(folder: Path, request: pytest.FixtureRequest, compiles: CompileCounter) -> None:
    arrays = goldens(request.node.callspec.params["folder"])
    pipeline = SdxlPipeline.load(str(folder), devices=jax.devices()[:1])
    compiler = pipeline._compiler
    programs = compiler.denoise(64, 64, 2)
    name = "told" if "told" in programs else "guided"
    denoise = programs[name].compile()  # without the decoder
    placed = NamedSharding(make_mesh(compiler.devices, 2), PartitionSpec(IMAGES))
    encode = {name: program.compile() for name, program in compiler.encode().items()}
    text = TextPrograms.of(EncodePrograms(**encode), {name: denoise})
    pipeline.programs[64, 64] = SizePrograms(
        2, 2, placed, {1: text}, denoise, denoise, denoise, denoise
    )
    compiled = compiles.count
    noise = nhwc(arrays["run.noise"])
    *_, (_, sample) = pipeline.denoise(REQUEST, latents=noise)
    assert_within(sample.latents, nhwc(arrays["run.latents"]), 1e-3)
    other = replace(REQUEST, guidance_scale=7.5)
    *_, (_, guided) = pipeline.denoise(other, latents=noise)
    assert not np.array_equal(sample.latents, guided.latents)
    assert compiles.count == compiled


@pytest.mark.parametrize("folder", ["inpainting"], indirect=True)
def test_a_model_that_needs_a_picture_says_so(folder: Path) -> None:
    pipeline = SdxlPipeline.load(str(folder), devices=jax.devices()[:1])
    with pytest.raises(InvalidRequestError, match="changes a picture that it is given"):
        pipeline.check(REQUEST)


@pytest.mark.parametrize("folder", ["inpainting"], indirect=True)
def test_a_model_that_edits_draws_nothing_here(folder: Path, tmp_path: Path) -> None:
    path = folder / "unet" / "config.json"
    editing = json.loads(path.read_text()) | {"in_channels": 8}
    weights = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    weights["conv_in.weight"] = weights["conv_in.weight"][:, :8].copy()
    copied = tmp_path / "editing"
    shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("unet"))
    (copied / "unet").mkdir()
    (copied / "unet" / "config.json").write_text(json.dumps(editing))
    save_file(weights, copied / "unet" / "diffusion_pytorch_model.safetensors")
    pipeline = SdxlPipeline.load(str(copied), devices=jax.devices()[:1])
    with pytest.raises(InvalidRequestError, match="trained for editing"):
        pipeline.warm_up([(64, 64)])
    with pytest.raises(InvalidRequestError, match="trained for editing"):
        pipeline.check(REQUEST)


# Over 2 s of CPU: the programs of the other model are compiled.
@pytest.mark.parametrize("folder", ["inpainting"], indirect=True)
def test_beside_another_model_it_stops_nobody(folder: Path) -> None:
    def load(path: Path, make_room: MakeRoom) -> SdxlPipeline:
        return SdxlPipeline.load(str(path), devices=jax.devices()[:1], make_room=make_room)

    models = ModelSet([partial(load, path) for path in (GOLDENS / "tiny_a", folder)], None)
    models.warm_up([(64, 64)], num_images=2)
    models.check(REQUEST)
    with pytest.raises(InvalidRequestError, match="changes a picture that it is given"):
        models.check(replace(REQUEST, model=models.models[1]))
