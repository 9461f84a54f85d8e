"""The JSON of a network that looks at pictures: what it is, and how a picture is made ready for it.

Two kinds are known, both in transformers' format: Stable Diffusion's safety checker, and a vision
transformer that classifies. As with models, a key that asks for arithmetic that is not written
here is refused by name: a picture that was looked at in the wrong way was not looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from sdxl_engine.checkpoint.json_reader import Json, JsonReader, plain, read_json, shown
from sdxl_engine.errors import CheckpointError

CONFIG: Final = "config.json"
PROCESSING: Final = "preprocessor_config.json"
SEXUAL: Final = "sexual"
SPECIAL_CARE: Final = "special care"
_CHECKER: Final = ("SafetyChecker", "StableDiffusionSafetyChecker")
_CLASSIFIER: Final = ("ViTForImageClassification",)
_MAX_DEPTH: Final = 128
_MAX_SIDE_PX: Final = 2048
_MAX_LABELS: Final = 1000
_MAX_LABEL_CHARS: Final = 60
_PUBLISHED_CONCEPTS: Final = (17, 3)
# Pillow's numbers of filters.
FILTERS: Final = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """A vision transformer (transformers' CLIPVisionConfig and ViTConfig).

    image_size  side in pixels of the pictures that it sees
    pre_norm    CLIP's: norms the tokens before the first layer, and its patches have no bias
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str
    layer_norm_eps: float
    image_size: int
    patch_size: int
    pre_norm: bool

    @classmethod
    def read(cls, reader: JsonReader, *, clip: bool) -> Self:
        """Its keys, with transformers' defaults; raises CheckpointError."""
        reader.only(num_channels=3, qkv_bias=True)
        config = cls(
            hidden_size=reader.whole("hidden_size", 768),
            intermediate_size=reader.whole("intermediate_size", 3072),
            num_hidden_layers=reader.whole("num_hidden_layers", 12, most=_MAX_DEPTH),
            num_attention_heads=reader.whole("num_attention_heads", 12),
            hidden_act=reader.one_of(
                "hidden_act", "quick_gelu", "gelu", default="quick_gelu" if clip else "gelu"
            ),
            layer_norm_eps=reader.real("layer_norm_eps", 1e-5 if clip else 1e-12),
            image_size=reader.whole("image_size", 224, most=_MAX_SIDE_PX),
            patch_size=reader.whole("patch_size", 32 if clip else 16, most=_MAX_SIDE_PX),
            pre_norm=clip,
        )
        layers, width = config.num_hidden_layers, config.hidden_size
        inner = 4 * width + 2 * config.intermediate_size
        weights = width * (config.num_tokens + 3 * config.patch_size**2 + layers * inner)
        reader.check_size("num_hidden_layers, hidden_size and others", layers, weights)
        if width % config.num_attention_heads:
            raise reader.error("num_attention_heads", f"a divisor of hidden_size, {width}")
        if config.image_size % config.patch_size:
            raise reader.error("patch_size", f"a divisor of image_size, {config.image_size}")
        return config

    @property
    def num_tokens(self) -> int:
        """Patches, and one token more."""
        return (self.image_size // self.patch_size) ** 2 + 1

    @property
    def class_shape(self) -> tuple[int, ...]:
        """Of the tensor of the one token."""
        return (self.hidden_size,) if self.pre_norm else (1, 1, self.hidden_size)

    @property
    def position_shape(self) -> tuple[int, ...]:
        """Of the tensor of all tokens' places."""
        own = self.num_tokens, self.hidden_size
        return own if self.pre_norm else (1, *own)


@dataclass(frozen=True, slots=True)
class SafetyCheckerConfig:
    """Stable Diffusion's safety checker.

    projection_dim             width of the embedding that is compared
    num_concepts, num_special  of those that it is compared with
    """

    vision: VisionConfig
    projection_dim: int
    num_concepts: int = _PUBLISHED_CONCEPTS[0]
    num_special: int = _PUBLISHED_CONCEPTS[1]

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read its config.json; raises CheckpointError naming `source` and the key."""
        vision: dict[str, object] = {}
        # Older files have it in both places, and the second one counts.
        for key in ("vision_config", "vision_config_dict"):
            part = data.get(key)
            if isinstance(part, dict):
                vision |= part
        reader = JsonReader(f"{source}: vision_config", vision)
        dim = JsonReader(source, data).whole("projection_dim", 512)
        return cls(VisionConfig.read(reader, clip=True), dim)

    @property
    def categories(self) -> tuple[str, ...]:
        """What it scores: its concepts are published as numbers alone, so each kind is one."""
        return SEXUAL, SPECIAL_CARE


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """A vision transformer that classifies.

    labels  in the order of its outputs
    """

    vision: VisionConfig
    labels: tuple[str, ...]

    @classmethod
    def from_json(cls, source: str, data: Json) -> Self:
        """Read its config.json; raises CheckpointError naming `source` and the key."""
        reader = JsonReader(source, data)
        reader.only(problem_type=(None, "single_label_classification"))
        return cls(VisionConfig.read(reader, clip=False), _labels(reader, data))

    @property
    def categories(self) -> tuple[str, ...]:
        """What it scores."""
        return self.labels


def _labels(reader: JsonReader, data: Json) -> tuple[str, ...]:
    by_id = data.get("id2label")
    if isinstance(by_id, dict) and 1 < len(by_id) <= _MAX_LABELS:
        labels = [by_id.get(str(place)) for place in range(len(by_id))]
        named = [
            label
            for label in labels
            if isinstance(label, str) and label == plain(label, most=_MAX_LABEL_CHARS) != ""
        ]
        if len(set(named)) == len(labels):
            return tuple(named)
    raise reader.error("id2label", f"2 to {_MAX_LABELS} different names by their number")


VisionKind = SafetyCheckerConfig | ClassifierConfig


@dataclass(frozen=True, slots=True)
class Processing:
    """How a picture is made ready (transformers' CLIPImageProcessor and ViTImageProcessor).

    shortest_px  what the shorter side becomes, the other in proportion, before the middle is cut
                 out; None: both sides become those of the result
    side_px      of the result, a square
    filter       one of FILTERS
    scale        what levels of 0..255 are multiplied by
    mean, std    of each colour, after that
    """

    shortest_px: int | None
    side_px: int
    filter: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_json(cls, source: str, data: Json, side_px: int, *, clip: bool) -> Self:
        """Read preprocessor_config.json; raises CheckpointError naming `source` and the key.

        side_px  that the network sees
        clip     whether a size that is one number is that of the shorter side
        """
        reader = JsonReader(source, data)
        reader.only(do_resize=True, do_rescale=True, do_normalize=True)
        size = _size(reader, "size", data.get("size", side_px), shortest=clip)
        crop = reader.flag("do_center_crop", default=clip)
        if crop:
            cut = _size(reader, "crop_size", data.get("crop_size", side_px), shortest=False)
            if cut != (side_px, None) or (size[1] or side_px) < side_px:
                raise reader.error("crop_size", f"{side_px}, the image_size of {CONFIG}, or less")
        if size[0] not in {None, side_px} or (size[1] is not None and not crop):
            raise reader.error("size", f"{side_px}, the image_size of {CONFIG}")
        mean, std = (reader.reals(key, 3) for key in ("image_mean", "image_std"))
        if mean is None:
            raise reader.error("image_mean", "three numbers")
        if std is None or min(std) <= 0:
            raise reader.error("image_std", "three numbers above 0")
        number = reader.one_of("resample", *FILTERS, default=3 if clip else 2)
        scale = reader.real("rescale_factor", 1 / 255)
        return cls(size[1], side_px, FILTERS[number], scale, mean, std)

    def placed(self, width_px: int, height_px: int) -> tuple["Axis", "Axis"]:
        """Where the columns and the rows of the result lie in a picture of this size."""
        sides = width_px, height_px
        if self.shortest_px is None:
            across, down = (Axis(side, self.side_px, 0) for side in sides)
            return across, down
        shorter = min(sides)
        # As transformers rounds: the longer side down, the middle to the left and the top.
        resized = [int(self.shortest_px * side / shorter) for side in sides]
        across, down = (
            Axis(side, whole, (whole - self.side_px) // 2)
            for side, whole in zip(sides, resized, strict=True)
        )
        return across, down


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a picture that is resized, and cut.

    given    its pixels
    resized  what they become
    first    of these that is kept
    """

    given: int
    resized: int
    first: int


def _size(
    reader: JsonReader, key: str, value: object, *, shortest: bool
) -> tuple[int | None, int | None]:
    """(side of a square, None) or (None, shorter side)."""
    if isinstance(value, dict):
        if set(value) == {"shortest_edge"}:
            value, shortest = value["shortest_edge"], True
        elif set(value) == {"height", "width"} and value["height"] == value["width"]:
            value, shortest = value["height"], False
    if type(value) is not int or not 1 <= value <= _MAX_SIDE_PX:
        raise reader.error(key, f"a side of 1 to {_MAX_SIDE_PX:,} pixels, or that of a square")
    return (None, value) if shortest else (value, None)


@dataclass(frozen=True, slots=True)
class VisionFolder:
    """A folder with a network that looks at pictures; its weights are read elsewhere.

    part  the name under which `checkpoint.names` knows its tensors
    """

    path: Path
    part: str
    config: VisionKind
    processing: Processing

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the JSON in a folder says; raises CheckpointError."""
        data = read_json(path, CONFIG)
        source = str(path / CONFIG)
        config = _config(source, data)
        clip = isinstance(config, SafetyCheckerConfig)
        processing = Processing.from_json(
            str(path / PROCESSING), read_json(path, PROCESSING), config.vision.image_size, clip=clip
        )
        return cls(path, "safety_checker" if clip else "classifier", config, processing)


def _config(source: str, data: Mapping[str, object]) -> VisionKind:
    named = data.get("architectures")
    architecture = named[0] if isinstance(named, list) and len(named) == 1 else None
    if architecture in _CHECKER:
        return SafetyCheckerConfig.from_json(source, data)
    if architecture in _CLASSIFIER:
        return ClassifierConfig.from_json(source, data)
    raise CheckpointError(
        f"{source}: architectures is {shown(named)}; a picture check must be Stable Diffusion's "
        f"safety checker ({' or '.join(_CHECKER)}) or a {_CLASSIFIER[0]}. Choose another."
    )
