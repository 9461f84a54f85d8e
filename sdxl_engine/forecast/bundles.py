"""What a compiled TPU program takes by its machine code.

A TPU's core runs bundles of instructions, one a cycle at best. libtpu writes those of each
scheduled instruction into a file of its own (see `sdxl_engine.forecast.environment.dump_bundles`):

      0x5 LB: > { %s41_s23 = sadd.s32 1, %s261870_s20  ;;  ... }
      0x6   : > { %p42_p2 = scmp.ge.s32.totalorder %s41_s23, 18 /* loop exit test */ }
      0x7   : > { %29 = sbr.rel (!%p42_p2) target = $region225 }

An angle bracket stands for each loop that a bundle is in, `LB` before the first one of a loop; the
branch back is taken until its predicate, the exit test, is true. Counted here is each bundle as
often as its loops go round, and nothing that a core waits for.
"""

import math
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from sdxl_engine.forecast.hlo import Run

_BUNDLE: Final = re.compile(r"\s*(?:0x)?[0-9a-f]+\s*([A-Z]{2})?\s*:\s*((?:> ?)*)\{(.*)")
_EXIT: Final = re.compile(
    r"(%p\w+) = scmp\.ge\.s32\.totalorder (?:\(!?%\w+\), )?(%\w+), (\d+) /\* loop exit test"
)
_COUNTER: Final = re.compile(r"(%s\w+) = sphi ")
_BRANCH: Final = re.compile(r"sbr\.rel \((!?)(%p\w+)\) target")
_FIRST_STAGE: Final = "iteration index, stage = 0"
_STAGES: Final = 2
_SLOTS: Final = 4  # bundles behind a branch that run before it is taken
_NOT_FIRST: Final = re.compile(r"(%p\w+) = scmp\.ne\.s32\.totalorder (?:\(!?%\w+\), )?%\w+, 0 ")
_WRAP: Final = re.compile(
    r"scmp\.ge\.s32\.totalorder (?:\(!?%\w+\), )?%\w+, ([2-9]|\d\d+)\s*(?:;;|\})"
)
_FILE: Final = re.compile(r"\d+-(.+)-\d+-final_bundles\.txt")
_GRID: Final = re.compile(r'"iteration_bounds":\[([^\]]*)\]')
_SHARED: Final = re.compile(
    r"^key:(.+)\nordinal:\d+\nequivalent_hlos\[size=\d+\]:\n((?:  .+\n)*)", re.MULTILINE
)


class _Bundle(NamedTuple):
    """One line of the text."""

    tag: str | None
    depth: int
    code: str


def cycles_of(text: str, grid: int | None = None) -> float:
    """Bundles that one run of an instruction goes through, from its file.

    A loop whose rounds the text does not say counts once. A loop that is skipped unless some index
    is 0 is taken to run once in all rounds of the grid's innermost axis.

    grid  rounds of the outermost loop, if they are known; else its exit test less the two rounds
          in which the last results leave
    """
    bundles = [
        _Bundle(found[1], found[2].count(">"), found[3])
        for line in text.splitlines()
        if (found := _BUNDLE.match(line))
    ]
    branches = [
        (place, *found)
        for place, bundle in enumerate(bundles)
        for found in _BRANCH.findall(bundle.code)
    ]
    ends = {name: place + _SLOTS for place, unless, name in branches if unless}
    *_, outermost = ["", *ends]
    # By what counts its rounds: the end of each loop of a known number of them, and that.
    counted = {
        counter: (ends[name], int(rounds))
        for name, following, rounds in _EXIT.findall(text)
        if name in ends
        for counter in re.findall(rf"{following} = sadd\.s32 (?:\(!?%\w+\), )?1, (%\w+)", text)
    }
    if grid is None:
        exits = [int(rounds) for name, _, rounds in _EXIT.findall(text) if name == outermost]
        grid = max(sum(exits) - _STAGES, 1)
    times = [1.0] * len(bundles)
    loops = [place for place, bundle in enumerate(bundles) if bundle.tag == "LB"]
    for begin in loops:
        code = bundles[begin].code
        if _FIRST_STAGE in code:
            end, rounds = ends.get(outermost, begin), grid
        else:
            own = [counted[name] for name in _COUNTER.findall(code) if name in counted]
            end, rounds = own[0] if own else (begin, 1)
        _multiply(times, begin, end, rounds)
    not_first = set(_NOT_FIRST.findall(text))
    innermost = int(found[1]) if (found := _WRAP.search(text)) else 1
    for begin, unless, name in branches:
        if not unless and name in not_first:
            end = next(
                (
                    place
                    for place, bundle in enumerate(bundles[begin:], start=begin)
                    if bundle.tag == "PF" and bundle.depth <= bundles[begin].depth
                ),
                begin,
            )
            if any(begin < loop < end for loop in loops):
                _multiply(times, begin + _SLOTS + 1, end - 1, 1 / innermost)
    return sum(times)


def _multiply(times: list[float], begin: int, end: int, factor: float) -> None:
    for place in range(begin, min(end + 1, len(times))):
        times[place] *= factor


class MachineCode:
    """What the compiler wrote of one program into a folder.

    files  text files by the instruction's name
    """

    def __init__(self, folder: Path) -> None:
        # What is compiled twice, for it did not fit, counts as it was in the end.
        self._files = {
            found[1]: file
            for file in sorted(folder.iterdir())
            if (found := _FILE.fullmatch(file.name)) and "schedule-analysis" not in file.name
        }
        for file in folder.glob("*-deduplication-map.txt"):
            for name, equal in _SHARED.findall(file.read_text(encoding="utf-8")):
                for other in equal.split():
                    if name in self._files:
                        self._files.setdefault(other, self._files[name])

    @cache  # noqa: B019 - it lives as long as a program is looked at
    def cycles(self, name: str, grid: int | None) -> float:
        """Of one run of an instruction; 0 of what has no code of its own. See `cycles_of`."""
        if name not in self._files:
            return 0.0
        text = self._files[name].read_text(encoding="utf-8", errors="replace")
        return cycles_of(text, grid)

    def seconds(self, runs: Iterable[Run], clock_hz: float) -> float:
        """Of a program's instructions: by their bundles, none faster than by its roofline."""
        return sum(
            run.times
            * max(self.cycles(run.instruction.name, grid_of(run)) / clock_hz, run.cost.seconds)
            for run in runs
        )


def grid_of(run: Run) -> int | None:
    """Rounds of an instruction's outermost loop, where the scheduled text has them."""
    bounds = _GRID.search(run.instruction.rest)
    return math.prod(map(int, re.findall(r"\d+", bounds[1]))) if bounds else None
