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
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

from sdxl_engine.forecast.hlo import Run

_BUNDLE: Final = re.compile(r"\s*(?:0x)?[0-9a-f]+\s*([A-Z]{2})?\s*:\s*((?:> ?)*)\{(.*)")
_BRANCH: Final = re.compile(r"sbr\.rel \((!?)(%p\w+)\) target")
_SLOTS: Final = 4  # bundles behind a branch that run before it is taken
# A comparison of a scalar, which may run under a predicate of its own, with a number.
_COMPARED: Final = r"s32\.totalorder (?:\(!?%\w+\), )?(%\w+), "
_EXIT: Final = re.compile(rf"(%p\w+) = scmp\.ge\.{_COMPARED}(\d+) /\* loop exit test")
_NOT_FIRST: Final = re.compile(rf"(%p\w+) = scmp\.ne\.{_COMPARED}0 ")
# Where an index of the grid begins anew, the innermost axis first.
_WRAP: Final = re.compile(rf"scmp\.ge\.{_COMPARED}([2-9]|\d\d+)\s*(?:;;|\}})")
_COUNTER: Final = re.compile(r"(%s\w+) = sphi ")
_OF_THE_GRID: Final = "iteration index, stage = 0"
_STAGES: Final = 2  # rounds in which a kernel's last results leave
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


class _Stretch(NamedTuple):
    """Bundles from one to another, and how often they run for each time that their place does."""

    begin: int
    end: int
    times: float


def cycles_of(text: str, grid: int | None = None) -> float:
    """Bundles that one run of an instruction goes through, from its file.

    A loop whose rounds the text does not say counts once. A loop that is skipped unless some index
    is 0 is taken to run once in all rounds of the grid's innermost axis. What else is skipped in
    some rounds counts in all, such as the copy of a block that may stay where it is.

    grid  rounds of the outermost loop, if they are known; else its exit test less _STAGES
    """
    bundles = [
        _Bundle(found[1], found[2].count(">"), found[3])
        for line in text.splitlines()
        if (found := _BUNDLE.match(line))
    ]
    times = [1.0] * len(bundles)
    for stretch in (*_loops(text, bundles, grid), *_skipped(text, bundles)):
        for place in range(stretch.begin, min(stretch.end + 1, len(bundles))):
            times[place] *= stretch.times
    return sum(times)


def _loops(text: str, bundles: Sequence[_Bundle], grid: int | None) -> Iterator[_Stretch]:
    # Brackets are missing at some loops' ends. What counts a loop's rounds enters where it begins,
    # and is tested for the branch at its end.
    ends = {name: place + _SLOTS for place, back, name in _branches(bundles) if back}
    counted, exits = {}, {}
    for name, following, exit_test in _EXIT.findall(text):
        exits[name] = int(exit_test)
        added = re.search(rf"{following} = sadd\.s32 (?:\(!?%\w+\), )?1, (%\w+)", text)
        if added and name in ends:
            counted[added[1]] = ends[name], int(exit_test)
    grids = [
        place for place, one in enumerate(bundles) if one.tag == "LB" and _OF_THE_GRID in one.code
    ]
    # What is put together of several pictures has a grid for each, one behind the other.
    for begin, following in zip_longest(grids, grids[1:], fillvalue=len(bundles) + _SLOTS):
        inside = [(name, end) for name, end in ends.items() if begin < end < following]
        outermost, end = inside[-1] if inside else ("", begin)
        rounds = max(exits.get(outermost, 1) - _STAGES, 1)
        yield _Stretch(begin, end, rounds if grid is None or len(grids) > 1 else grid)
    for begin, bundle in enumerate(bundles):
        if bundle.tag == "LB" and begin not in grids:
            for counter in _COUNTER.findall(bundle.code):
                if counter in counted:
                    yield _Stretch(begin, *counted[counter])


def _skipped(text: str, bundles: Sequence[_Bundle]) -> Iterator[_Stretch]:
    not_first = {name for name, _ in _NOT_FIRST.findall(text)}
    innermost = int(found[2]) if (found := _WRAP.search(text)) else 1
    for branch, back, name in _branches(bundles):
        if back or name not in not_first:
            continue
        inside = bundles[branch].depth
        following = range(branch + _SLOTS + 1, len(bundles))
        goes_on = (p for p in following if bundles[p].tag == "PF" and bundles[p].depth <= inside)
        end = next(goes_on, branch) - 1
        if any(bundles[place].tag == "LB" for place in range(branch, end)):
            yield _Stretch(branch + _SLOTS + 1, end, 1 / innermost)


def _branches(bundles: Sequence[_Bundle]) -> Iterator[tuple[int, bool, str]]:
    """(place, whether it is taken unless its predicate holds, the predicate) of each."""
    for place, bundle in enumerate(bundles):
        for unless, name in _BRANCH.findall(bundle.code):
            yield place, bool(unless), name


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
