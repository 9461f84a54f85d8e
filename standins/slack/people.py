"""What people do in Slack, and how the app is told of it."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from standins.base.timers import Timers
from standins.base.wire import Json
from standins.slack.blocks import every_element
from standins.slack.envelopes import Envelope
from standins.slack.errors import ActionRefused, ApiError
from standins.slack.files import File
from standins.slack.filling import check_complete, chosen, initial, state
from standins.slack.invocations import Invocation, ResponseUrls, Submission, Triggers
from standins.slack.messages import Content, Message, Messages
from standins.slack.views import View, Views
from standins.slack.world import Channel, Person, World

_CHANNEL_TYPES = {"channels": "channel", "groups": "group", "im": "im"}
_VERIFICATION = "loopback-verification"  # the old token that Slack still puts into payloads


class People:
    """Everything a person can do with the app.

    send  tells the app of it
    """

    def __init__(
        self,
        world: World,
        messages: Messages,
        views: Views,
        triggers: Triggers,
        response_urls: ResponseUrls,
        send: Callable[[Envelope], None],
        timers: Timers,
    ) -> None:
        self._world = world
        self._messages = messages
        self._views = views
        self._triggers = triggers
        self._response_urls = response_urls
        self._send = send
        self._clock = timers.clock
        self._states: dict[str, Json] = {}  # what people chose in a view and have not submitted

    def slash(self, command: str, text: str, person: Person, channel: Channel) -> Invocation:
        """Types a command; raises ActionRefused."""
        self._check_inside(person, channel)
        commands, team = self._world.commands, self._world.team(channel.team_id)
        is_known = commands is None or command in commands
        if not command.startswith("/") or not is_known or not team.has_app:
            raise ActionRefused(f"{command} is not a valid command.")
        invocation = self._invocation(person)
        self._response_urls.issue(invocation, channel, None)
        payload = {
            "token": _VERIFICATION,
            "team_id": team.id,
            "team_domain": team.domain,
            "channel_id": channel.id,
            "channel_name": "privategroup" if channel.kind == "groups" else channel.name,
            "user_id": person.id,
            "user_name": person.name,
            "command": command,
            "text": text.strip(),
            "api_app_id": self._world.app_id,
            "is_enterprise_install": "false",
            "response_url": invocation.response_url,
            "trigger_id": invocation.trigger_id,
        }
        if (enterprise := self._world.enterprise) is not None:
            payload |= {
                "enterprise_id": enterprise["id"],
                "enterprise_name": enterprise["name"],
                "is_enterprise_install": "true",
            }

        def acked(answer: Json) -> None:
            try:
                self._response_urls.say_with_ack(invocation, channel, answer)
            except ApiError:  # Slack shows the person an error in place of the answer
                invocation.fail()
            invocation.take_ack(answer, self._clock())

        self._send(
            Envelope(
                "slash_commands",
                payload,
                answerable=True,
                on_ack=acked,
                on_failure=invocation.fail,
            )
        )
        return invocation

    def press(self, message: Message, action_id: str, person: Person, value: object) -> Invocation:
        """Uses an element of a message; raises ActionRefused."""
        if message.viewer_id not in {None, person.id}:
            raise ActionRefused("Only who it was meant for sees this message.")
        self._check_inside(person, message.channel)
        block, element, entry = _used(message.blocks, action_id, value)
        invocation = self._invocation(person)
        self._response_urls.issue(invocation, message.channel, message)
        container: Json = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": message.channel.id,
            "is_ephemeral": message.viewer_id is not None,
        }
        if message.thread_ts is not None:
            container["thread_ts"] = message.thread_ts
        told = {
            "type": "block_actions",
            "container": container,
            "channel": _named(message.channel),
            "state": {"values": _state_with(message.blocks, block, element, entry)},
            "response_url": invocation.response_url,
            "actions": [self._action(block, element, entry)],
        }
        if message.viewer_id is None:  # what only one person sees is stored nowhere to be told of
            told["message"] = self._messages.json(message)
        return self._interact(invocation, person, told)

    def press_in_view(
        self, view: View, action_id: str, person: Person, value: object
    ) -> Invocation:
        """Uses an element of a dialog or of the home tab; raises ActionRefused."""
        self._check_before(view, person)
        block, element, entry = _used(view.blocks, action_id, value)
        before = self._states.get(view.id)
        told_state = _state_with(view.blocks, block, element, entry, before)
        self._states[view.id] = told_state
        invocation = self._invocation(person, from_view=True)
        told = {
            "type": "block_actions",
            "container": {"type": "view", "view_id": view.id},
            "view": view.json(self._world, told_state),
            "actions": [self._action(block, element, entry)],
        }
        return self._interact(invocation, person, told)

    def use_on_message(self, callback_id: str, message: Message, person: Person) -> Invocation:
        """Chooses the app's shortcut in the menu of a message; raises ActionRefused."""
        self._check_inside(person, message.channel)
        if message.viewer_id is not None:
            raise ActionRefused("What only one person sees has no such menu.")
        invocation = self._invocation(person)
        self._response_urls.issue(invocation, message.channel, message)
        told = {
            "type": "message_action",
            "callback_id": callback_id,
            "action_ts": self._world.new_ts(),
            "message_ts": message.ts,
            "message": self._messages.json(message),
            "channel": _named(message.channel),
            "response_url": invocation.response_url,
        }
        return self._interact(invocation, person, told)

    def use(self, callback_id: str, person: Person) -> Invocation:
        """Chooses the app's shortcut that belongs to no message."""
        told = {
            "type": "shortcut",
            "callback_id": callback_id,
            "action_ts": self._world.new_ts(),
        }
        return self._interact(self._invocation(person), person, told)

    def submit(self, view: View, values: Mapping[str, object], person: Person) -> Submission:
        """Submits a dialog; raises ActionRefused."""
        self._check_before(view, person)
        if view.definition["type"] != "modal" or "submit" not in view.definition:
            raise ActionRefused("There is nothing to submit here.")
        told_state = state(view.blocks, values, self._states.get(view.id))
        check_complete(view.blocks, told_state)
        self._states[view.id] = told_state
        trigger_id = self._triggers.issue(person.id, from_view=True)
        submission = Submission(person.id, trigger_id, self._clock(), view)

        def acked(answer: Json) -> None:
            try:
                self._follow(submission, view, answer)
            except ApiError:  # Slack tells the person that something went wrong
                submission.fail()
            submission.take_ack(answer, self._clock())

        told = {
            "type": "view_submission",
            "view": view.json(self._world, told_state),
            "response_urls": [],
        }
        self._interact(submission, person, told, acked)
        return submission

    def dismiss(self, view: View, person: Person, *, all_of_them: bool = False) -> None:
        """Closes a dialog without submitting it; raises ActionRefused."""
        self._check_before(view, person)
        for one in self._views.close(view, all_of_them=all_of_them):
            if one.definition.get("notify_on_close"):
                told = {
                    "type": "view_closed",
                    "view": one.json(self._world, self._states.pop(one.id, None)),
                    "is_cleared": all_of_them,
                }
                self._interact(self._invocation(person), person, told)

    def _follow(self, submission: Submission, view: View, answer: Json) -> None:
        """What the app answers a submission with; raises ApiError."""
        action = answer.get("response_action")
        if action == "errors":
            submission.errors = _errors(view, answer.get("errors"))
            return
        if action == "update":
            self._views.update(view, self._views.check(answer.get("view"), kind="modal"), None)
            return
        if action == "push":
            definition = self._views.check(answer.get("view"), kind="modal")
            submission.view = self._views.push(view.user_id, definition)
            return
        if action not in {None, "clear"}:
            raise ApiError("invalid_arguments")
        self._views.close(view, all_of_them=action == "clear")
        submission.view = self._views.top(view.user_id)

    def say(
        self,
        text: str,
        person: Person,
        channel: Channel,
        thread_ts: str | None = None,
        files: Sequence[File] = (),
    ) -> Message:
        """Writes a message; raises ActionRefused."""
        self._check_inside(person, channel)
        try:
            message = self._messages.add(
                channel, person.id, Content(text), thread_ts=thread_ts, files=files
            )
        except ApiError as error:
            raise ActionRefused(f"Slack does not take this message: {error.error}.") from error
        self._tell_message(message, person)
        return message

    def delete(self, message: Message, person: Person) -> None:
        """Deletes a message, or dismisses what only they see; raises ActionRefused."""
        if message.viewer_id not in {None, person.id}:
            raise ActionRefused("Only who it was meant for sees this message.")
        self._check_inside(person, message.channel)
        moderates = person.is_owner or person.is_admin
        if message.viewer_id is None and message.user_id != person.id and not moderates:
            raise ActionRefused(f"{person.name} may not delete this message.")
        told = self._messages.json(message)
        self._messages.delete(message)
        channel = message.channel
        if message.viewer_id is None and self._hears(channel):
            now = self._world.new_ts()
            self.tell(
                {
                    "type": "message",
                    "subtype": "message_deleted",
                    "hidden": True,
                    "channel": channel.id,
                    "channel_type": _CHANNEL_TYPES[channel.kind],
                    "ts": now,
                    "event_ts": now,
                    "deleted_ts": message.ts,
                    "previous_message": told,
                },
                person=person,
                channel=channel,
            )

    def open_home(self, person: Person) -> None:
        """Opens the app's home tab."""
        event: Json = {
            "type": "app_home_opened",
            "user": person.id,
            "channel": self._world.direct_message(person.id).id,
            "tab": "home",
            "event_ts": self._world.new_ts(),
        }
        home = self._views.home(person.id)
        if home is not None:
            event["view"] = home.json(self._world, self._states.get(home.id))
        self.tell(event, channel=self._world.direct_message(person.id))

    def tell(
        self, event: Json, *, person: Person | None = None, channel: Channel | None = None
    ) -> None:
        """Send the app an event, if it has subscribed to it.

        person, channel  who did it where
        """
        world = self._world
        name = str(event["type"])
        if name == "message" and channel is not None:
            name = f"message.{channel.kind}"
        if world.events is not None and name not in world.events:
            return
        team = world.team("" if channel is None else channel.team_id)
        of_stranger = person is not None and person.is_stranger and world.organisation is not None
        payload = {
            "token": _VERIFICATION,
            "team_id": person.team_id if person is not None and of_stranger else team.id,
            "context_team_id": team.id,
            "context_enterprise_id": world.organisation,
            "api_app_id": world.app_id,
            "event": event,
            "type": "event_callback",
            "event_id": world.new_id("Ev"),
            "event_time": int(time.time()),
            "authorizations": [
                {
                    "enterprise_id": world.organisation,
                    "team_id": None if world.organisation else world.team_id,
                    "user_id": world.bot_user_id,
                    "is_bot": True,
                    "is_enterprise_install": world.organisation is not None,
                }
            ],
            "is_ext_shared_channel": channel is not None and channel.is_ext_shared,
            "event_context": secrets.token_urlsafe(24),
        }
        self._send(Envelope("events_api", payload))

    def _tell_message(self, message: Message, person: Person) -> None:
        world, channel = self._world, message.channel
        if not world.has_bot(channel) or not world.team(channel.team_id).has_app:
            return
        told = self._messages.json(message) | {"channel": channel.id, "event_ts": message.ts}
        if channel.is_ext_shared:
            told |= {"user_team": person.team_id, "source_team": person.team_id}
        if self._hears(channel):
            event = told | {"channel_type": _CHANNEL_TYPES[channel.kind]}
            if message.files:
                event["subtype"] = "file_share"
            self.tell(event, person=person, channel=channel)
        mentioned = f"<@{world.bot_user_id}>" in message.text
        if mentioned and channel.kind != "im" and "app_mentions:read" in world.scopes:
            self.tell(told | {"type": "app_mention"}, person=person, channel=channel)

    def _hears(self, channel: Channel) -> bool:
        """Whether the app is told what happens there."""
        world = self._world
        has_app = world.team(channel.team_id).has_app
        return has_app and world.has_bot(channel) and f"{channel.kind}:history" in world.scopes

    def _invocation(self, person: Person, *, from_view: bool = False) -> Invocation:
        trigger_id = self._triggers.issue(person.id, from_view=from_view)
        return Invocation(person.id, trigger_id, self._clock())

    def _interact(
        self,
        invocation: Invocation,
        person: Person,
        told: Json,
        acked: Callable[[Json], None] | None = None,
    ) -> Invocation:
        world = self._world
        payload = {
            "user": {
                "id": person.id,
                "username": person.name,
                "name": person.name,
                "team_id": person.team_id,
            },
            "api_app_id": world.app_id,
            "token": _VERIFICATION,
            "trigger_id": invocation.trigger_id,
            # Where the app is installed: of an organisation's it is in no one workspace.
            "team": None
            if world.organisation
            else {"id": world.team_id, "domain": world.team_domain},
            "enterprise": world.enterprise,
            "is_enterprise_install": world.organisation is not None,
            **told,
        }

        def took(answer: Json) -> None:
            invocation.take_ack(answer, self._clock())

        envelope = Envelope(
            "interactive",
            payload,
            answerable=acked is not None,
            on_ack=acked or took,
            on_failure=invocation.fail,
        )
        self._send(envelope)
        return invocation

    def _action(self, block: Json, element: Json, entry: Json) -> Json:
        told = {
            "action_id": element["action_id"],
            "block_id": block["block_id"],
            "action_ts": self._world.new_ts(),
            **entry,
        }
        for name in ("text", "value", "style", "url", "placeholder"):
            if name in element:
                told[name] = element[name]
        return told

    def _check_inside(self, person: Person, channel: Channel) -> None:
        if person.id not in channel.member_ids:
            raise ActionRefused(f"{person.name} is not in #{channel.name}.")
        if channel.is_archived:
            raise ActionRefused(f"#{channel.name} is archived.")

    def _check_before(self, view: View, person: Person) -> None:
        if view.user_id != person.id:
            raise ActionRefused(f"This is not before {person.name}.")
        of_home = view is self._views.home(person.id)
        if not of_home and view is not self._views.top(person.id):
            raise ActionRefused("The dialog is closed, or another one lies on it.")


def _used(blocks: Sequence[Json], action_id: str, value: object) -> tuple[Json, Json, Json]:
    """The block, the element in it that is used, and its new state; raises ActionRefused."""
    found = [(b, e) for b, e in every_element(blocks) if e.get("action_id") == action_id]
    if not found:
        raise ActionRefused(f"There is nothing called {action_id!r} to press.")
    for block, element in found:
        if element["type"] == "button":
            if value is None or element.get("value") == value:
                return block, element, {"type": "button"}
        else:
            entry = initial(element) if value is None else chosen(element, value)
            return block, element, entry
    raise ActionRefused(f"No button {action_id!r} has the value {value!r}.")


def _state_with(
    blocks: Sequence[Json], block: Json, element: Json, entry: Json, before: Json | None = None
) -> Json:
    """The state of all elements, with the one that was used as it is now."""
    told = state(blocks, {}, before)
    if element["type"] not in {"button", "overflow"}:
        told[block["block_id"]][element["action_id"]] = entry
    return told


def _errors(view: View, errors: Any) -> dict[str, str]:  # noqa: ANN401 - whatever the app sent
    known = {block["block_id"] for block in view.blocks if block["type"] == "input"}
    if not isinstance(errors, dict) or not errors or not set(errors) <= known:
        raise ApiError("invalid_arguments")
    return {str(block_id): str(sentence) for block_id, sentence in errors.items()}


def _named(channel: Channel) -> Json:
    name = "privategroup" if channel.kind == "groups" else channel.name
    return {"id": channel.id, "name": name}
