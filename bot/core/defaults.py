"""What is drawn, and how it is shown, where a wish leaves it open.

Who says something more closely is heard: the wish itself, then the person, the channel, the
community, and at last whoever runs the bot (`Usual`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Final, Literal, TypeVar

from bot.core.job import Person, Showing, Venue
from bot.core.wish import Wish

T = TypeVar("T", Wish, "Manner")

Whose = Literal["person", "channel", "community"]

# What a wish may have by default; anything else belongs to one wish alone.
SETTABLE: Final = (
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "size_px",
    "num_images",
    "sampler",
    "spacing",
    "style",
    "loras",
    "model",
)
_OPEN: Final = Wish("")


@dataclass(frozen=True, slots=True)
class Scope:
    """For whom, or where, something is said.

    id  of the person, channel or community in their home
    """

    home: str
    whose: Whose
    id: str


@dataclass(frozen=True, slots=True)
class Manner:
    """As `Showing`; None where nothing is said."""

    private: bool | None = None
    spoiler: bool | None = None
    mention: bool | None = None

    @property
    def showing(self) -> Showing:
        """With everything that nobody said left out."""
        return Showing(bool(self.private), bool(self.spoiler), bool(self.mention))


@dataclass(frozen=True, slots=True)
class Defaults:
    """What one of them says.

    wish  of its fields only SETTABLE ones count, and only what is not open
    """

    wish: Wish = _OPEN
    manner: Manner = Manner()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return self == Defaults()

    def without(self, names: Iterable[str]) -> "Defaults":
        """With these taken back, by the names of their fields."""
        names = set(names)
        return Defaults(_cleared(self.wish, names, _OPEN), _cleared(self.manner, names, Manner()))

    def under(self, said: "Defaults") -> "Defaults":
        """What is said with these where `said` leaves something open."""
        return Defaults(_filled(said.wish, self.wish), _filled(said.manner, self.manner))


def scopes_of(person: Person, venue: Venue, within: str | None = None) -> tuple[Scope, ...]:
    """Whose word counts when this person asks there, the closest first.

    within  the channel of a thread; None: it is none, or nobody asks for it
    """
    home = person.home
    places: tuple[tuple[Whose, str | None], ...] = (
        ("person", person.id),
        ("channel", venue.channel),
        ("channel", within),
        ("community", venue.community),
    )
    return tuple(Scope(home, whose, id_) for whose, id_ in places if id_ is not None)


def settled(said: Defaults, defaults: Iterable[Defaults]) -> Defaults:
    """What is said, with what is left open from the first of them that says it."""
    for one in defaults:
        said = one.under(said)
    return said


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, Wish):
        return SETTABLE
    return tuple(one.name for one in fields(value))  # type: ignore[arg-type]  # a Manner


def _cleared(value: T, names: set[str], blank: T) -> T:
    return replace(value, **{n: getattr(blank, n) for n in _names(value) if n in names})


def _filled(value: T, default: T) -> T:
    """Where `value` leaves something open, what `default` says."""
    blank = _OPEN if isinstance(value, Wish) else Manner()
    open_still = [n for n in _names(value) if getattr(value, n) == getattr(blank, n)]
    # A spacing goes with its sampler.
    if isinstance(value, Wish) and (value.sampler is not None or value.timesteps is not None):
        open_still = [n for n in open_still if n not in {"sampler", "spacing"}]
    if isinstance(value, Wish) and value.timesteps is not None:  # which say how many there are
        open_still = [n for n in open_still if n != "num_inference_steps"]
    return replace(value, **{n: getattr(default, n) for n in open_still})
