"""Interactions: what a person does with the bot, and the bot's answers under Discord's rules.

A bot acknowledges within 3 s, once; then the interaction's token works for 15 minutes.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, Literal

from standins.base.events import ChannelEvent, EventHub
from standins.base.timers import Timer, Timers
from standins.base.wire import Json
from standins.discord.commands import CHAT_INPUT, MESSAGE_MENU, USER_MENU, check_choices
from standins.discord.dialogs import check_dialog, opened
from standins.discord.errors import ApiError, FormErrors, InteractionFailed, Refusal, form_error
from standins.discord.forms import Form
from standins.discord.messages import (
    CHAT_INPUT_COMMAND,
    CONTEXT_MENU_COMMAND,
    REPLY,
    Message,
    Messages,
)
from standins.discord.rules import EPHEMERAL
from standins.discord.world import GUILD_INSTALL, USE_EXTERNAL_APPS, Channel, Person, World

ACK_DEADLINE_S: Final = 3.0
TOKEN_LIFE_S: Final = 15 * 60.0
MAX_FOLLOW_UPS: Final = 5  # of an application that only a person has installed

COMMAND, COMPONENT, AUTOCOMPLETE, SUBMISSION = 2, 3, 4, 5  # interaction types
MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE, CHOICES, DIALOG = range(4, 10)  # callback types
_CALLBACKS: Final = {
    COMMAND: frozenset({MESSAGE, DEFERRED_MESSAGE, DIALOG}),
    COMPONENT: frozenset({MESSAGE, DEFERRED_MESSAGE, DIALOG}),
    AUTOCOMPLETE: frozenset({CHOICES}),
    SUBMISSION: frozenset({MESSAGE, DEFERRED_MESSAGE}),
}
_OF_A_MESSAGE: Final = frozenset({DEFERRED_UPDATE, UPDATE})  # only where there is one to update

State = Literal["waiting", "deferred", "answered", "failed"]
Predicate = Callable[[Json], bool]


class Interaction:
    """One command, press or filled-in dialog of a person, and what became of it.

    kind        2: a command, 3: a component (a button or a select), 4: see `Completion`, 5: a
                submitted dialog
    name        the command's name, or the component's or dialog's custom_id
    command     the data of a command as it was sent, {} of anything else
    state       waiting (no answer yet), deferred ("thinking"), answered, failed (3 s went by)
    owners      by which installations the bot hears of it: `authorizing_integration_owners`
    source      the message that the pressed component is on, or was where a dialog came of it
    trigger     what the submitted dialog was the answer to
    thinking    the bot's deferred answer waits to be completed
    """

    def __init__(
        self, interaction_id: int, kind: int, person: Person, channel: Channel, owners: Json
    ) -> None:
        self.id = interaction_id
        self.token = secrets.token_urlsafe(96)
        self.kind = kind
        self.name = ""
        self.command: Json = {}
        self.person = person
        self.channel = channel
        self.owners = owners
        self.state: State = "waiting"
        self.source: Message | None = None
        self.trigger: Interaction | None = None
        self.thinking = False
        self._dialog: Dialog | None = None
        self._original: Message | None = None
        self._answer: Message | None = None
        self._followups: list[Message] = []
        self._may_follow_up = MAX_FOLLOW_UPS
        self._waiters: list[tuple[Predicate, asyncio.Future[Json]]] = []
        self._settlers: list[asyncio.Future[None]] = []

    @property
    def user_id(self) -> int:
        """Who did it."""
        return self.person.id

    @property
    def channel_id(self) -> int:
        """Where."""
        return self.channel.id

    @property
    def acknowledged(self) -> bool:
        """Whether the bot has answered or deferred."""
        return self.state in {"deferred", "answered"}

    @property
    def original(self) -> Json | None:
        """The @original message as its viewers see it now, None while there is none."""
        return None if self._original is None else self._original.snapshot()

    @property
    def answer(self) -> Json | None:
        """What the person sees of the bot: @original or, where the bot has taken that back, the
        follow-up in its place; None while there is none.
        """
        return None if self._answer is None else self._answer.snapshot()

    @property
    def followups(self) -> list[Json]:
        """The messages that the bot sent after it, oldest first."""
        return [message.snapshot() for message in self._followups]

    async def settled(self) -> None:
        """Wait for the bot's first answer, whatever it is; raises InteractionFailed without one."""
        if self.state == "waiting":
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._settlers.append(future)
            await future
        if self.state == "failed":
            raise InteractionFailed("The application did not respond.")

    async def dialog(self) -> "Dialog":
        """The dialog that the bot answers with.

        Raises InteractionFailed when it does not answer in time, or with something else.
        """
        await self.settled()
        if self._dialog is None:
            raise InteractionFailed("The application answered with something else than a dialog.")
        return self._dialog

    async def until(self, predicate: Predicate) -> Json:
        """The answer as soon as it satisfies `predicate`, which sees every change.

        Raises InteractionFailed when the bot does not answer in time or its answer is deleted. A
        bot that takes back no more than "thinking" is still waited for: it may follow up.
        """
        answer = self.answer
        if answer is not None and predicate(answer):
            return answer
        if self.state == "failed":
            raise InteractionFailed("The application did not respond.")
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        waiter = (predicate, future)
        self._waiters.append(waiter)
        try:
            return await future
        finally:
            self._waiters.remove(waiter)

    def settle(self, state: State) -> None:
        """The bot has given its first answer, or it failed to."""
        self.state = state
        for future in self._settlers:
            if not future.done():  # whoever waited may have gone
                future.set_result(None)
        self._settlers.clear()

    def open_dialog(self, dialog: "Dialog") -> None:
        """The bot answers with a dialog."""
        self._dialog = dialog
        self.settle("answered")

    def summary(self) -> Json:
        """Who did what, on which message (None: a command), and where it stands."""
        return {
            "id": str(self.id),
            "type": self.kind,
            "name": self.name,
            "command_type": self.command.get("type"),
            "state": self.state,
            "user_id": str(self.user_id),
            "channel_id": str(self.channel_id),
            "message_id": None if self.source is None else str(self.source.id),
        }

    def answer_with(self, original: Message) -> None:
        """Make this the @original message."""
        self._original = self._answer = original
        original.on_change.append(self._on_change)
        self._on_change(original, False)

    @property
    def is_personal(self) -> bool:
        """Whether the bot is there by a person's own installation alone."""
        return str(GUILD_INSTALL) not in self.owners

    def count_followup(self) -> None:
        """One more is wanted; raises ApiError."""
        if self.is_personal:
            if not self._may_follow_up:
                raise ApiError(Refusal.TOO_MANY_FOLLOW_UPS)
            self._may_follow_up -= 1

    def add_followup(self, message: Message) -> None:
        """Note a message that the bot sent after the original."""
        self._followups.append(message)
        message.on_change.append(self._on_change)
        if self._answer is None:
            self._answer = message
            self._on_change(message, False)

    def withdraw(self) -> None:
        """The bot takes "thinking" back: what it sends next is a message of its own."""
        if self._original is not None:
            self._original.on_change.remove(self._on_change)
        self._original = self._answer = None
        self.thinking = False

    def let_go(self) -> None:
        """Follow the pressed message no longer; the answer to a command is followed for good."""
        if self.source is not None and self._original is self.source:
            self.source.on_change.remove(self._on_change)

    def own_message(self, reference: str) -> Message:
        """The answer called "@original" or its id; raises ApiError 10008."""
        if reference == "@original":
            if self._original is not None:
                return self._original
        else:
            answers = [*self._followups, *([self._original] if self._original else [])]
            for message in answers:
                if str(message.id) == reference:
                    return message
        raise ApiError(Refusal.UNKNOWN_MESSAGE)

    def fail(self, why: str) -> None:
        """Nobody will answer this any more: whoever waits hears of it."""
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(InteractionFailed(why))

    def _on_change(self, message: Message, deleted: bool) -> None:
        if deleted:
            if message is self._original:
                self._original = None
            else:
                self._followups.remove(message)
            if message is self._answer:
                self._answer = None
                self.fail("The answer was deleted.")
        elif message is self._answer:
            self.thinking = message.loading
            self.settle("deferred" if message.loading else "answered")
            seen = message.snapshot()
            for predicate, future in self._waiters:
                if not future.done() and predicate(seen):
                    future.set_result(seen)


class Completion(Interaction):
    """Somebody fills in an option, and the bot is asked what may stand there.

    option   as it is registered
    choices  what the bot offers; InteractionFailed where it does not answer in time
    """

    def __init__(
        self, interaction_id: int, option: Json, person: Person, channel: Channel, owners: Json
    ) -> None:
        super().__init__(interaction_id, AUTOCOMPLETE, person, channel, owners)
        self.option = option
        self.choices: asyncio.Future[list[Json]] = asyncio.get_running_loop().create_future()

    def offer(self, data: Json) -> None:
        """Take the bot's choices; raises ApiError."""
        choices = data.get("choices")
        errors = FormErrors()
        check_choices(errors, ("data",), self.option["type"], choices)
        errors.check()
        self.settle("answered")
        if not self.choices.done():  # whoever asked may have gone
            self.choices.set_result(list(choices or ()))

    def fail(self, why: str) -> None:
        """Nobody will answer this any more."""
        if not self.choices.done():
            self.choices.set_exception(InteractionFailed(why))


class Dialog:
    """What a bot asks a person to fill in. It stays open as long as they like.

    opener  the command or press that it is the answer to
    form    its `custom_id`, `title` and `components`, each with an id
    """

    def __init__(self, opener: Interaction, form: Json) -> None:
        self.opener = opener
        self.form = form
        self._dismissed = False
        self._submission: Interaction | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can be submitted; one that the bot did not answer can be, again."""
        return not self._dismissed and (
            self._submission is None or self._submission.state == "failed"
        )

    def dismiss(self) -> None:
        """Close it; the bot never hears of that."""
        self._dismissed = True

    def submit(self, submission: Interaction) -> None:
        """It is on its way to the bot."""
        self._submission = submission

    def json(self) -> Json:
        """The form, and which interaction opened it on which message (None: a command)."""
        source = self.opener.source
        message_id = None if source is None else str(source.id)
        return {**self.form, "interaction_id": str(self.opener.id), "message_id": message_id}


class Interactions:
    """All interactions whose tokens still live, and the dialog that each person has before them."""

    def __init__(self, world: World, messages: Messages, hub: EventHub, timers: Timers) -> None:
        self._world = world
        self._messages = messages
        self._hub = hub
        self._timers = timers
        self._by_token: dict[str, Interaction] = {}
        self._deadlines: dict[int, Timer] = {}
        self._dialogs: dict[int, Dialog] = {}  # by the person's id

    def use(self, command: Json, person: Person, channel: Channel, owners: Json) -> Interaction:
        """Somebody uses a command, whose data this is; the two deadlines run from now."""
        interaction = self._new(COMMAND, command["name"], person, channel, owners)
        interaction.command = command
        return self._begin(interaction)

    def press(self, custom_id: str, person: Person, source: Message) -> Interaction:
        """Somebody presses or chooses something on a message; deadlines as of any other."""
        channel = self._world.channels[source.channel_id]
        # By whose installation a message came, by that come its presses.
        came_by = source.json.get("interaction_metadata") or {}
        owners = came_by.get("authorizing_integration_owners")
        owners = owners or self._world.installs(person, channel)
        interaction = self._new(COMPONENT, custom_id, person, channel, owners)
        interaction.source = source
        return self._begin(interaction)

    def submit(self, dialog: Dialog) -> Interaction:
        """Somebody submits a dialog, however long ago it was opened; deadlines as of any other."""
        opener = dialog.opener
        custom_id = dialog.form["custom_id"]
        interaction = self._new(SUBMISSION, custom_id, opener.person, opener.channel, opener.owners)
        interaction.source, interaction.trigger = opener.source, opener
        dialog.submit(interaction)
        return self._begin(interaction)

    def dialog_of(self, person: Person) -> Dialog | None:
        """The dialog that somebody has before them: the one opened last."""
        dialog = self._dialogs.get(person.id)
        return dialog if dialog is not None and dialog.is_open else None

    def complete(
        self, name: str, option: Json, person: Person, channel: Channel, owners: Json
    ) -> Completion:
        """A question for what may stand in an option of a command; deadlines as of any other."""
        completion = Completion(self._world.snowflakes.new(), option, person, channel, owners)
        completion.name = name
        self._begin(completion)
        return completion

    def _new(
        self, kind: int, name: str, person: Person, channel: Channel, owners: Json
    ) -> Interaction:
        interaction = Interaction(self._world.snowflakes.new(), kind, person, channel, owners)
        interaction.name = name
        return interaction

    def _begin(self, interaction: Interaction) -> Interaction:
        self._by_token[interaction.token] = interaction
        self._deadlines[interaction.id] = self._timers.after(
            ACK_DEADLINE_S, lambda: self._miss_deadline(interaction)
        )
        self._timers.after(TOKEN_LIFE_S, lambda: self._expire(interaction))
        self._publish("interaction_create", interaction)
        return interaction

    def payload(self, interaction: Interaction, data: Json, attachment_size_limit: int) -> Json:
        """The INTERACTION_CREATE event."""
        world, channel, person = self._world, interaction.channel, interaction.person
        payload: Json = {
            "id": str(interaction.id),
            "application_id": str(world.application_id),
            "type": interaction.kind,
            "token": interaction.token,
            "version": 1,
            "data": data,
            "locale": person.locale,
            "channel_id": str(channel.id),
            "channel": world.channel_json(channel),
            "app_permissions": str(world.app_permissions(channel, person)),
            "entitlements": [],
            "authorizing_integration_owners": interaction.owners,
            "context": world.context(channel),
            "attachment_size_limit": attachment_size_limit,
        }
        guild_id = world.guild_of(channel)
        if guild_id is None:
            payload["user"] = world.user_json(person)
        else:
            permissions = str(world.permissions(person, channel))
            payload |= {
                "guild_id": str(guild_id),
                "guild": {"id": str(guild_id), "locale": "en-US", "features": []},
                "guild_locale": "en-US",
                "member": {**world.member_json(person), "permissions": permissions},
            }
            payload["channel"]["permissions"] = permissions
        if interaction.source is not None:
            payload["message"] = interaction.source.snapshot()
        return payload

    def callback(self, interaction_id: int, token: str, form: Form) -> Json:
        """The bot's first answer; returns Discord's description of it. Raises ApiError."""
        interaction = self._by_token.get(token)
        if interaction is None or interaction.id != interaction_id:
            raise ApiError(Refusal.UNKNOWN_INTERACTION)
        if interaction.acknowledged:
            raise ApiError(Refusal.ALREADY_ACKNOWLEDGED)
        if interaction.state == "failed":
            raise ApiError(Refusal.UNKNOWN_INTERACTION)
        kind, allowed = form.payload.get("type"), _CALLBACKS[interaction.kind]
        if interaction.source is not None:
            allowed |= _OF_A_MESSAGE
        if not isinstance(kind, int) or kind not in allowed:
            sentence = f"Value must be one of {set(allowed)}."
            raise form_error(("type",), "BASE_TYPE_CHOICES", sentence)
        data = form.payload.get("data") or {}
        if not isinstance(data, dict):
            sentence = "Only dictionaries may be used in a DictType"
            raise form_error(("data",), "DICT_TYPE_CONVERT", sentence)
        form = Form(data, form.uploads)
        described: Json = {
            "interaction": {
                "id": str(interaction.id),
                "type": interaction.kind,
                "channel_id": str(interaction.channel_id),
                **self._guild(interaction.channel),
            }
        }
        if isinstance(interaction, Completion):
            interaction.offer(data)
            self._deadlines.pop(interaction.id).cancel()
            return described
        if kind == DIALOG:
            self._open_dialog(interaction, data)
            self._deadlines.pop(interaction.id).cancel()
            return described
        if kind in {MESSAGE, DEFERRED_MESSAGE}:
            message = self._post_original(interaction, form, loading=kind == DEFERRED_MESSAGE)
        else:
            message = self._update_source(interaction, form, deferred=kind == DEFERRED_UPDATE)
        self._deadlines.pop(interaction.id).cancel()
        described["interaction"] |= {
            "response_message_id": str(message.id),
            "response_message_loading": message.loading,
            "response_message_ephemeral": message.viewer_id is not None,
        }
        if kind in {MESSAGE, UPDATE}:
            described["resource"] = {"type": kind, "message": message.snapshot()}
        return described

    def answered(self, application_id: int, token: str) -> Interaction:
        """The interaction behind a webhook address; raises ApiError unless it may be used."""
        if application_id != self._world.application_id:
            raise ApiError(Refusal.UNKNOWN_WEBHOOK)
        interaction = self._by_token.get(token)
        if interaction is None:
            raise ApiError(Refusal.INVALID_WEBHOOK_TOKEN)
        if not interaction.acknowledged or interaction.kind == AUTOCOMPLETE:
            raise ApiError(Refusal.UNKNOWN_WEBHOOK)
        return interaction

    def edit(self, interaction: Interaction, reference: str, form: Form) -> Json:
        """Change one of the bot's answers."""
        message = interaction.own_message(reference)
        return self._edit(message, interaction, form).snapshot()

    def delete(self, interaction: Interaction, reference: str) -> None:
        """Delete one of the bot's answers; raises ApiError 10008."""
        message = interaction.own_message(reference)
        if message.loading:
            interaction.withdraw()
        self._messages.delete(message)

    def follow_up(self, interaction: Interaction, form: Form) -> Json:
        """One more message; after a deferral the first one takes the place of "thinking".

        It then keeps the deferral's visibility, whatever its flags say. Where a moderator has
        deleted "thinking" there is nothing to complete any more: ApiError 10008.
        """
        interaction.count_followup()
        if interaction.thinking:
            return self.edit(interaction, "@original", form)
        original = interaction.original
        extra = self._metadata(interaction)
        if original is not None:
            extra["type"] = REPLY
            extra["message_reference"] = self._reference(original, interaction.channel)
        message = self._post(interaction, form, extra)
        interaction.add_followup(message)
        return message.snapshot()

    def _open_dialog(self, interaction: Interaction, data: Json) -> None:
        check_dialog(data)
        dialog = self._dialogs[interaction.user_id] = Dialog(interaction, opened(data))
        interaction.open_dialog(dialog)
        self._hub.publish(
            ChannelEvent("dialog", interaction.channel_id, dialog.json(), interaction.user_id)
        )

    def _edit(self, message: Message, interaction: Interaction, form: Form) -> Message:
        bot = self._world.bot
        return self._messages.edit(message, interaction.channel, bot, _pinging_people(form))

    def _post_original(self, interaction: Interaction, form: Form, *, loading: bool) -> Message:
        extra = self._metadata(interaction)
        if interaction.source is None:
            command = (interaction.trigger or interaction).command
            typed = command["type"] == CHAT_INPUT
            extra["type"] = CHAT_INPUT_COMMAND if typed else CONTEXT_MENU_COMMAND
        else:
            extra["type"] = REPLY
            extra["message_reference"] = self._reference(
                interaction.source.snapshot(), interaction.channel
            )
        if loading and isinstance(flags := form.payload.get("flags"), int):
            # A deferral says no more than who sees the answer; what it is, comes with the edit.
            form = Form({"flags": flags & EPHEMERAL})
        message = self._post(interaction, form, extra, loading=loading)
        interaction.answer_with(message)
        return message

    def _update_source(self, interaction: Interaction, form: Form, *, deferred: bool) -> Message:
        message = interaction.source
        if message is None:
            raise ApiError(Refusal.UNKNOWN_MESSAGE)
        there = self._messages.find(message.id) is message
        if not deferred:
            if not there:
                raise ApiError(Refusal.UNKNOWN_MESSAGE)
            self._edit(message, interaction, form)
        if there:
            interaction.answer_with(message)
        if deferred:
            interaction.settle("deferred")
        return message

    def _post(
        self, interaction: Interaction, form: Form, extra: Json, *, loading: bool = False
    ) -> Message:
        flags = form.payload.get("flags")
        ephemeral = isinstance(flags, int) and flags & EPHEMERAL
        if interaction.is_personal and self._world.guild_of(interaction.channel) is not None:
            # A server may have its people use their own applications for themselves alone.
            permissions = self._world.permissions(interaction.person, interaction.channel)
            may_show = permissions & USE_EXTERNAL_APPS
            ephemeral = ephemeral or not may_show
        return self._messages.create(
            interaction.channel,
            self._world.bot,
            _pinging_people(form),
            viewer_id=interaction.user_id if ephemeral else None,
            extra=extra,
            loading=loading,
        )

    def _metadata(self, interaction: Interaction) -> Json:
        extra: Json = {
            "application_id": str(self._world.application_id),
            "webhook_id": str(self._world.application_id),
            "interaction_metadata": self._metadata_of(interaction),
        }
        if interaction.kind == COMMAND:
            summary = {"id": str(interaction.id), "type": COMMAND, "name": interaction.name}
            extra["interaction"] = {**summary, "user": self._world.user_json(interaction.person)}
        return extra

    def _metadata_of(self, interaction: Interaction) -> Json:
        """What did it, and on what; of a dialog also what opened it."""
        command = interaction.command
        metadata: Json = {
            "id": str(interaction.id),
            "type": interaction.kind,
            "user": self._world.user_json(interaction.person),
            "authorizing_integration_owners": interaction.owners,
        }
        if interaction.kind == COMMAND:
            metadata |= {"name": interaction.name, "command_type": command["type"]}
        if interaction.kind == COMPONENT and interaction.source is not None:
            metadata["interacted_message_id"] = str(interaction.source.id)
        if interaction.trigger is not None:
            metadata["triggering_interaction_metadata"] = self._metadata_of(interaction.trigger)
        if command.get("type") == MESSAGE_MENU:
            metadata["target_message_id"] = command["target_id"]
        elif command.get("type") == USER_MENU:
            metadata["target_user"] = command["resolved"]["users"][command["target_id"]]
        return metadata

    def _reference(self, message: Json, channel: Channel) -> Json:
        return {
            "type": 0,
            "channel_id": message["channel_id"],
            "message_id": message["id"],
            **self._guild(channel),
        }

    def _guild(self, channel: Channel) -> Json:
        guild_id = self._world.guild_of(channel)
        return {} if guild_id is None else {"guild_id": str(guild_id)}

    def _expire(self, interaction: Interaction) -> None:
        del self._by_token[interaction.token]
        interaction.let_go()
        if interaction.answer is None:
            interaction.fail("The application took its answer back.")

    def _miss_deadline(self, interaction: Interaction) -> None:
        self._deadlines.pop(interaction.id, None)
        interaction.settle("failed")
        interaction.fail("The application did not respond.")
        self._publish("interaction_failed", interaction)

    def _publish(
        self, kind: Literal["interaction_create", "interaction_failed"], interaction: Interaction
    ) -> None:
        if interaction.kind == AUTOCOMPLETE:  # nothing that anybody sees in a channel
            return
        self._hub.publish(
            ChannelEvent(kind, interaction.channel_id, interaction.summary(), interaction.user_id)
        )


def _pinging_people(form: Form) -> Form:
    """An answer that does not say whom it may ping pings people, but no role and not everyone."""
    if form.payload.get("allowed_mentions") is not None:
        return form
    return Form({**form.payload, "allowed_mentions": {"parse": ["users"]}}, form.uploads)
