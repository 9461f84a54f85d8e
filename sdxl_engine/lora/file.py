"""One LoRA's file: what its header says, checked against the model, and what it holds.

Tensors of modules of the model, each under one of the names in `names.py`; anything else is told,
for what is left out silently changes the picture.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sdxl_engine.checkpoint import kinds as file_kinds
from sdxl_engine.checkpoint import single_file
from sdxl_engine.checkpoint.files import check_file, reason
from sdxl_engine.checkpoint.folder import listed
from sdxl_engine.checkpoint.json_reader import parse_json, plain
from sdxl_engine.checkpoint.markers import trigger_words
from sdxl_engine.checkpoint.safetensors_file import (
    DTYPES,
    NUMBERS,
    StoredFile,
    StoredTensor,
    read_stored,
)
from sdxl_engine.errors import CheckpointError
from sdxl_engine.hashes import Version, version
from sdxl_engine.lora.kinds import KINDS, Change, Kind, kind_of, magnitude_fits, scale
from sdxl_engine.lora.names import Module
from sdxl_engine.sentence import say

_ADAPTER: Final = r"(\.[^.]+)?"
# The role of a tensor by the end of its name: kohya's and LyCORIS's, PEFT's (whose adapters have
# names), and diffusers' older ones.
_ROLES: Final = {
    "lora_down": rf"(lora_down|lora_A{_ADAPTER}|(lora(_linear_layer)?\.)?down)\.weight",
    "lora_up": rf"(lora_up|lora_B{_ADAPTER}|(lora(_linear_layer)?\.)?up)\.weight",
    "lora_mid": r"lora_mid\.weight",
    "dora_scale": r"dora_scale",
    "magnitudes": rf"lora_magnitude_vector{_ADAPTER}(\.weight)?",
    "alpha": r"alpha",
    "diff": r"diff|w_norm",
    "diff_b": r"diff_b|b_norm",
    **{name: name for kind in KINDS for name in kind.marks if name.startswith(("hada", "lokr"))},
}
# The first part as short as can be: "X.lora.up.weight" is of X, not of "X.lora".
_NAME: Final = re.compile(
    "(?P<module>.+?)\\.(?:" + "|".join(f"(?P<{role}>{end})" for role, end in _ROLES.items()) + ")"
)
_MAX_SHARE: Final = 2  # of the model's numbers: whole differences have as many, some bias beside
_SETTINGS: Final = "lora_adapter_metadata"  # diffusers' name in the header for PEFT's settings
# What trainers say of the model that they began with: kohya, the model specification, ComfyUI.
_BASES: Final = ("modelspec.architecture", "ss_base_model_version", "ss_sd_model_name")
# Marks in the names of models that are not SDXL.
_OTHERS: Final = (
    ("double_blocks", "FLUX"),
    ("single_transformer_blocks", "FLUX"),
    ("joint_blocks", "Stable Diffusion 3"),
    ("lora_te3_", "Stable Diffusion 3"),
    ("transformer_transformer_blocks", "a transformer, such as Stable Diffusion 3"),
    ("transformer.transformer_blocks", "a transformer, such as Stable Diffusion 3"),
    ("lora_te_", "Stable Diffusion 1 or 2"),
)
_TEXT_WIDTHS: Final = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2"}
# What reads the text: its width tells the family.
_TEXT_READER: Final = re.compile(r".*attn2[._](processor\.)?to_k[._].*(lora_down|lora_A|down)\..*")

# Kinds of files that say less than the names of their tensors.
_UNTOLD: Final = (file_kinds.Kind.LORA, file_kinds.Kind.OTHER, file_kinds.Kind.DAMAGED)

_SPARE: Final = "position_ids"  # counted from 0 on in every model: nothing to learn

Roles = Mapping[str, StoredTensor]


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA that fits the model.

    version  of the file that was looked at
    modules  what is there for each, by role
    scales   of those whose alpha is among PEFT's settings, and not a tensor
    kind     of all its modules, in words
    rank     the largest
    base     what its trainer says of the model that it is for, "" if nothing
    words    what its trainer says that a prompt should hold
    """

    path: Path
    version: Version
    modules: Mapping[Module, Roles]
    scales: Mapping[Module, float]
    kind: str
    rank: int | None
    base: str
    words: tuple[str, ...] = ()

    def read(self) -> dict[Module, Change]:
        """What it does; raises CheckpointError for numbers that are none, or another file there."""
        try:
            changes = {module: self._change(module) for module in self.modules}
        except CheckpointError:
            self._check_version()  # what is wrong with another file is nothing to this one
            raise
        self._check_version()
        return changes

    def _check_version(self) -> None:
        try:
            same = version(self.path) == self.version
        except OSError:
            same = False
        if not same:
            raise CheckpointError(f"{self.path} was replaced while it was read. Ask again.")

    def _change(self, module: Module) -> Change:
        roles = self.modules[module]
        tensors = {role: stored.read() for role, stored in roles.items()}
        for role, tensor in tensors.items():
            if not np.isfinite(tensor.astype(np.float32)).all():
                raise CheckpointError(
                    f"{self.path} holds numbers that are none (NaN or infinite), first in {role} "
                    f"of {module}. It is damaged, or its training failed: fetch it again, or "
                    "choose another."
                )
        if "magnitudes" in tensors:  # PEFT's are one an output, whatever axes they lie along
            tensors["dora_scale"] = tensors.pop("magnitudes").reshape(-1)
        kind = kind_of(roles)
        alpha = float(tensors["alpha"].reshape(())) if "alpha" in tensors else None
        factor = self.scales.get(module, scale(_rank(kind, roles), alpha))
        return Change(kind, tensors, factor)


def unusable(path: Path, error: CheckpointError) -> str:
    """What is wrong with a LoRA, as whoever asked for it reads it; not where it lies."""
    said = str(error).replace(str(path), path.name)
    return say("The LoRA {name} cannot be used: {why}", name=path.stem, why=said)


def look_at(folder: Path, path: Path, spellings: Mapping[str, Module]) -> LoraFile:
    """What a file in a folder of LoRAs is, by its header; raises CheckpointError for what is none.

    spellings  the model's modules, of `names.spellings`
    """
    try:
        check_file(folder, path)
        seen = version(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {reason(error)}.") from error
    tensors, metadata = read_stored(path)
    _check_length(path, tensors.values(), spellings.values())
    modules: dict[Module, dict[str, StoredTensor]] = {}
    strange, twice = [], []
    for name, stored in tensors.items():
        if name.endswith(_SPARE):
            continue
        found = _NAME.fullmatch(name)
        module = spellings.get(found["module"]) if found else None
        if found is None or module is None:
            strange.append(name)
            continue
        role = str(found.lastgroup)
        if modules.setdefault(module, {}).setdefault(role, stored) is not stored:
            twice.append(name)
    wrong = [
        f"{module} ({why})" for module, roles in modules.items() for why in _misfits(module, roles)
    ]
    if strange or wrong or not modules:
        refuse_other(path, tensors)
    problems = {
        "of no module of this model": strange,
        "of other shapes": wrong,
        "there twice, under two names": twice,
    }
    told = [f"{len(which)} {what}: {listed(which)}" for what, which in problems.items() if which]
    if told:
        raise CheckpointError(
            f"{path} does not fit this model. Of its {len(tensors)} tensors are "
            + "; ".join(told)
            + ". Choose a LoRA that was trained for a model of this architecture."
        )
    kinds = dict.fromkeys(_title(roles) for roles in modules.values())
    ranks = [_rank(kind_of(roles), roles) for roles in modules.values()]
    return LoraFile(
        path,
        seen,
        modules,
        _settings(path, modules, metadata),
        ", ".join(sorted(kinds)),
        max((rank for rank in ranks if rank), default=None),
        next((plain(metadata[key]) for key in _BASES if metadata.get(key)), ""),
        trigger_words(metadata),
    )


def _check_length(path: Path, tensors: Iterable[StoredTensor], model: Iterable[Module]) -> None:
    """Raise CheckpointError for more than any LoRA holds: a sparse file of any length is cheap."""
    held = sum(math.prod(tensor.shape) for tensor in tensors)
    own = sum(math.prod(module.weight) for module in set(model))
    if held > _MAX_SHARE * own:
        raise CheckpointError(
            f"{path} holds {held:,} numbers, and the model that it would change {own:,}. Choose a "
            "LoRA of a lower rank."
        )


def refuse_other(path: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Raise CheckpointError for what is no LoRA at all, or one of another family of models."""
    if not any(_NAME.fullmatch(name) for name in tensors):
        kind = single_file.kind_of(StoredFile(dict(tensors), {}))
        if kind not in _UNTOLD:
            raise CheckpointError(
                f"{path} is no LoRA, but of the kind {kind.value!r}. Take it out of the folder of "
                "LoRAs."
            )
        raise CheckpointError(
            f"{path} is no LoRA: none of its {len(tensors)} tensors has the name of one's"
            f" ({listed(sorted(tensors)) or 'it is empty'}). Take it out of the folder of LoRAs."
        )
    family = next((family for mark, family in _OTHERS if any(mark in name for name in tensors)), "")
    for name, stored in tensors.items():
        if not family and _TEXT_READER.fullmatch(name):
            family = _TEXT_WIDTHS.get(stored.shape[-1] if len(stored.shape) > 1 else 0, "")
    if family:
        raise CheckpointError(
            f"{path} is a LoRA of {family}, and this model is a Stable Diffusion XL. Choose one "
            "that was trained for Stable Diffusion XL."
        )


def _misfits(module: Module, roles: Roles) -> Iterator[str]:
    """Why these tensors cannot change the module."""
    shapes = {role: stored.shape for role, stored in roles.items()}
    own = ", ".join(f"{role} {list(shape)}" for role, shape in sorted(shapes.items()))
    for role, stored in roles.items():
        if stored.dtype not in (NUMBERS if role == "alpha" else DTYPES):
            yield f"{role} of type {stored.dtype} instead of {', '.join(DTYPES)}"
    kind = kind_of(roles)
    if kind is not None:
        try:
            if not kind.fits(shapes, module.weight):
                yield f"{own} for a weight of {list(module.weight)}"
        except KeyError as missing:
            yield f"{missing.args[0]} is missing"
        except IndexError:  # fewer axes than any of this kind
            yield f"{own} for a weight of {list(module.weight)}"
    elif roles.keys() - {"alpha"} != {"diff_b"}:
        yield f"{own} are no change of a weight"
    if shapes.get("diff_b", module.bias) != module.bias:
        yield f"diff_b {list(shapes['diff_b'])} for a bias of {list(module.bias or ())}"
    if math.prod(shapes.get("alpha", ())) != 1:
        yield f"alpha {list(shapes['alpha'])} instead of one number"
    magnitudes = shapes.get("magnitudes")
    if magnitudes is not None:
        shapes["dora_scale"] = (math.prod(magnitudes),)
    if not magnitude_fits(shapes.get("dora_scale", module.weight[:1]), module.weight):
        yield f"magnitudes {list(shapes['dora_scale'])} for a weight of {list(module.weight)}"


def _title(roles: Roles) -> str:
    kind = kind_of(roles)
    title = "full" if kind is None else kind.title
    return f"{title} with DoRA" if {"dora_scale", "magnitudes"} & roles.keys() else title


def _rank(kind: Kind | None, roles: Roles) -> int | None:
    return None if kind is None else kind.rank({name: each.shape for name, each in roles.items()})


def _settings(
    path: Path, modules: Mapping[Module, Roles], metadata: Mapping[str, str]
) -> dict[Module, float]:
    """Scales by PEFT's settings, which diffusers writes into the header and goes by.

    For modules without an alpha of their own. Raises CheckpointError for settings of no sense.
    """
    if _SETTINGS not in metadata:
        return {}
    scales: dict[Module, float] = {}
    try:
        settings = parse_json(metadata[_SETTINGS].encode())
        for module, roles in modules.items():
            alpha = settings.get(f"{module.part}.lora_alpha")
            rank = _rank(kind_of(roles), roles)
            if alpha is None or rank is None or "alpha" in roles:
                continue
            # By a module's name, or by the end of one.
            for end, own in (settings.get(f"{module.part}.alpha_pattern") or {}).items():
                if f".{module.name}".endswith(f".{end}"):
                    alpha = own
            stable = settings.get(f"{module.part}.use_rslora")  # Kalajdzievski 2023
            scales[module] = float(alpha) / (math.sqrt(rank) if stable else rank)
    except (AttributeError, TypeError, ValueError, OverflowError):
        scales = dict.fromkeys(modules, math.nan)
    if not all(map(math.isfinite, scales.values())):
        raise CheckpointError(
            f"{path} has settings in its header ({_SETTINGS}) that cannot be read. Fetch it again, "
            "or choose another."
        )
    return scales
