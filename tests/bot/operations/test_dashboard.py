"""The dashboard that comes with the bot asks for what the bot counts, and for all of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from bot.app import App
from tests.bot.test_app import make_app

DASHBOARD = Path(__file__).parents[3] / "deploy/grafana.json"
# What of each kind is asked for.
_FORMS = {"histogram": "_bucket", "counter": "_total", "gauge": ""}


def asked_for(dashboard: object) -> Iterator[str]:
    """The names of metrics in every query of it."""
    if isinstance(dashboard, dict):
        for key, value in dashboard.items():
            if key in {"expr", "definition"}:
                yield from re.findall(r"imagine_\w+", value)
            else:
                yield from asked_for(value)
    elif isinstance(dashboard, list):
        for one in dashboard:
            yield from asked_for(one)


def counted(app: App) -> set[str]:
    """What /metrics has, as queries name it."""
    kinds = re.findall(r"^# TYPE (\w+) (\w+)$", app.metrics.text().decode(), re.MULTILINE)
    return {
        name.removesuffix("_total") + _FORMS[kind]
        for name, kind in kinds
        if not name.endswith("_created")  # when a counter began, which prometheus_client adds
    }


def test_the_dashboard_asks_for_what_is_counted_and_for_all_of_it(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    assert set(asked_for(json.loads(DASHBOARD.read_text()))) == counted(app)
