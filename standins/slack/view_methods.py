"""The methods of views.*."""

from collections.abc import Mapping

from standins.base.wire import Json
from standins.slack.errors import ApiError
from standins.slack.invocations import Triggers
from standins.slack.views import Views
from standins.slack.web_api import Arguments, Method
from standins.slack.world import World


class ViewMethods:
    """Opens, changes and publishes views."""

    def __init__(self, world: World, views: Views, triggers: Triggers) -> None:
        self._world = world
        self._views = views
        self._triggers = triggers

    def methods(self) -> Mapping[str, Method]:
        """By name."""
        return {
            "views.open": Method(self._open),
            "views.update": Method(self._update),
            "views.push": Method(self._push),
            "views.publish": Method(self._publish),
        }

    def _open(self, arguments: Arguments) -> Json:
        definition = self._definition(arguments)
        user_id = self._triggers.exchange(arguments.required("trigger_id"))
        return {"view": self._views.open(user_id, definition).json(self._world)}

    def _push(self, arguments: Arguments) -> Json:
        definition = self._definition(arguments)
        user_id = self._triggers.exchange(arguments.required("trigger_id"), on_view=True)
        return {"view": self._views.push(user_id, definition).json(self._world)}

    def _update(self, arguments: Arguments) -> Json:
        view = self._views.find(arguments.text("view_id"), arguments.text("external_id"))
        definition = self._definition(arguments, str(view.definition["type"]))
        self._views.update(view, definition, arguments.text("hash"))
        return {"view": view.json(self._world)}

    def _publish(self, arguments: Arguments) -> Json:
        person = self._world.people.get(arguments.required("user_id"))
        if person is None or person.is_bot:
            raise ApiError("user_not_found")
        definition = self._definition(arguments, "home")
        view = self._views.publish(person.id, definition, arguments.text("hash"))
        return {"view": view.json(self._world)}

    def _definition(self, arguments: Arguments, kind: str = "modal") -> Json:
        return self._views.check(arguments.json("view"), kind=kind)
