"""Scripts for the removed pipeline class run with only their imports changed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdxl_engine import ImageRequest, InvalidRequestError, SdxlPipeline
from sdxl_engine.compat import FlaxStableDiffusionXLPipeline, replicate
from tests.sdxl_engine.conftest import CompileCounter, Golden, drawn

OLD_IMPORTS = (
    "from diffusers import FlaxStableDiffusionXLPipeline\nfrom flax.jax_utils import replicate\n"
)
NEW_IMPORTS = "from sdxl_engine.compat import FlaxStableDiffusionXLPipeline, replicate\n"
# What people did with the class: cast all but the scheduler, replicate, one key a device.
SCRIPT = (
    OLD_IMPORTS
    + """
import jax
import jax.numpy as jnp
import numpy as np

pipeline, params = FlaxStableDiffusionXLPipeline.from_pretrained(MODEL, split_head_dim=True)
scheduler_state = params.pop("scheduler")
params = jax.tree_util.tree_map(lambda x: x.astype(jnp.float32), params)
params["scheduler"] = scheduler_state
p_params = replicate(params)

prompt_ids = replicate(pipeline.prepare_inputs(["a red circle", "a blue star"]))
neg_prompt_ids = replicate(pipeline.prepare_inputs(["", "green"]))
rng = jax.random.split(jax.random.PRNGKey(33), jax.device_count())
images = pipeline(
    prompt_ids,
    p_params,
    rng,
    num_inference_steps=3,
    neg_prompt_ids=neg_prompt_ids,
    guidance_scale=4.0,
    jit=True,
).images
shape = images.shape
pictures = pipeline.numpy_to_pil(np.array(images.reshape((-1,) + images.shape[-3:])))
"""
)

# One model suffices: it is a matter of shapes.
pytestmark = [
    pytest.mark.parametrize("golden", ["tiny_a"], indirect=True),
    pytest.mark.timeout(300),
]


def test_an_old_script_runs(golden: Golden, pipeline: SdxlPipeline) -> None:
    names: dict[str, Any] = {"MODEL": str(golden.folder)}
    exec(SCRIPT.replace(OLD_IMPORTS, NEW_IMPORTS), names)  # noqa: S102 - the script above
    devices = jax.device_count()
    width, height = pipeline.native_size
    assert names["shape"] == (devices, 2, height, width, 3)
    pictures = names["pictures"]
    assert len({picture.tobytes() for picture in pictures}) == 2 * devices
    assert {picture.size for picture in pictures} == {(width, height)}
    # The third device's second image, by the engine itself.
    key = names["rng"][2]
    noise = jax.random.normal(key, (2, 4, height // 8, width // 8), jnp.float32)
    request = ImageRequest(
        "a blue star",
        "green",
        num_inference_steps=3,
        guidance_scale=4.0,
        width_px=width,
        height_px=height,
        num_images=1,
    )
    latents = np.asarray(noise).transpose(0, 2, 3, 1)[1:]
    (image,) = drawn(pipeline.generate(request, latents=latents))
    expected = np.frombuffer(image.rgb, np.uint8).reshape(height, width, 3)
    # Other numbers at once sum in another order.
    assert np.abs(np.asarray(pictures[5]).astype(int) - expected).max() <= 1


@pytest.fixture(scope="module")
def loaded(golden: Golden) -> tuple[FlaxStableDiffusionXLPipeline, dict[str, Any]]:
    return FlaxStableDiffusionXLPipeline.from_pretrained(str(golden.folder), dtype=jnp.float32)


def test_without_jit_there_is_no_axis_of_devices_and_pytorch_draws_the_same(
    golden: Golden, loaded: tuple[FlaxStableDiffusionXLPipeline, dict[str, Any]]
) -> None:
    pipeline, params = loaded
    run = golden.facts["run"]
    drawn = pipeline(
        pipeline.prepare_inputs([run["prompt"]] * 2),
        params,
        jax.random.PRNGKey(0),
        num_inference_steps=run["num_inference_steps"],
        guidance_scale=run["guidance_scale"],
        height=run["height_px"],
        width=run["width_px"],
        latents=golden["run.noise"],
    )
    oracle = golden["run.none.images"]
    assert drawn.images.shape == oracle.shape
    assert drawn.images.dtype == np.float32
    assert np.abs(drawn.images - oracle).max() * 255 <= 1.5  # of which 0.5 is rounding


def test_only_the_first_call_compiles(
    loaded: tuple[FlaxStableDiffusionXLPipeline, dict[str, Any]], compiles: CompileCounter
) -> None:
    pipeline, params = loaded
    ids = pipeline.prepare_inputs("a star")
    pipeline(ids, params, jax.random.PRNGKey(0), num_inference_steps=2)
    before = compiles.count
    pipeline(ids, params, jax.random.PRNGKey(1), num_inference_steps=5, guidance_scale=9)
    assert compiles.count == before
    sharp = pipeline(ids, params, jax.random.PRNGKey(1), num_inference_steps=2).images
    narrow = {
        name: jax.tree.map(lambda x: x.astype(jnp.bfloat16), part) for name, part in params.items()
    }
    blunt = pipeline(ids, narrow, jax.random.PRNGKey(1), num_inference_steps=2).images
    # Other weights were used, of the same model.
    assert 0 < np.abs(sharp - blunt).max() < 0.5


def test_long_prompts_are_cut_as_they_were(
    loaded: tuple[FlaxStableDiffusionXLPipeline, dict[str, Any]],
) -> None:
    pipeline, _ = loaded
    ids = pipeline.prepare_inputs("a red circle " * 70)
    once = pipeline.prepare_inputs("a red circle")
    assert ids.shape == once.shape == (1, 2, 77)
    assert ids.dtype == np.int32
    assert (ids[0, :, -1] == once[0, :, 4]).all()  # the end token


def test_arrays_of_other_shapes_are_refused(
    loaded: tuple[FlaxStableDiffusionXLPipeline, dict[str, Any]],
) -> None:
    pipeline, params = loaded
    ids, key = pipeline.prepare_inputs("a star"), jax.random.PRNGKey(0)
    with pytest.raises(InvalidRequestError, match="with jit=True through replicate"):
        pipeline(ids, params, key, jit=True)
    with pytest.raises(InvalidRequestError, match="as prompt_ids"):
        pipeline(ids, params, key, neg_prompt_ids=np.concatenate([ids, ids]))
    with pytest.raises(InvalidRequestError, match="for 1 images"):
        pipeline(ids, params, key, latents=np.zeros((2, 4, 8, 8)))
    with pytest.raises(InvalidRequestError, match="split the key"):
        pipeline(replicate(ids), params, key[None], jit=True)


def test_replicate_gives_arrays_an_axis_and_leaves_weights(golden: Golden) -> None:
    _, params = FlaxStableDiffusionXLPipeline.from_pretrained(str(golden.folder))
    assert replicate(params) is params
    assert replicate({"ids": np.zeros((2, 3))})["ids"].shape == (jax.local_device_count(), 2, 3)
