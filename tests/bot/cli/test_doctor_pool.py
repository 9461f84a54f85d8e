"""`imagine doctor --pool`, of pools that are well and of others."""

from dataclasses import replace

import pytest

from bot.cli.doctor_pool import examine_pool, findings_of_engines, findings_of_kinds
from bot.cli.finding import Finding
from bot.config.sections import Config, EngineConfig, PoolConfig
from bot.core.queue.turns import Load
from bot.engines.pool.cluster import TOKEN_VARIABLE, KindStatus, PoolStatus
from bot.engines.pool.described import Beat, Warm
from bot.engines.pool.drawings import Key
from bot.shared.own_version import own_version
from tests.standins.slack.ports import held_port

WARM = Warm("4 x TPU v5 lite", ((64, 64),), ("doodle", "sdxl"), {}, ())
BEAT = Beat("tpu-k3", "tpu", frozenset({None}), own_version(), "host-2", WARM, None, ())
LOAD = Load(7, 1, None)


def of_engine(beat: Beat) -> Finding:
    found, load = findings_of_engines([beat], LOAD)
    assert load == Finding("ok", "Jobs that wait: 7; that are drawn: 1.")
    return found


def test_an_engine_says_where_it_is_with_what_it_draws_and_whether() -> None:
    said = "tpu-k3 on host-2: 4 x TPU v5 lite, doodle, sdxl; it is free."
    assert of_engine(BEAT) == Finding("ok", said)
    busy = of_engine(replace(BEAT, drawing=Key("abc", 2)))
    assert busy == Finding("ok", said.replace("it is free", "it draws abc"))


def test_one_of_another_version_is_told() -> None:
    old = of_engine(replace(BEAT, version="0.0.1"))
    assert old.level == "warn"
    assert "It is of version 0.0.1" in old.what


def test_that_no_engine_is_warm_is_told() -> None:
    assert [one.level for one in findings_of_engines([], LOAD)] == ["warn", "ok"]


# As Ray Serve 2.60 says why an engine does not start, but for what lies between.
SERVES_WORDS = """The deployment failed to start 3 times in a row. Error:
\x1b[36mray::ServeReplica:imagine:engine.initialize_and_get_metadata()\x1b[39m (pid=2, ip=127.0.0.1)
  File "replica.py", line 79, in _started
    return self._thread.ready.result(timeout=_LOOKS_EVERY_S)
sdxl_engine.errors.EngineStartError: There is no model."""


def test_what_serve_says_is_told() -> None:
    (nobody,) = findings_of_kinds(PoolStatus("", {}))
    assert nobody.level == "FAIL"
    assert "--role engine" in nobody.mend
    kinds = {"tpu": KindStatus("HEALTHY", {"RUNNING": 2, "STARTING": 1}, "")}
    assert list(findings_of_kinds(PoolStatus("RUNNING", kinds))) == [
        Finding("ok", "tpu: 2 running, 1 starting.")
    ]
    kinds = {"tpu": KindStatus("DEPLOY_FAILED", {}, SERVES_WORDS)}
    failed, none = findings_of_kinds(PoolStatus("DEPLOY_FAILED", kinds))
    assert (failed.level, none.level) == ("FAIL", "warn")
    assert "There is no model." in failed.what


def test_where_there_is_none_to_ask_it_says_so() -> None:
    assert [one.level for one in examine_pool(Config())] == ["warn"]
    own = Config(engine=EngineConfig(pool="ray"))
    assert [one.level for one in examine_pool(own)] == ["ok"]


def test_a_cluster_that_is_not_there_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "0")
    with held_port() as port:
        config = Config(
            engine=EngineConfig(pool="ray"), pool=PoolConfig(address=f"127.0.0.1:{port}")
        )
        (found,) = examine_pool(config)
    assert found.level == "FAIL"
