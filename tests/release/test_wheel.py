"""The wheel: what is in it, and that it works where the project's folder is not.

Seconds for building and installing it once; everything below looks at that one.
"""

import json
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest
from PIL import Image

from tests.children import ENVIRONMENT, storage_folder

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("bot", "sdxl_engine", "standins")


@dataclass(frozen=True)
class Installed:
    """A wheel in a fresh virtual environment.

    folder  some other place, to stand in
    """

    wheel: Path
    python: Path
    folder: Path

    def run(self, *command: str, **environment: str) -> str:
        """Standard output of a command of the environment; it must not fail."""
        done = subprocess.run(  # noqa: S603 - our own command
            [self.python.with_name(command[0]), *command[1:]],
            cwd=self.folder,
            env=ENVIRONMENT | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def pip(*arguments: str | Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "pip", *arguments],
        env=ENVIRONMENT | {"PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    # With what builds it from this environment: it must be what [build-system] pins.
    build = ("--no-build-isolation", "--check-build-dependencies")
    pip("wheel", "--no-deps", *build, "--wheel-dir", folder, ROOT)
    [wheel] = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    # The libraries of this environment, but not what it links to: that would be this very folder.
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    pip("--python", python, "install", "--no-deps", wheel)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    return Installed(wheel, python, elsewhere)


def test_it_holds_the_packages_and_nothing_else(installed: Installed) -> None:
    about = f"imagine_bot-{PROJECT['version']}.dist-info"
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = {name for name in wheel.namelist() if not name.startswith(about)}
        licences = [name for name in wheel.namelist() if name.startswith(f"{about}/licenses/")]
    there = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == there
    # The model's weights, its LoRA, its picture check and the playground's page are among them.
    assert sum(name.endswith(".safetensors") for name in names) == 6
    page = {Path(name).suffix for name in names if "/web/" in name}
    assert page == {".html", ".css", ".js", ".svg"}
    assert licences == [f"{about}/licenses/LICENSE"]


def test_it_says_what_it_is(installed: Installed) -> None:
    about = f"imagine_bot-{PROJECT['version']}.dist-info/METADATA"
    with zipfile.ZipFile(installed.wheel) as wheel:
        metadata = Parser().parsestr(wheel.read(about).decode())
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata["License-Expression"] == "MIT"
    assert set(metadata.get_all("Provides-Extra", [])) == {"cuda", "postgres", "ray", "s3", "tpu"}


def test_imagine_knows_its_version_and_is_the_wheels(installed: Installed) -> None:
    assert installed.run("imagine", "--version").split()[-1] == PROJECT["version"]
    for package in PACKAGES:
        path = installed.run("python", "-c", f"import {package}; print({package}.__file__)")
        assert Path(path).is_relative_to(installed.python.parents[1])


# Six seconds, and twelve more where no earlier run has compiled the programs.
def test_it_draws_without_a_file_of_settings(
    installed: Installed, request: pytest.FixtureRequest
) -> None:
    assert request.config.cache is not None
    folder = str(storage_folder(request.config.cache))
    said = installed.run(
        *("imagine", "draw", "a red circle", "--steps", "2", "--json"),
        IMAGINE_STORAGE__FOLDER=folder,
    )
    pictures = [installed.folder / one["path"] for one in json.loads(said)["images"]]
    assert len(pictures) == 4
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size == (128, 128)
