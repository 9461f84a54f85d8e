"""What a LoRA of each kind makes of the weights, against formulas in float64."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sdxl_engine import InvalidRequestError, Lora
from sdxl_engine.models.layers import Target
from tests.sdxl_engine.lora.conftest import MODEL, Array, Bench, Key, make_bench
from tests.sdxl_engine.lora.writing import KINDS, write


def assert_near(actual: dict[Key, Array], wanted: dict[Key, Array], tolerance: float) -> None:
    """Relative to each parameter's largest number."""
    assert actual.keys() == wanted.keys()
    for key, array in wanted.items():
        difference = np.abs(actual[key].astype(float) - array).max() / np.abs(array).max()
        assert difference <= tolerance, (key, difference)


def same_bytes(one: dict[Key, Array], other: dict[Key, Array]) -> bool:
    return one.keys() == other.keys() and all(
        one[key].tobytes() == other[key].tobytes() for key in one
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_by_its_formula(bench: Bench, kind: str) -> None:
    bench.switch()
    before = bench.arrays()
    new = write(bench.shelf / f"{kind}.safetensors", MODEL, KINDS[kind])
    bench.switch(Lora(kind, 0.7))
    changed = bench.arrays()
    assert_near(changed, bench.laid_out(new(0.7)), 1e-5)
    assert not same_bytes(changed, before)
    bench.switch()
    assert same_bytes(bench.arrays(), before)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_half_files_are_read_as_what_they_hold(bench: Bench, dtype: type) -> None:
    path = bench.shelf / "half.safetensors"
    write(path, MODEL, KINDS["lora"], dtype=dtype)
    bench.switch(Lora("half"))
    narrow = bench.arrays()
    held = {name: np.asarray(tensor, np.float32) for name, tensor in load_file(path).items()}
    save_file(held, bench.shelf / "wide.safetensors")
    bench.switch(Lora("wide"))
    assert same_bytes(narrow, bench.arrays())


def test_each_module_has_its_own_rank_and_alpha(bench: Bench) -> None:
    narrow = write(bench.shelf / "narrow.safetensors", MODEL, KINDS["lora"])
    one = "lora_unet_mid_block_attentions_0_proj_in"
    tensors = load_file(bench.shelf / "narrow.safetensors")
    rng = np.random.default_rng(5)
    up, down = rng.normal(size=(24, 7)), rng.normal(size=(7, 24))
    tensors |= {
        f"{one}.lora_up.weight": up.astype(np.float32),
        f"{one}.lora_down.weight": down.astype(np.float32),
        f"{one}.alpha": np.array(14, np.float32),
    }
    save_file(tensors, bench.shelf / "mixed.safetensors")
    bench.switch(Lora("mixed"))
    key = ("unet", "mid_block.attentions.0.proj_in.weight")
    wanted = {**narrow(1.0), key: narrow(0.0)[key] + 2 * up @ down}
    assert_near(bench.arrays(), bench.laid_out(wanted), 1e-5)
    assert bench.folder.facts()["mixed"].rank == 7


def test_biases_and_norms(bench: Bench) -> None:
    """As LyCORIS writes whole differences: of a bias, and of a norm."""
    base = write(bench.shelf / "any.safetensors", MODEL, KINDS["lora"])(0.0)
    norm, linear = "mid_block.resnets.0.norm1", "mid_block.attentions.0.proj_in"
    rng = np.random.default_rng(6)
    wanted = dict(base)
    tensors = {}
    for name, end, into in (
        (norm, "w_norm", "weight"),
        (norm, "b_norm", "bias"),
        (linear, "diff_b", "bias"),
    ):
        delta = rng.normal(size=base["unet", f"{name}.{into}"].shape)
        tensors[f"lora_unet_{name.replace('.', '_')}.{end}"] = delta.astype(np.float32)
        wanted["unet", f"{name}.{into}"] = base["unet", f"{name}.{into}"] - 0.5 * delta
    save_file(tensors, bench.shelf / "biases.safetensors")
    bench.switch(Lora("biases", -0.5))
    assert_near(bench.arrays(), bench.laid_out(wanted), 1e-5)
    facts = bench.folder.facts()["biases"]
    assert (facts.kind, facts.rank, facts.problem) == ("full", None, None)


def test_strength_nothing_is_the_model(bench: Bench) -> None:
    bench.switch()
    before = bench.arrays()
    for kind in ("lora", "dora", "whole"):
        write(bench.shelf / f"{kind}.safetensors", MODEL, KINDS[kind])
        bench.switch(Lora(kind, 0))
        assert same_bytes(bench.arrays(), before)


def test_on_off_and_on_again(bench: Bench) -> None:
    bench.switch()
    before = bench.arrays()
    write(bench.shelf / "one.safetensors", MODEL, KINDS["lora"])
    seen = []
    for _ in range(2):
        bench.switch(Lora("one", 0.3))
        seen.append(bench.arrays())
        bench.switch()
        assert same_bytes(bench.arrays(), before)
    assert same_bytes(*seen)


def test_two_commute_and_each_adds_its_own(bench: Bench) -> None:
    one = write(bench.shelf / "one.safetensors", MODEL, KINDS["dora"], seed=1)
    two = write(bench.shelf / "two.safetensors", MODEL, KINDS["lokr"], seed=2)
    bench.switch(Lora("one", 0.8), Lora("two", -0.4))
    there = bench.arrays()
    bench.switch(Lora("two", -0.4))
    bench.switch(Lora("two", -0.4), Lora("one", 0.8))
    assert same_bytes(bench.arrays(), there)
    base, first, second = one(0.0), one(0.8), two(-0.4)
    both = {key: first[key] + second[key] - base[key] for key in base}
    assert_near(there, bench.laid_out(both), 1e-5)


def test_bfloat16_is_rounded_once(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, Target(), jnp.bfloat16)
    before = bench.arrays()
    new = write(tmp_path / "any.safetensors", MODEL, KINDS["lora"])
    bench.switch(Lora("any"))
    base, change = bench.laid_out(new(0.0)), bench.laid_out(new(1.0))
    for key, array in bench.arrays().items():
        exact = before[key].astype(float) + (change[key].astype(float) - base[key])
        # Half of the last of 8 bits, and what the test's own float32 leaves out.
        assert (np.abs(array.astype(float) - exact) <= 2**-8 * np.abs(exact) + 1e-5).all()
    bench.switch()
    assert same_bytes(bench.arrays(), before)


def test_what_is_there_is_not_computed_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bench.shelf / "one.safetensors", MODEL, KINDS["lora"])
    bench.switch(Lora("one"))
    placed: list[Array] = []

    def place(array: Array) -> object:
        placed.append(array)
        return jax.device_put(array)

    monkeypatch.setattr(bench.host, "_place", place)
    bench.switch(Lora("one"))
    assert not placed
    bench.switch(Lora("one", 0.9))
    assert placed


def test_after_an_error_in_between_the_next_choice_is_whole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.switch()
    before = bench.arrays()
    write(bench.shelf / "one.safetensors", MODEL, KINDS["lora"], seed=1)
    write(bench.shelf / "two.safetensors", MODEL, KINDS["loha"], seed=2)
    bench.switch(Lora("two"))
    two = bench.arrays()
    bench.switch()
    place, calls = bench.host._place, iter(range(1000))

    def full_in_the_middle(array: Array) -> object:
        if next(calls) == 20:
            raise RuntimeError("RESOURCE_EXHAUSTED")
        return place(array)

    with monkeypatch.context() as patch:
        patch.setattr(bench.host, "_place", full_in_the_middle)
        with pytest.raises(RuntimeError, match="EXHAUSTED"):
            bench.switch(Lora("one"))
    bench.switch(Lora("two"))
    assert same_bytes(bench.arrays(), two)
    bench.switch()
    assert same_bytes(bench.arrays(), before)


def test_weights_beyond_all_bounds(bench: Bench) -> None:
    bench.switch()
    before = bench.arrays()
    name = "lora_unet_mid_block_attentions_0_proj_in"
    huge = np.full((24, 24), 3e38, np.float32)
    save_file({f"{name}.diff": huge}, bench.shelf / "huge.safetensors")
    with pytest.raises(InvalidRequestError) as caught:
        bench.switch(Lora("huge", 4))
    sentence = str(caught.value)
    assert "huge" in sentence
    assert "mid_block.attentions.0.proj_in.weight" in sentence
    bench.switch()
    assert same_bytes(bench.arrays(), before)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_none(bench: Bench, number: float) -> None:
    write(bench.shelf / "sick.safetensors", MODEL, KINDS["lora"])
    tensors = load_file(bench.shelf / "sick.safetensors")
    tensors["lora_te2_text_model_encoder_layers_1_mlp_fc1.lora_up.weight"][3, 1] = number
    save_file(tensors, bench.shelf / "sick.safetensors")
    bench.switch()
    before = bench.arrays()
    with pytest.raises(InvalidRequestError) as caught:
        bench.switch(Lora("sick"))
    assert "text_encoder_2.text_model.encoder.layers.1.mlp.fc1" in str(caught.value)
    assert str(bench.shelf) not in str(caught.value)
    assert same_bytes(bench.arrays(), before)
