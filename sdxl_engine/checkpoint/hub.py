"""Where a model is: the embedded one, a folder, a file, or a repository that is fetched first."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final

from sdxl_engine.checkpoint.config import MODEL_INDEX, SCHEDULER_CONFIG, SdxlConfig, read_index
from sdxl_engine.checkpoint.folder import WEIGHT_STEMS, WEIGHT_SUFFIXES, listed, weight_files
from sdxl_engine.checkpoint.json_reader import plain
from sdxl_engine.checkpoint.vision import CONFIG, PROCESSING, VisionFolder
from sdxl_engine.errors import CheckpointError

EMBEDDED_MODEL: Final = "doodle"
_JSON_FILES: Final = (
    MODEL_INDEX,
    SCHEDULER_CONFIG,
    *(f"{part}/config.json" for part in WEIGHT_STEMS),
)
_SMALL_FILES: Final = (*_JSON_FILES, "tokenizer*/*.json", "tokenizer*/*.txt")
PUBLISHED_CHECK: Final = "CompVis/stable-diffusion-safety-checker"
_REPOSITORY: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*")
Fetch = Callable[[Iterable[str]], Path]
# Of a repository and the names of its files: fetches what is needed to see that the rest is worth
# it, and says what that is.
Choose = Callable[[str, list[str], Fetch], Iterable[str]]


def find_model(model: str, *, revision: str | None = None, half: bool = False) -> Path:
    """The local folder, or file, of a model.

    model     "doodle", a folder, a file, or a Hugging Face repository such as "owner/name"
    revision  branch, tag or commit of the repository
    half      prefer the fp16 files where the repository has both: half the download

    A repository's needed files are fetched into Hugging Face's own cache, with a progress bar,
    resuming what was cut off; `HF_HUB_OFFLINE=1` uses the cache alone.
    Raises CheckpointError.
    """
    if model == EMBEDDED_MODEL:
        return own_folder(EMBEDDED_MODEL)
    nowhere = CheckpointError(
        f"There is no model {model!r:.100}: give a folder, a .safetensors file, a Hugging Face "
        f"repository as owner/name, or {EMBEDDED_MODEL!r} for the embedded one."
    )
    place = _here(model, nowhere)
    if place is not None:
        return place
    if Path(model).suffix.lower() in WEIGHT_SUFFIXES:
        raise CheckpointError(
            f"There is no file {model!r:.100}. Check its path: without a leading / or ~ it begins "
            "where the bot was started."
        )
    if _REPOSITORY.fullmatch(model) is None:
        raise nowhere
    return _fetch(model, revision, partial(_files_of_model, half=half), MODEL_INDEX, nowhere)


def find_check(check: str, *, half: bool = False) -> Path:
    """The local folder of a picture check.

    check  "doodle" (the embedded model's own), a folder, or a Hugging Face repository such as
           "owner/name", which is fetched as a model
    half   as `find_model`

    Raises CheckpointError.
    """
    if check == EMBEDDED_MODEL:
        return own_folder(f"{EMBEDDED_MODEL}_check")
    nowhere = CheckpointError(
        f"There is no picture check {check!r:.100}: give a folder, a Hugging Face repository as "
        'owner/name, "auto" for the model\'s own, or "none" to show pictures unchecked.'
    )
    place = _here(check, nowhere)
    if place is not None and place.is_dir():
        return place
    if _REPOSITORY.fullmatch(check) is None:
        raise nowhere
    return _fetch(check, None, partial(_files_of_check, half=half), CONFIG, nowhere)


def _here(name: str, nowhere: CheckpointError) -> Path | None:
    """Where it is on this machine, if it is: what is here is never looked for elsewhere."""
    try:
        place = Path(name).expanduser()
        return place if name and place.exists() else None
    except (OSError, RuntimeError, ValueError):  # a name that is too long, a home of nobody
        raise nowhere from None


def sdxl_base() -> Path:
    """The JSON files of SDXL base 1.0 as published: its shapes, without weights and tokenizers."""
    return own_folder("sdxl_base")


def embedded_loras() -> Path:
    """The folder of LoRAs that comes with the embedded model."""
    return own_folder(f"{EMBEDDED_MODEL}_loras")


def own_folder(name: str) -> Path:
    """A folder that comes with the package."""
    return Path(str(resources.files("sdxl_engine") / name))


def published_check() -> Path:
    """The JSON files of Stable Diffusion's safety checker: its shapes, without weights."""
    return own_folder("safety_checker")


def _fetch(
    repository: str, revision: str | None, choose: Choose, first: str, nowhere: CheckpointError
) -> Path:
    """The folder of a repository's snapshot.

    first    the file that tells, where nothing can be fetched, whether it was before
    nowhere  raised for a name that can be no repository's
    """
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
            return _cached(repository, revision, first)
        return fetch(choose(repository, names, fetch))
    except hub.GatedRepoError as error:
        raise CheckpointError(
            f"{repository} asks for its licence to be accepted first: do that on its page, then "
            "log in with `hf auth login`."
        ) from error
    except hub.RevisionNotFoundError as error:
        raise CheckpointError(f"{repository} has no revision {revision!r:.100}.") from error
    except hub.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"There is no repository {repository} on Hugging Face, or it is private. Check its "
            "name; for a private one log in with `hf auth login`."
        ) from error
    except hub.HFValidationError:
        raise nowhere from None
    except (hub.HfHubHTTPError, TransportError, OSError) as error:
        raise CheckpointError(
            f"{repository} could not be fetched: {plain(str(error))}. Try again."
        ) from error


def _files_of_model(
    repository: str, names: list[str], fetch: Fetch, *, half: bool
) -> Iterable[str]:
    """Refuses a model that cannot be drawn before its gigabytes are fetched, not afterwards."""
    missing = sorted(set(_JSON_FILES).difference(names))
    if MODEL_INDEX not in missing:
        # A model of another kind should hear that, rather than which of our files it lacks.
        read_index(fetch([MODEL_INDEX]))
    if missing:
        raise CheckpointError(
            f"{repository} is not a whole model in diffusers format: it has no {listed(missing)}. "
            "Choose another, or convert it."
        )
    SdxlConfig.load(fetch(_SMALL_FILES))
    wanted = [name for part in WEIGHT_STEMS for name in weight_files(names, part, half=half)]
    return [*_SMALL_FILES, *wanted]


def _files_of_check(
    repository: str, names: list[str], fetch: Fetch, *, half: bool
) -> Iterable[str]:
    """As `_files_of_model`."""
    small = [CONFIG, PROCESSING]
    if missing := sorted(set(small).difference(names)):
        raise CheckpointError(
            f"{repository} is no picture check: it has no {listed(missing)}. Choose another for "
            "[engine] picture_check."
        )
    part = VisionFolder.read(fetch(small)).part
    # Its files lie beside each other, not in a folder a part.
    wanted = weight_files([f"{part}/{name}" for name in names], part, half=half)
    return [*small, *(name.removeprefix(f"{part}/") for name in wanted)]


def _cached(repository: str, revision: str | None, first: str) -> Path:
    """What an earlier fetch left; whether its weights are whole is found when they are read."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - as above

    # Not snapshot_download: to it a cache is incomplete without the files that we never fetch.
    index = try_to_load_from_cache(repository, first, revision=revision)
    if not isinstance(index, str):
        raise CheckpointError(
            f"{repository} is not in the local cache and Hugging Face cannot be reached. Connect "
            "once to fetch it, or give a folder."
        )
    return Path(index).parent
