"""Whatever the bytes are: a recipe, or a sentence that there is none, and soon."""

import json
import random
import time
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.core.recipe.reading import read_recipe
from bot.core.recipe.texts import MAX_FILE_BYTES
from bot.errors import NoRecipeError
from tests.bot.core.recipe.files import PNG, chunk, exif, png, saved
from tests.bot.core.recipe.test_programs import FOOOCUS, LINES, NOVELAI, SIMPLE

MOST_S = 2.0  # on a slow and busy core; most take hundredths
NODES = {name: {"class_type": kind, "inputs": told} for name, (kind, told) in SIMPLE.items()}
IMAGE = {"prompt": [{"prompt": "a [b]", "weight": 1}], "steps": 5, "sampler": "k_lms"}
INVOKEAI = {"positive_prompt": "a", "model": {"name": "b"}, "loras": [{"model": {}, "weight": 1}]}
WHOLE = [
    png(parameters=LINES),
    png(prompt=json.dumps(NODES)),
    png(invokeai_metadata=json.dumps(INVOKEAI)),
    png(sd_metadata=json.dumps({"image": IMAGE})),
    png(parameters=json.dumps(FOOOCUS)),
    png(Comment=json.dumps(NOVELAI), Description="a"),
    PNG + chunk(b"zTXt", b"parameters\0\0" + zlib.compress(LINES.encode())),
    PNG + chunk(b"iTXt", b"parameters\0\1\0en\0\0" + zlib.compress(LINES.encode())),
    saved("JPEG", exif=exif(b"UNICODE\0" + LINES.encode("utf-16-be")), comment=b"hm"),
    saved("WEBP", exif=exif(b"ASCII\0\0\0" + LINES.encode())),
]


def read(data: bytes) -> None:
    """Only what is meant to be raised is, and what comes back can be sent anywhere."""
    with suppress(NoRecipeError):
        recipe = read_recipe(data)
        said = [recipe.text, *recipe.left_out, recipe.model or "", recipe.model_hash or ""]
        if recipe.wish is not None:
            said += [recipe.wish.prompt, recipe.wish.negative_prompt or ""]
        "".join(said).encode()
        assert len("".join(said)) < 60_000


@pytest.mark.parametrize("data", WHOLE)
def test_every_place_is_read(data: bytes) -> None:
    assert read_recipe(data).wish is not None


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a", b"a cat", PNG[:7], b"RIFF\0\0\0\0WAVE", b"\0" * 100, saved("BMP")],
)
def test_what_is_no_picture_that_says_it(data: bytes) -> None:
    with pytest.raises(NoRecipeError, match="no PNG, JPEG or WebP file"):
        read_recipe(data)


def test_a_picture_that_says_nothing() -> None:
    camera = exif(b"Canon\0", tag=0x010F, kind=2)
    for data in (png(), saved("JPEG", exif=camera), saved("WEBP"), PNG, png(workflow="{}")):
        with pytest.raises(NoRecipeError, match=r"file says nothing.*as the program saved it"):
            read_recipe(data)
    with pytest.raises(NoRecipeError, match="first 16 MiB says nothing"):
        read_recipe(PNG + bytes(MAX_FILE_BYTES))


def test_more_than_is_read_is_not_looked_at() -> None:
    head = png(parameters=LINES)
    read_recipe(head + bytes(MAX_FILE_BYTES))
    with pytest.raises(NoRecipeError):
        read_recipe(PNG + chunk(b"IDAT", bytes(MAX_FILE_BYTES)) + head[len(PNG) :])


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", *(data[:40] for data in WHOLE)]))
@example(PNG, b"")
def test_any_bytes(data: bytes, start: bytes) -> None:
    read(start + data)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(WHOLE), st.randoms(use_true_random=False))
def test_damaged_files(data: bytes, chance: random.Random) -> None:
    harmed = bytearray(data[: chance.randrange(1, len(data))] if chance.random() < 0.5 else data)
    for _ in range(chance.randrange(8)):
        harmed[chance.randrange(len(harmed))] = chance.randrange(256)
    read(bytes(harmed))


TEXTS = st.text(st.characters(codec=None) | st.sampled_from('[]{}():,"\\.0 \n'), max_size=20)
NAMES = st.sampled_from(
    [
        *NODES["3"]["inputs"],
        *FOOOCUS,
        *NOVELAI,
        *INVOKEAI,
        *IMAGE,
        *("class_type", "inputs", "text", "lora", "lora_name", "image", "name", "caption"),
        *("base_caption", "char_captions", "v4_prompt", "width", "height", "noise", "sigmas"),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.just(10**400)
    | TEXTS
    | st.sampled_from(["3", "9", "KSampler", "SaveImage", "euler", "karras", "(1, 2)", "a : 1"])
    | st.tuples(st.sampled_from(["3", "6", "9", 3]), st.integers(-1, 2)).map(list),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXTS, inner, max_size=5),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES | TEXTS, VALUES, max_size=8)
NODE = st.fixed_dictionaries(
    {
        "class_type": st.sampled_from([kind for kind, _ in SIMPLE.values()]) | VALUES,
        "inputs": OBJECTS | VALUES,
    }
)


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["parameters", "invokeai_metadata", "sd_metadata", "Comment", "prompt"]),
    OBJECTS,
)
def test_any_object(name: str, told: dict[str, Any]) -> None:
    known: dict[str, dict[str, Any]] = {
        "parameters": FOOOCUS,
        "invokeai_metadata": INVOKEAI,
        "sd_metadata": {"image": told},
        "Comment": NOVELAI,
        "prompt": NODES,
    }
    read(png(**{name: json.dumps({**known[name], **told})}))


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.sampled_from([*NODES, "a"]), NODE, max_size=6))
def test_any_graph(nodes: dict[str, Any]) -> None:
    read(png(prompt=json.dumps({**NODES, **nodes})))


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        TEXTS
        | st.sampled_from(
            [*LINES.split(","), "\n", "Steps:", "Negative prompt:", "Index: 1, ", "Source: x, "]
        ),
        max_size=12,
    ).map("".join)
)
def test_any_lines(text: str) -> None:
    data = text.encode("utf-8", "replace")
    read(PNG + chunk(b"iTXt", b"parameters\0\0\0\0\0" + data))


def link_heavy(count: int) -> dict[str, Any]:
    """As many links as a megabyte holds, in a ladder with two ways from each rung."""
    rungs = {
        str(k): {
            "class_type": "A",
            "inputs": {name: [str(max(k - 1 - way, 0)), way] for way, name in enumerate("ab")},
        }
        for k in range(count)
    }
    return {
        **rungs,
        **{f"s{k}": {"class_type": "Save", "inputs": {"a": ["9", 0]}} for k in range(99)},
    }


LONG: dict[str, str] = {
    "brackets": "[" * 10**6,
    "objects": '{"a":' * 200_000,
    "digits": '{"steps": ' + "9" * 10**6 + "}",
    "tags": "<lora:" * 170_000 + "\nSteps: 1",
    "nested tags": "<lora:" * 1_100 + ">" * 1_400 + "\nSteps: 1",
    "many tags": "<lora:a:1>" * 100_000 + "\nSteps: 1",
    "quotes": "a\nSteps: 1" + ', a: "' * 160_000,
    "escaped quotes": "a\nSteps: 1" + ', a: "\\",' * 110_000,
    "spaces": "a\nSteps: " + " " * 10**6,
    "lines": "a\n" * 500_000,
    "settings": "a\nSteps: 1" + "".join(f", k{n}: v" for n in range(70_000)),
    "lines of settings": "a\nSteps: 1" + "".join(f"\nk{n}: v" for n in range(90_000)),
    "commas": "a\nSteps: 1" + "," * 10**6,
    "colons": "a\nSteps: 1" + ":," * 500_000,
    "words": "a\nSteps: 1, Sampler: " + "k " * 400_000,
    "open brackets": json.dumps({"image": {"prompt": "[" * 900_000}}),
    "ladder": json.dumps(link_heavy(12_000)),
    "circle": json.dumps(
        {
            **NODES,
            "4": {"class_type": "A", "inputs": {"model": ["4", 0], "clip": ["4", 0]}},
            "6": {"class_type": "A", "inputs": {"text": ["6", 0], "conditioning": ["6", 0]}},
            "5": {"class_type": "A", "inputs": {"width": ["5", 0], "latent_image": ["3", 0]}},
        }
    ),
    "many loras": json.dumps(
        {
            **NODES,
            "4": {
                "class_type": "A",
                "inputs": {f"l{n}": {"lora": f"x{n}"} for n in range(30_000)},
            },
        }
    ),
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
@pytest.mark.parametrize("name", ["parameters", "prompt", "sd_metadata"])
def test_long_texts_take_no_longer_than_others(name: str, text: str) -> None:
    data = png(**{name: text})
    begin_s = time.process_time()
    read(data)
    assert time.process_time() - begin_s < MOST_S


def test_bombs_and_crumbs() -> None:
    bomb = zlib.compress(b"a" * 10**8)
    bombs = b"".join(chunk(b"zTXt", b"k%d\0\0" % k + bomb) for k in range(150))
    small = zlib.compress(b"a" * 10**6)
    smaller = b"".join(chunk(b"zTXt", b"k%d\0\0" % k + small) for k in range(5_000))
    crumbs = chunk(b"aaaa", b"") * 1_000_000
    segments = b"\xff\xd8\xff" + b"\xff" * 10**7
    entries = exif(bytes(12 * 70_000)).replace(b"\0\1\x92\x86", b"\xff\xff\x92\x86")
    begin_s = time.process_time()
    for data in (PNG + bombs, PNG + smaller, PNG + crumbs, segments, saved("WEBP", exif=entries)):
        read(data)
    assert time.process_time() - begin_s < MOST_S
