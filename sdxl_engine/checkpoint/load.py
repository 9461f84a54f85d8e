"""Model folders in diffusers format: where they are, what they hold, and how it becomes arrays.

The only file that knows checkpoint names. It is strict (every tensor missing, unexpected, set twice
or misshapen is named in one error), reads safetensors only, and streams: one tensor at a time goes
from the file to the device, so the host holds little more than the weights themselves.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
import numpy.typing as npt
from flax import nnx

from sdxl_engine.checkpoint.config import MODEL_INDEX, SCHEDULER_CONFIG, SdxlConfig, read_index
from sdxl_engine.checkpoint.json_reader import parse_json
from sdxl_engine.checkpoint.safetensors_file import DTYPES, Array, StoredTensor, read_header
from sdxl_engine.errors import CheckpointError
from sdxl_engine.models.layers import quarter_kernels

EMBEDDED_MODEL: Final = "doodle"
WEIGHT_STEMS: Final = {
    "text_encoder": "model",
    "text_encoder_2": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
_JSON_FILES: Final = (
    MODEL_INDEX,
    SCHEDULER_CONFIG,
    *(f"{part}/config.json" for part in WEIGHT_STEMS),
)
_SMALL_FILES: Final = (*_JSON_FILES, "tokenizer*/*.json", "tokenizer*/*.txt")
_PICKLES: Final = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack")
_NAMED: Final = 8  # offenders named a kind in one error: enough to see the pattern


# Where a model is


def find_model(model: str, *, revision: str | None = None, half: bool = False) -> Path:
    """The local folder of a model.

    model     "doodle", a folder, or a Hugging Face repository such as "owner/name"
    revision  branch, tag or commit of the repository
    half      prefer the fp16 files where the repository has both: half the download

    A repository's needed files are fetched into Hugging Face's own cache, with a progress bar,
    resuming what was cut off; `HF_HUB_OFFLINE=1` uses the cache alone.
    Raises CheckpointError.
    """
    if model == EMBEDDED_MODEL:
        return _own_folder(EMBEDDED_MODEL)
    try:
        folder = Path(model).expanduser()
        if model and folder.is_dir():
            return folder
    except (OSError, RuntimeError):  # a name that is too long, a home of nobody
        raise _nowhere(model) from None
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model):
        return _fetch(model, revision, half=half)
    raise _nowhere(model)


def sdxl_base() -> Path:
    """The JSON files of SDXL base 1.0 as published: its shapes, without weights and tokenizers."""
    return _own_folder("sdxl_base")


def _own_folder(name: str) -> Path:
    return Path(str(resources.files("sdxl_engine") / name))


def _nowhere(model: str) -> CheckpointError:
    return CheckpointError(
        f"There is no model {model!r:.100}: give a folder, a Hugging Face repository as "
        f"owner/name, or {EMBEDDED_MODEL!r} for the embedded one."
    )


def _fetch(repository: str, revision: str | None, *, half: bool) -> Path:
    # Late: only a model that is fetched needs a client.
    from httpx2 import TransportError  # noqa: PLC0415 - what huggingface_hub lets through
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415
    from huggingface_hub import errors as hub  # noqa: PLC0415

    def fetch(patterns: Iterable[str]) -> Path:
        folder = snapshot_download(repository, revision=revision, allow_patterns=list(patterns))
        return Path(folder)

    try:
        try:
            names = HfApi().list_repo_files(repository, revision=revision)
        except (hub.OfflineModeIsEnabled, TransportError):
            return _cached(repository, revision)
        _check_repository(repository, names, fetch)
        wanted = [name for part in WEIGHT_STEMS for name in weight_files(names, part, half=half)]
        return fetch([*_SMALL_FILES, *wanted])
    except hub.GatedRepoError as error:
        raise CheckpointError(
            f"{repository} asks for its licence to be accepted first: do that on its page, then "
            "log in with `hf auth login`."
        ) from error
    except hub.RevisionNotFoundError as error:
        raise CheckpointError(f"{repository} has no revision {revision!r}.") from error
    except hub.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"There is no repository {repository} on Hugging Face, or it is private. Check its "
            "name; for a private one log in with `hf auth login`."
        ) from error
    except hub.HFValidationError:
        raise _nowhere(repository) from None
    except (hub.HfHubHTTPError, TransportError, OSError) as error:
        raise CheckpointError(f"{repository} could not be fetched: {error}. Try again.") from error


def _check_repository(
    repository: str, names: Iterable[str], fetch: Callable[[Iterable[str]], Path]
) -> None:
    """Refuse a model that cannot be drawn before its gigabytes are fetched, not afterwards."""
    missing = sorted(set(_JSON_FILES).difference(names))
    if MODEL_INDEX not in missing:
        # A model of another kind should hear that, rather than which of our files it lacks.
        read_index(fetch([MODEL_INDEX]))
    if missing:
        raise CheckpointError(
            f"{repository} is not a whole model in diffusers format: it has no {_list(missing)}. "
            "Choose another, or convert it."
        )
    SdxlConfig.load(fetch(_SMALL_FILES))


def _cached(repository: str, revision: str | None) -> Path:
    """What an earlier fetch left; whether its weights are whole is found when they are read."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - as above

    # Not snapshot_download: to it a cache is incomplete without the files that we never fetch.
    index = try_to_load_from_cache(repository, "model_index.json", revision=revision)
    if not isinstance(index, str):
        raise CheckpointError(
            f"{repository} is not in the local cache and Hugging Face cannot be reached. Connect "
            "once to fetch it, or give a folder."
        )
    return Path(index).parent


def weight_files(names: Iterable[str], part: str, *, half: bool) -> list[str]:
    """The weight files of one part among the names of a folder or repository.

    half  prefer files of the fp16 variant, else the plain ones; either serves where one is missing

    A sharded part is named by its index file first, then its shards.
    Raises CheckpointError if there are none, or only pickles.
    """
    own = sorted(name for name in names if name.startswith(f"{part}/"))
    stem = re.escape(WEIGHT_STEMS[part])
    for variant in ("fp16", "") if half else ("", "fp16"):
        dot = re.escape(f".{variant}") if variant else ""
        index = re.compile(rf"{part}/{stem}\.safetensors\.index{dot}\.json")
        shard = re.compile(rf"{part}/{stem}{dot}-\d{{5}}-of-\d{{5}}\.safetensors")
        whole = re.compile(rf"{part}/{stem}{dot}\.safetensors")
        if found := [name for name in own if whole.fullmatch(name)]:
            return found
        if found := [name for name in own if index.fullmatch(name)]:
            return found + [name for name in own if shard.fullmatch(name)]
    if pickles := [name for name in own if name.endswith(_PICKLES)]:
        raise CheckpointError(
            f"{part}/ holds only pickled weights ({pickles[0]}), which can run code when they are "
            "opened. This engine reads safetensors only: convert the model, or choose another."
        )
    raise CheckpointError(
        f"{part}/ holds no {WEIGHT_STEMS[part]}.safetensors. Fetch the model again, or point to a "
        "folder in diffusers format."
    )


def part_files(folder: Path, part: str, *, half: bool) -> list[Path]:
    """The safetensors files of one part of a model folder, shards checked against their index."""
    present = [f"{part}/{path.name}" for path in (folder / part).glob("*")]
    chosen = [folder / name for name in weight_files(present, part, half=half)]
    if chosen[0].suffix != ".json":
        return chosen
    index, *shards = chosen
    try:
        weight_map = parse_json(index.read_bytes()).get("weight_map")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{index} cannot be read as JSON: {error}.") from error
    named = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not named or not all(isinstance(name, str) for name in named):
        raise CheckpointError(f"{index} names no shards in its weight_map. Fetch the model again.")
    if missing := sorted(set(named) - {shard.name for shard in shards}):
        raise CheckpointError(
            f"{part}/ lacks {_list(missing)}, named by {index.name}. Fetch the model again."
        )
    return [shard for shard in shards if shard.name in named]


# What a part is made of


# Puts one tensor, already in its final dtype and layout, where it will be used.
Place = Callable[[Array], jax.Array]
Renames = Mapping[str, tuple[tuple[str, Any], ...]]  # re.sub's pattern and replacement
# Where the engine's modules are called otherwise than the checkpoint's: (ours, theirs).
_RENAMES: Final[Renames] = {
    "unet": (
        (r"\.to_out\.", ".to_out.0."),
        (r"\.ff\.proj_in\.", ".ff.net.0.proj."),
        (r"\.ff\.proj_out\.", ".ff.net.2."),
    ),
    "vae": ((r"\.to_out\.", ".to_out.0."),),
    "text_encoder": (
        (r"^(token|position)_embedding\.", r"text_model.embeddings.\1_embedding."),
        (r"^layers\.", "text_model.encoder.layers."),
        (r"^final_layer_norm\.", "text_model.final_layer_norm."),
    ),
}
# The key that stands for the number of a layer where equal layers are stacked (models/layers.py).
_STACKED: Final = "each"
# Linears that the engine multiplies at once: ours, and theirs in the order of its columns.
_FUSED: Final[Mapping[str, tuple[str, ...]]] = {
    "to_qkv": ("to_q", "to_k", "to_v"),
    "to_kv": ("to_k", "to_v"),
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
}
# Parameters in a layout of our own; the second is made from a 3x3 kernel.
_QUARTERS: Final = "quarter_kernels"
_KERNELS: Final = ("kernel", _QUARTERS)
# What older files call a tensor: (theirs, today's name).
_OLD_NAMES: Final[Renames] = {
    "vae": (
        (r"\.(query|key|value)\.", lambda match: f".to_{match[1][0]}."),
        (r"\.proj_attn\.", ".to_out.0."),
    ),
    # transformers 5 writes the encoder without its wrapper's name.
    "text_encoder": ((r"^(embeddings|encoder|final_layer_norm)\.", r"text_model.\1."),),
}
# Buffers, not weights: older transformers stored 0, 1, 2, ... with the model.
_IGNORED: Final = re.compile(r"(^|\.)position_ids$")


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """One tensor as a checkpoint holds it.

    name   what the checkpoint calls it
    shape  in PyTorch's layout
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExpectedParameter:
    """One parameter of a network, and what a checkpoint keeps of it.

    path    where the network holds it
    shape   as the network holds it
    pieces  [layer][part]: a parameter of stacked layers has all of theirs along its first axis, one
            of a fused linear has those of its parts along its last
    """

    path: tuple[Any, ...]
    shape: tuple[int, ...]
    pieces: tuple[tuple[ExpectedTensor, ...], ...]

    def __iter__(self) -> Iterator[ExpectedTensor]:
        return (tensor for parts in self.pieces for tensor in parts)

    def assemble(self, read: Callable[[str], Array], dtype: npt.DTypeLike) -> Array:
        """The parameter from its tensors, of which one at a time is held."""
        whole = np.empty(self.shape, dtype)
        layers = whole if _STACKED in self.path else whole[None]
        for layer, parts in zip(layers, self.pieces, strict=True):
            slots = np.split(layer, len(parts), axis=-1)
            for slot, tensor in zip(slots, parts, strict=True):
                slot[...] = self._to_engine(read(tensor.name))
        return whole

    def _to_engine(self, array: Array) -> Array:
        """PyTorch's layout to ours: (out, in) to (in, out), OIHW to HWIO."""
        if self.path[-1] not in _KERNELS:
            return array
        kernel = array.T if array.ndim == 2 else array.transpose(2, 3, 1, 0)  # noqa: PLR2004 - a matrix
        return quarter_kernels(kernel) if self.path[-1] == _QUARTERS else kernel


def expected_parameters(part: str, network: nnx.Module) -> list[ExpectedParameter]:
    """Every parameter of a network, under the names and in the shapes of its checkpoint."""
    expected = []
    for keys, leaf in nnx.to_flat_state(nnx.state(network, nnx.Param)):
        path = tuple(map(str, keys))
        shape = tuple(leaf.shape)
        layers = shape[0] if _STACKED in path else 1
        own = shape[1:] if _STACKED in path else shape
        names = _FUSED.get(path[-2], (path[-2],))
        own = (*own[:-1], own[-1] // len(names))
        if path[-1] == _QUARTERS:
            own = (3, 3, *own[4:])
        if path[-1] in _KERNELS:
            # The inverse of `_to_engine`: a matrix is its own inverse, HWIO goes back to OIHW.
            own = own[::-1] if len(own) == 2 else tuple(own[axis] for axis in (3, 2, 0, 1))  # noqa: PLR2004 - a matrix
        pieces = tuple(
            tuple(
                ExpectedTensor(_tensor_name(part, (*path[:-2], name, path[-1]), layer), own)
                for name in names
            )
            for layer in range(layers)
        )
        expected.append(ExpectedParameter(tuple(keys), shape, pieces))
    return expected


def _tensor_name(part: str, path: tuple[str, ...], layer: int) -> str:
    kind = "bias" if path[-1] == "bias" else "weight"
    own = [str(layer) if key == _STACKED else key for key in path[:-1]]
    return _rename(".".join([*own, kind]), _RENAMES[_family(part)])


def load_part(
    folder: Path,
    part: str,
    network: nnx.Module,
    *,
    dtype: npt.DTypeLike,
    place: Place,
    on_bytes: Callable[[int], None] | None = None,
) -> nnx.State[Any, Any]:
    """Read the weights of one part into the state of its network.

    part      "unet", "vae", "text_encoder" or "text_encoder_2"
    network   built from the part's JSON; only its shapes are used
    dtype     what every weight is cast to; below float32 the smaller fp16 files are preferred
    place     puts one array on the device
    on_bytes  told the size in the file of each tensor read

    Raises CheckpointError.
    """
    half = np.dtype(dtype).itemsize < np.dtype(np.float32).itemsize
    stored = _collect(part, part_files(folder, part, half=half))
    expected = expected_parameters(part, network)
    _check(folder / part, [tensor for parameter in expected for tensor in parameter], stored)

    def read(name: str) -> Array:
        source = stored[name][0]
        if on_bytes is not None:
            on_bytes(source.size)
        return source.read()

    return nnx.from_flat_state(
        [
            (parameter.path, nnx.Param(place(parameter.assemble(read, dtype))))
            for parameter in expected
        ]
    )


def _family(part: str) -> str:
    return part.removesuffix("_2")


def _rename(name: str, renames: Iterable[tuple[str, Any]]) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def _collect(part: str, files: Iterable[Path]) -> dict[str, list[StoredTensor]]:
    """All tensors of the files under today's names; a list longer than one was set twice."""
    stored: dict[str, list[StoredTensor]] = {}
    for path in files:
        for name, tensor in read_header(path).items():
            if not _IGNORED.search(name):
                today = _rename(name, _OLD_NAMES.get(_family(part), ()))
                stored.setdefault(today, []).append(tensor)
    return stored


def _check(
    folder: Path, expected: list[ExpectedTensor], stored: Mapping[str, list[StoredTensor]]
) -> None:
    names = {tensor.name for tensor in expected}
    wrong = dict(_misfits(expected, stored))
    problems = {
        "missing": sorted(names - set(stored)),
        "unexpected": sorted(set(stored) - names),
        "set twice": sorted(name for name, found in stored.items() if len(found) > 1),
        "misshapen": [f"{name} {what}" for name, what in sorted(wrong.items())],
    }
    found = [f"{kind}: {_list(which)}" for kind, which in problems.items() if which]
    if found:
        raise CheckpointError(
            f"The weights in {folder} are not those that its config.json describes. "
            + "; ".join(found)
            + ". Fetch the model again; do not mix files of two models."
        )


def _misfits(
    expected: list[ExpectedTensor], stored: Mapping[str, list[StoredTensor]]
) -> Iterator[tuple[str, str]]:
    for tensor in expected:
        for found in stored.get(tensor.name, []):
            if found.shape != tensor.shape:
                yield tensor.name, f"{list(found.shape)} instead of {list(tensor.shape)}"
            elif found.dtype not in DTYPES:
                yield tensor.name, f"of type {found.dtype} instead of {', '.join(DTYPES)}"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
