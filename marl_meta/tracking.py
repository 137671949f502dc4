"""The W&B tracker: the only user of wandb, which is imported when a run starts and not before.

Training must never crash or stall for the sake of its charts. So whatever goes wrong here ends in one line of
warning and a tracker that does less; and all that W&B writes stays in the run folder.
"""

from __future__ import annotations

import logging
import netrc
import os
import re
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from marl_meta.config import TrackingConfig
from marl_meta.wording import one_line

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline", "off"]

STEP_METRIC = "global/env_steps"
"""The counter that all charts are drawn over. W&B's own step is never used: it breaks on resume."""

PROBE_SECONDS = 2.0
INIT_SECONDS = 20.0
FINISH_SECONDS = 60.0
TEARDOWN_SECONDS = 1.0

_DEFAULT_HOST = "https://api.wandb.ai"
_MODES: dict[str, Mode] = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "off",
}
"""What the values of the environment variable WANDB_MODE mean."""

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class Tracker:
    """Sends metrics to W&B, or nowhere when there is no run."""

    def __init__(self, run: wandb.Run | None, mode: Mode, status: str) -> None:
        """Take an open W&B run, or None with mode `off`."""
        self._run = run
        self.mode: Mode = mode
        self.status = status
        """One line for people: where the metrics go, and why there."""
        self.run_id: str | None = None if run is None else run.id
        """What `open_tracker` takes as `resume_id` to go on with this run."""

    def log(self, metrics: Mapping[str, float]) -> None:
        """Record metrics by name, `global/env_steps` among them."""
        if self._run is not None:
            self._attempt(self._run.log, dict(metrics))

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Record a table by name."""
        if self._run is not None:
            self._attempt(_log_table, self._run, name, columns, rows)

    @property
    def active(self) -> bool:
        """Whether anybody gets what is recorded: what takes long to make need not be made for nobody."""
        return self._run is not None

    def log_pages(self, pages: Mapping[str, str], counters: Mapping[str, float]) -> None:
        """Record HTML pages by name, at the counters that charts are drawn over."""
        if self._run is not None:
            self._attempt(_log_pages, self._run, pages, counters)

    def log_film(self, name: str, film: bytes, counters: Mapping[str, float]) -> None:
        """Record an animated GIF by name, at the counters that charts are drawn over."""
        if self._run is not None:
            self._attempt(_log_film, self._run, name, film, counters)

    def log_folder(
        self, name: str, kind: str, folder: Path, aliases: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Keep the files of a folder as the next version of the artifact `name` of that kind."""
        if self._run is not None:
            self._attempt(_log_folder, self._run, name, kind, folder, aliases, metadata)

    def finish(self) -> None:
        """End the run; takes a while when much is still to be sent, but never longer than FINISH_SECONDS."""
        run, self._run = self._run, None
        if run is not None:
            outcome = _within(FINISH_SECONDS, run.finish)
            if isinstance(outcome, Exception):
                _log.warning("W&B did not finish: %s; the run folder has everything.", _reason(outcome))
                _let_go()

    def _attempt(self, action: Callable[..., object], *arguments: object) -> None:
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001 (whatever W&B raises, training goes on)
            _log.warning("W&B failed and is off from here on: %s.", _reason(error))
            self._run, self.mode, self.status = None, "off", f"W&B off: {_reason(error)}"


class Page(str):
    """A cell of a table that is an HTML page, and shown as one."""

    __slots__ = ()


def _log_table(run: wandb.Run, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    import wandb

    data = [[wandb.Html(cell, inject=False) if isinstance(cell, Page) else cell for cell in row] for row in rows]
    run.log({name: wandb.Table(columns=list(columns), data=data)})


def _log_pages(run: wandb.Run, pages: Mapping[str, str], counters: Mapping[str, float]) -> None:
    import wandb

    # Without `inject` W&B adds nothing to the page: what it adds is fetched from the network.
    run.log({**{name: wandb.Html(page, inject=False) for name, page in pages.items()}, **counters})


def _log_film(run: wandb.Run, name: str, film: bytes, counters: Mapping[str, float]) -> None:
    import wandb

    # From a file, since arrays would need another package; W&B keeps a copy of its own.
    path = Path(run.dir) / f".{name.replace('/', '-')}.gif"
    path.write_bytes(film)
    try:
        run.log({name: wandb.Video(str(path), format="gif"), **counters})
    finally:
        path.unlink()


def _log_folder(
    run: wandb.Run, name: str, kind: str, folder: Path, aliases: Sequence[str], metadata: Mapping[str, Any] | None
) -> None:  # fmt: skip
    import wandb

    artifact = wandb.Artifact(_artifact_name(name), kind, metadata=dict(metadata or {}))
    artifact.add_dir(str(folder))
    run.log_artifact(artifact, aliases=list(aliases))


def _artifact_name(name: str) -> str:
    """Return a name as W&B allows it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:128]


def open_tracker(
    config: TrackingConfig,
    run_dir: Path,
    values: Mapping[str, Any],
    name: str,
    resume_id: str | None = None,
    job_type: str = "train",
) -> Tracker:
    """Return a tracker for the run `name`, with `values` as its config; never raises and never asks.

    `auto` is online where a key is set and the host answers, else offline, else (without wandb) off; the
    environment variables WANDB_MODE and WANDB_DISABLED decide first. `online` does not ask the host first, and
    warns where it has to fall back. `resume_id` goes on with an earlier run.
    """
    mode, reason = choose_mode(config.wandb)
    if mode == "off":
        return Tracker(None, "off", f"W&B off: {reason}")
    if config.wandb == "online" and mode == "offline":
        _log.warning("W&B is offline: %s.", reason)
    _set_up_environment(run_dir / "wandb")
    arguments = {
        "project": config.project,
        "group": config.group,
        "name": name,
        "job_type": job_type,
        "config": dict(values),
        "dir": str(run_dir),
        "id": resume_id,
        "resume": None if resume_id is None else "allow",
    }
    run = _start(mode, arguments)
    if isinstance(run, ImportError):
        if config.wandb != "auto":
            _log.warning("W&B is off: wandb cannot be imported.")
        return Tracker(None, "off", "W&B off: wandb cannot be imported")
    if isinstance(run, Exception) and mode == "online":
        reason = _reason(run)
        _log.warning("W&B cannot go online and is offline: %s.", reason)
        mode, run = "offline", _start("offline", arguments)
    if isinstance(run, Exception):
        _log.warning("W&B cannot be started and is off: %s.", _reason(run))
        return Tracker(None, "off", f"W&B off: {_reason(run)}")
    where = run.url if mode == "online" else f"{run_dir / 'wandb'} ({reason}); send it with: wandb sync"
    return Tracker(run, mode, f"W&B {mode}: {where}")


def choose_mode(setting: str) -> tuple[Mode, str]:
    """Return where `TrackingConfig.wandb` means to track on this machine now, and why."""
    if setting == "off":
        return "off", "tracking is off"
    if setting == "offline":
        return "offline", "tracking is offline"
    if setting == "auto":
        if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes"):
            return "off", "WANDB_DISABLED is set"
        asked = _MODES.get(os.environ.get("WANDB_MODE", ""))
        if asked in ("off", "offline"):
            return asked, f"WANDB_MODE is {os.environ['WANDB_MODE']}"
        setting = asked or "auto"
    host = host_url()
    if not key_is_set(host):
        return "offline", "no key is set"
    if setting == "auto" and not reachable(host, PROBE_SECONDS):
        return "offline", f"{host} does not answer"
    return "online", "a key is set"


def host_url() -> str:
    """Return the address of the W&B server: WANDB_BASE_URL, else the public one."""
    return os.environ.get("WANDB_BASE_URL", _DEFAULT_HOST)


def key_is_set(host: str) -> bool:
    """Return whether there is a way to log in to `host` without asking: an environment variable or netrc."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    listed = os.environ.get("NETRC")
    for path in [Path(listed)] if listed else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            entry = netrc.netrc(str(path)).authenticators(urlsplit(host).hostname or "")
        except (OSError, netrc.NetrcParseError):
            continue
        if entry is not None:
            return True
    return False


def reachable(url: str, seconds: float) -> bool:
    """Return whether the server at `url`, or the proxy on the way there, accepts a connection in that time."""
    target = urlsplit(url)
    proxy = getproxies().get(target.scheme)
    if proxy and target.hostname and not proxy_bypass(target.hostname):
        target = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    address = (target.hostname or "", target.port or (80 if target.scheme == "http" else 443))

    def connect() -> None:
        socket.create_connection(address, timeout=seconds).close()

    return _within(seconds, connect) is None  # in a thread, because looking up a name has no time limit


def _set_up_environment(folder: Path) -> None:
    """Have wandb write all of its files below `folder`, which lies in the run folder, and keep quiet."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["WANDB_DIR"] = str(folder.parent)  # wandb itself appends the name of `folder`
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        os.environ[variable] = str(folder)
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # a report of an error would need the network too


def _start(mode: Literal["online", "offline"], arguments: dict[str, Any]) -> wandb.Run | Exception:
    """Return a new run, or what prevented it."""
    abandoned = threading.Event()

    def start() -> wandb.Run:
        import wandb  # slow to import, and not needed by a run without it

        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            init_timeout=INIT_SECONDS / 2,
            login_timeout=INIT_SECONDS / 4,
            finish_timeout=FINISH_SECONDS,
        )
        run = wandb.init(mode=mode, settings=settings, reinit="create_new", **arguments)
        run.define_metric(STEP_METRIC)
        run.define_metric("*", step_metric=STEP_METRIC)
        if abandoned.is_set():
            run.finish()
        return run

    outcome = _within(INIT_SECONDS, start)
    if isinstance(outcome, Exception):
        abandoned.set()
        _let_go()
    return outcome


def _let_go() -> None:
    """Part from wandb's background process, for which Python would otherwise wait at exit."""

    def tear_down() -> None:
        import wandb

        wandb.teardown()

    _within(TEARDOWN_SECONDS, tear_down)


def _reason(error: Exception) -> str:
    """Return the first line of a message, which says what happened; W&B's others give advice."""
    return one_line(Exception(str(error).partition("\n")[0] or type(error).__name__))


def _within(seconds: float, action: Callable[[], Result]) -> Result | Exception:
    """Return what `action` returns, or the exception that it raised, or a TimeoutError after so many seconds."""
    outcome: list[Result | Exception] = []

    def run() -> None:
        try:
            outcome.append(action())
        except Exception as error:  # noqa: BLE001 (handed to the caller, which is in another thread)
            outcome.append(error)

    thread = threading.Thread(target=run, name="tracking", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else TimeoutError(f"no answer within {seconds:g} seconds")
