"""What a file or folder is, and whether it would load, without reading its weights."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sdxl_engine.checkpoint import single_file
from sdxl_engine.checkpoint.card import Card
from sdxl_engine.checkpoint.checkpoint import Checkpoint
from sdxl_engine.checkpoint.config import MODEL_INDEX
from sdxl_engine.checkpoint.embeddings import NAMES as EMBEDDED_NAMES
from sdxl_engine.checkpoint.files import open_file, reason
from sdxl_engine.checkpoint.json_reader import plain, read_json
from sdxl_engine.checkpoint.kinds import Kind, advice, foreign
from sdxl_engine.checkpoint.markers import Markers, trigger_words
from sdxl_engine.checkpoint.safetensors_file import StoredFile, StoredTensor, read_stored
from sdxl_engine.errors import CheckpointError
from sdxl_engine.lora.file import refuse_other
from sdxl_engine.pipeline import Prepared

_LATENTS: Final = 4
_USED: Final = (Kind.MODEL, Kind.INPAINTING, Kind.UNET, Kind.VAE, Kind.LORA, Kind.EMBEDDING)
_WHOLE: Final = (Kind.MODEL, Kind.INPAINTING)
_PIPELINES: Final = (
    ("StableDiffusionXLInpaint", Kind.INPAINTING),
    ("StableDiffusionXL", Kind.MODEL),
    ("StableDiffusion3", Kind.SD3),
    ("StableDiffusion", Kind.SD1),
    ("Flux", Kind.FLUX),
    ("Kolors", Kind.KOLORS),
)
_PAGE_BYTES: Final = 4096  # what repositories say of themselves is at its beginning
_LICENCE: Final = re.compile(
    r"^(license|license_name): *[\"']?([^\"'\n\[#]+?)[\"']? *(?:#.*)?$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at one path.

    parts       of the networks, those that it holds
    prediction  what its denoiser predicts, and of which noise; None where nothing says so
    size_bytes  of the file, or of all tensors that are read of a folder; of one that does not load
                of its files
    licence     a line, of its card or its own metadata
    words       what a prompt should hold, likewise
    problem     why it cannot be used as what it is, and what to do; None where it can
    told        what is not drawn as PyTorch diffusers would, a sentence each
    """

    path: Path
    kind: Kind
    parts: tuple[str, ...] = ()
    prediction: str | None = None
    size_bytes: int = 0
    licence: str | None = None
    words: tuple[str, ...] = ()
    problem: str | None = None
    told: tuple[str, ...] = ()


def look_at(path: Path) -> Finding:
    """What a file, or a folder with a model_index.json, is; raises nothing for what lies there."""
    try:
        return _folder(path) if path.is_dir() else _file(path)
    except CheckpointError as error:
        size = path.stat().st_size if path.is_file() else 0
        return Finding(path, Kind.DAMAGED, size_bytes=size, problem=str(error))
    except OSError as error:
        return Finding(path, Kind.DAMAGED, problem=f"{path} cannot be read: {reason(error)}.")


def _file(path: Path) -> Finding:
    with open_file(path) as file:
        other = foreign(path.name, file.read(64))
    size = path.stat().st_size
    if other is not None:
        return Finding(path, other.kind, size_bytes=size, problem=f"It is {other.advice}")
    stored = read_stored(path)
    kind = single_file.kind_of(stored)
    card, said = Card.if_any(path), stored.metadata.get("modelspec.license")
    licence = card.licence or (plain(said) if said else None)
    words = card.trigger_words or trigger_words(stored.metadata)
    if kind in _WHOLE:
        return _whole(Finding(path, kind, (), None, size, licence, words))
    problem = None if kind in _USED else f"It is {advice(kind)}"
    if kind is Kind.LORA:
        problem = _problem_of_lora(path, stored.tensors)
    elif kind is Kind.EMBEDDING:
        problem = _problem_of_embedding(stored)
    elif kind is Kind.VAE:
        problem = _problem_of_vae(stored)
    prediction = Markers.of(stored).prediction if kind is Kind.UNET else None
    return Finding(path, kind, (), prediction, size, licence, words, problem)


def _whole(begun: Finding) -> Finding:
    """With what the whole model says of itself; what loading would refuse is its problem."""
    try:
        found = Checkpoint.find(str(begun.path.absolute()))
        Prepared.of(found)
    except CheckpointError as error:
        return replace(begun, problem=str(error))
    return replace(
        begun,
        parts=tuple(found.parts),
        prediction=found.config.scheduler.training,
        size_bytes=begun.size_bytes or found.size_bytes,
        told=found.config.scheduler.told,
    )


def _folder(path: Path) -> Finding:
    pipeline = str(read_json(path, MODEL_INDEX).get("_class_name"))
    kinds = (kind for name, kind in _PIPELINES if pipeline.startswith(name))
    card, kind = Card.if_any(path), next(kinds, Kind.OTHER)
    licence = card.licence or _licence_of_folder(path)
    found = _whole(Finding(path, kind, licence=licence, words=card.trigger_words))
    if found.size_bytes:
        return found
    # One that does not load: of all its files, also those that would not be read.
    files = (one for one in path.rglob("*.safetensors") if one.is_file())
    return replace(found, size_bytes=sum(one.stat().st_size for one in files))


def _licence_of_folder(path: Path) -> str | None:
    """What the page of a repository, its README.md, begins with."""
    try:
        with open_file(path / "README.md") as file:
            page = file.read(_PAGE_BYTES).decode(errors="replace")
    except OSError:
        return None
    begin, *rest = page.split("---", 2)
    if begin.strip("\ufeff \n") or not rest:
        return None
    said = dict(_LICENCE.findall(rest[0]))
    name = said.get("license_name") or said.get("license")
    return plain(name) if name else None


def _problem_of_lora(path: Path, tensors: Mapping[str, StoredTensor]) -> str | None:
    try:
        refuse_other(path, tensors)
    except CheckpointError as error:
        return str(error)
    return None


def _problem_of_embedding(stored: StoredFile) -> str | None:
    if set(stored.tensors) in map(set, EMBEDDED_NAMES):
        return None
    return (
        "It is an embedding for another model than SDXL, whose embeddings hold clip_l and clip_g. "
        "Choose one that was made for SDXL."
    )


def _problem_of_vae(stored: StoredFile) -> str | None:
    conv_in = next(
        t for name, t in stored.tensors.items() if name.endswith("decoder.conv_in.weight")
    )
    channels = conv_in.shape[1] if len(conv_in.shape) == 4 else 0  # noqa: PLR2004 - OIHW
    if channels == _LATENTS:
        return None
    return (
        f"It is a VAE of {channels} channels; SDXL's latents have {_LATENTS}. Choose one that was "
        "made for SDXL."
    )
