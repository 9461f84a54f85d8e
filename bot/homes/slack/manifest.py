"""What Slack is told of the app: its commands, shortcuts, events and scopes.

https://docs.slack.dev/reference/app-manifest
"""

from typing import Any, Final

PATH: Final = "/slack/events"  # of requests; where Slack's own frameworks listen, too
COMMAND, ADMIN_COMMAND = "/imagine", "/imagine-admin"
IMAGINE, IMAGINE_FROM, RECIPE, REPORT = "imagine", "imagine_from", "recipe", "report"
# After these nobody knows whether the bot is in a channel as it was.
CHANNEL_EVENTS: Final = (
    "member_joined_channel",
    "member_left_channel",
    "channel_left",
    "group_left",
    "channel_archive",
    "channel_unarchive",
    "group_archive",
    "group_unarchive",
    "channel_deleted",
    "group_deleted",
)
# After these somebody may do more, or less.
PERSON_EVENT: Final = "user_change"
GROUP_EVENTS: Final = ("subteam_updated", "subteam_members_changed")
# After these Slack answers nothing any more.
SHUT_OUT_EVENTS: Final = ("app_uninstalled", "tokens_revoked")
# After this a workspace of an organisation is none of the bot's any more, and the others are.
TEAM_SHUT_OUT_EVENT: Final = "team_access_revoked"
# What each is for: https://docs.slack.dev/reference/scopes
SCOPES: Final = (
    "commands",  # /imagine and the shortcuts
    "app_mentions:read",  # to be asked in threads
    "chat:write",  # cards
    "files:write",  # pictures
    "files:read",  # pictures to start from; whether one's own are ready
    "channels:read",  # whether the bot is in a channel
    "groups:read",
    "im:read",
    "mpim:read",
    "channels:history",  # to find and read back a card of one's own
    "groups:history",
    "im:history",
    "mpim:history",
    "im:write",  # to warn somebody alone, and to send them files
    "users:read",  # somebody's name and language, and whether they administer the workspace
    "usergroups:read",  # who moderates
)


def manifest(
    name: str = "Imagine", *, url: str = "", rotates_tokens: bool = False
) -> dict[str, Any]:
    """The app's manifest, as JSON can hold it.

    url  to which Slack sends what it tells; empty: it tells it over Socket Mode
    rotates_tokens  a token of the bot's ends after twelve hours, as long as the app is there
    """
    command_url = {"url": url} if url else {}
    request_url = {"request_url": url} if url else {}
    return {
        "display_information": {
            "name": name,
            "description": "Draws pictures of what you describe",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": name, "always_online": True},
            "slash_commands": [
                {
                    "command": COMMAND,
                    "description": "Draw pictures of what you describe",
                    "usage_hint": "a fox in the snow --ar 16:9",
                    "should_escape": False,
                    **command_url,
                },
                {
                    "command": ADMIN_COMMAND,
                    "description": "Keep order: what holds here, who may ask, what was done",
                    "usage_hint": "help",
                    "should_escape": True,  # channels, people and groups come as their ids
                    **command_url,
                },
            ],
            "shortcuts": [
                {
                    "name": "Imagine",
                    "type": "global",
                    "callback_id": IMAGINE,
                    "description": "Draw pictures of what you describe",
                },
                {
                    "name": "Imagine from this",
                    "type": "message",
                    "callback_id": IMAGINE_FROM,
                    "description": "Draw from a picture of this message",
                },
                {
                    "name": "Recipe",
                    "type": "message",
                    "callback_id": RECIPE,
                    "description": "How a picture of this message was drawn",
                },
                {
                    "name": "Report",
                    "type": "message",
                    "callback_id": REPORT,
                    "description": "Tell moderators of these pictures",
                },
            ],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": {
                **request_url,
                "bot_events": [
                    "app_mention",
                    "app_home_opened",
                    "message.im",
                    *CHANNEL_EVENTS,
                    PERSON_EVENT,
                    *GROUP_EVENTS,
                    *SHUT_OUT_EVENTS,
                    TEAM_SHUT_OUT_EVENT,
                ],
            },
            "interactivity": {"is_enabled": True, **request_url},
            "org_deploy_enabled": True,
            "socket_mode_enabled": not url,
            "token_rotation_enabled": rotates_tokens,
        },
    }
