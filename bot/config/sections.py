"""Every key there is: a field of one of these sections, with its default and what it may hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final

from bot.config import kinds
from bot.config.kinds import key
from sdxl_engine.request import (
    EMPHASES,
    MAX_CHUNKS,
    MAX_GUIDANCE_SCALE,
    MAX_IMAGES,
    MAX_INFERENCE_STEPS,
    QUANTISED,
    USUAL_EMPHASIS,
    format_size,
    name_of_model,
)

_MAX_SHARDS: Final = 16_384
_NO_LIMIT: Final = 1_000_000  # 0 says it too
_MAX_CLIP_SKIP: Final = 12  # the layers of SDXL's smaller text encoder
_MAX_ENGINES: Final = 1000
_REAL: Final = "the real Discord"
_UNSAID: Final = (None, ())


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """[engine] what draws."""

    model: str = key("doodle", kinds.text())
    revision: str = key("", kinds.text(empty=True))
    models: tuple[str, ...] = key((), kinds.texts('models, each as "model"'))
    vae: str = key("", kinds.text(empty=True))
    unet: str = key("", kinds.text(empty=True))
    loras: Path | None = key(None, kinds.folder(empty=True))  # noqa: RUF009 - frozen, as all
    embeddings: Path | None = key(None, kinds.folder(empty=True))  # noqa: RUF009 - as above
    picture_check: str = key("auto", kinds.text())
    prompt_chunks: int = key(MAX_CHUNKS, kinds.whole(1, MAX_CHUNKS))
    emphasis: str = key(USUAL_EMPHASIS, kinds.one_of(*EMPHASES))
    dtype: str = key("auto", kinds.one_of("auto", "float32", "bfloat16"))
    quantise: str = key("none", kinds.one_of(*QUANTISED))
    memory: int | None = key(None, kinds.memory())
    sizes: tuple[tuple[int, int], ...] = key((), kinds.sizes())
    images_per_request: int = key(4, kinds.whole(1, MAX_IMAGES))
    default_steps: int = key(20, kinds.whole(1, MAX_INFERENCE_STEPS))
    default_guidance: float = key(5.0, kinds.number(0, MAX_GUIDANCE_SCALE))
    stuck_after_s: float = key(300.0, kinds.number(0, 86_400))
    pool: str = key("thread", kinds.one_of("thread", "ray"))

    @property
    def all_models(self) -> tuple[str, ...]:
        """What may be drawn with; the first is drawn with when nobody chooses."""
        return self.models or (self.model,)

    def may_take(self, there_bytes: int | None) -> int | None:
        """Of a device's memory; None: it has none of its own, as a CPU."""
        return None if there_bytes is None else min(there_bytes, self.memory or there_bytes)

    @property
    def model_name(self) -> str:
        """The first model's short name, as it is written beside the settings of a picture."""
        return name_of_model(self.all_models[0])


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """[pool] engines on Ray Serve, and what each of them takes."""

    address: str = key("", kinds.address())
    resources: tuple[tuple[str, float], ...] = key((("CPU", 1.0),), kinds.resources())
    least: int = key(1, kinds.whole(1, _MAX_ENGINES))
    most: int = key(1, kinds.whole(1, _MAX_ENGINES))


@dataclass(frozen=True, slots=True)
class EngineKindConfig:
    """[engines.NAME] one of several kinds of engines; what is None is as in [engine] and [pool]."""

    models: tuple[str, ...] | None = key(None, kinds.texts("models of [engine] models"))
    dtype: str | None = key(None, kinds.one_of("auto", "float32", "bfloat16"))
    quantise: str | None = key(None, kinds.one_of(*QUANTISED))
    memory: int | None = key(None, kinds.memory())
    sizes: tuple[tuple[int, int], ...] | None = key(None, kinds.sizes())
    resources: tuple[tuple[str, float], ...] | None = key(None, kinds.resources())
    least: int | None = key(None, kinds.whole(1, _MAX_ENGINES))
    most: int | None = key(None, kinds.whole(1, _MAX_ENGINES))


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """[model] how the model of [engine] wants to be drawn; None, or nothing: it does not say."""

    default_sampler: tuple[str, str | None] | None = key(None, kinds.optional(kinds.sampler()))
    spacing: str | None = key(None, kinds.optional(kinds.spacing()))
    steps: int | None = key(None, kinds.optional(kinds.whole(1, MAX_INFERENCE_STEPS)))
    guidance: float | None = key(None, kinds.optional(kinds.number(0, MAX_GUIDANCE_SCALE)))
    size: tuple[int, int] | None = key(None, kinds.optional(kinds.size()))
    negative_prompt: str | None = key(None, kinds.optional(kinds.text()))
    clip_skip: int | None = key(None, kinds.optional(kinds.whole(1, _MAX_CLIP_SKIP)))
    trigger_words: tuple[str, ...] = key((), kinds.texts("texts"))
    licence: str | None = key(None, kinds.optional(kinds.text()))

    def over(self, other: "ModelConfig") -> "ModelConfig":
        """What this says, and where it says nothing what the other does.

        A spacing goes with its sampler: another one may place its steps itself.
        """
        if self.default_sampler is not None:
            other = replace(other, spacing=None)
        every = {one.name: getattr(self, one.name) for one in fields(self)}
        said = {name: value for name, value in every.items() if value not in _UNSAID}
        return replace(other, **said)


@dataclass(frozen=True, slots=True)
class StylesConfig:
    """[styles] what prompts may be drawn in."""

    file: Path | None = key(None, kinds.file())  # noqa: RUF009 - a Path is frozen too
    hide: tuple[str, ...] = key((), kinds.texts("names of styles that come with the bot"))


@dataclass(frozen=True, slots=True)
class FilterConfig:
    """[filter] what prompts may not ask for."""

    starter: bool = key(default=True, kind=kinds.truth())
    file: Path | None = key(None, kinds.file())  # noqa: RUF009 - a Path is frozen too


@dataclass(frozen=True, slots=True)
class MarksConfig:
    """[marks] what says of every picture that a model made it."""

    xmp: bool = key(default=True, kind=kinds.truth())
    watermark: bool = key(default=True, kind=kinds.truth())
    watermark_key: str = key("", kinds.text(empty=True))
    certificate: Path | None = key(None, kinds.file())  # noqa: RUF009 - a Path is frozen too
    private_key: Path | None = key(None, kinds.file())  # noqa: RUF009 - as above
    timestamp_url: str = key("", kinds.url("http", "https", empty="no time stamps"))


@dataclass(frozen=True, slots=True)
class DiscordConfig:
    """[discord] where people are."""

    api_url: str = key("", kinds.url("http", "https", empty=_REAL))
    gateway_url: str = key("", kinds.url("ws", "wss", empty=_REAL))
    guild_ids: tuple[int, ...] = key((), kinds.snowflakes())
    contexts: tuple[str, ...] = key(("server",), kinds.some_of("server", "dm", "private"))
    installs: tuple[str, ...] = key(("server",), kinds.some_of("server", "user"))
    nsfw: bool = key(default=False, kind=kinds.truth())
    shards: int = key(0, kinds.whole(0, _MAX_SHARDS))
    bots: int = key(1, kinds.whole(1, _MAX_SHARDS))


@dataclass(frozen=True, slots=True)
class SlackConfig:
    """[slack] where people are, too."""

    api_url: str = key("", kinds.url("http", "https", empty="the real Slack"))
    moderators: tuple[str, ...] = key((), kinds.texts("ids of user groups"))
    host: str = key("127.0.0.1", kinds.text())
    port: int = key(8645, kinds.whole(1, 65_535))
    rotation: Path | None = key(None, kinds.folder(empty=True))  # noqa: RUF009 - a Path is frozen


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """[storage] what stays between two starts."""

    folder: Path = key(Path("data"), kinds.folder())  # noqa: RUF009 - a Path is frozen too
    database: str = key("", kinds.database())
    pictures: Path | str | None = key(None, kinds.place())  # noqa: RUF009 - as above
    keep_days: int = key(30, kinds.whole(2, 36_500))  # a day's limits look back one


@dataclass(frozen=True, slots=True)
class JobsConfig:
    """[jobs] the line of waiting jobs."""

    max_queued: int = key(32, kinds.whole(1, 1000))
    shutdown_grace_s: float = key(20.0, kinds.number(0, 600))


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """[limits] how much one person, or one server, may ask for."""

    user_active: int = key(5, kinds.whole(0, _NO_LIMIT))
    user_per_minute: int = key(10, kinds.whole(0, _NO_LIMIT))
    user_per_day: int = key(200, kinds.whole(0, _NO_LIMIT))
    guild_per_minute: int = key(60, kinds.whole(0, _NO_LIMIT))
    guild_per_day: int = key(2000, kinds.whole(0, _NO_LIMIT))
    role_weights: tuple[tuple[int, float], ...] = key((), kinds.role_weights())


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """[policy] what holds where a server says nothing else; 0, or nothing: no limit."""

    use: bool = key(default=True, kind=kinds.truth())
    count: int = key(0, kinds.whole(0, MAX_IMAGES))
    size: tuple[int, int] | None = key(None, kinds.optional(kinds.size()))
    daily: int = key(0, kinds.whole(0, _NO_LIMIT))
    private: bool = key(default=False, kind=kinds.truth())
    spoiler: bool = key(default=False, kind=kinds.truth())
    review: bool = key(default=False, kind=kinds.truth())
    adult: bool = key(default=False, kind=kinds.truth())
    adult_categories: tuple[str, ...] = key(("sexual", "nsfw"), kinds.texts("categories"))
    picture_review: tuple[tuple[str, float], ...] = key(
        (("sexual", 0.5), ("nsfw", 0.5)), kinds.scores()
    )
    picture_block: tuple[tuple[str, float], ...] = key(
        (("special care", 0.5), ("sexual", 0.53), ("nsfw", 0.8)), kinds.scores()
    )


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """[health] what monitoring asks the bot."""

    port: int = key(8643, kinds.whole(0, 65_535))


@dataclass(frozen=True, slots=True)
class PlaygroundConfig:
    """[playground] the loopback Discord and Slack, and their pages."""

    port: int = key(8642, kinds.whole(0, 65_535))
    slack_port: int = key(8644, kinds.whole(0, 65_535))
    folder: Path | None = key(Path("playground"), kinds.folder(empty=True))  # noqa: RUF009 - as above


@dataclass(frozen=True, slots=True)
class LogConfig:
    """[log] what is written to standard error."""

    level: str = key("info", kinds.one_of("debug", "info", "warning", "error"))
    format: str = key("plain", kinds.one_of("plain", "json"))
    prompts: bool = key(default=False, kind=kinds.truth())


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; a section a field.

    engines  a section a kind of engine, by its name; none: one kind, as [engine] has it
    """

    engine: EngineConfig = field(default_factory=EngineConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    engines: Mapping[str, EngineKindConfig] = field(default_factory=dict)
    model: ModelConfig = field(default_factory=ModelConfig)
    styles: StylesConfig = field(default_factory=StylesConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    marks: MarksConfig = field(default_factory=MarksConfig)
    discord: DiscordConfig = field(default_factory=DiscordConfig)
    slack: SlackConfig = field(default_factory=SlackConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    jobs: JobsConfig = field(default_factory=JobsConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    playground: PlaygroundConfig = field(default_factory=PlaygroundConfig)
    log: LogConfig = field(default_factory=LogConfig)


def format_sizes(sizes: tuple[tuple[int, int], ...]) -> str:
    """The sizes as a person reads them: "1024x1024, 768x768"."""
    return ", ".join(format_size(*size) for size in sizes)
