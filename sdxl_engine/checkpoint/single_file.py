"""A whole model in one safetensors file, as A1111, Forge, ComfyUI and model sites have it.

It has neither JSON nor tokenizers. These are SDXL's, which come with the package, or those of the
embedded model where the file has its shapes, or those of a folder that its card names.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from sdxl_engine.checkpoint.card import Card, card_path
from sdxl_engine.checkpoint.folder import WEIGHT_STEMS
from sdxl_engine.checkpoint.hub import EMBEDDED_MODEL, own_folder, sdxl_base
from sdxl_engine.checkpoint.json_reader import Json, plain, read_json
from sdxl_engine.checkpoint.kinds import Kind, advice, identify
from sdxl_engine.checkpoint.markers import Markers
from sdxl_engine.checkpoint.original import PREFIXES, place_of
from sdxl_engine.checkpoint.parts import Part
from sdxl_engine.checkpoint.safetensors_file import StoredFile, StoredTensor, read_stored
from sdxl_engine.checkpoint.shapes import described, fits
from sdxl_engine.errors import CheckpointError

_WHOLE: Final = (Kind.MODEL, Kind.INPAINTING)


def kind_of(file: StoredFile) -> Kind:
    """What a safetensors file is."""
    tensors = file.tensors
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return identify(shapes, {name: tensor.dtype for name, tensor in tensors.items()})


def parts_of(path: Path, without: Collection[str] = ()) -> tuple[dict[str, Part], Markers]:
    """All parts of a model's file, and what else it says; raises CheckpointError for any other.

    without  those that come from elsewhere
    """
    file = read_stored(path)
    kind = kind_of(file)
    if kind not in _WHOLE:
        raise CheckpointError(f"{path} is {advice(kind)}")
    names = [name for name in WEIGHT_STEMS if name not in without]
    return {name: _part(path, name, file.tensors) for name in names}, Markers.of(file)


def _part(path: Path, name: str, tensors: Mapping[str, StoredTensor]) -> Part:
    place = place_of(name, tensors)
    if not place:
        raise CheckpointError(
            f"{path} has no {name} in it (nothing under {PREFIXES[name][0]}): it is not a whole "
            "model. Choose a file that holds UNet, VAE and both text encoders, or set [engine] vae "
            "or unet to what it lacks."
        )
    return Part.of_file(path, name, tensors)


def home_of(path: Path, card: Card, parts: Mapping[str, Part]) -> Path:
    """The folder with the JSON and the tokenizers of a model's file; raises CheckpointError."""
    if card.config is not None:
        folder = path.absolute().parent / Path(card.config).expanduser()
        if not folder.is_dir():
            raise CheckpointError(
                f"{card_path(path)}: config is {plain(card.config)!r}, but there is no folder "
                f"{folder}."
            )
        return folder
    embedded = own_folder(EMBEDDED_MODEL)
    alike = all(
        fits(name, read_json(embedded, f"{name}/config.json"), part.shapes)
        for name, part in parts.items()
    )
    return embedded if alike else sdxl_base()


def described_parts(
    path: Path, card: Card, home: Path, parts: Mapping[str, Part]
) -> dict[str, tuple[str, Json]]:
    """The JSON of the parts in a model's file, as `SdxlConfig.load` takes it, and whence it is.

    Nothing where its card names a folder of JSON: that is taken as it is. Raises CheckpointError.
    """
    if card.config is not None:
        return {}
    names = {name: f"{name}/config.json" for name in parts}
    return {
        file: (f"{path} ({name})", described_part(path, parts[name], read_json(home, file)))
        for name, file in names.items()
    }


def described_part(path: Path, part: Part, base: Json) -> Json:
    """The JSON of a part in a file, from that of a model like it; raises CheckpointError."""
    try:
        return described(part.name, base, part.shapes)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path} has not SDXL's shapes: {error}. If it is of SDXL's kind, put the folder of "
            f'its JSON beside it and name it in {card_path(path).name}: config = "FOLDER".'
        ) from error
