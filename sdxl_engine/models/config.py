"""The checkpoint's own JSON as frozen dataclasses.

Each class reads the keys that change the arithmetic. A key whose value asks for arithmetic that is
not written here is refused, by name: a picture drawn with the wrong activation is worse than none.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sdxl_engine.errors import CheckpointError

Json = Mapping[str, Any]  # what json.loads gives: the values are checked one by one below


@dataclass(frozen=True, slots=True)
class TextEncoderConfig:
    """One CLIP text encoder (transformers' CLIPTextConfig).

    projection_dim  width of the pooled output, or None for an encoder without a projection
    eos_token_id    the end token; the value 2 is a relic that means "the largest id of the row"
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

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read `text_encoder*/config.json`; raises CheckpointError naming `source` and the key."""
        reader = _Reader(source, data)
        architecture = reader.one_of(
            "architectures", ["CLIPTextModel"], ["CLIPTextModelWithProjection"]
        )
        projected = architecture == ["CLIPTextModelWithProjection"]
        return cls(
            vocab_size=reader.whole("vocab_size"),
            hidden_size=reader.whole("hidden_size"),
            intermediate_size=reader.whole("intermediate_size"),
            num_hidden_layers=reader.whole("num_hidden_layers"),
            num_attention_heads=reader.whole("num_attention_heads"),
            max_position_embeddings=reader.whole("max_position_embeddings"),
            hidden_act=reader.one_of("hidden_act", "quick_gelu", "gelu"),
            layer_norm_eps=reader.real("layer_norm_eps", 1e-5),
            eos_token_id=reader.whole("eos_token_id"),
            projection_dim=reader.whole("projection_dim") if projected else None,
        )


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """The denoiser (diffusers' UNet2DConditionModel with `text_time` conditioning).

    sample_size            the latents' side that the model was trained for
    num_attention_heads    a block, from the outside in
    transformer_layers     transformer blocks in each attention of a block, from the outside in
    down_attention         whether a down block has attention; the up blocks mirror it
    pooled_dim             width of the pooled text embedding that goes into the time embedding
    """

    sample_size: int
    in_channels: int
    out_channels: int
    block_out_channels: tuple[int, ...]
    layers_per_block: int
    down_attention: tuple[bool, ...]
    up_attention: tuple[bool, ...]
    num_attention_heads: tuple[int, ...]
    transformer_layers: tuple[int, ...]
    cross_attention_dim: int
    addition_time_embed_dim: int
    projection_class_embeddings_input_dim: int
    norm_num_groups: int
    norm_eps: float

    @property
    def pooled_dim(self) -> int:
        """What is left of the added embedding beside six sinusoidal size numbers."""
        return self.projection_class_embeddings_input_dim - 6 * self.addition_time_embed_dim

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read `unet/config.json`; raises CheckpointError naming `source` and the key."""
        reader = _Reader(source, data)
        reader.only(
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
            dropout=0.0,
            encoder_hid_dim=None,
            encoder_hid_dim_type=None,
            flip_sin_to_cos=True,
            freq_shift=0,
            mid_block_scale_factor=1,
            mid_block_type="UNetMidBlock2DCrossAttn",
            num_attention_heads=None,
            num_class_embeds=None,
            only_cross_attention=False,
            resnet_out_scale_factor=1.0,
            resnet_skip_time_act=False,
            resnet_time_scale_shift="default",
            reverse_transformer_layers_per_block=None,
            time_cond_proj_dim=None,
            time_embedding_act_fn=None,
            time_embedding_dim=None,
            time_embedding_type="positional",
            timestep_post_act=None,
            upcast_attention=(None, False),
        )
        # Absent means False in diffusers, and then 1x1 convolutions stand where SDXL has linears.
        if not reader.flag("use_linear_projection", default=False):
            raise reader.error("use_linear_projection", False, "true")
        channels = reader.wholes("block_out_channels")
        blocks = len(channels)
        down = reader.kinds(
            "down_block_types", {"DownBlock2D": False, "CrossAttnDownBlock2D": True}, blocks
        )
        up = reader.kinds(
            "up_block_types", {"UpBlock2D": False, "CrossAttnUpBlock2D": True}, blocks
        )
        return cls(
            sample_size=reader.whole("sample_size"),
            in_channels=reader.whole("in_channels"),
            out_channels=reader.whole("out_channels"),
            block_out_channels=channels,
            layers_per_block=reader.whole("layers_per_block"),
            down_attention=down,
            up_attention=up,
            # Named a head's width and meaning the number of heads: diffusers' historic mistake.
            num_attention_heads=reader.wholes("attention_head_dim", length=blocks),
            transformer_layers=reader.wholes("transformer_layers_per_block", length=blocks),
            cross_attention_dim=reader.whole("cross_attention_dim"),
            addition_time_embed_dim=reader.whole("addition_time_embed_dim"),
            projection_class_embeddings_input_dim=reader.whole(
                "projection_class_embeddings_input_dim"
            ),
            norm_num_groups=reader.whole("norm_num_groups"),
            norm_eps=reader.real("norm_eps", 1e-5),
        )


@dataclass(frozen=True, slots=True)
class VaeConfig:
    """The image autoencoder (diffusers' AutoencoderKL).

    scale_factor    pixels a latent spans on one side, 8 for SDXL
    scaling_factor  latents = scaling_factor * mean of the encoder
    """

    in_channels: int
    out_channels: int
    latent_channels: int
    block_out_channels: tuple[int, ...]
    layers_per_block: int
    norm_num_groups: int
    scaling_factor: float

    @property
    def scale_factor(self) -> int:
        """One halving between each two levels."""
        return int(2 ** (len(self.block_out_channels) - 1))

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read `vae/config.json`; raises CheckpointError naming `source` and the key."""
        reader = _Reader(source, data)
        reader.only(
            act_fn="silu",
            latents_mean=None,
            latents_std=None,
            mid_block_add_attention=True,
            shift_factor=None,
            use_post_quant_conv=True,
            use_quant_conv=True,
        )
        channels = reader.wholes("block_out_channels")
        reader.kinds("down_block_types", {"DownEncoderBlock2D": False}, len(channels))
        reader.kinds("up_block_types", {"UpDecoderBlock2D": False}, len(channels))
        return cls(
            in_channels=reader.whole("in_channels"),
            out_channels=reader.whole("out_channels"),
            latent_channels=reader.whole("latent_channels"),
            block_out_channels=channels,
            layers_per_block=reader.whole("layers_per_block"),
            norm_num_groups=reader.whole("norm_num_groups"),
            scaling_factor=reader.real("scaling_factor", 0.18215),  # diffusers' default, not SDXL's
        )


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """The noise schedule that the model was trained with (any diffusers scheduler of its kind).

    prediction_type  "epsilon" or "v_prediction"
    timestep_spacing "leading", "trailing" or "linspace"
    """

    num_train_timesteps: int
    beta_start: float
    beta_end: float
    beta_schedule: str
    prediction_type: str
    timestep_spacing: str
    steps_offset: int

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read `scheduler/scheduler_config.json`; raises CheckpointError."""
        reader = _Reader(source, data)
        reader.only(
            final_sigmas_type="zero",
            rescale_betas_zero_snr=False,
            trained_betas=None,
            use_beta_sigmas=(None, False),
            use_exponential_sigmas=(None, False),
            use_karras_sigmas=(None, False),
        )
        return cls(
            num_train_timesteps=reader.whole("num_train_timesteps"),
            beta_start=reader.real("beta_start"),
            beta_end=reader.real("beta_end"),
            beta_schedule=reader.one_of("beta_schedule", "scaled_linear", "linear"),
            prediction_type=reader.one_of("prediction_type", "epsilon", "v_prediction"),
            timestep_spacing=reader.one_of("timestep_spacing", "leading", "trailing", "linspace"),
            steps_offset=reader.whole("steps_offset", 0),
        )


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
    def size_multiple_px(self) -> int:
        """Sides must be multiples of this: the UNet halves the latents between its levels."""
        return self.vae.scale_factor * int(2 ** (len(self.unet.block_out_channels) - 1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the JSON of a model folder in diffusers format; raises CheckpointError."""

        def read(name: str) -> tuple[str, Json]:
            return name, read_json(folder, name)

        index = _Reader(*read("model_index.json"))
        config = cls(
            text_encoder=TextEncoderConfig.from_json(*read("text_encoder/config.json")),
            text_encoder_2=TextEncoderConfig.from_json(*read("text_encoder_2/config.json")),
            unet=UNetConfig.from_json(*read("unet/config.json")),
            vae=VaeConfig.from_json(*read("vae/config.json")),
            scheduler=SchedulerConfig.from_json(*read("scheduler/scheduler_config.json")),
            zero_empty_negative=index.flag("force_zeros_for_empty_prompt", default=True),
        )
        config._check_widths()
        return config

    def _check_widths(self) -> None:
        text_dim = self.text_encoder.hidden_size + self.text_encoder_2.hidden_size
        if self.unet.cross_attention_dim != text_dim:
            raise CheckpointError(
                f"unet/config.json: cross_attention_dim is {self.unet.cross_attention_dim}, but "
                f"the two text encoders together are {text_dim} wide. The folder mixes two models."
            )
        if self.unet.pooled_dim != self.text_encoder_2.projection_dim:
            raise CheckpointError(
                f"unet/config.json: expects a pooled text embedding {self.unet.pooled_dim} wide, "
                f"but text_encoder_2 gives {self.text_encoder_2.projection_dim}. "
                "The folder mixes two models."
            )


def read_json(folder: Path, name: str) -> Json:
    """One JSON object of a model folder; raises CheckpointError."""
    path = folder / name
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{name} is missing in {folder}. Fetch the model again, or point to a folder in "
            "diffusers format."
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} is not a JSON object.")
    return data


class _Reader:
    """Typed access to one JSON object, with errors that name the file and the key."""

    def __init__(self, source: str, data: Json) -> None:
        self._source = source
        self._data = data

    def error(self, key: str, value: object, wanted: str) -> CheckpointError:
        return CheckpointError(
            f"{self._source}: {key} is {json.dumps(value, default=str)}; "
            f"this engine draws only models where it is {wanted}."
        )

    def only(self, **supported: object) -> None:
        """Refuse any key whose value is not the one (or among the tuple of those) written here."""
        for key, value in supported.items():
            allowed = value if isinstance(value, tuple) else (value,)
            if key in self._data and self._data[key] not in allowed:
                raise self.error(key, self._data[key], json.dumps(allowed[-1]))

    def one_of(self, key: str, *allowed: Any) -> Any:  # noqa: ANN401 - returns one of `allowed`
        value = self._data.get(key)
        if value not in allowed:
            raise self.error(key, value, " or ".join(json.dumps(choice) for choice in allowed))
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        value = self._data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(key, value, "a whole number")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        value = self._data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, value, "a number")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._data.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, value, "true or false")
        return value

    def wholes(self, key: str, length: int | None = None) -> tuple[int, ...]:
        """A list of whole numbers; one number stands for `length` equal ones."""
        value = self._data.get(key, 1 if key == "transformer_layers_per_block" else None)
        if isinstance(value, int) and not isinstance(value, bool) and length is not None:
            return (value,) * length
        ok = isinstance(value, Sequence) and all(type(item) is int and item > 0 for item in value)
        if not ok or not value or (length is not None and len(value) != length):
            raise self.error(key, value, f"a list of {length or 'some'} whole numbers")
        return tuple(value)

    def kinds(self, key: str, known: Mapping[str, bool], length: int) -> tuple[bool, ...]:
        value = self._data.get(key)
        if not isinstance(value, list) or len(value) != length or not set(value) <= set(known):
            raise self.error(key, value, f"{length} of {', '.join(known)}")
        return tuple(known[kind] for kind in value)
