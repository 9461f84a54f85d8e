"""What other programs write, in the forms that they have for it."""

import json
from collections.abc import Container
from typing import Any

import pytest

from bot.core.recipe.reading import read_recipe
from bot.core.recipe.recipe import Recipe
from bot.core.wish import Wish
from tests.bot.core.recipe.files import exif, graph, png, saved

OTHER_NOISE = "The seed draws another picture here: noise is made in another way"

LINES = """a cat, (red:1.2) <lora:styles/film:0.8>
second line
Negative prompt: dogs,
birds
Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 965400086, Size: 832x1216, \
Model hash: 31e35c80fc, Model: "base, 1.0", Clip skip: 2, Lora hashes: "film: 123", """


def read(data: bytes) -> tuple[Recipe, Wish]:
    recipe = read_recipe(data)
    assert recipe.wish is not None
    return recipe, recipe.wish


LINES_WISH = Wish(
    "a cat, (red:1.2) \nsecond line",
    "dogs,\nbirds",
    965400086,
    30,
    6.5,
    (832, 1216),
    1,
    sampler="dpmpp_2m",
    spacing="karras",
    loras=(("film", 0.8),),
    emphasis="mean",
)


@pytest.mark.parametrize(
    ("version", "program"),
    [
        ("Version: v1.9.4", "AUTOMATIC1111"),
        ("Version: f2.0.1v1.10.1-previous-665-gae278f79", "Forge"),
        ("Version: ComfyUI", "ComfyUI"),
        ("App: SD.Next, Version: 4f1ac81", "SD.Next"),
        ('Civitai resources: [{"type":"checkpoint","modelVersionId":1}]', "Civitai"),
        ("RNG: CPU", "a program that writes as AUTOMATIC1111 does"),
    ],
)
def test_lines_of_settings(version: str, program: str) -> None:
    recipe, wish = read(png(parameters=LINES + version))
    assert wish == LINES_WISH
    assert (recipe.program, recipe.model, recipe.model_hash) == (program, "base, 1.0", "31e35c80fc")
    assert recipe.left_out == (OTHER_NOISE,)
    assert not recipe.is_ours


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("code", "encoding"),
    [
        (b"UNICODE\0", "utf-16-be"),
        (b"ASCII\0\0\0", "utf-8"),
        (bytes(8), "utf-8"),
        (b"", "utf-8"),
        (b"UNICODE\0", "utf-16"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_lines_in_exif(kind: str, code: bytes, encoding: str, order: str) -> None:
    text = LINES.replace("second", "zwölfte 猫")
    data = saved(kind, exif=exif(code + text.encode(encoding), order))
    assert read(data)[1].prompt == "a cat, (red:1.2) \nzwölfte 猫 line"


def test_little_endian_text_in_a_little_endian_block() -> None:
    comment = b"UNICODE\0" + LINES.encode("utf-16-le")
    assert read(saved("JPEG", exif=exif(comment, "<")))[1] == LINES_WISH


def test_what_lines_say_besides() -> None:
    said = (
        "a cat <lora:a:1:0.5> <lora:b:x> <lora:c:9>\n"
        "Steps: 60, Sampler: Restart, Schedule type: Turbo, CFG scale: 30, Seed: -1, "
        "Size: 1000x1001, Denoising strength: 0.4, Hires upscale: 2, VAE: fixed, Emphasis: No norm"
        "\nTemplate: a {cat|dog}"
    )
    recipe, wish = read(png(parameters=said))
    assert wish == Wish("a cat <lora:a:1> <lora:b:x> <lora:c:9>", num_images=1)
    for part in (
        "LoRAs with several strengths (the first counts for all of each)",
        "'b:x' is no LoRA with a strength",
        "number of steps must lie between 1 and 50, not 60",
        "Sampler Restart (there is none of that name here)",
        "Spacing Turbo (there is none of that name here)",
        "guidance must lie between 0 and 20, not 30",
        "seed must lie between 0 and 4294967295, not -1",
        "height must be a multiple of 8 pixels, not 1001",
        "Denoising strength 0.4 (not repeated)",
        "Hires upscale 2 (not repeated)",
        "VAE fixed (the model's own is taken)",
        "Emphasis No norm (not repeated)",
        "Template a {cat|dog} (not repeated)",
    ):
        assert any(part in sentence for sentence in recipe.left_out), part
    assert OTHER_NOISE not in recipe.left_out


def test_a_picture_under_lines_is_told() -> None:
    recipe, _ = read(png(parameters="a cat\nSteps: 9, Seed: 1, Denoising strength: 0.4"))
    assert recipe.left_out[0] == (
        "Denoising strength 0.4 (it was drawn over a picture, which is not in the file)"
    )


def test_settings_that_contradict_each_other_leave_the_first() -> None:
    recipe, wish = read(png(parameters="a cat\nSteps: 8, Sampler: LCM, Schedule type: Karras"))
    assert (wish.sampler, wish.spacing) == ("lcm", None)
    assert recipe.left_out[0].startswith("LCM places its steps itself")


def test_a_prompt_that_cannot_be_drawn_is_kept_and_told() -> None:
    recipe, wish = read(png(parameters="a \N{RIGHT-TO-LEFT OVERRIDE}cat\nSteps: 8"))
    assert wish.prompt == "a \N{RIGHT-TO-LEFT OVERRIDE}cat"
    assert "invisible control character (U+202E)" in recipe.left_out[0]
    recipe, wish = read(png(parameters="a" * 20_000 + "\nSteps: 8"))
    assert wish.prompt == "a" * 8_000
    assert recipe.left_out[0] == "A text of 20,000 characters (cut here)"


CHECKPOINT = ("CheckpointLoaderSimple", {"ckpt_name": "xl/base.safetensors"})
SAMPLING = {
    "seed": 7,
    "steps": 25,
    "cfg": 8,
    "sampler_name": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "denoise": 1,
    "model": ["4", 0],
    "positive": ["6", 0],
    "negative": ["7", 0],
    "latent_image": ["5", 0],
}
Nodes = dict[str, tuple[str, dict[str, Any]]]
SIMPLE: Nodes = {
    "3": ("KSampler", SAMPLING),
    "4": CHECKPOINT,
    "5": ("EmptyLatentImage", {"width": 1024, "height": 768, "batch_size": 1}),
    "6": ("CLIPTextEncode", {"text": "a (red:1.2) cat", "clip": ["4", 1]}),
    "7": ("CLIPTextEncode", {"text": "", "clip": ["4", 1]}),
    "8": ("VAEDecode", {"samples": ["3", 0], "vae": ["4", 2]}),
    "9": ("SaveImage", {"filename_prefix": "ComfyUI", "images": ["8", 0]}),
}
SIMPLE_WISH = Wish(
    "a (red:1.2) cat",
    "",
    7,
    25,
    8.0,
    (1024, 768),
    1,
    sampler="dpmpp_2m_sde",
    spacing="karras",
    emphasis="interpolation",
)


def with_nodes(nodes: Nodes, without: Container[str] = ()) -> tuple[Recipe, Wish]:
    return read(
        graph({name: node for name, node in (SIMPLE | nodes).items() if name not in without})
    )


def test_a_graph() -> None:
    recipe, wish = with_nodes({})
    assert wish == SIMPLE_WISH
    assert (recipe.program, recipe.model, recipe.left_out) == ("ComfyUI", "base", (OTHER_NOISE,))


def test_a_graph_in_exif() -> None:
    nodes = {name: {"class_type": kind, "inputs": told} for name, (kind, told) in SIMPLE.items()}
    comment = f"prompt:{json.dumps(nodes)}".encode()
    recipe, wish = read(saved("WEBP", exif=exif(comment, "<", 0x0110, 2)))
    assert (recipe.program, wish) == ("ComfyUI", SIMPLE_WISH)


def test_values_and_texts_that_other_nodes_pass_on() -> None:
    _, wish = with_nodes(
        {
            "3": ("KSampler", SAMPLING | {"seed": ["20", 0], "positive": ["22", 0]}),
            "20": ("PrimitiveInt", {"value": ["21", 0]}),
            "21": ("Seed (other)", {"seed": 11}),
            "22": (
                "ConditioningConcat",
                {"conditioning_to": ["6", 0], "conditioning_from": ["23", 0]},
            ),
            "23": ("CLIPTextEncode", {"text": ["24", 0], "clip": ["4", 1]}),
            "24": ("PrimitiveString", {"value": "at night"}),
        }
    )
    assert wish.seed == 11
    assert wish.prompt == "a (red:1.2) cat BREAK at night"


def test_a_graph_with_loras_and_a_clip_skip() -> None:
    recipe, wish = with_nodes(
        {
            "3": ("KSampler", SAMPLING | {"model": ["12", 0]}),
            "6": ("CLIPTextEncode", {"text": "a cat", "clip": ["13", 0]}),
            "7": ("ConditioningZeroOut", {"conditioning": ["6", 0]}),
            "10": (
                "LoraLoader",
                {
                    "lora_name": "x\\film.safetensors",
                    "strength_model": 0.7,
                    "strength_clip": 0.5,
                    "model": ["4", 0],
                    "clip": ["4", 1],
                },
            ),
            "11": (
                "Power Lora Loader (rgthree)",
                {
                    "lora_1": {"on": True, "lora": "ink.safetensors", "strength": -1},
                    "lora_2": {"on": False, "lora": "off.safetensors", "strength": 1},
                    "model": ["10", 0],
                },
            ),
            "12": ("RescaleCFG", {"multiplier": 0.7, "model": ["14", 0]}),
            "13": ("CLIPSetLastLayer", {"stop_at_clip_layer": -1, "clip": ["10", 1]}),
            "14": ("FreeU_V2", {"b1": 1.3, "model": ["11", 0]}),
        }
    )
    assert wish.loras == (("ink", -1.0), ("film", 0.7))
    assert (wish.guidance_rescale, wish.clip_skip, wish.negative_prompt) == (0.7, 1, None)
    assert recipe.model == "base"
    assert recipe.left_out == (
        "Node FreeU_V2 (not repeated)",
        "LoRA film in the text encoders 0.5 (not repeated)",
        OTHER_NOISE,
    )


def test_of_several_samplers_the_last_before_the_saved_picture() -> None:
    recipe, wish = with_nodes(
        {
            "30": ("LatentUpscale", {"width": 1536, "height": 1152, "samples": ["3", 0]}),
            "31": (
                "SamplerCustomAdvanced",
                {
                    "noise": ["32", 0],
                    "guider": ["33", 0],
                    "sampler": ["34", 0],
                    "sigmas": ["35", 0],
                    "latent_image": ["30", 0],
                },
            ),
            "32": ("RandomNoise", {"noise_seed": 8}),
            "33": (
                "CFGGuider",
                {"model": ["4", 0], "positive": ["36", 0], "negative": ["36", 1], "cfg": 4.5},
            ),
            "34": ("KSamplerSelect", {"sampler_name": "euler"}),
            "35": (
                "BasicScheduler",
                {"model": ["4", 0], "scheduler": "sgm_uniform", "steps": 12, "denoise": 0.5},
            ),
            "36": (
                "ControlNetApplyAdvanced",
                {"positive": ["6", 0], "negative": ["7", 0], "strength": 1},
            ),
            "8": ("VAEDecode", {"samples": ["31", 0], "vae": ["4", 2]}),
            "37": ("ImageUpscaleWithModel", {"image": ["8", 0], "upscale_model": ["38", 0]}),
            "38": ("UpscaleModelLoader", {"model_name": "x4"}),
            "9": ("SaveImage", {"images": ["37", 0]}),
            "40": ("PreviewImage", {"images": ["41", 0]}),
            "41": ("VAEDecode", {"samples": ["3", 0], "vae": ["4", 2]}),
        }
    )
    assert wish == Wish(
        "a (red:1.2) cat",
        "",
        8,
        12,
        4.5,
        (1536, 1152),
        1,
        sampler="euler",
        spacing="trailing",
        emphasis="interpolation",
    )
    assert recipe.left_out == (
        "Node ImageUpscaleWithModel (not repeated)",
        "Denoise 0.5 (it went on from an earlier picture)",
        "Node ControlNetApplyAdvanced (not repeated)",
        "An earlier sampler KSampler (this is the last one)",
        OTHER_NOISE,
    )


def test_seeds_of_64_bits_are_told() -> None:
    recipe, wish = with_nodes({"3": ("KSampler", SAMPLING | {"seed": 2**64 - 1})})
    assert wish.seed is None
    assert recipe.left_out == ("Seed 18446744073709551615 (seeds end at 4294967295 here)",)


def test_samplers_of_other_kinds() -> None:
    custom = {**SAMPLING, "noise_seed": 9, "sampler": ["20", 0], "sigmas": ["21", 0]}
    for name in ("seed", "steps", "sampler_name", "scheduler", "denoise"):
        del custom[name]
    _, wish = with_nodes(
        {
            "3": ("SamplerCustom", custom),
            "20": ("SamplerDPMPP_2M_SDE", {"eta": 1}),
            "21": ("KarrasScheduler", {"steps": 14, "rho": 7}),
        }
    )
    assert (wish.seed, wish.num_inference_steps) == (9, 14)
    assert (wish.sampler, wish.spacing) == ("dpmpp_2m_sde", "karras")
    advanced = {**SAMPLING, "noise_seed": 10, "start_at_step": 0, "end_at_step": 20}
    del advanced["seed"]
    recipe, wish = with_nodes({"3": ("KSamplerAdvanced", advanced)})
    assert wish.seed == 10
    assert recipe.left_out[0] == "Steps 0 to 20 alone (all are drawn here)"


def test_a_graph_that_begins_with_a_picture() -> None:
    recipe, _ = with_nodes(
        {
            "5": ("VAEEncode", {"pixels": ["20", 0], "vae": ["4", 2]}),
            "20": ("LoadImage", {"image": "cat.png"}),
        }
    )
    assert recipe.left_out[0] == "A picture to start from (not in the file)"


def test_two_texts_of_sdxl() -> None:
    texts = {"text_g": "a cat", "text_l": "a drawing", "width": 64, "height": 64, "clip": ["4", 1]}
    recipe, wish = with_nodes({"6": ("CLIPTextEncodeSDXL", texts)})
    assert (wish.prompt, wish.size_px) == ("a cat", (1024, 768))
    assert recipe.left_out[0].startswith("A text of its own for the smaller text encoder a drawing")


def test_a_graph_without_a_sampler() -> None:
    recipe, wish = read(
        graph({"a": ("LoadImage", {"image": "x"}), "b": ("SaveImage", {"images": ["a", 0]})})
    )
    assert (recipe.program, wish.prompt) == ("ComfyUI", "")
    assert "A graph without a sampler that is known here" in recipe.left_out


def test_a_sampler_that_nothing_saves() -> None:
    assert with_nodes({}, without=("8", "9"))[1] == SIMPLE_WISH


def test_what_invokeai_writes() -> None:
    told = {
        "app_version": "5.0.2",
        "generation_mode": "sdxl_txt2img",
        "positive_prompt": "a cat++",
        "negative_prompt": "dogs",
        "width": 1024,
        "height": 1024,
        "seed": 5,
        "cfg_scale": 7.5,
        "cfg_rescale_multiplier": 0.7,
        "steps": 30,
        "scheduler": "kdpm_2_a",
        "clip_skip": 0,
        "model": {"key": "k", "hash": "blake3:ab", "name": "Base XL", "base": "sdxl"},
        "loras": [
            {"model": {"key": "l", "name": "film"}, "weight": 0.75},
            {"lora": {"model_name": "ink", "base_model": "sdxl"}, "weight": -1},
        ],
        "ipAdapters": [{"weight": 1}],
        "refiner_model": {"name": "refiner"},
    }
    recipe, wish = read(png(invokeai_metadata=json.dumps(told)))
    assert wish == Wish(
        "a cat++",
        "dogs",
        5,
        30,
        7.5,
        (1024, 1024),
        1,
        sampler="dpm2_ancestral",
        guidance_rescale=0.7,
        loras=(("film", 0.75), ("ink", -1.0)),
    )
    assert (recipe.program, recipe.model, recipe.model_hash) == ("InvokeAI", "Base XL", "blake3:ab")
    assert recipe.left_out == (
        "IP adapters (not repeated)",
        "Refiner refiner (not repeated)",
        "Weights in the prompt (written as only InvokeAI reads them)",
        OTHER_NOISE,
    )


def test_what_older_versions_of_invokeai_wrote() -> None:
    image = {
        "prompt": [{"prompt": "a cat [dogs] [birds]", "weight": 1.0}],
        "steps": 50,
        "cfg_scale": 7.5,
        "seed": 42,
        "width": 512,
        "height": 640,
        "sampler": "k_lms",
        "perlin": 0.1,
    }
    told = {"model_weights": "sd-1.5", "model_hash": "cc", "image": image}
    recipe, wish = read(png(sd_metadata=json.dumps(told)))
    expected = Wish("a cat", "dogs, birds", 42, 50, 7.5, (512, 640), 1, sampler="lms")
    assert wish == expected
    assert (recipe.model, recipe.model_hash) == ("sd-1.5", "cc")
    assert recipe.left_out == ("Perlin 0.1 (not repeated)", OTHER_NOISE)
    dream = '"a cat [dogs] [birds]" -s 50 -S 42 -W512 -H 640 -C 7.5 -A k_lms -f 0.4'
    recipe, wish = read(png(Dream=dream))
    assert wish == expected
    assert recipe.left_out == ("-f 0.4 (not repeated)", OTHER_NOISE)


NOVELAI = {
    "prompt": "a {{cat}}",
    "uc": "dogs",
    "steps": 28,
    "width": 832,
    "height": 1216,
    "scale": 5.0,
    "cfg_rescale": 0.2,
    "seed": 99,
    "noise_schedule": "native",
    "sampler": "k_euler_ancestral",
    "sm": True,
}


def test_what_novelai_writes() -> None:
    texts = {
        "Description": "a {{cat}}",
        "Software": "NovelAI",
        "Source": "Stable Diffusion XL 7BCCAA2C",
        "Comment": json.dumps(NOVELAI),
    }
    recipe, wish = read(png(**texts))
    assert wish == Wish(
        "a {{cat}}",
        "dogs",
        99,
        28,
        5.0,
        (832, 1216),
        1,
        sampler="euler_ancestral",
        guidance_rescale=0.2,
    )
    assert (recipe.program, recipe.model) == ("NovelAI", "Stable Diffusion XL")
    assert recipe.model_hash == "7BCCAA2C"
    assert recipe.left_out == (
        "Weights in the prompt (written as only NovelAI reads them)",
        "SMEA (not repeated)",
        OTHER_NOISE,
    )
    in_exif = saved("WEBP", exif=exif(b"UNICODE\0" + json.dumps(texts).encode("utf-16-be")))
    assert read(in_exif) == (recipe, wish)


def test_captions_of_novelai() -> None:
    caption = {"base_caption": "two cats", "char_captions": [{"char_caption": "one is red"}]}
    told = NOVELAI | {"v4_prompt": {"caption": caption}, "noise_schedule": "karras"}
    _, wish = read(png(Comment=json.dumps(told), Description="two cats"))
    assert (wish.prompt, wish.spacing) == ("two cats, one is red", "karras")


FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "juggernautXL_v8Rundiffusion",
    "base_model_hash": "aeb7e9e689",
    "clip_skip": 2,
    "full_negative_prompt": ["ugly", "dogs"],
    "full_prompt": ["cinematic still a cat", "a cat, sharp"],
    "guidance_scale": 4,
    "lora_combined_1": "offset : 0.1",
    "loras": [["offset", 0.1, "4852686128"]],
    "metadata_scheme": "fooocus",
    "negative_prompt": "dogs",
    "performance": "Speed",
    "prompt": "a cat",
    "refiner_model": "None",
    "resolution": "(1152, 896)",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "123",
    "sharpness": 2,
    "steps": 30,
    "styles": "['Fooocus V2']",
    "version": "Fooocus v2.5.5",
}


def test_what_fooocus_writes() -> None:
    recipe, wish = read(png(fooocus_scheme="fooocus", parameters=json.dumps(FOOOCUS)))
    assert wish == Wish(
        "cinematic still a cat, a cat, sharp",
        "ugly, dogs",
        123,
        30,
        4.0,
        (1152, 896),
        1,
        sampler="dpmpp_2m_sde",
        spacing="karras",
        loras=(("offset", 0.1),),
        clip_skip=2,
    )
    assert (recipe.program, recipe.model_hash) == ("Fooocus", "aeb7e9e689")
    assert recipe.model == "juggernautXL_v8Rundiffusion"
    assert recipe.left_out == (
        "Adm guidance (1.5, 0.8, 0.3) (not repeated)",
        "Sharpness 2 (not repeated)",
        OTHER_NOISE,
    )
    in_exif = exif(json.dumps(FOOOCUS).encode(), "<", kind=2)
    assert read(saved("JPEG", exif=in_exif)) == (recipe, wish)
    older = {**FOOOCUS, "loras": [], "lora_combined_2": "True : ink : -1"}
    older["lora_combined_3"] = "False : off : 1"
    assert read(png(parameters=json.dumps(older)))[1].loras == (("offset", 0.1), ("ink", -1.0))


def test_fooocus_in_lines() -> None:
    lines = (
        "a cat\nSteps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 1, Size: 1152x896, CFG scale: 4, "
        'Model: x, Scheduler: karras, Lora weights: "film: 0.5, ink: 1", Version: Fooocus v2.5.5'
    )
    recipe, wish = read(png(parameters=lines))
    assert recipe.program == "Fooocus"
    assert wish.loras == (("film", 0.5), ("ink", 1.0))
    assert wish.spacing == "karras"
    assert recipe.left_out == (OTHER_NOISE,)


def test_a_text_of_no_known_form_is_shown_as_it_is() -> None:
    recipe = read_recipe(png(Title="a cat", Software="Paint", workflow="{}"))
    assert recipe == Recipe("", None, text="Title: a cat\nSoftware: Paint")
    recipe = read_recipe(
        png(parameters='{"sui_image_params": {"prompt": "a"}}' + " " * 3_000 + "x")
    )
    assert recipe.wish is None
    assert len(recipe.text) == 2_000
    assert recipe.text.startswith('parameters: {"sui_image_params"')
    assert recipe.text.endswith("…")
