"""All parts of a pool together: Ray, and on it Ray Serve with the engines and their turns.

What is called here may take seconds: on a thread, where an event loop runs. To join on one also
keeps Ray from putting a handler for SIGTERM of its own, in Python, into the place of ours; the one
in its core comes in any case, so signals are listened to afterwards. And the thread has to stay: a
cluster of its own ends with it (`findings/ray_cluster_ends_with_its_thread.sh`).
"""

import importlib
import logging
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bot.engines.pool.described import APPLICATION, TURNS
from bot.engines.pool.kinds import Kind
from bot.engines.pool.replica import EngineReplica, Patience
from bot.engines.pool.scaling import engines_wanted
from bot.engines.pool.turns import TurnsReplica
from bot.errors import ConfigError
from bot.shared.shown import one_line
from sdxl_engine.errors import EngineStartError
from sdxl_engine.thread import Pipeline

log = logging.getLogger(__name__)

StartPipeline = Callable[[], Pipeline]

TOKEN_VARIABLE: Final = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of a variable, as the next
TOKEN_FILE_VARIABLE: Final = "RAY_AUTH_TOKEN_PATH"  # noqa: S105
_TOKEN_FILE: Final = Path(".ray/auth_token")  # where Ray itself looks, in the home folder
# Of one message, pictures too, where Serve would take 4 MB; whoever receives it looks at this.
_ANY_LENGTH: Final = {"RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1)}
_ENVIRONMENT: Final = {
    "RAY_AUTH_MODE": "token",  # whoever may call an engine may run anything there
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a thread of Serve's that comes late would start a cluster
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # From process to process: as calls of Ray's actors they took nearly twice as long.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    **_ANY_LENGTH,
}
# Without this Ray takes 127.0.0.1 for the machine's outer address, whoever says it, and listens on
# all interfaces. One port of each replica still does, which wants the token.
_ON_LOOPBACK: Final = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_CONNECT_LIMIT_S: Final = 5.0
_SAID_CHARS: Final = 200
_OF_USE: Final = {"STARTING", "RUNNING"}  # states of replicas
_CLASS: Final = re.compile(r"^[\w.]+: ")  # of an exception, before what it says
_CALLS: Final = 1_000  # of each replica at a time: whoever watches is one
_LOOKS_EVERY_S: Final = 5.0  # whether a replica is well; the third time that it is not, it goes
_LOOK_LIMIT_S: Final = 30.0
_LETS_END_S: Final = 300.0  # what is drawn by an engine that is one too many
_TRIES: Final = 3  # to start an engine
_MORE_AFTER_S, _FEWER_AFTER_S = 10.0, 600.0
_TELLS_EVERY_S: Final = 2.0  # an engine what waits; Serve asks for more often than it looks back
# What a replica finds in its environment, whatever the cluster was started with.
_THERE: Final = {"runtime_env": {"env_vars": _ANY_LENGTH}}
_NATIVE: Final = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
_ROUTER: Final = "bot.engines.pool.routing.EngineRouter"


@dataclass(frozen=True, slots=True)
class KindStatus:
    """How a kind of engines is doing, as Ray Serve has it.

    replicas  how many there are in each of Serve's states, such as RUNNING
    message   Serve's; empty if there is nothing to say
    """

    status: str
    replicas: Mapping[str, int]
    message: str

    @property
    def said_last(self) -> str:
        """Of a message that ends with a trace, as Serve's do, what was raised; else all of it."""
        last = self.message.rstrip().rpartition("\n")[2]
        return _CLASS.sub("", last)

    @property
    def there(self) -> str:
        """How many in which state, for people."""
        each = (f"{n} {state.lower()}" for state, n in self.replicas.items())
        return ", ".join(each) or "none yet"


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """How a pool is doing.

    status  Serve's of the whole, such as RUNNING; empty: there is none
    kinds   by name
    """

    status: str
    kinds: Mapping[str, KindStatus]

    @property
    def failure(self) -> str | None:
        """Why there will be no engines, as a sentence; None: there are, or may yet be.

        Serve calls the whole failed where an engine that ran is being replaced, too.
        """
        engines = {name: kind for name, kind in self.kinds.items() if name != TURNS}
        failed = [name for name, kind in engines.items() if kind.status == "DEPLOY_FAILED"]
        if not failed or any(kind.replicas.keys() & _OF_USE for kind in engines.values()):
            return None
        said = [f"{name}: {engines[name].said_last}" for name in failed if engines[name].message]
        return f"No engine could be started. {' '.join(said) or 'Ray Serve does not say why.'}"


class Cluster:
    """A Ray cluster that this process is connected with; one at a time.

    address  of its head; empty: one of its own on this machine, which ends when it is left
    """

    def __init__(self, address: str = "") -> None:
        self._address = address
        self._folder: Path | None = None
        self._owner = secrets.token_hex(8)

    def join(self) -> None:
        """Connect, or start one; raises ConfigError, EngineStartError."""
        # All of it before Ray is imported, which looks at it then.
        os.environ.update(_ENVIRONMENT)
        if not self._address or _is_loopback(self._address):
            os.environ.update(_ON_LOOPBACK)
        if self._address:
            _check_token()
            _check_reachable(self._address)
        else:
            os.environ.setdefault(TOKEN_VARIABLE, secrets.token_hex(32))
        ray = _ray()
        # What people ask for may stand in its logs, and Ray opens to everybody what it makes: in a
        # folder that is closed.
        own: dict[str, Any] = {}
        if not self._address:
            self._folder = Path(tempfile.mkdtemp(prefix="imagine-"))
            own = {"_temp_dir": str(self._folder / "ray"), "include_dashboard": False}
        try:
            ray.init(
                address=self._address or "local",  # never what happens to run here
                namespace=APPLICATION,
                configure_logging=False,
                log_to_driver=not self._address,
                **own,
            )
        except Exception as error:
            self.leave()
            where = f"cluster at {self._address}" if self._address else "cluster of the bot's own"
            raise EngineStartError(
                f"The Ray {where} cannot be had ({one_line(str(error), _SAID_CHARS)}). One at an "
                "address wants this machine to belong to it (ray start --address=...), and the "
                f"token that it was started with in {TOKEN_VARIABLE}."
            ) from error
        importlib.import_module("ray.serve")  # seconds, which no event loop has

    @property
    def address(self) -> str:
        """Of its head, for others on this machine; while it is joined."""
        return str(_ray().get_runtime_context().gcs_address)

    def leave(self) -> None:
        """Disconnect; a cluster of its own ends, any other goes on."""
        ray = _ray()
        ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def deploy(
        self,
        kinds: Sequence[Kind],
        start_of: Callable[[Kind], StartPipeline],
        patience: Patience,
        *,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Have these engines, and none but these; returns before they are warm.

        start_of  what makes the pipeline of such an engine, there
        options   of Serve's for each of its deployments, in the place of the usual ones
        """
        from ray import serve  # noqa: PLC0415 - where somebody has a pool

        serve.start(proxy_location="Disabled")
        usual = {
            "max_ongoing_requests": _CALLS,
            "health_check_period_s": _LOOKS_EVERY_S,
            "health_check_timeout_s": _LOOK_LIMIT_S,
            "graceful_shutdown_timeout_s": _LETS_END_S,
            "max_constructor_retry_count": _TRIES,
            **(options or {}),
        }
        engines = [
            serve.deployment(EngineReplica, name=kind.name, **{**usual, **_options_of(kind)}).bind(
                kind.name, start_of(kind), patience, is_first=kind is kinds[0]
            )
            for kind in kinds
        ]
        turns = serve.deployment(
            TurnsReplica, name=TURNS, ray_actor_options={"num_cpus": 0, **_THERE}, **usual
        )
        serve.run_many(
            [
                serve.RunTarget(
                    turns.bind(*engines, owner=self._owner), name=APPLICATION, route_prefix=None
                )
            ],
            wait_for_applications_running=False,
        )

    def status(self) -> PoolStatus:
        """How the pool is doing."""
        from ray import serve  # noqa: PLC0415 - as above

        found = serve.status().applications.get(APPLICATION)
        if found is None:
            return PoolStatus("", {})
        kinds = {
            name: KindStatus(
                str(one.status.value),
                {str(state): count for state, count in one.replica_states.items()},
                one.message,
            )
            for name, one in found.deployments.items()
        }
        return PoolStatus(str(found.status.value), kinds)

    def is_ours(self) -> bool | None:
        """Whether this process has the pool, or another; None: nobody answers."""
        from ray import serve  # noqa: PLC0415 - as above

        try:
            turns = serve.get_deployment_handle(TURNS, APPLICATION)
            return bool(turns.whose.remote().result(timeout_s=_CONNECT_LIMIT_S) == self._owner)
        except Exception:  # noqa: BLE001 - Ray tells in many ways that there is nobody
            return None

    def short_of(self, kinds: Sequence[Kind]) -> list[str]:
        """The kinds of which no machine of the cluster could have one now."""
        machines = [one["Resources"] for one in _ray().nodes() if one["Alive"]]

        def fits(kind: Kind, machine: Mapping[str, float]) -> bool:
            return all(machine.get(name, 0.0) >= amount for name, amount in kind.resources.items())

        return [kind.name for kind in kinds if not any(fits(kind, one) for one in machines)]

    def take_down(self) -> None:
        """End the pool, once its engines have drawn what bots still watch; not another's."""
        from ray import serve  # noqa: PLC0415 - as above

        if self.is_ours() is False:
            log.warning("another process has the engines now: they go on")
            return
        try:
            serve.delete(APPLICATION)  # on a cluster there may be others
        except TimeoutError:
            log.warning("an engine has not ended within a minute; Ray Serve goes on ending it")


def _options_of(kind: Kind) -> dict[str, Any]:
    """What Ray and Serve are told of a kind of engines."""
    from ray.serve.config import (  # noqa: PLC0415 - as above
        AutoscalingConfig,
        AutoscalingPolicy,
        RequestRouterConfig,
    )

    actor: dict[str, Any] = {"num_cpus": 0, **_THERE}
    others = {}
    for name, amount in kind.resources.items():
        if name in _NATIVE:
            actor[_NATIVE[name]] = amount
        else:
            others[name] = amount
    options: dict[str, Any] = {
        "ray_actor_options": {**actor, "resources": others},
        "request_router_config": RequestRouterConfig(request_router_class=_ROUTER),
    }
    if kind.least == kind.most:
        return {**options, "num_replicas": kind.least}
    scaling = AutoscalingConfig(
        min_replicas=kind.least,
        max_replicas=kind.most,
        upscale_delay_s=_MORE_AFTER_S,
        downscale_delay_s=_FEWER_AFTER_S,
        look_back_period_s=_MORE_AFTER_S,
        metrics_interval_s=_TELLS_EVERY_S,
        policy=AutoscalingPolicy(
            policy_function=f"{engines_wanted.__module__}:{engines_wanted.__name__}"
        ),
    )
    return {**options, "autoscaling_config": scaling}


def _check_token() -> None:
    """Raise ConfigError if there is nothing that opens a cluster."""
    if os.environ.get(TOKEN_VARIABLE) or os.environ.get(TOKEN_FILE_VARIABLE):
        return
    if not (Path.home() / _TOKEN_FILE).is_file():
        raise ConfigError(
            f"[pool] address names a Ray cluster, and there is no token for it. Set "
            f"{TOKEN_VARIABLE} to the one that the cluster was started with (RAY_AUTH_MODE=token)."
        )


def _check_reachable(address: str) -> None:
    """Raise EngineStartError if nothing listens there: Ray would look for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_LIMIT_S).close()
    except OSError as error:
        raise EngineStartError(
            f"There is no Ray cluster at {address} ({error.strerror or error}). Start it, or "
            "correct [pool] address."
        ) from error


def _is_loopback(address: str) -> bool:
    return address.rpartition(":")[0] in {"127.0.0.1", "localhost", "[::1]"}


def _ray() -> Any:  # noqa: ANN401 - a module
    try:
        import ray  # noqa: PLC0415 - only where somebody has a pool
    except ImportError as error:
        raise ConfigError(
            '[engine] pool = "ray" needs Ray, which is not installed here: make setup-scale, or '
            "pip install 'imagine-bot[ray]'."
        ) from error
    return ray
