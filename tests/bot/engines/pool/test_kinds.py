"""Which engines a configuration asks for."""

from pathlib import Path

import pytest

from bot.config.reading import load_config
from bot.config.sections import Config, ModelConfig
from bot.engines.pool.kinds import Kind, kinds_of
from bot.errors import ConfigError


def read(folder: Path, text: str) -> Config:
    path = folder / "bot.toml"
    path.write_text(text)
    return load_config(path, {})


def of(folder: Path, text: str) -> tuple[Kind, ...]:
    return kinds_of(read(folder, text))


def test_where_none_is_named_there_is_one_kind_of_all_models(tmp_path: Path) -> None:
    (kind,) = of(
        tmp_path,
        '[engine]\nmodels = ["a", "b"]\n[pool]\nresources = ["GPU=1"]\nleast = 2\nmost = 3',
    )
    assert (kind.name, kind.least, kind.most) == ("engine", 2, 3)
    assert kind.resources == {"GPU": 1}
    assert kind.config.engine.models == ("a", "b")


TWO = """
[engine]
models = ["large", "small", "tiny"]
dtype = "bfloat16"
unet = "lightning.safetensors"
[model]
steps = 4
[pool]
most = 5
[engines.cheap]
models = ["tiny", "small"]
dtype = "float32"
resources = ["CPU=2"]
[engines.dear]
models = ["large", "small"]
resources = ["TPU=4"]
most = 1
"""


def test_kinds_say_what_is_otherwise_and_the_first_model_s_comes_first(tmp_path: Path) -> None:
    dear, cheap = of(tmp_path, TWO)
    assert (dear.name, dear.most, dear.resources) == ("dear", 1, {"TPU": 4})
    assert (cheap.name, cheap.most, cheap.resources) == ("cheap", 5, {"CPU": 2})
    assert dear.config.engine.models == ("large", "small")
    assert dear.config.engine.dtype == "bfloat16"
    assert cheap.config.engine.models == ("small", "tiny")  # as requests know them, in that order
    assert cheap.config.engine.dtype == "float32"


def test_what_is_said_of_the_first_model_is_said_of_no_other(tmp_path: Path) -> None:
    dear, cheap = of(tmp_path, TWO)
    assert (dear.config.engine.unet, dear.config.model.steps) == ("lightning.safetensors", 4)
    assert (cheap.config.engine.unet, cheap.config.model) == ("", ModelConfig())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[engines.a]\nmodels = ["x"]', r"\[engines\.a\] names x, which is not in \[engine\]"),
        (
            '[engine]\nmodels = ["x", "y"]\n[engines.a]\nmodels = ["x"]',
            "No kind of engine draws with y",
        ),
        ("[pool]\nleast = 2", "cannot be 2 engines at least and 1 at most"),
        ("[engines.a]\nleast = 2", r"of the kind a\)"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        of(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[engines]\nleast = 2", r"\[engines\] in .* holds no keys"),
        ("engines = 2", r"\[engines\] in .* holds no keys"),
        ("[engines.A-b]\nleast = 2", "calls a kind of engine 'A-b'"),
        ("[engines.turns]\nleast = 2", "calls a kind of engine 'turns'"),
        ("[engines.a]\nlest = 2", r"a key 'lest' in \[engines\.a\].* Did you mean least"),
        ("[engines.a]\nleast = 0", r"\[engines\.a\] least in .* must be a whole number from 1"),
        ("[engines.a]\ntoken = 0", "a token never stands in a file"),
        ('[pool]\nresources = ["GPU"]', "resources with an amount"),
        ('[pool]\nresources = ["GPU=-1"]', "resources with an amount"),
        ('[pool]\nresources = ["GPU=nan"]', "resources with an amount"),
        ('[pool]\naddress = "ray.example.org"', "must be empty .* or such as ray.example.org:6379"),
        ('[pool]\naddress = "host:0"', "must be empty"),
        ('[engine]\npool = "slurm"', 'must be one of "thread", "ray"'),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read(tmp_path, text)


@pytest.mark.parametrize("address", ["", "10.0.0.5:6379", "ray-head:1", "[::1]:6379"])
def test_a_cluster_has_an_address(tmp_path: Path, address: str) -> None:
    assert read(tmp_path, f'[pool]\naddress = "{address}"').pool.address == address
