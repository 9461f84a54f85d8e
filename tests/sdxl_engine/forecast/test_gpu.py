"""The GPU forecast where no GPU compiler is: what it says of wrong input, and what it counts."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import jax
import pytest

from sdxl_engine import InvalidRequestError
from sdxl_engine.checkpoint.hub import sdxl_base
from sdxl_engine.forecast import gpu
from sdxl_engine.forecast.cards import CARDS, Card
from sdxl_engine.forecast.full_size import STEPS, FullSize
from sdxl_engine.forecast.gpu import parse_cards
from sdxl_engine.memory import CHECK, TEXT, UNET, VAE
from sdxl_engine.models.layers import GPU, PLAIN, TPU, Target


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [("h100", "h100", 1), ("H100x8", "h100", 8), ("rtx4060", "rtx4060", 1)],
)
def test_cards_are_a_name_and_a_number(text: str, name: str, count: int) -> None:
    assert parse_cards(text) == (CARDS[name], count)


@pytest.mark.parametrize("text", ["", "h100x", "h100x0", "h100x100", "rtx40", "xh100", "h100x8x2"])
def test_cards_that_nobody_described_are_a_sentence(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^There is no GPU .*such as h100x8\.$"):
        parse_cards(text)


def test_every_card_is_described_to_its_compiler() -> None:
    for card in CARDS.values():
        text = card.description()
        assert f"core_count: {card.multiprocessors}\n" in text
        assert f"device_memory_size: {card.memory_bytes}\n" in text
        # At its clock no card multiplies faster than its matrix units do, nor slower than without.
        lanes = float(text.partition("fpus_per_core: ")[2].split()[0])
        plain_flops_per_s = 2 * card.multiprocessors * lanes * card.clock_ghz * 1e9
        assert 0.9 * plain_flops_per_s < card.flops_per_s < 17 * plain_flops_per_s


MEMORY = [
    f"{part}_size_in_bytes" for part in ("argument", "output", "alias", "temp", "generated_code")
]
# Operations a clock of a multiprocessor's matrix units in int8, by the generations' white papers.
INT8 = {(7, 5): 2048, (8, 0): 4096, (8, 6): 2048, (8, 9): 2048, (9, 0): 8192}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_products_of_whole_numbers_have_their_published_rate(card: Card) -> None:
    rate = INT8[card.capability] * card.multiprocessors * card.clock_ghz * 1e9
    assert card.int8_per_s == pytest.approx(rate, rel=0.1)  # published of another clock
    text = """HloModule one, is_scheduled=true

ENTRY %main (a: s8[4096,4096], b: s8[4096,4096]) -> s32[4096,4096] {
  %a = s8[4096,4096]{1,0} parameter(0)
  %b = s8[4096,4096]{1,0} parameter(1)
  ROOT %sums = s32[4096,4096]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""
    memory = Mock(**dict.fromkeys(MEMORY, 0))
    compiled = SimpleNamespace(as_text=lambda: text, memory_analysis=lambda: memory)
    (forecast,) = gpu.forecasts(
        Mock(programs=lambda: {"one": Mock(compile=lambda: compiled)}), card
    )
    assert forecast.floor_s == pytest.approx(2 * 4096**3 / card.int8_per_s)


def device(platform: str, capability: str = "") -> Any:
    return SimpleNamespace(platform=platform, compute_capability=capability)


def test_the_target_is_that_of_the_device() -> None:
    assert Target.of(device("cpu")) == PLAIN
    assert Target.of(device("tpu")) == TPU
    assert Target.of(device("gpu", "9.0")) == Target.of(device("gpu", "12.0")) == GPU
    # cuDNN's flash attention begins with Ampere.
    assert Target.of(device("gpu", "7.5")) == replace(GPU, attention="xla")


def full_size(limit_bytes: int | None = None, size_px: tuple[int, int] = (1024, 1024)) -> FullSize:
    return FullSize(sdxl_base(), jax.devices()[:1], GPU, size_px, 4, limit_bytes=limit_bytes)


def test_a_request_is_every_program_with_its_steps() -> None:
    said = {"text_encoder": 0.25, "text_encoder_2": 0.5, "condition": 0.25}
    once = {**said, "decode": 100.0, "fit": 1000.0, "look": 10_000.0}
    seconds = {**once, "guided": 10.0, "unguided": 5.0, "preview": 100_000.0}
    assert set(seconds) < set(full_size().programs())
    assert full_size().request_s(seconds) == 11_101 + 10 * STEPS
    # Image by image all but what the prompts say is done once for each.
    assert full_size(1).request_s(seconds) == 1 + 4 * (11_100 + 10 * STEPS)


def test_a_portrait_is_its_landscape_and_what_transposes() -> None:
    programs = full_size(size_px=(832, 1216)).programs()
    assert {"unet_kernels", "vae_kernels", "denoise_in", "decode_out"} < programs.keys()
    _, _, sample, *_ = programs["guided"].arguments
    assert sample.latents.shape == (4, 832 // 8, 1216 // 8, 4)


def test_weights_are_counted_once() -> None:
    # SDXL's 3.47 billion and the check's 0.3, of two bytes each, less the tables of words.
    memory = full_size().memory
    taken = dict.fromkeys(full_size().programs(), 1.0)
    own = memory.peak_bytes(taken, taken) - 2 - 2 * memory.said_bytes
    assert own == pytest.approx(7.54e9 - 0.2e9, rel=0.01)


def test_what_visits_counts_while_it_is_there() -> None:
    memory = full_size(6_300_000_000).memory
    assert memory.visitors == {TEXT, VAE, CHECK}
    unet, said = memory.resident_bytes([UNET]), memory.said_bytes
    given = dict.fromkeys(full_size().programs(), 10.0)
    working = dict.fromkeys(given, 1.0)
    assert memory.peak_bytes(given, working) == unet + 2 * said + 11
    larger = {**given, "guided": unet + said + 100.0}
    assert memory.peak_bytes(larger, working) == unet + 2 * said + 101
    assert memory.peak_bytes({**given, "look": 1000.0}, working) == unet + 2 * said + 1001


class Refused:
    """A program that no compiler takes, and one that takes everything."""

    def compile(self) -> None:
        raise RuntimeError("no kernel for it\nand much more")


def test_what_is_refused_is_told_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "devices_of", lambda _card, count: jax.devices()[:count])
    monkeypatch.setattr(FullSize, "programs", lambda _: {"one": Refused(), "other": Refused()})
    monkeypatch.setattr(sys, "argv", ["forecast", "l4"])
    assert gpu.main() == 1
    said = capsys.readouterr().out
    assert said.startswith("4 images of 1024x1024 on 1 x NVIDIA L4, bfloat16\n")
    assert [line.split() for line in said.splitlines()[2:]] == [
        [name, "no", "no", "kernel", "for", "it"] for name in ("one", "other")
    ]


@pytest.mark.skipif(
    importlib.util.find_spec("jax_plugins") is not None
    and importlib.util.find_spec("jax_plugins.xla_cuda13") is not None,
    reason="the CUDA plugin is here",
)
def test_without_the_compiler_it_says_how_to_get_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sdxl_engine.forecast.gpu", "h100"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Its compiler comes with `make setup ACCELERATOR=cuda`" in done.stderr
