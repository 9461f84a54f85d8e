"""What is counted: whatever the wall clock does meanwhile."""

from dataclasses import replace

from bot.core.events import Accepted, Begun, Drawn, Ended
from bot.core.job import FINAL, Record, State
from bot.operations.metrics import Metrics
from tests.bot.core.jobs import NOON_S, make_job

FORTY_DAYS_S = 40 * 86_400.0


def sums(metrics: Metrics) -> dict[str, float]:
    lines = metrics.text().decode().splitlines()
    return {
        name.partition("{")[0].removeprefix("imagine_").removesuffix("_sum"): float(value)
        for name, value in (line.split() for line in lines if not line.startswith("#"))
        if name.partition("{")[0].endswith("_sum")
    }


def test_a_clock_that_is_set_back_makes_no_time_negative() -> None:
    metrics = Metrics()
    record = Record(
        job=make_job(asked_at_s=NOON_S),
        state=State.DELIVERED,
        attempt=1,
        reason="",
        told=True,
        started_at_s=NOON_S - FORTY_DAYS_S,
        drawn_at_s=NOON_S - 2 * FORTY_DAYS_S,
        ended_at_s=NOON_S - 3 * FORTY_DAYS_S,
        images=(),
    )
    metrics.hear(Accepted(record.job, -FORTY_DAYS_S))
    metrics.hear(Drawn(record, "one"))
    metrics.hear(Ended(record))
    assert set(sums(metrics).values()) == {0.0}
    metrics.hear(Drawn(replace(record, started_at_s=NOON_S + 3, drawn_at_s=NOON_S + 5), "one"))
    assert (sums(metrics)["wait_seconds"], sums(metrics)["draw_seconds"]) == (3, 2)


def test_what_is_counted_by_kind_is_counted_from_nothing() -> None:
    metrics = Metrics()
    metrics.hear(Begun(make_job(), "one"))
    lines = metrics.text().decode().splitlines()
    for state in FINAL:
        assert f'imagine_jobs_ended_total{{state="{state.value}"}} 0.0' in lines
    assert 'imagine_refusals_total{error="JobRefusedError"} 0.0' in lines
    assert 'imagine_lost_total{engine="one"} 0.0' in lines
    assert 'imagine_draw_seconds_count{engine="one"} 0.0' in lines
