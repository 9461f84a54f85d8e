"""The kinds of engines that a pool has, of the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from bot.config.sections import Config, EngineKindConfig, ModelConfig
from bot.errors import ConfigError

USUAL: Final = "engine"  # what the only one is called where the configuration names none
_OF_ENGINE: Final = ("dtype", "quantise", "memory", "sizes")  # keys that are also in [engine]


@dataclass(frozen=True, slots=True)
class Kind:
    """Engines that are alike.

    config       what one of them reads
    resources    what Ray gives each, by its name for it
    least, most  how many of them there are
    """

    name: str
    config: Config
    resources: Mapping[str, float]
    least: int
    most: int


def kinds_of(config: Config) -> tuple[Kind, ...]:
    """All of them, first one that draws what names no model; raises ConfigError."""
    engines = config.engines or {USUAL: EngineKindConfig()}
    kinds = [_kind(config, name, said) for name, said in engines.items()]
    models = config.engine.all_models
    drawn = {model for kind in kinds for model in kind.config.engine.all_models}
    if missing := [model for model in models if model not in drawn]:
        raise ConfigError(
            f"No kind of engine draws with {missing[0]}, of [engine] models. Add it to the models "
            "of one in [engines], or take it away."
        )
    return tuple(sorted(kinds, key=lambda kind: kind.config.engine.all_models[0] != models[0]))


def _kind(config: Config, name: str, said: EngineKindConfig) -> Kind:
    pool = config.pool
    least = pool.least if said.least is None else said.least
    most = pool.most if said.most is None else said.most
    if least > most:
        raise ConfigError(
            f"There cannot be {least} engines at least and {most} at most (of the kind {name}). "
            f"Correct least or most in [pool] or [engines.{name}]."
        )
    resources = pool.resources if said.resources is None else said.resources
    return Kind(name, _config(config, name, said), dict(resources), least, most)


def _config(config: Config, name: str, said: EngineKindConfig) -> Config:
    every = config.engine.all_models
    strange = [model for model in said.models or () if model not in every]
    if strange:
        raise ConfigError(
            f"[engines.{name}] names {strange[0]}, which is not in [engine] models, where requests "
            "choose from. Add it there."
        )
    # In their order there: the first of all is the first of whoever draws with it.
    models = tuple(model for model in every if model in (said.models or every))
    own = {key: getattr(said, key) for key in _OF_ENGINE if getattr(said, key) is not None}
    engine = replace(config.engine, models=models, **own)
    if models[0] == every[0]:
        return replace(config, engine=engine)
    # What is said of the first model is said of no other.
    return replace(config, engine=replace(engine, vae="", unet=""), model=ModelConfig())
