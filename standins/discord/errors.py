"""Discord's refusals (the loopback answers with them) and the loopback's own errors.

ApiError            what a request is answered with: status, code, message, nested form errors
CommandRefused      Discord's own client would not send this; nothing reached the bot
InteractionFailed   "The application did not respond": the bot did not answer in time
"""

from enum import Enum

from standins.base.wire import Json


class Refusal(Enum):
    """Discord's errors as (HTTP status, JSON error code, message)."""

    UNAUTHORIZED = (401, 0, "401: Unauthorized")
    NOT_FOUND = (404, 0, "404: Not Found")
    METHOD_NOT_ALLOWED = (405, 0, "405: Method Not Allowed")
    BAD_REQUEST = (400, 0, "400: Bad Request")
    NOT_YOUR_APPLICATION = (
        403,
        20012,
        "You are not authorized to perform this action on this application",
    )
    UNKNOWN_GUILD = (404, 10004, "Unknown Guild")
    UNKNOWN_CHANNEL = (404, 10003, "Unknown Channel")
    UNKNOWN_MEMBER = (404, 10007, "Unknown Member")
    UNKNOWN_MESSAGE = (404, 10008, "Unknown Message")
    UNKNOWN_USER = (404, 10013, "Unknown User")
    UNKNOWN_WEBHOOK = (404, 10015, "Unknown Webhook")
    UNKNOWN_INTERACTION = (404, 10062, "Unknown interaction")
    UNKNOWN_COMMAND = (404, 10063, "Unknown application command")
    TOO_MANY_ATTACHMENTS = (400, 30015, "Maximum number of attachments in a message reached (10)")
    TOO_MANY_COMMANDS = (400, 30032, "Maximum number of application commands reached (100)")
    TOO_MANY_MENU_COMMANDS = (400, 30032, "Maximum number of application commands reached (15)")
    TOO_MANY_CREATES = (
        400,
        30034,
        "Max number of daily application command creates has been reached (200)",
    )
    TOO_LARGE = (413, 40005, "Request entity too large")
    ALREADY_ACKNOWLEDGED = (400, 40060, "Interaction has already been acknowledged.")
    TOO_MANY_FOLLOW_UPS = (
        400,
        40094,
        "This interaction has hit the maximum number of follow up messages",
    )
    MISSING_ACCESS = (403, 50001, "Missing Access")
    NOT_THE_AUTHOR = (403, 50005, "Cannot edit a message authored by another user")
    EMPTY_MESSAGE = (400, 50006, "Cannot send an empty message")
    NOT_A_TEXT_CHANNEL = (400, 50008, "Cannot send messages in a non-text channel")
    CANNOT_WRITE_TO_USER = (403, 50007, "Cannot send messages to this user")
    MISSING_PERMISSIONS = (403, 50013, "Missing Permissions")
    INVALID_WEBHOOK_TOKEN = (401, 50027, "Invalid Webhook Token")
    INVALID_RECIPIENT = (400, 50033, "Invalid Recipient(s)")
    INVALID_FORM = (400, 50035, "Invalid Form Body")
    THREAD_ARCHIVED = (400, 50083, "Thread is archived")
    INVALID_JSON = (400, 50109, "The request body contains invalid JSON.")
    NO_MUTUAL_GUILDS = (
        403,
        50278,
        "Cannot send messages to this user due to having no mutual guilds",
    )
    CANNOT_REPLY = (400, 160002, "Cannot reply without permission to read message history")
    THREAD_LOCKED = (400, 160005, "Thread is locked")


class ApiError(Exception):
    """A request that Discord refuses.

    errors  the nested form errors of an Invalid Form Body
    """

    def __init__(self, refusal: Refusal, *, errors: Json | None = None) -> None:
        self.status, self.code, self.message = refusal.value
        self.body: Json = {"message": self.message, "code": self.code}
        if errors:
            self.body["errors"] = errors
        super().__init__(f"{self.code}: {self.message}")


class FormErrors:
    """Collects what is wrong with a form, field by field, in Discord's nested shape."""

    def __init__(self) -> None:
        self.tree: Json = {}

    def add(self, path: tuple[str | int, ...], code: str, message: str) -> None:
        """Note one error at `path`, such as ("embeds", 0, "title").

        A field that is wrong as a whole is not looked into, so it hides what is wrong inside it.
        """
        node = self.tree
        for step in path:
            if "_errors" in node:
                return
            node = node.setdefault(str(step), {})
        noted = [*node.get("_errors", []), {"code": code, "message": message}]
        node.clear()
        node["_errors"] = noted

    def check(self) -> None:
        """Raise the 50035 with everything noted; nothing noted, nothing raised."""
        if self.tree:
            raise ApiError(Refusal.INVALID_FORM, errors=self.tree)


def form_error(path: tuple[str | int, ...], code: str, message: str) -> ApiError:
    """The refusal of a form that has one error."""
    errors = FormErrors()
    errors.add(path, code, message)
    return ApiError(Refusal.INVALID_FORM, errors=errors.tree)


class CommandRefused(Exception):  # noqa: N818 - it reads as what Discord's client does
    """Discord's client refuses what the person typed; the sentence says why."""


class InteractionFailed(Exception):  # noqa: N818 - the words of Discord's client
    """The application did not respond, or its answer was deleted."""
