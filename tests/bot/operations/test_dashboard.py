"""The dashboard that comes with the bot asks for what the bot counts, and for all of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from bot.app import App
from bot.core.events import Begun
from bot.core.ports.home import Shard
from bot.operations.metrics import Metrics
from tests.bot.core.jobs import make_job
from tests.bot.test_app import make_app

DASHBOARD = Path(__file__).parents[3] / "deploy/grafana.json"
# What of each kind is asked for.
_FORMS = {"histogram": "_bucket", "counter": "_total", "gauge": ""}
# A counter's: what is rare would be another number with each zoom by `$__rate_interval`.
_WITHIN_AN_HOUR = re.compile(r"increase\(imagine_\w+_total\{[^}]*\}\[1h\]\)")


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


def queries() -> Iterator[tuple[str, str, str]]:
    """Each panel's title, with a query and what its lines are called."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], target["legendFormat"]


def counted(app: App) -> set[str]:
    """What /metrics has, as queries name it."""
    kinds = re.findall(r"^# TYPE (\w+) (\w+)$", app.metrics.text().decode(), re.MULTILINE)
    return {
        name.removesuffix("_total") + _FORMS[kind]
        for name, kind in kinds
        if not name.endswith("_created")  # when a counter began, which prometheus_client adds
    }


def full_metrics() -> Metrics:
    """Of a bot where each thing that has labels was counted."""
    metrics = Metrics()
    metrics.gauge("queue_length", "", float)
    metrics.gauge("engine_silent_seconds", "", float)
    metrics.shards(lambda: [("discord", Shard(0, True, 0.02, 1))])
    metrics.hear(Begun(make_job(), "one"))
    return metrics


def labels_of(text: str) -> dict[str, set[str]]:
    """The labels of each metric that has a number."""
    named = re.findall(r"^(imagine_\w+)(?:\{(.*)\})? ", text, re.MULTILINE)
    return {name: set(re.findall(r'(\w+)="', labels)) for name, labels in named}


def test_the_dashboard_asks_for_what_is_counted_and_for_all_of_it(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    assert set(asked_for(json.loads(DASHBOARD.read_text()))) == counted(app)


def test_what_is_counted_is_told_by_the_hour() -> None:
    for title, expr, _ in queries():
        is_hourly = bool(_WITHIN_AN_HOUR.search(expr))
        assert is_hourly == ("_total" in expr) == title.endswith("hour"), title


def test_a_legend_names_labels_that_are_left() -> None:
    every = labels_of(full_metrics().text().decode())
    for _, expr, legend in queries():
        [name] = re.findall(r"imagine_\w+", expr)
        labels = every[name] | {"instance"}
        summed = re.search(r"sum by \((.*?)\)", expr)
        left = set(summed[1].split(", ")) if summed else labels
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= left <= labels, name
