"""What is in force: each setting's value, where it comes from, and all that is wrong.

    environment ──┐
    .env ─────────┼─▶ texts by name ─▶ the schema's kinds ─▶ values, and problems
    NAME_FILE ────┘

Reading never fails. What is wrong is collected, all of it, and no value of a secret is in it. Who
starts something asks `Reading.problems` first: a wrong value leaves its default in `values`.
"""

import difflib
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import environ

from llmgateway.configuration import kinds, schema
from llmgateway.configuration.schema import BASE_DIR, SETTINGS, Computed, Setting

ENVIRONMENT = "environment"
QUOTABLE = 16  # characters of a wrong value that are shown: a key is longer
ALIKE = 0.7  # of two names, one of which is no setting's
ALMOST = 0.85  # the same in the environment, which holds other programs' names too
# An upstream may be given the credential of LLM_ENDPOINT, and no other secret of the gateway.
LENDABLE = "LLM_API_AUTHORIZATION"


class Problem(NamedTuple):
    """Something that is wrong with a setting; `where` is FILE:LINE, or empty."""

    name: str
    where: str
    text: str
    fix: str

    @property
    def sentence(self) -> str:
        where = f" ({self.where})" if self.where else ""
        return f"{self.name}{where} {self.text}."

    def __str__(self) -> str:
        return f"{self.sentence} {self.fix}"


class Text(NamedTuple):
    """What is written for a name, and where."""

    text: str
    where: str  # "environment", FILE:LINE
    path: str = ""  # of the secret's own file


@dataclass
class Reading:
    """What was read. `texts` are as they are written, for processes that are started."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # none: the default
    texts: dict[str, str] = field(default_factory=dict)
    upstream_secrets: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    doubts: list[Problem] = field(default_factory=list)

    def is_set(self, name: str) -> bool:
        return name in self.sources

    def refuse_folder(self, name: str, why: str) -> None:
        """Add what is found wrong with a folder when it is used first."""
        where = self.sources.get(name, "")
        fix = "Give it to the gateway's account, or name another folder."
        self.problems.append(Problem(name, "" if where == ENVIRONMENT else where, why, fix))

    def report(self) -> str:
        """All that is wrong, for a terminal."""
        return "\n".join(
            ["The settings are wrong, and nothing was started:", *map("  {}".format, self.problems)]
        )


class Source:
    """The texts of one environment and one .env, and what is wrong with them."""

    def __init__(self, environment: Mapping[str, str], problems: list[Problem]) -> None:
        self.environment = environment
        self.problems = problems
        self.lines: dict[str, Text] = {}
        named = environment.get("ENV_FILE", "")
        path = Path(named) if named else BASE_DIR / ".env"
        if named and not path.exists():
            fix = "Name a file that is there, or leave it empty for .env beside manage.py."
            self.problems.append(Problem("ENV_FILE", "", "names no file", fix))
        elif path.exists():
            self._read_lines(path)

    def find(self, name: str) -> Text | None:
        """What is written for the name; the environment wins, and an empty text counts too."""
        if name in self.environment:
            return Text(self.environment[name], ENVIRONMENT)
        return self.lines.get(name)

    def find_secret(self, name: str) -> Text | None:
        """The same; or what the file holds that NAME_FILE names, without its last line break."""
        written, named = self.find(name), self.find(f"{name}_FILE")
        if named is None or not named.text:
            return written
        where = in_file(named)
        if written is not None and written.text:
            fix = f"Take {name} or {name}_FILE away."
            self.problems.append(Problem(f"{name}_FILE", where, f"and {name} are both set", fix))
            return None
        try:
            text = Path(named.text).read_text()
        except (OSError, ValueError) as problem:
            why = getattr(problem, "strerror", None) or "it is no text"
            text = ""
            said = f"cannot be read: {why}"
        else:
            said = "names an empty file"
        text = re.sub(r"\r?\n\Z", "", text)
        if not text:
            fix = f"Give the path of a readable file that holds {name} and nothing else."
            self.problems.append(Problem(f"{name}_FILE", where, said, fix))
            return None
        return Text(text, f"the file {named.text}", named.text)

    def _read_lines(self, path: Path) -> None:
        shown = show_path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as problem:
            fix = "Let the gateway's account read it."
            self.problems.append(Problem(shown, "", f"cannot be read: {problem.strerror}", fix))
            return
        except ValueError:
            self.problems.append(Problem(shown, "", "is not UTF-8", "Save it as UTF-8."))
            return
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                self._read_line(line.rstrip("\r"), f"{shown}:{number}")

    def _read_line(self, line: str, where: str) -> None:
        try:
            parsed = parse_line(line)
        except ValueError as problem:
            fix = "Write the value without quotes, or the same quote at both ends."
            name = line.partition("=")[0].removeprefix("export ")
            self.problems.append(Problem(name, where, str(problem), fix))
            return
        if parsed is None:
            fix = "Write NAME=value without spaces around the =, or # in front of a remark."
            self.problems.append(Problem("A line", where, "is not NAME=value", fix))
            return
        name, text = parsed
        if name in self.lines:
            fix = f"Keep one of them; the other is {self.lines[name].where}."
            self.problems.append(Problem(name, where, "is set twice", fix))
        self.lines[name] = Text(text, where)


def read(environment: Mapping[str, str] = os.environ) -> Reading:
    """Read all settings; of what is wrong all is said, in the schema's order."""
    reading = Reading()
    source = Source(environment, reading.problems)
    for setting in SETTINGS.values():
        if not isinstance(setting.default, Computed):
            reading.values[setting.name] = setting.default
        read_one(setting, source, reading)
    for setting in SETTINGS.values():
        if setting.name not in reading.values:
            reading.values[setting.name] = setting.default.compute(reading.values)
    if reading.values["DEMO"]:  # it answers this machine only, whatever is written
        reading.values["ALLOWED_HOSTS"] = schema.LOCAL_NAMES
        reading.sources["ALLOWED_HOSTS"] = "the demo"
    read_upstream_secrets(source, reading)
    reading.problems += find_unknown_names(source)
    reading.doubts += find_doubtful_names(source)
    return reading


def read_one(setting: Setting, source: Source, reading: Reading) -> None:
    find = source.find_secret if setting.secret else source.find
    found = find(setting.name)
    if found is None or not (found.text.strip() or setting.kind.keeps_empty):
        return
    reading.sources[setting.name] = found.where
    written = {f"{setting.name}_FILE": found.path} if found.path else {setting.name: found.text}
    reading.texts |= written
    try:
        reading.values[setting.name] = setting.kind.parse(found.text)
    except ValueError as problem:
        reading.problems.append(
            Problem(
                setting.name,
                in_file(found),
                say_wrong(setting, found.text, problem),
                f"Write {setting.kind.right}.",
            )
        )


def say_wrong(setting: Setting, text: str, problem: ValueError) -> str:
    shown = setting.kind.quotable and not setting.secret and text.isprintable()
    if shown and len(text) <= QUOTABLE:
        return f"is “{text}”, which {problem}"
    return str(problem)


def read_upstream_secrets(source: Source, reading: Reading) -> None:
    entries = reading.values["UPSTREAM_SECRETS"]
    for name in dict.fromkeys(entry.partition("@")[0].strip() for entry in entries):
        if name == LENDABLE:
            reading.upstream_secrets[name] = reading.values[name]
        elif name in SETTINGS:
            text = f"names {name}, a setting of the gateway's own"
            fix = "Give the credential a name of its own."
            reading.problems.append(Problem("UPSTREAM_SECRETS", "", text, fix))
        else:
            read_one(Setting(name, kinds.HEADER, "", "", secret=True), source, reading)
            reading.upstream_secrets[name] = reading.values.pop(name, "")


# Names --------------------------------------------------------------------------------------------


def known_names(source: Source) -> set[str]:
    """All names that mean something, with those of credentials that either source names."""
    lists = [source.environment.get("UPSTREAM_SECRETS", "")]
    if "UPSTREAM_SECRETS" in source.lines:
        lists.append(source.lines["UPSTREAM_SECRETS"].text)
    credentials = {name for text in lists for name in re.findall(r"(?:^|,)\s*([A-Za-z_]\w*)", text)}
    secrets = {setting.name for setting in SETTINGS.values() if setting.secret} | credentials
    return {*SETTINGS} | secrets | {f"{name}_FILE" for name in secrets}


def find_unknown_names(source: Source) -> Iterator[Problem]:
    """Every name in .env has to mean something: a misspelt one would silently not be set."""
    known = known_names(source)
    for name, line in source.lines.items():
        if name in schema.ENVIRONMENT_ONLY:
            fix = "Take it away, or set it in the environment."
            yield Problem(name, line.where, "does nothing in the file that it names", fix)
        elif name not in known and not name.startswith(schema.COMPOSE):
            nearest = difflib.get_close_matches(name.upper(), known, 1, ALIKE)
            # What is no name may be a piece of a secret.
            shown = name if nearest or re.fullmatch("[A-Z][A-Z0-9_]*", name) else "A name"
            fix = (
                f"Did you mean {nearest[0]}?"
                if nearest
                else "Take it away: what other programs read belongs in their environment, and "
                "credentials of upstreams are named in UPSTREAM_SECRETS."
            )
            yield Problem(shown, line.where, "is no setting of the gateway", fix)


def find_doubtful_names(source: Source) -> Iterator[Problem]:
    """Of the environment's names only those are told that look like one of ours."""
    known = known_names(source)
    for name in sorted({*source.environment} - known):
        if nearest := difflib.get_close_matches(name.upper(), known, 1, ALMOST):
            fix = f"If you mean {nearest[0]}, write it so."
            yield Problem(name, "", "in the environment is no setting of the gateway", fix)


def in_file(found: Text) -> str:
    return "" if found.where == ENVIRONMENT else found.where


def show_path(path: Path) -> str:
    return str(path.relative_to(BASE_DIR) if path.is_relative_to(BASE_DIR) else path)


def parse_line(line: str) -> tuple[str, str] | None:
    """Read a line of .env by django-environ's rules; None where it is not NAME=value.

    Raises ValueError for a quote that does not end.
    """
    text = line.partition("=")[2]
    if text[:1] in ("'", '"') and (len(text) < 2 or text[-1] != text[0]):
        raise ValueError("begins with a quote that does not end")
    found: dict[str, str] = {}

    class Line(environ.Env):
        ENVIRON = found

    Line.read_env(io.StringIO(line))
    return next(iter(found.items()), None)
