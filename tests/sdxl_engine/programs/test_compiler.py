"""How programs are spread over devices, where one of their operations wants to know the mesh."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.models import unet
from sdxl_engine.models.attention import self_attention
from sdxl_engine.models.layers import PLAIN
from sdxl_engine.programs.arithmetic import GUIDANCE, IMAGES, State
from sdxl_engine.programs.compiler import (
    OPTIONS,
    Compiler,
    Networks,
    Program,
    Weights,
    make_mesh,
    replicated,
)
from tests.sdxl_engine.conftest import GOLDENS


@custom_partitioning
def mesh_aware(x: jax.Array) -> jax.Array:
    """What it is given, by a primitive like that of cuDNN's attention, which needs a GPU."""
    return x


def _partition(
    mesh: Mesh, arguments: tuple[Any, ...], result: Any
) -> tuple[Mesh, Callable[[jax.Array], jax.Array], Any, tuple[Any, ...]]:
    return mesh, lambda x: x, result.sharding, tuple(each.sharding for each in arguments)


mesh_aware.def_partition(
    partition=_partition,
    infer_sharding_from_operands=lambda mesh, arguments, result: arguments[0].sharding,
    sharding_rule="... -> ...",
)


@pytest.mark.parametrize(("devices", "num_images"), [(8, 4), (4, 2), (2, 1), (4, 4), (1, 1)])
def test_weights_that_were_placed_over_another_mesh(devices: int, num_images: int) -> None:
    """They lie where they are before a request says how many images there are."""
    over = jax.devices()[:devices]
    mesh = make_mesh(over, num_images)
    assert mesh.shape[GUIDANCE] == (2 if devices > num_images else 1)
    everywhere, by_image = replicated(over), NamedSharding(mesh, P(IMAGES))
    weights = jax.device_put(np.arange(3, dtype=np.float32), everywhere)
    images = jax.device_put(np.ones((num_images, 3), np.float32), by_image)
    program = Program(
        mesh,
        lambda weights, images: mesh_aware(images) * weights[None],
        tuple(
            jax.ShapeDtypeStruct(each.shape, each.dtype, sharding=each.sharding)
            for each in (weights, images)
        ),
        P(IMAGES),
    )
    computed = program.compile()(weights, images)
    np.testing.assert_array_equal(
        computed, np.tile(np.arange(3, dtype=np.float32), (num_images, 1))
    )


def test_the_engine_starts_with_such_an_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on two GPUs that draw one image: each takes a half of its guidance."""

    def attend(qkv: jax.Array, **how: Any) -> jax.Array:
        return self_attention(mesh_aware(qkv), **how)

    monkeypatch.setattr(unet, "self_attention", attend)
    devices = jax.devices()[:2]
    config = SdxlConfig.load(GOLDENS / "tiny_b")
    networks = Networks.build(config, PLAIN)
    everywhere = replicated(devices)

    def placed(network: nnx.Module) -> State:
        state: State = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere),
            nnx.state(network),
        )
        return state

    weights = Weights(*(placed(getattr(networks, part)) for part in Weights._fields))
    programs = Compiler(config, networks, weights, devices).denoise(64, 64, num_images=1)
    programs["either"].compile()


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_flags_of_the_environment_come_first(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    mesh: Any = SimpleNamespace(devices=np.array([SimpleNamespace(platform=platform)]))
    program = Program(mesh, jnp.sin, (), P())
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert program.options == OPTIONS[platform]
    name = next(iter(OPTIONS[platform]))
    monkeypatch.setenv("XLA_FLAGS", f"--{name}=3")
    assert program.options.keys() == OPTIONS[platform].keys() - {name}
