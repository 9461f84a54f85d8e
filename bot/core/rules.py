"""What a community has said about the bot: where it may be used, by whom, how much, how it shows.

Rules are kept for a whole community, one of its channels, one of its roles, or a role in a channel;
each says what it says and leaves the rest open. The closest that says something counts. What
nobody says, whoever runs the bot has said in the configuration: nothing is open in the end.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from bot.core.verdict import Term
from bot.core.wish import Wish
from sdxl_engine.request import ImageRequest, format_size
from sdxl_engine.sentence import all_of, say, say_many

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """What rules are for: a channel, a role, a role in a channel; neither is the community."""

    channel: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What is said of one place; None: nothing.

    use      whether the bot may be asked at all
    count    how many pictures one wish may have
    size     the largest, as width and height in pixels; another shape may have as many pixels
    models   names of those that may be drawn with
    loras    names of those that may be asked for
    daily    how many jobs a person may ask for in the community within 24 hours; 0 is no limit
    private  pictures are shown to the one who asked alone, and not published
    spoiler  pictures are blurred until somebody looks
    review   nothing is shown to all before a moderator has approved it
    adult    what is for adults may be shown, where the home says that a place is for them alone
    """

    use: bool | None = None
    count: int | None = None
    size: Size | None = None
    models: tuple[str, ...] | None = None
    loras: tuple[str, ...] | None = None
    daily: int | None = None
    private: bool | None = None
    spoiler: bool | None = None
    review: bool | None = None
    adult: bool | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return self == Rules()

    def over(self, other: "Rules") -> "Rules":
        """What these say, and where they say nothing what the other ones do."""
        return replace(other, **self.said)

    def bounded(self, wish: Wish, said: Wish, sizes: Sequence[Size]) -> Wish:
        """A wish that asks for no more than these allow where its person left that open.

        said   what they did not leave open
        sizes  those that there are; an open size is the first
        """
        if said.num_images is None and self.count is not None:
            wish = replace(wish, num_images=min(wish.num_images or 1, self.count))
        if said.model is None and self.models and wish.model not in self.models:
            wish = replace(wish, model=self.models[0])
        if not said.loras and self.loras is not None:
            wish = replace(wish, loras=tuple(one for one in wish.loras if one[0] in self.loras))
        largest = None if self.size is None else math.prod(self.size)
        if said.size_px is None and largest is not None:
            usual = wish.size_px or next(iter(sizes), None)
            if usual is None or math.prod(usual) > largest:
                fitting = [one for one in sizes if math.prod(one) <= largest]
                wish = replace(wish, size_px=max(fitting, key=math.prod, default=wish.size_px))
        return wish

    def without(self, names: Iterable[str]) -> "Rules":
        """With these taken back, by the names of their fields."""
        return replace(self, **dict.fromkeys(names))

    @property
    def said(self) -> dict[str, Any]:
        """What is said, by the names of the fields."""
        every = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in every.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What rules look at besides person and channel, as a home knows it of a wish.

    roles        ids of the roles that the one who asks has in the community
    within       the channel that a thread belongs to; None: it is no thread
    adult        the home says that the place is for adults alone
    knows_roles  False: they may have any others, which the home cannot see now
    """

    roles: frozenset[str] = frozenset()
    within: str | None = None
    adult: bool = False
    knows_roles: bool = True


@dataclass(frozen=True, slots=True)
class House:
    """All that a community has said.

    desk       the channel where moderators see what is to be decided; None: they have none
    paused     why nothing is taken in now; None: it is not paused
    keep_days  how long jobs of it are kept, where that is less than elsewhere
    """

    rules: Mapping[Place, Rules] = field(default_factory=dict)
    terms: tuple[Term, ...] = ()
    desk: str | None = None
    paused: str | None = None
    keep_days: int | None = None

    def looks_at_roles(self, channel: str | None, within: str | None) -> bool:
        """Whether what holds for somebody in a channel, or a thread in it, depends on roles."""
        here = {None, channel, within}
        return any(place.role is not None and place.channel in here for place in self.rules)


def in_force(house: House, usual: Rules, channel: str | None, around: Circumstances) -> Rules:
    """What holds for somebody in a channel; only amounts may be open, which is no limit.

    usual  says what nobody in the community did

    The closest counts: a role in a channel, then the channel (of a thread its own, then that of the
    channel it belongs to), then the role, then the community. To be barred by a role is another
    thing: that no channel lifts, but the role itself where it is allowed there.
    """
    channels = [one for one in (channel, around.within) if one is not None]
    closest = [
        *(_of_roles(house, one, around.roles) for one in channels),
        *(house.rules.get(Place(one), Rules()) for one in channels),
        _of_roles(house, None, around.roles),
        house.rules.get(Place(), Rules()),
    ]
    found = Rules()
    for one in closest:
        found = found.over(one)
    found = found.over(usual)
    return replace(
        found,
        use=bool(found.use) and not bars(house, channel, around),
        adult=bool(found.adult) and around.adult,
        private=bool(found.private),
        spoiler=bool(found.spoiler),
        review=bool(found.review),
    )


def channels_of_use(house: House, usual: Rules, around: Circumstances) -> list[str]:
    """The channels in which somebody may ask, by what is said of them; empty where they may ask in
    any other, too.

    usual  as for `in_force`
    """
    around = replace(around, within=None)
    if in_force(house, usual, None, around).use:
        return []
    named = dict.fromkeys(one.channel for one in house.rules if one.channel is not None)
    return [one for one in named if in_force(house, usual, one, around).use]


def objection(house: House, usual: Rules) -> str | None:
    """Why a community's rules cannot be meant, with the way out; None: they can."""
    everywhere = house.rules.get(Place(), Rules()).over(usual)
    somewhere = any(one.use for place, one in house.rules.items() if place != Place())
    if not everywhere.use and not somewhere:
        return say(
            "Then nobody could ask for anything anywhere. Allow a channel or a role first, or "
            "pause the bot instead."
        )
    if any(one.review for one in house.rules.values()) and house.desk is None:
        return say(
            "Pictures can only wait for moderators who have a channel to see them in. Name that "
            "channel first, as the desk."
        )
    return None


def refusal(rules: Rules, request: ImageRequest, default_model: str) -> str | None:
    """Why what somebody asks for is more than they may; None: it is not.

    rules          those in force for them
    default_model  what is drawn with where the request names none
    """
    if rules.count is not None and request.num_images > rules.count:
        return say_many(
            "Here you may ask for at most {count} picture at once.",
            "Here you may ask for at most {count} pictures at once.",
            rules.count,
        )
    if rules.size is not None and math.prod(request.result_px) > math.prod(rules.size):
        return say(
            "Here you may ask for pictures of up to {size} pixels.", size=format_size(*rules.size)
        )
    model = request.model or default_model
    if rules.models is not None and model not in rules.models:
        return say("Here you may draw with {models}.", models=all_of(rules.models))
    asked = {one.name for one in request.loras}
    if rules.loras is not None and not asked <= set(rules.loras):
        if not rules.loras:
            return say("Here you may not ask for LoRAs.")
        return say("Of the LoRAs you may ask for {loras} here.", loras=all_of(rules.loras))
    return None


def _of_roles(house: House, channel: str | None, roles: frozenset[str]) -> Rules:
    """What somebody's roles come to together: of amounts the most, and every duty."""
    theirs = [house.rules.get(Place(channel, role), Rules()) for role in roles]
    names = dict.fromkeys(name for one in theirs for name in one.said)
    return Rules(
        **{
            name: _joined(name, [one.said[name] for one in theirs if name in one.said])
            for name in names
        }
    )


def _joined(name: str, said: list[Any]) -> Any:  # noqa: ANN401 - of the type of that field
    match name:
        case "use":  # to be barred by one role holds whatever another says
            return all(said)
        case "private" | "spoiler" | "review":
            return any(said)
        case "models" | "loras":
            return tuple(dict.fromkeys(one for names in said for one in names))
        case "size":
            return max(said, key=math.prod)
        case "daily" if 0 in said:  # no limit is the most
            return 0
        case _:
            return max(said)


def bars(house: House, channel: str | None, around: Circumstances) -> bool:
    """Whether a role of theirs bars somebody in a channel."""
    channels = [one for one in (channel, around.within) if one is not None]
    return any(_bars(house, channels, role) for role in around.roles)


def _bars(house: House, channels: list[str], role: str) -> bool:
    """Whether a role bars whoever has it, by the closest that says so of this very role."""
    said = [house.rules.get(Place(one, role), Rules()).use for one in (*channels, None)]
    return next((use for use in said if use is not None), True) is False
