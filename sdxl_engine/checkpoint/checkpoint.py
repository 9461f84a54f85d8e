"""A model that can be loaded, whatever form it has: a folder in diffusers format, or one file.

Both become the same here, a configuration and for each part its tensors under today's names, so
that nothing further on knows where they came from.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from sdxl_engine.checkpoint import single_file
from sdxl_engine.checkpoint.card import Card, card_path
from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.folder import WEIGHT_STEMS
from sdxl_engine.checkpoint.hub import find_model
from sdxl_engine.checkpoint.json_reader import Json, read_json
from sdxl_engine.checkpoint.kinds import Kind, advice
from sdxl_engine.checkpoint.markers import Markers
from sdxl_engine.checkpoint.parts import Part
from sdxl_engine.checkpoint.safetensors_file import read_stored
from sdxl_engine.errors import CheckpointError

_LENDERS: Final = {
    "vae": (Kind.VAE, Kind.MODEL, Kind.INPAINTING),
    "unet": (Kind.UNET, Kind.MODEL, Kind.INPAINTING),
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One model.

    path    its folder or file
    home    the folder with its tokenizers and, but for what `config` says otherwise, its JSON
    config  what its JSON says, or its tensors where it has none
    card    what stands beside it
    parts   the weights of "unet", "vae", "text_encoder" and "text_encoder_2"
    """

    path: Path
    home: Path
    config: SdxlConfig
    card: Card
    parts: Mapping[str, Part]

    @classmethod
    def find(
        cls,
        model: str,
        *,
        revision: str | None = None,
        half: bool = False,
        vae: str | None = None,
        unet: str | None = None,
        clip_skip: int | None = None,
    ) -> Self:
        """A model, fetched first where it is not here.

        model, revision, half  as `find_model`
        vae                    a file or folder whose VAE takes the place of the model's
        unet                   the same of its UNet
        clip_skip              as `TextEncoderConfig`; None: what stands beside it, or 2

        Raises CheckpointError.
        """
        path = find_model(model, revision=revision, half=half)
        card = Card.beside(path)
        parts: dict[str, Part] = {}
        markers = Markers()
        home = path
        borrowed = {name: each for name, each in (("vae", vae), ("unet", unet)) if each is not None}
        if not path.is_dir():
            parts, markers = single_file.parts_of(path, borrowed)
            home = single_file.home_of(path, card, parts)
        told = single_file.described_parts(path, card, home, parts)
        for name, source in borrowed.items():
            base = read_json(home, f"{name}/config.json")
            parts[name], data, own = _borrowed(name, source, base, half=half)
            told[f"{name}/config.json"] = (source, data)
            markers = markers.corrected(own.prediction, own.zero_snr)
        markers = markers.corrected(card.prediction_type, card.zero_snr)
        told |= markers.told(home, told, path.name)
        try:
            config = SdxlConfig.load(home, told)
        except CheckpointError as error:
            names = "".join(f" [engine] {name} is {source}." for name, source in borrowed.items())
            raise CheckpointError(f"{error}{names}") from error
        if clip_skip is not None:
            config = config.with_clip_skip(clip_skip, "[model]")
        elif card.clip_skip is not None:
            config = config.with_clip_skip(card.clip_skip, str(card_path(path)))
        for name in WEIGHT_STEMS:
            if name not in parts:
                parts[name] = Part.of_folder(path, name, half=half)
        return cls(path, home, config, card, parts)

    @property
    def size_bytes(self) -> int:
        """Of all tensors that are to be read."""
        return sum(part.size_bytes for part in self.parts.values())

    @property
    def files(self) -> set[Path]:
        """Those that hold them."""
        return {path for part in self.parts.values() for path in part.files}


def _borrowed(name: str, source: str, base: Json, *, half: bool) -> tuple[Part, Json, Markers]:
    """One part of another model: its weights, its JSON, and what its file says beside them."""
    place = Path(source).expanduser()
    if not os.path.lexists(place):
        raise CheckpointError(
            f"There is no {source!r:.100}, which [engine] {name} names. Give a .safetensors file, "
            "or a folder in diffusers format."
        )
    if place.is_dir():
        alone = not (place / name).is_dir()
        data = read_json(place, "config.json" if alone else f"{name}/config.json")
        return Part.of_folder(place, name, half=half, alone=alone), data, Markers()
    file = read_stored(place)
    kind = single_file.kind_of(file)
    if kind not in _LENDERS[name]:
        raise CheckpointError(f"{place} is {advice(kind)} [engine] {name} cannot be set to it.")
    part = Part.of_file(place, name, file.tensors)
    markers = Markers.of(file) if name == "unet" else Markers()
    return part, single_file.described_part(place, part, base), markers
