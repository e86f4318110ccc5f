"""`manage.py serve` in a process of its own, for tests."""

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time

import psutil

from llmgateway.tests.plugin import ROOT, SETTINGS


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """A serve of its own data and port; what it prints, line by line.

    Its waits are long, as a machine may be busy.
    """

    running = []  # what the fixture `var` ends, where a test did not

    def __init__(self, var, **settings):
        self.var = var
        self.port = int(settings.get("PORT", 0)) or free_port()
        ours = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        self.environment = (
            ours
            | {"ENV_FILE": os.devnull, "VAR_DIR": str(var), "PORT": str(self.port), "GRACE": "5"}
            | settings
        )
        self.lines = []

    def manage(self, *arguments, **settings):
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment | settings,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def start(self, *part, **settings):
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", *part],
            cwd=ROOT,
            env=self.environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(
            target=lambda: self.lines.extend(self.process.stdout), daemon=True
        )
        self.reader.start()
        self.running.append(self)
        return self

    def until(self, condition, seconds=180):
        latest = time.monotonic() + seconds
        while not (value := condition()):
            assert self.process.poll() is None, self.text
            assert time.monotonic() < latest, self.text
            time.sleep(0.05)
        return value

    def up(self):
        self.until(lambda: re.search("Ctrl-C stops it|The first account", self.text))
        return self

    def ended(self, seconds=120):
        code = self.process.wait(seconds)
        self.reader.join(60)
        self.process.stdout.close()
        return code

    def get(self, path, **headers):
        return self.call("GET", path, None, headers)

    def post(self, path, body, **headers):
        return self.call("POST", path, body, headers)

    def call(self, method, path, body, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def answers(self):
        try:
            return self.get("/ping")[0] == 200
        except OSError:
            return False

    @property
    def text(self):
        return "".join(self.lines)

    def left(self):
        """Every process that still works on these data."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and (
                    process.environ().get("VAR_DIR") == str(self.var)
                    or str(self.var / "pg") in process.cmdline()
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found
