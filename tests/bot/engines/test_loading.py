"""What is usual: what people ask for, else what the model says, else what the engine's keys say."""

from dataclasses import replace

from bot.config.sections import Config, EngineConfig, ModelConfig
from bot.core.wish import Usual, Wish
from bot.engines.loading import usual_of

ENGINE = EngineConfig(default_steps=9, default_guidance=7.0, images_per_request=2)


def test_each_is_asked_only_where_those_before_say_nothing() -> None:
    config = Config(engine=ENGINE, model=ModelConfig(default_sampler="lcm", guidance=0.0))
    beside = {"doodle": ModelConfig(default_sampler="ddim", steps=4, negative_prompt="blue")}
    settled = Wish("x", seed=1, num_images=3).settled(usual_of(config, beside))
    assert settled == Wish("x", "blue", 1, 4, 0.0, num_images=3, sampler="lcm")
    plain = Wish("x", seed=1).settled(usual_of(Config(engine=ENGINE)))
    assert plain == Wish("x", None, 1, 9, 7.0, num_images=2)


def test_what_is_asked_for_is_what_is_drawn() -> None:
    says = ModelConfig("lcm", None, 4, 1.5, (832, 1216), "blue", ("a", "b"), "CC0")
    usual = usual_of(Config(model=says))
    assert usual.note == "trigger words: a, b · CC0"
    assert usual.sizes_px == ((832, 1216),)
    wish = Wish("x", "", 1, 20, 5.0, (64, 64), 1, sampler="ddim", spacing="karras")
    assert wish.settled(usual) == wish


def test_a_spacing_goes_with_its_sampler() -> None:
    usual = Usual(sampler="dpmpp_2m", spacing="karras")
    assert Wish("x").settled(usual).spacing == "karras"
    assert Wish("x", sampler="lcm").settled(usual).spacing is None
    assert Wish("x", spacing="ays").settled(usual).sampler == "dpmpp_2m"


def test_each_of_several_models_has_its_own_ways() -> None:
    engine = replace(ENGINE, models=("~/first.safetensors", "owner/second"))
    config = Config(engine=engine, model=ModelConfig(steps=30, licence="CC0"))
    usual = usual_of(config, {"second": ModelConfig(steps=4, size=(64, 64))})
    first = Wish("x").settled(usual)
    assert (first.model, first.num_inference_steps, first.size_px) == ("first", 30, None)
    second = Wish("x", model="second").settled(usual)
    assert (second.model, second.num_inference_steps, second.size_px) == ("second", 4, (64, 64))
    assert Wish("x", model="third").settled(usual).num_inference_steps == 30  # and then refused
    assert usual.sizes_px == ((64, 64),)
    assert (usual.note_of("first"), usual.note_of("second")) == ("CC0", "")
