"""What the bot counts of itself, as Prometheus reads it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from bot.core.events import Accepted, Begun, Drawn, Ended, Event, Lost, Refused
from bot.core.job import FINAL, Record, State
from bot.core.ports.home import Shard
from bot.errors import GalleryError, JobRefusedError, KnownJobError, LedgerError
from sdxl_engine.errors import EngineStartError, InvalidRequestError, PictureCheckError

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_QUICK_S: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 3)
_SLOW_S: Final = (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 900)
# Why a command is not taken, as far as that is foreseen.
_REFUSALS: Final = (
    EngineStartError,
    GalleryError,
    InvalidRequestError,
    JobRefusedError,
    KnownJobError,
    LedgerError,
    PictureCheckError,
)

# The shards that there are, each with the name of its home.
ReadShards = Callable[[], Iterable[tuple[str, Shard]]]


class Metrics:
    """Counters, histograms and gauges of one bot; no label ever holds what people typed."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._accept_s = self._histogram(
            "accept_seconds", "From a command's arrival to its place in the ledger.", _QUICK_S
        )
        self.loop_lag_s = self._histogram(
            "loop_lag_seconds", "How much later than asked the event loop woke.", _QUICK_S
        )
        self._waited_s = self._histogram("wait_seconds", "From asked for to begun.", _SLOW_S)
        self._drawn_s = self._histogram(
            "draw_seconds", "From begun to pictures on the disk.", _SLOW_S, ["engine"]
        )
        self._begun = Counter(
            "imagine_begun_total", "Jobs begun.", ["engine"], registry=self._registry
        )
        self._lost = Counter(
            "imagine_lost_total",
            "Jobs whose engine was gone before they were drawn.",
            ["engine"],
            registry=self._registry,
        )
        self._delivered_s = self._histogram(
            "delivery_seconds", "From pictures on the disk to pictures in the channel.", _SLOW_S
        )
        self._ended = Counter(
            "imagine_jobs_ended_total", "Jobs that ended.", ["state"], registry=self._registry
        )
        self._refused = Counter(
            "imagine_refusals_total", "Commands not taken.", ["error"], registry=self._registry
        )
        # Prometheus sees a count rise only where it was told of it before: the first of a kind,
        # which may stay the only one, would be missed.
        for state in FINAL:
            self._ended.labels(state.value)
        for error in _REFUSALS:
            self._refused.labels(error.__name__)

    def gauge(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Something to be looked at whenever somebody asks."""
        Gauge(f"imagine_{name}", about, registry=self._registry).set_function(read)

    def shards(self, read: ReadShards) -> None:
        """What connects the bot to its homes, to be looked at whenever somebody asks."""
        self._registry.register(_Shards(read))

    def hear(self, event: Event) -> None:
        """Count what happened."""
        match event:
            case Accepted(_, took_s):
                _observe(self._accept_s, took_s)
            case Refused(error):
                self._refused.labels(type(error).__name__).inc()
            case Begun(_, engine):  # how long it waited is known when it is drawn
                self._begun.labels(engine).inc()
                self._drawn_s.labels(engine)  # from nothing, as above
                self._lost.labels(engine)
            case Drawn(record, engine):
                self._drawn(record, engine)
            case Lost(_, engine):
                self._lost.labels(engine).inc()
            case Ended(record):
                self._ended.labels(record.state.value).inc()
                if record.state is State.DELIVERED:
                    self._delivered(record)

    def _drawn(self, record: Record, engine: str) -> None:
        if record.started_at_s is not None and record.drawn_at_s is not None:
            _observe(self._waited_s, record.started_at_s - record.job.asked_at_s)
            _observe(self._drawn_s.labels(engine), record.drawn_at_s - record.started_at_s)

    def _delivered(self, record: Record) -> None:
        if record.drawn_at_s is not None and record.ended_at_s is not None:
            _observe(self._delivered_s, record.ended_at_s - record.drawn_at_s)

    def text(self) -> bytes:
        """Everything, in Prometheus' text form."""
        return generate_latest(self._registry)

    def _histogram(
        self, name: str, about: str, buckets: tuple[float, ...], labels: Sequence[str] = ()
    ) -> Histogram:
        return Histogram(f"imagine_{name}", about, labels, buckets=buckets, registry=self._registry)


class _Shards(Collector):
    """Metrics with a label for whatever shards there are when somebody asks."""

    def __init__(self, read: ReadShards) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks for."""
        labels = ["home", "shard"]
        connected = GaugeMetricFamily(
            "imagine_shard_connected", "Whether a shard is connected.", labels=labels
        )
        latency_s = GaugeMetricFamily(
            "imagine_shard_latency_seconds",
            "From a heartbeat of a shard to its answer.",
            labels=labels,
        )
        reconnects = CounterMetricFamily(
            "imagine_shard_reconnects", "How often a shard came back.", labels=labels
        )
        for home, shard in self._read():
            of = [home, str(shard.id)]
            connected.add_metric(of, shard.is_connected)
            reconnects.add_metric(of, shard.reconnects)
            if shard.latency_s is not None:
                latency_s.add_metric(of, shard.latency_s)
        yield from (connected, latency_s, reconnects)


def _observe(histogram: Histogram, seconds: float) -> None:
    # Between two looks at the wall clock somebody may have set it back.
    histogram.observe(max(seconds, 0.0))
