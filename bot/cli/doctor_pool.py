"""What `imagine doctor --pool` finds: which engines there are, and how they do."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bot.cli.finding import Finding, Level
from bot.config.sections import Config
from bot.core.queue.turns import Load
from bot.errors import ConfigError, EngineGoneError
from bot.shared.own_version import own_version
from sdxl_engine.errors import EngineStartError

if TYPE_CHECKING:  # they bring Ray, where it is needed
    from bot.engines.pool.cluster import PoolStatus
    from bot.engines.pool.described import Beat


def examine_pool(config: Config) -> Iterator[Finding]:
    """All that can be said of the pool of a configuration, which is asked for it."""
    if config.engine.pool == "thread":
        what = 'There is no pool of engines: [engine] pool is "thread".'
        yield Finding("warn", what, 'For one, set it to "ray".')
    elif not config.pool.address:
        what = "The engines are the bot's own: they come and go with `imagine serve`, out of sight."
        yield Finding("ok", what)
    else:
        yield from _ask(config)


def _ask(config: Config) -> Iterator[Finding]:
    from bot.engines.pool.calls import ServeCalls  # noqa: PLC0415 - where somebody has a pool
    from bot.engines.pool.cluster import Cluster  # noqa: PLC0415
    from bot.engines.pool.described import TURNS  # noqa: PLC0415
    from bot.engines.pool.kinds import kinds_of  # noqa: PLC0415

    cluster = Cluster(config.pool.address)
    with ThreadPoolExecutor(1) as thread:  # as `Cluster` wants it
        try:
            thread.submit(cluster.join).result()
        except (ConfigError, EngineStartError) as error:
            yield Finding("FAIL", str(error))
            return
        try:
            status = cluster.status()
            yield from findings_of_kinds(status)
            if status.status and status.failure is None:
                for name in cluster.short_of(kinds_of(config)):
                    mend = "Give it less in [pool] resources, or add such a machine: `ray status`."
                    yield Finding("FAIL", f"No machine has what one of {name} takes.", mend)
                beats, load = asyncio.run(ServeCalls().call(TURNS, "engines"))
                yield from findings_of_engines(beats, load)
        except EngineGoneError as error:
            mend = "It starts with the engines: wait, or see what `serve --role engine` says."
            yield Finding("FAIL", f"What hands the jobs to engines does not answer: {error}", mend)
        finally:
            thread.submit(cluster.leave).result()


def findings_of_kinds(status: "PoolStatus") -> Iterator[Finding]:
    """What Ray Serve says."""
    if not status.status:
        mend = "Start `imagine serve --role engine` on one of its machines."
        yield Finding("FAIL", "Nobody has started engines on the cluster.", mend)
    elif status.failure is not None:
        mend = "Mend that, and start `imagine serve --role engine` anew."
        yield Finding("FAIL", status.failure, mend)
    for name, kind in status.kinds.items():
        level: Level = "ok" if kind.replicas.get("RUNNING") else "warn"
        yield Finding(level, f"{name}: {kind.there}.")


def findings_of_engines(beats: Sequence["Beat"], load: Load) -> Iterator[Finding]:
    """What the engines say of themselves, and what waits for them."""
    ours = own_version()
    for beat in beats:
        models = ", ".join(beat.warm.models)
        doing = "it is free" if beat.drawing is None else f"it draws {beat.drawing.job_id}"
        what = f"{beat.engine} on {beat.host}: {beat.warm.device}, {models}; {doing}."
        if beat.version != ours:
            mend = "Install one version everywhere, then start `imagine serve --role engine` anew."
            yield Finding("warn", f"{what} It is of version {beat.version}, here is {ours}.", mend)
        else:
            yield Finding("ok", what)
    if not beats:
        mend = "The first start of a model takes minutes. One that hangs is replaced by itself."
        yield Finding("warn", "No engine is warm.", mend)
    yield Finding("ok", f"Jobs that wait: {load.waiting}; that are drawn: {load.drawing}.")
