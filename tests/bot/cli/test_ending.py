"""How the process ends."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from bot.cli.ending import Ending
from tests.bot.cli.conftest import ENVIRONMENT


@dataclass
class Engine:
    is_alive: bool


@pytest.mark.parametrize(
    ("alive", "is_held_up"), [([], False), ([False], False), ([False, True], True)]
)
def test_it_is_held_up_while_any_engine_hangs(alive: list[bool], *, is_held_up: bool) -> None:
    ending = Ending()
    for is_alive in alive:
        ending.minds(Engine(is_alive))
    assert ending.is_held_up is is_held_up


def test_otherwise_it_ends_as_usual() -> None:
    with pytest.raises(SystemExit, match="2"):
        Ending().leave(2)


# A handler for the end stands in for the runtime, which crashes when it is torn down in use.
LEAVE = """
import atexit, sys
from bot.cli.ending import Ending
from sdxl_engine import EngineThread
import threading
atexit.register(print, "torn down")
engine = EngineThread(threading.Event().wait)
ending = Ending()
ending.minds(engine)
engine.start()
assert not engine.close(timeout_s=0)
print("closed")
ending.leave(3)
"""


# The test's own limit is less than the store is silent for.
LEAVE_STORE = """
import asyncio, atexit, threading
from bot.cli.ending import Ending
from bot.gallery.gallery import ObjectGallery
atexit.register(print, "torn down")
asked = threading.Event()
class Silent:
    def probe(self):
        asked.set()
        threading.Event().wait(600)
gallery = ObjectGallery(Silent(), None)
ending = Ending()
ending.minds(gallery)
async def serve():
    asking = asyncio.create_task(gallery.probe())
    await asyncio.to_thread(asked.wait)
    asking.cancel()
    gallery.close()
asyncio.run(serve())
print("closed")
ending.leave(3)
"""


@pytest.mark.parametrize("script", [LEAVE, LEAVE_STORE])
def test_what_hangs_is_left_as_it_is_and_what_was_said_is_not_lost(script: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script],
        env=dict(ENVIRONMENT),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "closed\n", "")


START_ANEW = """
import os, sys, threading
from bot.cli.signals import start_anew

if "INHERITED" in os.environ:
    try:
        os.fstat(int(os.environ["INHERITED"]))
    except OSError:
        print("clean", *sys.argv[1:])
    sys.exit()
reader, _ = os.pipe()
os.set_inheritable(reader, True)
os.environ["INHERITED"] = str(reader)
threading.Thread(target=threading.Event().wait, daemon=True).start()
start_anew()
"""


def test_a_process_whose_device_hangs_starts_anew_without_what_it_held() -> None:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", START_ANEW, "as", "before"],
        env=dict(ENVIRONMENT),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "clean as before\n"
