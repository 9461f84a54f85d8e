"""What is usual: what people ask for, else what the model says, else what the engine's keys say."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config.sections import Config, EngineConfig, ModelConfig, StorageConfig
from bot.core.wish import Usual, Wish
from bot.engines.loading import check_of, load_pipeline, start_pipeline, usual_of
from sdxl_engine import CheckpointError
from sdxl_engine.checkpoint.hub import PUBLISHED_CHECK
from sdxl_engine.request import USUAL_EMPHASIS
from tests.bot.conftest import GOLDENS, asks_for

ENGINE = EngineConfig(default_steps=9, default_guidance=7.0, images_per_request=2)


def card(folder: Path, text: str, name: str = "mine") -> str:
    """The path of a model with this card beside it."""
    (folder / f"{name}.safetensors").touch()
    (folder / f"{name}.toml").write_text(text)
    return str(folder / f"{name}.safetensors")


def test_each_is_asked_only_where_those_before_say_nothing(tmp_path: Path) -> None:
    model = card(tmp_path, 'default_sampler = "DDIM"\nsteps = 4\nnegative_prompt = "blue"')
    says = ModelConfig(default_sampler=("lcm", None), guidance=0.0)
    config = Config(engine=replace(ENGINE, model=model), model=says)
    settled = Wish("x", seed=1, num_images=3).settled(usual_of(config))
    assert settled == Wish(
        "x", "blue", 1, 4, 0.0, num_images=3, sampler="lcm", emphasis=USUAL_EMPHASIS
    )
    plain = Wish("x", seed=1).settled(usual_of(Config(engine=replace(ENGINE, emphasis="mean"))))
    assert plain == Wish("x", None, 1, 9, 7.0, num_images=2, emphasis="mean")


def test_what_is_asked_for_is_what_is_drawn() -> None:
    says = ModelConfig(("lcm", None), None, 4, 1.5, (832, 1216), "blue", 2, ("a", "b"), "CC0")
    usual = usual_of(Config(model=says))
    assert usual.note == "trigger words: a, b · CC0"
    assert usual.sizes_px == ((832, 1216),)
    wish = Wish("x", "", 1, 20, 5.0, (64, 64), 1, sampler="ddim", spacing="karras")
    wish = replace(wish, emphasis="mean")
    assert wish.settled(usual) == wish


def test_a_spacing_goes_with_its_sampler() -> None:
    usual = Usual(sampler="dpmpp_2m", spacing="karras")
    assert Wish("x").settled(usual).spacing == "karras"
    assert Wish("x", sampler="lcm").settled(usual).spacing is None
    assert Wish("x", spacing="ays").settled(usual).sampler == "dpmpp_2m"


def test_a_sampler_may_bring_its_spacing(tmp_path: Path) -> None:
    model = card(tmp_path, 'default_sampler = "DPM++ 2M Karras"')
    wish = Wish("x").settled(usual_of(Config(engine=replace(ENGINE, model=model))))
    assert (wish.sampler, wish.spacing) == ("dpmpp_2m", "karras")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('default_sampler = "Eular"', "There is no sampler 'Eular'"),
        ('size = "huge"', "'huge' is not a size"),
        ('steps = "many"', "steps is 'many'; it must be a whole number"),
        ("layers = 2", "has a key 'layers'"),
        ("steps = 80", "number of steps must lie between 1 and 50, not 80"),
        ("steps = 0", "number of steps must lie between 1 and 50, not 0"),
        ("guidance = 99", "guidance must lie between 0 and 20, not 99"),
        ("guidance = nan", "guidance must lie between 0 and 20, not nan"),
        (f'negative_prompt = "{"x" * 5000}"', "negative prompt is 5,000 characters long"),
        ('default_sampler = "LCM"\nspacing = "karras"', "LCM places its steps itself"),
    ],
)
def test_a_card_that_makes_no_sense_is_named(tmp_path: Path, text: str, said: str) -> None:
    model = card(tmp_path, text)
    with pytest.raises(CheckpointError, match=said) as caught:
        usual_of(Config(engine=replace(ENGINE, model=model)))
    assert str(tmp_path / "mine.toml") in str(caught.value)


def test_ways_of_the_configuration_that_exclude_each_other_are_said() -> None:
    with pytest.raises(CheckpointError, match=r"^\[model\]: LCM places its steps itself"):
        usual_of(Config(model=ModelConfig(("lcm", None), "karras")))


def test_a_sampler_of_the_configuration_leaves_the_spacing_of_the_card(tmp_path: Path) -> None:
    model = card(tmp_path, 'default_sampler = "DPM++ 2M"\nspacing = "karras"')
    config = Config(engine=replace(ENGINE, model=model), model=ModelConfig(("lcm", None)))
    wish = Wish("x").settled(usual_of(config))
    assert (wish.sampler, wish.spacing) == ("lcm", None)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (("a/x.safetensors", "b/x"), "could not choose between a/x.safetensors and b/x"),
        (("a", ".m"), "could not choose '.m'"),
        (("m:1.safetensors", "a"), "could not choose 'm:1'"),
        (("a", "m" * 101), "at most 100 characters"),
    ],
)
def test_models_that_no_request_could_choose_are_said_before_loading(
    models: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CheckpointError, match=said):
        usual_of(Config(engine=replace(ENGINE, models=models)))


def test_what_is_drawn_in_another_way_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Takes what jax takes to be imported."""
    folder = Path(shutil.copytree(GOLDENS / "tiny_b", tmp_path / "model"))
    asks_for(folder, "PNDM")
    config = Config(EngineConfig(model=str(folder)), storage=StorageConfig(folder=tmp_path))
    load_pipeline(config, lambda _done, _total: None)
    (line,) = (each for each in caplog.messages if "scheduler" in each)
    assert line == (
        "scheduler/scheduler_config.json asks for the Runge-Kutta steps of PNDMScheduler "
        "(skip_prk_steps false), which this engine does not have; PLMS, the nearest, is drawn "
        "instead."
    )


@pytest.mark.parametrize(
    ("picture_check", "checks"),
    [
        ("auto", ("doodle", PUBLISHED_CHECK, PUBLISHED_CHECK)),
        ("my/folder", ("my/folder",) * 3),
        ("none", (None,) * 3),
    ],
)
def test_each_model_has_its_check(picture_check: str, checks: tuple[str | None, ...]) -> None:
    engine = replace(ENGINE, picture_check=picture_check)
    models = ("doodle", "owner/name", "mine.safetensors")
    assert tuple(check_of(engine, model) for model in models) == checks


def test_a_check_that_cannot_be_loaded_keeps_the_bot_from_starting(tmp_path: Path) -> None:
    """Before the model is: the one of the goldens has no check of its own."""
    engine = EngineConfig(model=str(GOLDENS / "tiny_b"), picture_check=str(tmp_path))
    with pytest.raises(CheckpointError, match="without it nothing is shown") as caught:
        start_pipeline(Config(engine, storage=StorageConfig(folder=tmp_path)))
    assert '"none" shows pictures unchecked' in str(caught.value)


# Over 2 s of CPU: it compiles a model.
@pytest.mark.parametrize("picture_check", ["none", "classifier"])
def test_a_start_brings_the_check_that_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, picture_check: str
) -> None:
    check = picture_check if picture_check == "none" else str(GOLDENS / "checks" / picture_check)
    engine = EngineConfig(
        model=str(GOLDENS / "tiny_a"), picture_check=check, prompt_chunks=1, images_per_request=1
    )
    models = start_pipeline(Config(engine, storage=StorageConfig(folder=tmp_path)))
    unchecked = any("Nobody looks at the pictures" in line for line in caplog.messages)
    assert unchecked == (picture_check == "none")
    assert models.checks == (() if unchecked else ("normal", "nsfw", "drawings"))


def test_each_of_several_models_has_its_own_ways(tmp_path: Path) -> None:
    second = card(tmp_path, 'steps = 4\nsize = "64x64"', "second")
    engine = replace(ENGINE, models=("~/first.safetensors", second))
    usual = usual_of(Config(engine=engine, model=ModelConfig(steps=30, licence="CC0")))
    first = Wish("x").settled(usual)
    assert (first.model, first.num_inference_steps, first.size_px) == ("first", 30, None)
    other = Wish("x", model="second").settled(usual)
    assert (other.model, other.num_inference_steps, other.size_px) == ("second", 4, (64, 64))
    assert Wish("x", model="third").settled(usual).num_inference_steps == 30  # and then refused
    assert usual.sizes_px == ((64, 64),)
    assert (usual.note_of("first"), usual.note_of("second")) == ("CC0", "")
