"""What goes into the engine and what comes out: plain frozen values, standard library only."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Final, Protocol

from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.sentence import either, say

MAX_CHUNKS = 4  # of a prompt, each as many tokens as the text encoders read
MAX_PROMPT_CHARS = 4_000  # four chunks are 300 tokens, about 1,200 to 1,600 characters of English
MAX_INFERENCE_STEPS = 50
MAX_GUIDANCE_SCALE = 20.0
MAX_IMAGES = 10  # Discord takes ten attachments on one message
MAX_SEED = 2**32 - 1
MAX_TIMESTEP = 999
MIN_SIDE_PX, MAX_SIDE_PX = 64, 2048
SIDE_MULTIPLE_PX = 8  # one latent is 8 x 8 pixels
MAX_LORAS = 8
MAX_LORA_STRENGTH = 4.0  # beyond it even those made as sliders leave no picture
MAX_NAME_CHARS = 100
MAX_ZOOM = 4.0
MAX_FEATHER_PX = 256
MAX_CLIP_SKIP = 12  # the layers of SDXL's smaller text encoder

# The names under which people know the samplers; their tables are made in sampling/samplers.py.
SAMPLERS: Final = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "ddim": "DDIM",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_heun": "DPM++ 2M SDE Heun",
    "dpmpp_3m": "DPM++ 3M",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2s": "DPM++ 2S",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
    "dpm2": "DPM2",
    "dpm2_ancestral": "DPM2 a",
    "heun": "Heun",
    "unipc": "UniPC",
    "lms": "LMS",
    "plms": "PLMS",
    "deis": "DEIS",
    "ipndm": "iPNDM",
    "euler_cfg_pp": "Euler CFG++",
    "euler_ancestral_cfg_pp": "Euler a CFG++",
    "lcm": "LCM",
    "tcd": "TCD",
}
SPACINGS: Final = {
    "leading": "Leading",
    "trailing": "Trailing",
    "linspace": "Linspace",
    "karras": "Karras",
    "exponential": "Exponential",
    "beta": "Beta",
    "kl_optimal": "KL Optimal",
    "lu": "Lu",
    "ays": "Align Your Steps",
}
# How often a step looks at the model; the last step, which ends without noise, looks once.
PASSES: Final = {
    sampler: 2
    if sampler in {"dpmpp_sde", "dpmpp_2s_ancestral", "dpm2", "dpm2_ancestral", "heun"}
    else 1
    for sampler in SAMPLERS
}
# These follow the steps that their models were distilled on, and no other spacing.
OWN_SPACING_SAMPLERS: Final = frozenset({"lcm", "tcd"})
# These need the negative prompt at any guidance: 0..1 is what their authors call guidance.
CFG_PP_SAMPLERS: Final = frozenset({"euler_cfg_pp", "euler_ancestral_cfg_pp"})

# What the linears of a model may multiply in; the owner's choice, not a request's.
QUANTISED: Final = ("none", "int8")
# How weights of words change their embeddings; see `emphasized` in `programs/arithmetic.py`.
EMPHASES: Final = {"mean": "Mean-restoring", "interpolation": "Interpolation"}
USUAL_EMPHASIS: Final = "interpolation"  # which followed prompts better: training/README.md
# How a picture of another shape comes onto the canvas: cut, with borders, or out of proportion.
RESIZES: Final = ("fill", "fit", "stretch")
# Masks that a picture brings along: what is transparent in it, and what it leaves of the canvas.
ALPHA, AROUND = "alpha", "around"
# How far from a picture its variations are: in the noise that it began with, and where they begin
# from the picture itself, in strength. Measured by training/picture_adherence.py.
VARIATIONS: Final = {"subtle": 0.2, "strong": 0.5}
PICTURE_VARIATIONS: Final = {"subtle": 0.35, "strong": 0.6}
# What is usual where nobody says how strongly.
CHANGING, PAINTING, UPSCALING = 0.6, 1.0, 0.3
_SAME_SHAPE = 0.01  # by how much a mask's proportions may differ from the picture's
# How many times as large a picture can become, and how many tiles a side it is drawn in.
UPSCALES: Final = {1.5: 2, 2.0: 3}

MAX_FILE_BYTES: Final = 64 << 20  # of a picture that somebody brings

# Other names for the same, as A1111, ComfyUI, InvokeAI and diffusers write them.
_SAMPLER_ALIASES: Final = {
    "ddpm": "euler_ancestral",
    "dpm_2": "dpm2",
    "dpm_2_ancestral": "dpm2_ancestral",
    "DPM++ 2S Ancestral": "dpmpp_2s_ancestral",
    "dpmpp_2s_a": "dpmpp_2s_ancestral",
    "euler_a_cfg_pp": "euler_ancestral_cfg_pp",
    "Euler Ancestral CFG++": "euler_ancestral_cfg_pp",
    "DPMSolverMultistep": "dpmpp_2m",
    "DPMSolverSDE": "dpmpp_sde",
    "DPMSolverSinglestep": "dpmpp_2s",
    "DEISMultistep": "deis",
    "EulerAncestralDiscrete": "euler_ancestral",
    "EulerDiscrete": "euler",
    "HeunDiscrete": "heun",
    "KDPM2AncestralDiscrete": "dpm2_ancestral",
    "KDPM2Discrete": "dpm2",
    "LMSDiscrete": "lms",
    "PNDM": "plms",
    "UniPC BH2": "unipc",
    "UniPCMultistep": "unipc",
}
# The last five place their steps within two timesteps of where ours are.
_SPACING_ALIASES: Final = {
    "lu_lambdas": "lu",
    "ays_sdxl": "ays",
    "k": "karras",
    "sgm_uniform": "trailing",
    "simple": "trailing",
    "normal": "linspace",
    "uniform": "linspace",
    "ddim_uniform": "leading",
}
# What people leave the choice to the model with.
_NO_SPACING: Final = frozenset({"automatic", "default"})
# What tells how a sampler is run, not what it computes.
_MARKS: Final = re.compile(r"^k[\s_-]|([\s_-]gpu|scheduler)$")

_UNPRINTABLE = 10**18
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIMESTEP = re.compile(r"[0-9]{1,4}")
_BRACKETED = re.compile(r"\[(.*)\]", re.DOTALL)
_SIZE = re.compile(r"([0-9]{1,9})[xX]([0-9]{1,9})")
_BYTES = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,3})?) ?(MB|GB)", re.IGNORECASE)
_UNITS = {"MB": 10**6, "GB": 10**9}
_SEPARATORS = frozenset("/\\:")
_GAPS = re.compile(r"[\s,_-]+")
# Embedding, override and isolate controls: they reorder the text around them on a reader's screen.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Lora:
    """A low-rank change of the model's weights (Hu et al. 2021), by its file's name.

    name      without its folder and ending, 1..100 characters
    strength  -4..4; 1 is as it was trained, 0 the model without it

    Raises InvalidRequestError.
    """

    name: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check_file_name("LoRA", self.name)
        name = say("strength of the LoRA {name}", name=self.name)
        _check_number(name, self.strength, MAX_LORA_STRENGTH, low=-MAX_LORA_STRENGTH)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that somebody brought, decoded, or an image that was drawn.

    digest  its content hash: what is seen, whatever file it came in (`pictures.digest_of`)
    rgba    width_px * height_px * 4 bytes, rows from the top, uint8
    """

    digest: str
    width_px: int
    height_px: int
    rgba: bytes = field(repr=False)


Pictures = Mapping[str, Picture]  # by their content hashes
NO_PICTURES: Final[Pictures] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Source:
    """A picture to start from, and what of it may change.

    picture     its content hash (`Picture.digest`)
    strength    0..1, how much of the way from noise is gone again: of 20 steps 0.3 takes 6. 1 keeps
                little, 0 all, which is for an upscale alone
    resize      one of RESIZES
    zoom        1..4, how much smaller than the canvas the picture lies in its middle
    mask        what is painted; the rest comes back as it was. ALPHA, AROUND, or the content hash
                of a second picture, which is painted where it is white; None: everything
    feather_px  0..256, how far beyond the mask what is painted fades into what stays

    Raises InvalidRequestError.
    """

    picture: str
    strength: float = CHANGING
    resize: str = "fill"
    zoom: float = 1.0
    mask: str | None = None
    feather_px: int = 16

    def __post_init__(self) -> None:
        _check_digest(say("picture"), self.picture)
        _check_number(say("strength"), self.strength, 1.0)
        _check_name(say("way to resize"), self.resize, RESIZES)
        _check_number(say("zoom"), self.zoom, MAX_ZOOM, low=1.0)
        if self.mask not in {None, ALPHA, AROUND}:
            _check_digest(say("mask"), self.mask)
        _check_whole(say("feather in pixels"), self.feather_px, 0, MAX_FEATHER_PX)

    @property
    def pictures(self) -> tuple[str, ...]:
        """The content hashes of all pictures that it needs."""
        if self.mask is None or self.mask in {ALPHA, AROUND}:
            return (self.picture,)
        return self.picture, self.mask


def check_mask(mask: Picture, picture: Picture) -> None:
    """Raise InvalidRequestError unless a mask has the picture's proportions."""
    shapes = [one.width_px / one.height_px for one in (mask, picture)]
    if abs(shapes[0] / shapes[1] - 1) > _SAME_SHAPE:
        raise InvalidRequestError(
            say(
                "The mask is {mask} and the picture {picture}. Give a mask of the picture's size, "
                "or of its proportions.",
                mask=format_size(mask.width_px, mask.height_px),
                picture=format_size(picture.width_px, picture.height_px),
            )
        )


@dataclass(frozen=True, slots=True)
class Variation:
    """Images like one that another request drew: its noise, turned towards that of another seed.

    seed      0..2**32 - 1; image k turns towards the noise of `fold_in(seed, first_index + k)`
    strength  0..1, how far along the arc between the two
    index     0..9, of the image that is varied, whose noise all start from

    Raises InvalidRequestError.
    """

    seed: int
    strength: float
    index: int = 0

    def __post_init__(self) -> None:
        _check_whole(say("seed of the variation"), self.seed, 0, MAX_SEED)
        _check_number(say("strength of the variation"), self.strength, 1.0)
        _check_whole(say("index of the varied image"), self.index, 0, MAX_IMAGES - 1)


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One request for images, valid by construction.

    prompt               what to draw, 1..4,000 characters, read as `prompt.py` says
    negative_prompt      what to stay away from; None (no text at all) and "" (the encoded empty
                         text) condition the model differently and draw different images
    seed                 0..2**32 - 1; image k draws its noise from
                         `fold_in(seed, first_index + k)`
    num_inference_steps  1..50
    guidance_scale       0..20; up to 1 means no guidance, except to CFG_PP_SAMPLERS
    width_px, height_px  64..2048, multiples of 8
    num_images           1..10
    first_index          0..9, the index of the first image; so any image of a request can be drawn
                         again alone. No index is above 9
    sampler              one of SAMPLERS; None is the model's own
    spacing              how noise levels are placed, one of SPACINGS; None is the model's own way
    guidance_rescale     0..1, how far guided contrast is brought back (Lin et al. 2023, sec. 3.4)
    guidance_interval    the part of the steps that is guided, two numbers 0..1 from the first step
                         to the last (Kynkaanniemi et al. 2024); guidance costs twice the time
    loras                0..8, each once; their order plays no part
    timesteps            those of training that the steps begin at, decreasing within 0..999, one a
                         step, for models distilled on them (DMD2: 999, 749, 499, 249); no spacing
    model                by its name, None the engine's first
    source               the picture to start from; None: from noise alone
    upscale              one of UPSCALES: the source is drawn anew, sharper, so many times as large
                         as width and height, in tiles of their size
    variation            None: images of their own
    emphasis             one of EMPHASES
    clip_skip            1..12, which states of the text encoders condition it, from the last; None
                         is the model's own, 2 SDXL's

    Raises InvalidRequestError.
    """

    prompt: str
    negative_prompt: str | None = None
    seed: int = 0
    num_inference_steps: int = 20
    guidance_scale: float = 5.0
    width_px: int = 1024
    height_px: int = 1024
    num_images: int = 4
    sampler: str | None = None
    spacing: str | None = None
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    first_index: int = 0
    loras: tuple[Lora, ...] = ()
    model: str | None = None
    timesteps: tuple[int, ...] | None = None
    source: Source | None = None
    upscale: float | None = None
    variation: Variation | None = None
    emphasis: str = USUAL_EMPHASIS
    clip_skip: int | None = None

    def __post_init__(self) -> None:
        _check_text(say("prompt"), self.prompt)
        if not any(_is_visible(char) for char in self.prompt):
            raise InvalidRequestError(say("The prompt is empty. Say what the picture should show."))
        if self.negative_prompt is not None:
            _check_text(say("negative prompt"), self.negative_prompt)
        _check_whole(say("seed"), self.seed, 0, MAX_SEED)
        _check_whole(say("number of steps"), self.num_inference_steps, 1, MAX_INFERENCE_STEPS)
        _check_whole(say("number of images"), self.num_images, 1, MAX_IMAGES)
        _check_whole(say("first index"), self.first_index, 0, MAX_IMAGES - 1)
        if self.first_index + self.num_images > MAX_IMAGES:
            raise InvalidRequestError(
                say(
                    "{number} images from index {first} on end beyond index {last}, the last. Ask "
                    "for fewer, or begin earlier.",
                    number=self.num_images,
                    first=self.first_index,
                    last=MAX_IMAGES - 1,
                )
            )
        _check_side(say("width"), say("width in pixels"), self.width_px)
        _check_side(say("height"), say("height in pixels"), self.height_px)
        _check_number(say("guidance"), self.guidance_scale, MAX_GUIDANCE_SCALE)
        _check_number(say("guidance rescale"), self.guidance_rescale, 1.0)
        start, stop = self.guidance_interval
        _check_number(say("start of the guidance interval"), start, 1.0)
        _check_number(say("end of the guidance interval"), stop, 1.0)
        if start > stop:
            raise InvalidRequestError(
                say(
                    "The guidance interval ends at {stop:g}, before it starts at {start:g}. "
                    "Exchange the two.",
                    stop=stop,
                    start=start,
                )
            )
        if len(self.loras) > MAX_LORAS:
            raise InvalidRequestError(
                say(
                    "{number} LoRAs at once are more than {most}. Leave some out.",
                    number=len(self.loras),
                    most=MAX_LORAS,
                )
            )
        names = [lora.name for lora in self.loras]
        for name in names:
            if names.count(name) > 1:
                raise InvalidRequestError(
                    say(
                        "The LoRA {name} is asked for twice. Say it once, with the strength it "
                        "shall have.",
                        name=name,
                    )
                )
        if self.model is not None:
            _check_file_name(say("model"), self.model)
        if self.sampler is not None:
            _check_name(say("sampler"), self.sampler, SAMPLERS)
        if self.spacing is not None:
            _check_name(say("spacing"), self.spacing, SPACINGS)
            if self.sampler in OWN_SPACING_SAMPLERS:
                raise InvalidRequestError(
                    say(
                        "{sampler} places its steps itself. Leave the spacing out, or choose "
                        "another sampler.",
                        sampler=SAMPLERS[self.sampler],
                    )
                )
        if self.timesteps is not None:
            self._check_timesteps(self.timesteps)
        self._check_reading()
        self._check_source()

    def _check_reading(self) -> None:
        _check_name(say("emphasis"), self.emphasis, EMPHASES)
        if self.clip_skip is not None:
            _check_whole(say("clip skip"), self.clip_skip, 1, MAX_CLIP_SKIP)

    def _check_source(self) -> None:
        if self.upscale is not None:
            if self.upscale not in UPSCALES:
                raise InvalidRequestError(
                    say(
                        "A picture can become {times} times as large, not {value} times.",
                        times=either(f"{one:g}" for one in UPSCALES),
                        value=f"{self.upscale!r:.20}",
                    )
                )
            if self.source is None:
                raise InvalidRequestError(
                    say("To upscale, give the picture that shall become larger.")
                )
            if self.source.mask is not None:
                raise InvalidRequestError(
                    say("An upscaled picture is drawn anew all over: leave the mask out.")
                )
        elif self.source is not None and self.source.strength == 0:
            raise InvalidRequestError(
                say("At strength 0 nothing of the picture would change. Choose more, such as 0.3.")
            )

    def _check_timesteps(self, timesteps: tuple[int, ...]) -> None:
        for timestep in timesteps:
            _check_whole(say("timestep"), timestep, 0, MAX_TIMESTEP)
        if any(later >= earlier for earlier, later in pairwise(timesteps)):
            raise InvalidRequestError(
                say(
                    "The timesteps must decrease, from the noisiest on, such as 999, 749, 499, 249."
                )
            )
        if len(timesteps) != self.num_inference_steps:
            raise InvalidRequestError(
                say(
                    "{number} timesteps are not {steps} steps. Give one timestep for each step.",
                    number=len(timesteps),
                    steps=self.num_inference_steps,
                )
            )
        if self.spacing is not None:
            raise InvalidRequestError(
                say(
                    "A list of timesteps leaves nothing for a spacing to place. Leave one of them "
                    "out."
                )
            )

    @property
    def steps(self) -> range:
        """The steps that are taken: from a picture the last ones, as its strength says.

        As many as diffusers takes, but one at least.
        """
        total = self.num_inference_steps
        if self.source is None:
            return range(total)
        if self.source.strength == 0:
            return range(total, total)
        return range(total - max(int(total * self.source.strength), 1), total)

    @property
    def result_px(self) -> tuple[int, int]:
        """Width and height of its images: larger than its size where it upscales."""
        times = 1 if self.upscale is None else self.upscale
        width, height = (
            int(side * times) // SIDE_MULTIPLE_PX * SIDE_MULTIPLE_PX
            for side in (self.width_px, self.height_px)
        )
        return width, height

    @property
    def guided_steps(self) -> range:
        """The steps, counted from 0, that are guided: the negative prompt passes through, too."""
        # diffusers draws without guidance up to 1, which is guidance of exactly 1.
        least = 0 if self.sampler in CFG_PP_SAMPLERS else 1
        total = self.num_inference_steps if self.guidance_scale > least else 0
        start, stop = self.guidance_interval
        first = self.steps.start
        return range(max(round(start * total), first), max(round(stop * total), first))

    @property
    def passes(self) -> int:
        """How often an image passes through the UNet, with either prompt.

        Of a model's own sampler nobody knows here, so its steps count as one pass; and the first
        step of PLMS, which looks twice, as any other.
        """
        each = 1 if self.sampler is None else PASSES[self.sampler]
        # The last step looks once.
        steps = (self.steps, self.guided_steps)
        tiles = 1 if self.upscale is None else UPSCALES[self.upscale] ** 2
        return tiles * sum(
            each * len(some) - (each - 1) * (self.num_inference_steps - 1 in some) for some in steps
        )


class KnownLora(Protocol):
    """What is known of a LoRA that requests may name."""

    @property
    def problem(self) -> str | None:
        """Why it cannot be drawn with, as a sentence; None: nothing is known against it."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a picture says of the files that drew it; what is not known is left out.

    hash         AutoV2 of the model's file (`hashes.SeenFile.model_hash`)
    vae          name of a VAE of its own, and AutoV2 of its file
    lora_hashes  AutoV3 of each LoRA's file by its name (`hashes.SeenFile.lora_hash`)
    clip_skip    which states of the text encoders conditioned it, if not those of SDXL
    """

    name: str
    hash: str | None = None
    vae: str | None = None
    vae_hash: str | None = None
    lora_hashes: Mapping[str, str] = field(default_factory=dict)
    clip_skip: int | None = None


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """One finished image.

    index  the first of a request has its `first_index`, by default 0
    seed   the request's seed (the image's own noise is `fold_in(seed, index)`)
    rgb    width_px * height_px * 3 bytes, rows from the top, uint8
    scores  how much of each category the picture check sees in it, 0..1; None: nobody looked
    """

    index: int
    seed: int
    width_px: int
    height_px: int
    rgb: bytes
    scores: Mapping[str, float] | None = field(default=None, compare=False)


Images = tuple[GeneratedImage, ...]
FetchImages = Callable[[], Images]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a request stands. The last one, and only it, has `fetch`.

    step      denoising steps done, 0..num_inference_steps
    previews  what the images are becoming, an eighth as large; empty unless asked for
    fetch     waits until the device has drawn the images and returns them, from any thread. The
              device may begin another request meanwhile. Raises DrawError
    """

    step: int
    num_inference_steps: int
    previews: Images = ()
    fetch: FetchImages | None = None


def name_of_model(model: str) -> str:
    """The name that requests call a model by, of a path or of a repository's "owner/name"."""
    return re.split(r"[/\\]", model.rstrip("/\\"))[-1].removesuffix(".safetensors") or model


def parse_bytes(text: str) -> int:
    """Of a text such as "8GB" or "7.5 GB"; raises InvalidRequestError."""
    match = _BYTES.fullmatch(text.strip())
    if match is None or not float(match[1]):
        # Nobody says it in a chat.
        raise InvalidRequestError(f"{text!r:.40} is no amount of memory. Write one such as 8GB.")
    return round(float(match[1]) * _UNITS[match[2].upper()])


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels of a text such as "1024x768"; raises InvalidRequestError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidRequestError(
            say(
                "{text} is not a size. Write width x height, such as 1024x1024.",
                text=repr(text[:40]),
            )
        )
    size_px = int(match[1]), int(match[2])
    _check_side(say("width"), say("width in pixels"), size_px[0])
    _check_side(say("height"), say("height in pixels"), size_px[1])
    return size_px


def format_size(width_px: int, height_px: int) -> str:
    """The inverse of `parse_size`."""
    return f"{width_px}x{height_px}"


def format_timesteps(timesteps: tuple[int, ...]) -> str:
    """As people write them, "999, 749, 499, 249", and `parse_timesteps` reads them."""
    return ", ".join(map(str, timesteps))


def parse_timesteps(text: str) -> tuple[int, ...]:
    """Those of a text such as "999, 749, 499, 249", in brackets or not.

    Raises InvalidRequestError.
    """
    bracketed = _BRACKETED.fullmatch(text.strip())
    words = (bracketed[1] if bracketed else text).split(",")
    if not all(_TIMESTEP.fullmatch(word.strip()) for word in words):
        raise InvalidRequestError(
            say(
                "{text} are no timesteps. Write them from the noisiest on, with commas between "
                "them, such as 999, 749, 499, 249.",
                text=f"{text!r:.60}",
            )
        )
    return tuple(map(int, words))


def parse_sampler(text: str) -> str:
    """The name in SAMPLERS of "dpmpp_2m", "DPM++ 2M" or another program's name for it.

    Case, spaces, commas, underscores and hyphens play no part. Raises InvalidRequestError.
    """
    name = _SAMPLER_NAMES.get(_letters(_MARKS.sub("", text.strip().casefold())), text)
    _check_name(say("sampler"), name, SAMPLERS)
    return name


def parse_spacing(text: str) -> str:
    """The name in SPACINGS of "ays" or "Align Your Steps", as `parse_sampler`."""
    name = _SPACING_NAMES.get(_letters(text), text)
    _check_name(say("spacing"), name, SPACINGS)
    return name


def parse_sampler_and_spacing(text: str) -> tuple[str, str | None]:
    """The names of a sampler and, where the text goes on with one, of a spacing.

    Of "DPM++ 2M Karras" they are dpmpp_2m and karras, of "Euler a" euler_ancestral and None. Raises
    InvalidRequestError.
    """
    words = [word for word in _GAPS.split(text.strip()) if word]
    for split in range(len(words) - 1, 0, -1):
        sampler, rest = " ".join(words[:split]), _letters(" ".join(words[split:]))
        if rest in _NO_SPACING or rest in _SPACING_NAMES:
            with suppress(InvalidRequestError):
                return parse_sampler(sampler), _SPACING_NAMES.get(rest)
    return parse_sampler(text), None


def _letters(text: str) -> str:
    return _GAPS.sub("", text).casefold()


def _names(titles: Mapping[str, str], aliases: Mapping[str, str]) -> dict[str, str]:
    """The name of each way to write it, by its letters."""
    return {
        _letters(written): name
        for name, writings in (
            *((name, (name, title)) for name, title in titles.items()),
            *((name, (alias,)) for alias, name in aliases.items()),
        )
        for written in writings
    }


_SAMPLER_NAMES: Final = _names(SAMPLERS, _SAMPLER_ALIASES)
_SPACING_NAMES: Final = _names(SPACINGS, _SPACING_ALIASES)


def _is_visible(char: str) -> bool:
    # Separators (Z*), controls and formats (C*) and lone combining marks (M*) show nothing.
    return unicodedata.category(char)[0] not in "ZCM"


def _check_text(name: str, text: str) -> None:
    if not isinstance(text, str):
        raise InvalidRequestError(
            say("The {name} must be text, not {kind}.", name=name, kind=type(text).__name__)
        )
    if len(text) > MAX_PROMPT_CHARS:
        raise InvalidRequestError(
            say(
                "The {name} is {chars:,} characters long; the limit is {limit:,}. Shorten it.",
                name=name,
                chars=len(text),
                limit=MAX_PROMPT_CHARS,
            )
        )
    for place, char in enumerate(text):
        control = unicodedata.category(char) in {"Cc", "Cs"} and char not in "\n\r\t"
        if control or char in _BIDI_CONTROLS:
            raise InvalidRequestError(
                say(
                    "The {name} holds an invisible control character ({char}) at place {place}. "
                    "Delete it, or type the text anew.",
                    name=name,
                    char=f"U+{ord(char):04X}",
                    place=place + 1,
                )
            )


def _check_whole(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(
            say("The {name} must be a whole number, not {value}.", name=name, value=repr(value))
        )
    if not low <= value <= high:
        raise InvalidRequestError(
            say(
                "The {name} must lie between {low} and {high}, not {value}.",
                name=name,
                low=low,
                high=high,
                value=_said(value),
            )
        )


def _check_number(name: str, value: float, high: float, *, low: float = 0.0) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequestError(
            say("The {name} must be a number, not {value}.", name=name, value=repr(value))
        )
    if not low <= value <= high:  # NaN is not, either
        raise InvalidRequestError(
            say(
                "The {name} must lie between {low} and {high}, not {value}.",
                name=name,
                low=f"{low:g}",
                high=f"{high:g}",
                value=_said(value),
            )
        )


def _check_name(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise InvalidRequestError(
            say(
                "There is no {name} {value}. Choose one of: {known}.",
                name=name,
                value=f"{value!r:.60}",
                known=", ".join(known),
            )
        )


def _check_digest(name: str, value: object) -> None:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise InvalidRequestError(
            say(
                "The {name} to start from is named by the hash of its content, 64 digits of 0-9 "
                "and a-f, not {value}.",
                name=name,
                value=f"{value!r:.60}",
            )
        )


def _check_file_name(kind: str, name: str) -> None:
    """Raise InvalidRequestError for what is no plain name of a file."""
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequestError(say("A {kind} is chosen by its name.", kind=kind))
    if (
        len(name) > MAX_NAME_CHARS
        or not name.isprintable()
        or name.startswith(".")
        or not _SEPARATORS.isdisjoint(name)
    ):
        raise InvalidRequestError(
            say(
                "{name} is no name of a {kind}: give the file's name, without its folder.",
                name=f"{name!r:.60}",
                kind=kind,
            )
        )


def _said(number: float) -> str:
    """A number as a sentence can hold it: Python refuses to print whole ones of 5,000 digits."""
    if isinstance(number, int) and abs(number) >= _UNPRINTABLE:
        return say("a number with far too many digits")
    return f"{number:g}" if isinstance(number, float) else str(number)


def _check_side(name: str, in_pixels: str, value_px: int) -> None:
    _check_whole(in_pixels, value_px, MIN_SIDE_PX, MAX_SIDE_PX)
    if value_px % SIDE_MULTIPLE_PX:
        raise InvalidRequestError(
            say(
                "The {name} must be a multiple of {multiple} pixels, not {value}.",
                name=name,
                multiple=SIDE_MULTIPLE_PX,
                value=value_px,
            )
        )
