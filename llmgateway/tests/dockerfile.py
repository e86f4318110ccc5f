"""The Dockerfile's steps as a script: run as they stand, by root, on a copy of this machine.

The copy is written to elsewhere, and gone afterwards. The machine stands in for the base image,
with an empty virtual environment for its Python. Each step has mounts and processes of its own.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from llmgateway.tests.plugin import ROOT

PYTHON = "/usr/local/empty"
MACHINE = """PATH=$PATH:/usr/sbin:/sbin  # not everybody's
set -eu
mount -t overlay overlay -o lowerdir=/,upperdir={here}/written,workdir={here}/work {here}/root
mount --rbind /dev {here}/root/dev
mount -t proc proc {here}/root/proc
"""
READ_ONLY = """mount -t tmpfs tmpfs {here}/root/tmp
mount -o remount,ro {here}/root
mount --bind {here}/volume {here}/root{volume}
"""
ISOLATED = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"]


class Image:
    """The image that the Dockerfile builds.

    `start` runs its CMD as `docker run --read-only --init --cap-drop=ALL` would, with an empty
    volume.
    """

    def __init__(self, here: Path) -> None:
        self.here = here
        for name in ("written", "work", "root"):
            (here / name).mkdir(parents=True)
        for path in sent():
            (here / "context" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, here / "context" / path)
        # the way to PyPI
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if re.fullmatch("(?i)PIP_.*|.*_PROXY|SSL_CERT_.*", name)
        }
        self.environment |= {
            "HOME": "/root",
            "PATH": f"{PYTHON}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }
        self.folder, self.user, self.volume = "/", "", ""
        for name, rest in instructions((ROOT / "Dockerfile").read_text()):
            self.step(name, rest)

    def step(self, name: str, rest: str) -> None:
        match name:
            case "FROM":
                python = Path(sys.base_prefix)
                # a Python in root's home would be root's alone
                folders = shlex.join(map(str, (python, *python.parents)))
                self.run(
                    f"rm -rf {PYTHON} /app /srv /var/lib/llmgateway; chmod a+x {folders}; "
                    f"{python}/bin/python3 -m venv {PYTHON}"
                )
            case "ENV":
                self.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
                self.environment.pop("PIP_NO_CACHE_DIR", None)  # this machine has most of it
            case "WORKDIR":
                self.folder = rest
                self.run(f"mkdir -p {rest}")
            case "COPY":
                source, target = rest.split()
                self.machine(
                    f"cp -r --preserve=mode {self.here}/context/{source} "
                    f"{self.here}/root{self.folder}/{target}"
                )
            case "RUN":
                self.run(rest)
            case "USER":
                self.user = rest
            case "VOLUME":
                self.volume = rest
                self.machine(f"cp -a {self.here}/root{rest} {self.here}/volume")
            case "HEALTHCHECK":
                self.health = json.loads(rest.partition("CMD ")[2])
            case "CMD":
                self.command = json.loads(rest)
            case _:
                assert name == "EXPOSE", f"{name} is nothing that this can do"

    def run(self, command: str) -> None:
        self.machine(f"exec chroot {self.here}/root {self.within(command)}")

    def within(self, command: str, **environment: str) -> str:
        variables = (f"{name}={value}" for name, value in (self.environment | environment).items())
        return shlex.join(["env", "-i", *variables, "sh", "-c", f"cd {self.folder}; {command}"])

    def machine(self, script: str) -> None:
        done = subprocess.run(
            [*ISOLATED, MACHINE.format(here=self.here) + script],
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr

    def start(self, **environment: str) -> subprocess.Popen:
        account, _, group = self.user.partition(":")
        setpriv = (
            f"setpriv --reuid={account} --regid={group} --clear-groups --no-new-privs "
            "--bounding-set=-all"
        )
        command = self.within("exec " + shlex.join(self.command), **environment)
        script = MACHINE + READ_ONLY + "chroot {here}/root " + f"{setpriv} {command} & wait $!"
        return subprocess.Popen(
            [*ISOLATED, script.format(here=self.here, volume=self.volume)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def written(self, path: str) -> Path:
        """What the steps wrote there."""
        return self.here / "written" / path.lstrip("/")


def instructions(text: str) -> list[tuple[str, str]]:
    lines = (
        "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        .replace("\\\n", " ")
        .splitlines()
    )
    return [
        (name, " ".join(rest.split()))
        for name, _, rest in (line.partition(" ") for line in lines if line)
    ]


def sent() -> list[Path]:
    """The files that .dockerignore lets through."""
    files = (
        file
        for top in ROOT.iterdir()
        if passes(Path(top.name))
        for file in (top, *top.rglob("*"))
        if file.is_file()
    )
    return [path for file in files if passes(path := file.relative_to(ROOT))]


def passes(path: Path) -> bool:
    """The last pattern of .dockerignore that matches it, or a folder above it, decides."""
    passes = True
    for pattern in (ROOT / ".dockerignore").read_text().split():
        glob = pattern.removeprefix("!")
        names = (
            [part.name for part in (path, *path.parents)]
            if glob.startswith("**/")
            else path.parts[:1]
        )
        if any(fnmatch.fnmatchcase(name, glob.removeprefix("**/")) for name in names):
            passes = pattern.startswith("!")
    return passes
