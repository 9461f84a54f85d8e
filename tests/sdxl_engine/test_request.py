import math
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_engine import (
    ImageRequest,
    InvalidRequestError,
    Lora,
    format_size,
    parse_sampler,
    parse_sampler_and_spacing,
    parse_size,
    parse_spacing,
    parse_timesteps,
)
from sdxl_engine.request import MAX_IMAGES, SAMPLERS, SPACINGS, name_of_model, parse_bytes


def refusal(prompt: Any = "a cat", **changes: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        ImageRequest(prompt, **changes)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t", "\u200b\u200d", "\u3000", "\u0301"])
def test_a_prompt_that_shows_nothing(prompt: str) -> None:
    assert "prompt is empty. Say what" in refusal(prompt=prompt)


def test_a_prompt_of_more_than_four_thousand_characters() -> None:
    assert "4,001 characters long; the limit is 4,000. Shorten it." in refusal(prompt="a" * 4001)
    assert "negative prompt is 4,001 characters" in refusal(negative_prompt="a" * 4001)
    assert ImageRequest("a" * 4000).prompt


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x7f", "\x85", "\u202e", "\u2066", "\ud800"])
def test_control_characters_are_named(char: str) -> None:
    sentence = refusal(prompt=f"a cat{char}")
    assert f"U+{ord(char):04X}" in sentence
    assert "at place 6" in sentence


@pytest.mark.parametrize("prompt", ["🐬", "👩‍👩‍👧", "قطة حمراء", "חתול", "a\nb", "é", "\u200bcat"])
def test_emoji_and_every_script_are_welcome(prompt: str) -> None:
    assert ImageRequest(prompt).prompt == prompt


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("guidance_scale", math.nan),
        ("guidance_scale", math.inf),
        pytest.param("guidance_scale", 10**400, id="guidance-400-digits"),
        pytest.param("seed", 10**5_000, id="seed-5000-digits"),
        pytest.param("num_images", -(10**5_000), id="images-5000-digits"),
        ("guidance_scale", -0.1),
        ("guidance_scale", 20.1),
        ("guidance_scale", "5"),
        ("guidance_scale", True),
        ("guidance_rescale", 1.01),
        ("guidance_interval", (0.5, 1.5)),
        ("guidance_interval", (0.6, 0.4)),
        ("sampler", "dpm_adaptive"),
        ("sampler", "x" * 1000),
        ("spacing", "turbo"),
        ("num_inference_steps", 0),
        ("num_inference_steps", 51),
        ("num_inference_steps", 20.0),
        ("num_inference_steps", True),
        ("num_images", 0),
        ("num_images", 11),
        ("first_index", -1),
        ("first_index", 10),
        ("first_index", 1.0),
        ("first_index", 7),  # and four images
        ("seed", -1),
        ("seed", 2**32),
        ("width_px", 63),
        ("width_px", 1020),
        ("height_px", 2056),
        ("prompt", None),
        ("negative_prompt", 3),
    ],
)
def test_what_is_out_of_range_is_refused(field: str, value: object) -> None:
    refusal(**{field: value})


@given(
    st.integers(8, 256).map(lambda side: side * 8), st.integers(8, 256).map(lambda side: side * 8)
)
def test_sizes_survive_a_round_trip(width_px: int, height_px: int) -> None:
    assert parse_size(format_size(width_px, height_px)) == (width_px, height_px)


@given(st.text(max_size=20))
def test_any_text_is_a_size_or_an_error(text: str) -> None:
    with suppress(InvalidRequestError):
        width_px, height_px = parse_size(text)
        assert ImageRequest("a cat", width_px=width_px, height_px=height_px)


@given(st.text())
def test_any_prompt_is_kept_as_it_is_or_refused(prompt: str) -> None:
    with suppress(InvalidRequestError):
        assert ImageRequest(prompt).prompt == prompt


@pytest.mark.parametrize("index", range(MAX_IMAGES))
def test_any_image_of_a_request_can_be_asked_for_alone(index: int) -> None:
    assert ImageRequest("a cat", num_images=1, first_index=index).first_index == index


def test_no_image_lies_beyond_the_last() -> None:
    assert ImageRequest("a cat", num_images=3, first_index=7).num_images == 3
    assert refusal(num_images=4, first_index=7).startswith(
        "4 images from index 7 on end beyond index 9, the last."
    )


@pytest.mark.parametrize(
    ("parse", "titles"), [(parse_sampler, SAMPLERS), (parse_spacing, SPACINGS)]
)
@given(st.data())
def test_every_name_and_title_parses_to_its_name(
    parse: Callable[[str], str], titles: dict[str, str], data: st.DataObject
) -> None:
    name, title = data.draw(st.sampled_from(sorted(titles.items())))
    written = data.draw(st.sampled_from([name, title]))
    cases: tuple[Callable[[str], str], ...] = (str.lower, str.upper, str.title, str)
    gaps = st.sampled_from([" ", "_", "-", "  ", ""])
    words = [data.draw(st.sampled_from(cases))(word) for word in re.split("[ _]", written)]
    text = words[0] + "".join(data.draw(gaps) + word for word in words[1:])
    assert parse(data.draw(gaps) + text + data.draw(gaps)) == name


@pytest.mark.parametrize("text", ["", "dpm_adaptive", "dpm", "euler euler", "x" * 1000])
def test_another_name_is_refused_with_the_list(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"There is no sampler .*{', '.join(SAMPLERS)}"):
        parse_sampler(text)
    with pytest.raises(InvalidRequestError, match=f"There is no spacing .*{', '.join(SPACINGS)}"):
        parse_spacing(text)


@given(st.text())
def test_any_text_is_a_sampler_or_an_error(text: str) -> None:
    with suppress(InvalidRequestError):
        assert parse_sampler(text) in SAMPLERS
    with suppress(InvalidRequestError):
        sampler, spacing = parse_sampler_and_spacing(text)
        assert sampler in SAMPLERS
        assert spacing is None or spacing in SPACINGS


# As A1111, Forge, ComfyUI, InvokeAI and diffusers write them.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Euler a", ("euler_ancestral", None)),
        ("euler_a", ("euler_ancestral", None)),
        ("k_euler_a", ("euler_ancestral", None)),
        ("DPM++ 2M Karras", ("dpmpp_2m", "karras")),
        ("dpmpp_2m karras", ("dpmpp_2m", "karras")),
        ("DPM++ 2M SDE Karras", ("dpmpp_2m_sde", "karras")),
        ("DPM++ 2M SDE Heun Exponential", ("dpmpp_2m_sde_heun", "exponential")),
        ("dpmpp_2m_sde_gpu", ("dpmpp_2m_sde", None)),
        ("dpmpp_3m_sde_gpu exponential", ("dpmpp_3m_sde", "exponential")),
        ("DPM++ SDE Karras", ("dpmpp_sde", "karras")),
        ("DPM++ 3M SDE", ("dpmpp_3m_sde", None)),
        ("DPM++ 2S a Karras", ("dpmpp_2s_ancestral", "karras")),
        ("DPM2 a Karras", ("dpm2_ancestral", "karras")),
        ("dpm_2_ancestral", ("dpm2_ancestral", None)),
        ("uni_pc_bh2", ("unipc", None)),
        ("UniPC", ("unipc", None)),
        ("Euler SGM Uniform", ("euler", "trailing")),
        ("Euler Align Your Steps", ("euler", "ays")),
        ("DPM++ 2M Beta", ("dpmpp_2m", "beta")),
        ("Euler KL Optimal", ("euler", "kl_optimal")),
        ("DPM++ 2M Automatic", ("dpmpp_2m", None)),
        ("LMS Karras", ("lms", "karras")),
        ("Heun", ("heun", None)),
        ("DPM++ 2M, Karras", ("dpmpp_2m", "karras")),
        ("k-euler", ("euler", None)),
        ("k_euler", ("euler", None)),
        ("K-DPM-2 Karras", ("dpm2", "karras")),
        ("euler_ancestral_cfg_pp", ("euler_ancestral_cfg_pp", None)),
        ("EulerAncestralDiscreteScheduler", ("euler_ancestral", None)),
        ("DPMSolverMultistepScheduler", ("dpmpp_2m", None)),
        ("LCM", ("lcm", None)),
    ],
)
def test_samplers_as_people_write_them(text: str, expected: tuple[str, str | None]) -> None:
    assert parse_sampler_and_spacing(text) == expected


@pytest.mark.parametrize("text", ["Karras", "DPM adaptive Karras", "Euler Karras Beta", ""])
def test_what_is_no_sampler_with_a_spacing_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="There is no sampler"):
        parse_sampler_and_spacing(text)


def test_a_menu_holds_all_samplers_and_spacings() -> None:
    assert max(len(SAMPLERS), len(SPACINGS)) <= 25  # of Discord


def test_timesteps_may_be_told_one_a_step() -> None:
    request = ImageRequest("a fox", num_inference_steps=4, timesteps=(999, 749, 499, 249))
    assert request.timesteps == (999, 749, 499, 249)
    assert "must decrease" in refusal(num_inference_steps=2, timesteps=(499, 499))
    assert "between 0 and 999" in refusal(num_inference_steps=1, timesteps=(1000,))
    assert "whole number" in refusal(num_inference_steps=1, timesteps=(499.0,))
    assert "2 timesteps are not 3 steps" in refusal(num_inference_steps=3, timesteps=(9, 4))
    assert "nothing for a spacing" in refusal(
        num_inference_steps=2, timesteps=(9, 4), spacing="karras"
    )


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"guidance_scale": 1.0}, 20),
        ({"guidance_scale": 5.0}, 40),
        ({"guidance_scale": 5.0, "guidance_interval": (0.0, 0.5)}, 30),
        ({"guidance_scale": 1.0, "sampler": "heun"}, 39),
        ({"guidance_scale": 5.0, "sampler": "heun"}, 78),
        ({"guidance_scale": 5.0, "sampler": "dpm2", "guidance_interval": (0.0, 0.5)}, 59),
        ({"guidance_scale": 0.6, "sampler": "euler_cfg_pp"}, 40),
        ({"guidance_scale": 0.0, "sampler": "euler_cfg_pp"}, 20),
    ],
)
def test_passes_through_the_network(changes: dict[str, Any], passes: int) -> None:
    assert ImageRequest("a fox", num_inference_steps=20, **changes).passes == passes


@pytest.mark.parametrize("sampler", ["lcm", "tcd"])
def test_a_distilled_sampler_has_its_own_spacing(sampler: str) -> None:
    assert ImageRequest("a cat", sampler=sampler).spacing is None
    assert "Leave the spacing out" in refusal(sampler=sampler, spacing="karras")


@pytest.mark.parametrize("name", ["../x", "a/b", "c:\\d", ".hidden", "", "  ", "a\nb", "n" * 101])
def test_a_lora_is_chosen_by_a_plain_name(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="name"):
        Lora(name)
    with pytest.raises(InvalidRequestError, match="name"):
        ImageRequest("a fox", model=name)


@pytest.mark.parametrize("strength", [-4.01, 4.01, float("nan"), float("inf"), True, "1"])
def test_a_strength_out_of_range_is_refused(strength: Any) -> None:
    with pytest.raises(InvalidRequestError, match="strength of the LoRA ink"):
        Lora("ink", strength)


def test_a_lora_asked_for_twice_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequestError, match="ink is asked for twice"):
        ImageRequest("a fox", loras=(Lora("ink"), Lora("wool"), Lora("ink", 0.5)))


def test_ten_loras_are_too_many() -> None:
    loras = tuple(Lora(f"l{number}") for number in range(10))
    with pytest.raises(InvalidRequestError, match="10 LoRAs at once are more than 8"):
        ImageRequest("a fox", loras=loras)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("doodle", "doodle"),
        ("owner/name", "name"),
        ("~/models/one.safetensors", "one"),
        ("/models/folder/", "folder"),
        ("C:\\models\\v1.5.safetensors", "v1.5"),
        ("/", "/"),
    ],
)
def test_a_model_is_called_by_the_end_of_its_path(model: str, name: str) -> None:
    assert name_of_model(model) == name


def test_timesteps_are_read_from_a_text() -> None:
    assert parse_timesteps("999, 749,499 ,249") == (999, 749, 499, 249)
    assert parse_timesteps(" [999, 749, 499, 249]") == (999, 749, 499, 249)


@given(st.text())
def test_any_text_is_timesteps_or_an_error(text: str) -> None:
    with suppress(InvalidRequestError):
        assert parse_timesteps(text)


@pytest.mark.parametrize("text", ["", "8", "GB", "0GB", "-1GB", "8TB", "1e3GB", "8GB or so"])
def test_what_is_no_amount_of_memory_is_said(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="is no amount of memory"):
        parse_bytes(text)
