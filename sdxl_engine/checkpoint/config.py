"""The checkpoint's own JSON as frozen dataclasses.

Each class reads the keys that change the arithmetic. A key whose value asks for arithmetic that is
not written here is refused, by name: a picture drawn with the wrong activation is worse than none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Self

from sdxl_engine.checkpoint.json_reader import Json, JsonReader, plain, read_json, shown
from sdxl_engine.checkpoint.scheduler import SchedulerConfig, scheduler_defaults
from sdxl_engine.errors import CheckpointError

LEGACY_EOS: Final = 2  # see TextEncoderConfig.eos_token_id
CLIP_SKIP: Final = 2  # what SDXL was trained with
MODEL_INDEX: Final = "model_index.json"
SCHEDULER_CONFIG: Final = "scheduler/scheduler_config.json"

_PIPELINE: Final = "StableDiffusionXL"
_OTHER_PIPELINES: Final = {
    "StableDiffusionPipeline": " (Stable Diffusion 1 or 2)",
    "KolorsPipeline": " (Kolors, whose text encoder is a language model)",
}
# What a model may ask for at most. SDXL has stacks of 32 layers, reads 77 tokens and was trained
# for latents of 128 x 128.
_MAX_DEPTH: Final = 128
_MAX_TOKENS: Final = 4096
_MAX_LATENTS: Final = 1024
# Resnets of each kind of middle; between two there is attention.
_MID_RESNETS: Final = {"UNetMidBlock2DCrossAttn": 2, "UNetMidBlock2D": 1, None: 0}
# The keys of which the size of a network is a product.
_SIZED_BY: Final = "block_out_channels, layers_per_block and others"


@dataclass(frozen=True, slots=True)
class TextEncoderConfig:
    """One CLIP text encoder (transformers' CLIPTextConfig).

    projection_dim  width of the pooled output, or None for an encoder without a projection
    eos_token_id    the end token; the value 2 is a relic that means "the largest id of the row"
    clip_skip       which states condition the UNet, counted from the end as people count them: 1
                    the last layer's, 2 those before, with which SDXL was trained
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    hidden_act: str
    layer_norm_eps: float
    eos_token_id: int
    projection_dim: int | None
    clip_skip: int = CLIP_SKIP

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read `text_encoder*/config.json`; raises CheckpointError naming `source` and the key."""
        reader = JsonReader(source, data)
        architecture = reader.one_of(
            "architectures", ["CLIPTextModel"], ["CLIPTextModelWithProjection"]
        )
        projected = architecture == ["CLIPTextModelWithProjection"]
        config = cls(
            vocab_size=reader.whole("vocab_size"),
            hidden_size=reader.whole("hidden_size"),
            intermediate_size=reader.whole("intermediate_size"),
            num_hidden_layers=reader.whole("num_hidden_layers", most=_MAX_DEPTH),
            num_attention_heads=reader.whole("num_attention_heads"),
            max_position_embeddings=reader.whole("max_position_embeddings", most=_MAX_TOKENS),
            hidden_act=reader.one_of("hidden_act", "quick_gelu", "gelu"),
            layer_norm_eps=reader.real("layer_norm_eps", 1e-5),
            eos_token_id=reader.whole("eos_token_id", 49_407, least=0),
            projection_dim=reader.whole("projection_dim") if projected else None,
        )
        reader.check_size("num_hidden_layers, hidden_size and others", *config.size)
        if config.hidden_size % config.num_attention_heads:
            raise reader.error(
                "num_attention_heads", f"a divisor of hidden_size, {config.hidden_size}"
            )
        if config.eos_token_id >= config.vocab_size:
            raise reader.error("eos_token_id", f"below vocab_size, {config.vocab_size}")
        return config

    @property
    def size(self) -> tuple[int, int]:
        """How many layers it has, and about how many weights."""
        width, inner = self.hidden_size, self.intermediate_size
        rows = self.vocab_size + self.max_position_embeddings + (self.projection_dim or 0)
        layers = self.num_hidden_layers
        return layers, rows * width + layers * width * (4 * width + 2 * inner)


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """The denoiser (diffusers' UNet2DConditionModel with `text_time` conditioning).

    sample_size            the latents' side that the model was trained for
    layers_per_block       resnets of a level on the way down, from the outside in; one more each on
                           the way up
    num_attention_heads    of a level, from the outside in
    down_transformers      transformer blocks in each attention of a level, from the outside in;
                           there is none or one for each resnet
    mid_resnets            in the middle, 0..2
    mid_transformers       of the attention between two of them; none or one
    up_transformers        as down_transformers, from the inside out
    time_cond_proj_dim     sinusoids of the guidance scale that a distilled model is told with the
                           time; None for one that is guided by a second pass
    pooled_dim             width of the pooled text embedding that goes into the time embedding
    """

    sample_size: int
    in_channels: int
    out_channels: int
    block_out_channels: tuple[int, ...]
    layers_per_block: tuple[int, ...]
    num_attention_heads: tuple[int, ...]
    down_transformers: tuple[tuple[int, ...], ...]
    mid_resnets: int
    mid_transformers: tuple[int, ...]
    up_transformers: tuple[tuple[int, ...], ...]
    time_cond_proj_dim: int | None
    cross_attention_dim: int
    addition_time_embed_dim: int
    projection_class_embeddings_input_dim: int
    norm_num_groups: int
    norm_eps: float

    @property
    def pooled_dim(self) -> int:
        """What is left of the added embedding beside six sinusoidal size numbers."""
        return self.projection_class_embeddings_input_dim - 6 * self.addition_time_embed_dim

    @property
    def size(self) -> tuple[int, int]:
        """How many resnets and transformer blocks it has, and about how many weights."""
        ends, temb = self.block_out_channels[0], 4 * self.block_out_channels[0]
        layers = self.mid_resnets
        weights = 9 * ends * (self.in_channels + self.out_channels)
        weights += temb * (ends + 2 * temb + self.projection_class_embeddings_input_dim)
        weights += ends * (self.time_cond_proj_dim or 0)
        weights += 18 * self.mid_resnets * self.block_out_channels[-1] ** 2
        for level, width in enumerate(self.block_out_channels):
            down, up = self.layers_per_block[level], self.layers_per_block[level] + 1
            blocks = sum(self.down_transformers[level]) + sum(self.up_transformers[-1 - level])
            if level == len(self.block_out_channels) - 1:
                blocks += sum(self.mid_transformers)
            layers += down + up + blocks
            weights += width * (down * (18 * width + temb) + up * (27 * width + temb))
            weights += blocks * width * (18 * width + 2 * self.cross_attention_dim)
        return layers, weights

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read `unet/config.json`; raises CheckpointError naming `source` and the key."""
        reader = JsonReader(source, data)
        reader.only(
            _class_name="UNet2DConditionModel",
            act_fn="silu",
            addition_embed_type="text_time",
            attention_type="default",
            center_input_sample=False,
            class_embed_type=None,
            class_embeddings_concat=False,
            conv_in_kernel=3,
            conv_out_kernel=3,
            cross_attention_norm=None,
            downsample_padding=1,
            dual_cross_attention=False,
            encoder_hid_dim=None,
            encoder_hid_dim_type=None,
            flip_sin_to_cos=True,
            freq_shift=0,
            mid_block_scale_factor=1,
            num_attention_heads=None,
            num_class_embeds=None,
            resnet_out_scale_factor=1.0,
            resnet_skip_time_act=False,
            resnet_time_scale_shift="default",
            time_embedding_act_fn=None,
            time_embedding_dim=None,
            time_embedding_type="positional",
            timestep_post_act=None,
        )
        # Absent means False in diffusers, and then 1x1 convolutions stand where SDXL has linears.
        if not reader.flag("use_linear_projection", default=False):
            raise reader.error("use_linear_projection", "true")
        channels = reader.wholes("block_out_channels")
        blocks = len(channels)
        reader.only(only_cross_attention=([False] * blocks, False))
        down = reader.kinds(
            "down_block_types", {"DownBlock2D": False, "CrossAttnDownBlock2D": True}, blocks
        )
        up = reader.kinds(
            "up_block_types", {"UpBlock2D": False, "CrossAttnUpBlock2D": True}, blocks
        )
        layers = reader.wholes("layers_per_block", length=blocks, most=_MAX_DEPTH)
        resnets = reader.one_of("mid_block_type", *_MID_RESNETS, default=next(iter(_MID_RESNETS)))
        down_transformers, mid_transformers, up_transformers = _transformers(
            reader, data, layers, down, up, middle=_MID_RESNETS[resnets] > 1
        )
        told = data.get("time_cond_proj_dim") is not None
        config = cls(
            sample_size=reader.whole("sample_size", most=_MAX_LATENTS),
            in_channels=reader.whole("in_channels"),
            out_channels=reader.whole("out_channels"),
            block_out_channels=channels,
            layers_per_block=layers,
            # Named a head's width and meaning the number of heads: diffusers' historic mistake.
            num_attention_heads=reader.wholes("attention_head_dim", length=blocks),
            down_transformers=down_transformers,
            mid_resnets=_MID_RESNETS[resnets],
            mid_transformers=mid_transformers,
            up_transformers=up_transformers,
            time_cond_proj_dim=reader.whole("time_cond_proj_dim", least=4) if told else None,
            cross_attention_dim=reader.whole("cross_attention_dim"),
            addition_time_embed_dim=reader.whole("addition_time_embed_dim"),
            projection_class_embeddings_input_dim=reader.whole(
                "projection_class_embeddings_input_dim"
            ),
            norm_num_groups=reader.whole("norm_num_groups"),
            norm_eps=reader.real("norm_eps", 1e-5),
        )
        reader.check_size(_SIZED_BY, *config.size)
        reader.check_groups(config.norm_num_groups, channels)
        heads = config.num_attention_heads
        if any(width % count for width, count in zip(channels, heads, strict=True)):
            raise reader.error(
                "attention_head_dim", f"divisors of block_out_channels, {list(channels)}"
            )
        for key, dim in (
            ("block_out_channels", channels[0]),
            ("addition_time_embed_dim", config.addition_time_embed_dim),
            ("time_cond_proj_dim", config.time_cond_proj_dim or 0),
        ):
            if dim % 2:
                raise reader.error(key, "even: half of the time embedding is sines, half cosines")
        return config


def _transformers(
    reader: JsonReader,
    data: Json,
    layers: tuple[int, ...],
    down: tuple[bool, ...],
    up: tuple[bool, ...],
    *,
    middle: bool,
) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """How many transformer blocks the attentions have, on the way down, in the middle and up.

    layers    of each level, from the outside in
    down, up  which levels have attention, in the order of the way
    middle    whether the middle has
    """
    key, other = "transformer_layers_per_block", "reverse_transformer_layers_per_block"
    read = partial(reader.nested, default=1, most=_MAX_DEPTH)
    on_the_way_down = read(key, [count * there for count, there in zip(layers, down, strict=True)])
    (*_, deepest) = read(key, [0] * (len(layers) - 1) + [int(middle)])
    wanted = [(count + 1) * there for count, there in zip(layers[::-1], up, strict=True)]
    if data.get(other) is not None:
        return on_the_way_down, deepest, read(other, wanted)
    if isinstance(data.get(key), list) and any(isinstance(each, list) for each in data[key]):
        raise reader.error(key, f"a list of whole numbers, or {other} says the way up")
    return on_the_way_down, deepest, read(key, wanted[::-1])[::-1]


@dataclass(frozen=True, slots=True)
class VaeConfig:
    """The image autoencoder (diffusers' AutoencoderKL).

    scale_factor    pixels a latent spans on one side, 8 for SDXL
    scaling_factor  latents = scaling_factor * (mean of the encoder - latents_mean) / latents_std
    latents_mean    of each channel; None, and latents_std with it, where nothing was shifted
    latents_std     of each channel
    """

    in_channels: int
    out_channels: int
    latent_channels: int
    block_out_channels: tuple[int, ...]
    layers_per_block: int
    norm_num_groups: int
    scaling_factor: float
    latents_mean: tuple[float, ...] | None = None
    latents_std: tuple[float, ...] | None = None

    @property
    def scale_factor(self) -> int:
        """One halving between each two levels."""
        return int(2 ** (len(self.block_out_channels) - 1))

    @property
    def size(self) -> tuple[int, int]:
        """How many resnets it has, and about how many weights."""
        resnets = 2 * self.layers_per_block + 1
        latent, widths = self.latent_channels, self.block_out_channels
        outer, inner = widths[0], widths[-1]
        weights = 9 * (6 * outer + 3 * latent * inner) + 5 * latent**2 + 80 * inner**2
        weights += sum(18 * resnets * width**2 for width in widths)
        return resnets * len(widths) + 4, weights

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read `vae/config.json`; raises CheckpointError naming `source` and the key."""
        reader = JsonReader(source, data)
        reader.only(
            _class_name="AutoencoderKL",
            act_fn="silu",
            in_channels=3,
            mid_block_add_attention=True,
            out_channels=3,
            shift_factor=None,
            use_post_quant_conv=True,
            use_quant_conv=True,
        )
        channels = reader.wholes("block_out_channels")
        latent_channels = reader.whole("latent_channels")
        mean, std = (reader.reals(key, latent_channels) for key in ("latents_mean", "latents_std"))
        both = mean is not None and std is not None  # one alone plays no part in diffusers
        reader.kinds("down_block_types", {"DownEncoderBlock2D": False}, len(channels))
        reader.kinds("up_block_types", {"UpDecoderBlock2D": False}, len(channels))
        config = cls(
            in_channels=reader.whole("in_channels", 3),
            out_channels=reader.whole("out_channels", 3),
            latent_channels=latent_channels,
            block_out_channels=channels,
            layers_per_block=reader.whole("layers_per_block", most=_MAX_DEPTH),
            norm_num_groups=reader.whole("norm_num_groups"),
            scaling_factor=reader.real("scaling_factor", 0.18215),  # diffusers' default, not SDXL's
            latents_mean=mean if both else None,
            latents_std=std if both else None,
        )
        if std is not None and min(std) <= 0:
            raise reader.error("latents_std", "above 0")
        reader.check_size(_SIZED_BY, *config.size)
        reader.check_groups(config.norm_num_groups, channels)
        return config


@dataclass(frozen=True, slots=True)
class SdxlConfig:
    """Everything that a model folder's JSON says.

    zero_empty_negative  no negative prompt means zeros rather than the encoded empty text
    """

    text_encoder: TextEncoderConfig
    text_encoder_2: TextEncoderConfig
    unet: UNetConfig
    vae: VaeConfig
    scheduler: SchedulerConfig
    zero_empty_negative: bool

    @property
    def native_size(self) -> tuple[int, int]:
        """The width and height in pixels that the model was trained for."""
        side_px = self.unet.sample_size * self.vae.scale_factor
        return side_px, side_px

    @property
    def shown_channels(self) -> int:
        """How many the UNet sees beside the latents: of a picture, and of a mask if it inpaints."""
        return self.unet.in_channels - self.unet.out_channels

    @property
    def inpaints(self) -> bool:
        """Whether the UNet was trained to see a mask, and what of a picture it leaves."""
        return self.shown_channels == 1 + self.vae.latent_channels

    @property
    def edits(self) -> bool:
        """Whether the UNet was trained to see something else, as the picture that it edits."""
        return bool(self.shown_channels) and not self.inpaints

    @property
    def size_multiple_px(self) -> int:
        """Sides must be multiples of this: the UNet halves the latents between its levels."""
        return self.vae.scale_factor * int(2 ** (len(self.unet.block_out_channels) - 1))

    @classmethod
    def load(cls, folder: Path, instead: Mapping[str, tuple[str, Json]] | None = None) -> Self:
        """Read the JSON of a model folder in diffusers format; raises CheckpointError.

        instead  by name, what stands in the place of one of its files: whence it is, and what it
                 says
        """

        def read(name: str) -> tuple[str, Json]:
            return (instead or {}).get(name) or (name, read_json(folder, name))

        indexed = read_index(folder)
        index, scheduler = JsonReader(MODEL_INDEX, indexed), read(SCHEDULER_CONFIG)
        if SCHEDULER_CONFIG not in (instead or {}):
            scheduler = scheduler[0], _as_indexed(scheduler[1], indexed)
        config = cls(
            text_encoder=TextEncoderConfig.from_json(*read("text_encoder/config.json")),
            text_encoder_2=TextEncoderConfig.from_json(*read("text_encoder_2/config.json")),
            unet=UNetConfig.from_json(*read("unet/config.json")),
            vae=VaeConfig.from_json(*read("vae/config.json")),
            scheduler=SchedulerConfig.from_json(*scheduler),
            zero_empty_negative=index.flag("force_zeros_for_empty_prompt", default=True),
        )
        config._check_fit()
        return config

    @property
    def clip_skip(self) -> int | None:
        """That of both text encoders, None for SDXL's own."""
        skip = self.text_encoder.clip_skip
        return None if skip == CLIP_SKIP else skip

    def with_clip_skip(self, number: int, source: str) -> Self:
        """With another `TextEncoderConfig.clip_skip`; raises CheckpointError beyond the layers."""
        encoders = self.text_encoder, self.text_encoder_2
        most = min(encoder.num_hidden_layers for encoder in encoders)
        if not 1 <= number <= most:
            raise CheckpointError(
                f"{source}: clip_skip is {number}; it must be 1 to {most}, the layers of the "
                "smaller text encoder. Most models want 2, which is taken where nothing is set."
            )
        first, second = (replace(encoder, clip_skip=number) for encoder in encoders)
        return replace(self, text_encoder=first, text_encoder_2=second)

    def _check_fit(self) -> None:
        unet, first, second = self.unet, self.text_encoder, self.text_encoder_2
        text_dim, latent = first.hidden_size + second.hidden_size, self.vae.latent_channels
        for name, value, other, wanted in (
            ("cross_attention_dim", unet.cross_attention_dim, "both text encoders'", text_dim),
            ("pooled text width", unet.pooled_dim, "text_encoder_2's", second.projection_dim),
            ("out_channels", unet.out_channels, "the VAE's latent_channels", latent),
        ):
            if value != wanted:
                raise CheckpointError(
                    f"unet/config.json: {name} is {value}, but {other} is {wanted}. "
                    "The folder mixes two models."
                )
        if unet.in_channels not in {latent, 2 * latent, 2 * latent + 1}:
            raise CheckpointError(
                f"unet/config.json: in_channels is {unet.in_channels}; this engine knows what "
                f"those of {latent}, {2 * latent} (editing) and {2 * latent + 1} (inpainting) are. "
                "Choose another model."
            )
        if first.max_position_embeddings != second.max_position_embeddings:
            raise CheckpointError(
                f"text_encoder reads {first.max_position_embeddings} tokens "
                f"(max_position_embeddings), text_encoder_2 {second.max_position_embeddings}. "
                "The folder mixes two models."
            )


def _as_indexed(scheduler: Json, index: Json) -> Json:
    """A folder's scheduler file, read by the scheduler that its index names, as diffusers does."""
    named = index.get("scheduler")
    return (
        {**scheduler, "_class_name": named[-1]} if isinstance(named, list) and named else scheduler
    )


def read_index(folder: Path) -> Json:
    """`model_index.json` of a model this engine draws; raises CheckpointError for any other.

    Of all pipelines of SDXL: their names say what somebody did with the model last.
    """
    index = read_json(folder, MODEL_INDEX)
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str) or _PIPELINE not in pipeline:
        kind = "of no named kind"
        if isinstance(pipeline, str):
            kind = f"a {plain(pipeline)}{_OTHER_PIPELINES.get(pipeline, '')}"
        raise CheckpointError(
            f"{MODEL_INDEX}: the model is {kind}; this engine draws with {_PIPELINE}Pipeline "
            "models. Choose one of those."
        )
    for key, refined in (
        ("requires_aesthetics_score", index.get("requires_aesthetics_score") not in (None, False)),
        ("text_encoder", index.get("text_encoder") == [None, None]),
    ):
        if refined:
            raise CheckpointError(
                f"{MODEL_INDEX}: {key} is {shown(index[key])}: the model is SDXL's refiner, which "
                "only finishes pictures that another model began. Choose a whole model."
            )
    # The scheduler's own file says it again; here it is read before anything large is fetched.
    scheduler = index.get("scheduler")
    if isinstance(scheduler, list) and scheduler:
        scheduler_defaults(MODEL_INDEX, scheduler[-1])
    return index
