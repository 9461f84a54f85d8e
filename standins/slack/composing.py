"""What Slack makes of what somebody types: signs are escaped, names become mentions."""

import re
from typing import Final

from standins.slack.world import World

_SIGNS: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escaped(text: str) -> str:
    """A command's text where its app has asked for no more: the three signs alone are changed."""
    return text.translate(_SIGNS)


def composed(text: str, world: World) -> str:
    """A message's text: names of people, groups and channels, and addresses, become links.

    And so do those behind a command whose app wants them as links (`should_escape`).
    """
    links: dict[str, str] = {}
    for person in world.people.values():
        for name in filter(None, (person.name, person.real_name)):
            links[f"@{name.casefold()}"] = f"<@{person.id}>"
    for group in world.user_groups.values():
        links[f"@{group.handle.casefold()}"] = f"<!subteam^{group.id}|@{group.handle}>"
    for channel in world.channels.values():
        if channel.user_id is None:
            links[f"#{channel.name}"] = f"<#{channel.id}|{channel.name}>"
    # Of two names the longer; what is within an address stays as it is.
    names = "|".join(map(re.escape, sorted(links, key=len, reverse=True)))
    pattern = rf"(?P<address>https?://[^\s<>|]+)|(?<!\w)({names})(?![\w-])"

    def linked(match: re.Match[str]) -> str:
        if match["address"]:
            return f"<{match[0]}>"
        return links.get(match[0].casefold(), match[0])

    return re.sub(pattern, linked, escaped(text), flags=re.IGNORECASE)
