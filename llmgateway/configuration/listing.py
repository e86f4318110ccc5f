"""Settings as people read them: what is in force, README.md's table, .env.example.

No secret is among them, nor what an address may hold of one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmgateway.configuration import schema
from llmgateway.configuration.reading import Reading
from llmgateway.configuration.schema import BASE_DIR, GROUPS, Computed, Setting

README = BASE_DIR / "README.md"
EXAMPLE = BASE_DIR / ".env.example"
BEGIN = "<!-- settings: made by `manage.py settings --write` -->\n"
END = "<!-- end of settings -->\n"
HEAD = """\
# Copy to .env, and take the # away where you want something else. What the environment holds wins.
# README.md explains each. Values are the defaults, or examples where there is none.
"""
COMPOSE = """\
# docker-compose.yml alone: what runs (full, backend or chat), and the password of its database \
(letters and digits)
COMPOSE_PROFILES=full
POSTGRES_PASSWORD=
# GATEWAY_MEMORY=2g
# DATABASE_MEMORY=2g
"""
WANTED = "LLM_ENDPOINT"  # without it nothing works, so that it stands in .env.example as set


def write_value(value: Any) -> str:
    """The value as it is written in .env."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping | list):
        return ",".join(value)
    return "" if value is None else str(value)


# What is in force ---------------------------------------------------------------------------------


def list_values(reading: Reading) -> Iterator[str]:
    """Yield a line a setting: name, value, source."""
    for title, group in GROUPS.items():
        yield title
        for setting in group:
            shown = show(setting, reading)
            yield write_line(setting.name, shown, reading)
            if setting.name == "UPSTREAM_SECRETS":
                for name, secret in reading.upstream_secrets.items():
                    yield write_line(name, "set" if secret else "not set", reading)


def show(setting: Setting, reading: Reading) -> str:
    value = reading.values[setting.name]
    if any(setting.name == problem.name for problem in reading.problems):
        return "wrong"
    if setting.kind.mask is not None:
        return setting.kind.mask(value) if value else "not set"
    if setting.secret:
        return "set" if reading.is_set(setting.name) else "not set"
    return write_value(value) or "not set"


def write_line(name: str, shown: str, reading: Reading) -> str:
    return f"  {name:<30} {shown:<40} {reading.sources.get(name, 'default')}"


# Documents ----------------------------------------------------------------------------------------


def make_table() -> str:
    rows = [
        f"| `{setting.name}` | {show_default(setting)} | {setting.words} |"
        for group in GROUPS.values()
        for setting in group
    ]
    return "\n".join(["| setting | default | what it is |", "| --- | --- | --- |", *rows, ""])


def show_default(setting: Setting) -> str:
    if isinstance(setting.default, Computed):
        return setting.default.words
    written = write_value(setting.default)
    return f"`{written}`" if written else ""


def make_readme(text: str) -> str:
    """README.md with the table as the schema has it, between its two marks."""
    try:
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    except ValueError:
        raise ValueError("README.md has lost the marks around its table of settings") from None
    return f"{text[:begin]}\n{make_table()}\n{text[end:]}"


def make_example() -> str:
    groups = []
    for title, group in GROUPS.items():
        lines = [example_line(each) for each in group if each.name not in schema.ENVIRONMENT_ONLY]
        groups.append("\n".join([f"# {title}", *lines, ""]))
    return "\n".join([HEAD, *groups, COMPOSE])


def example_line(setting: Setting) -> str:
    value = setting.example
    if not value and not isinstance(setting.default, Computed):
        value = write_value(setting.default)
    return f"{setting.name}={value}" if setting.name == WANTED else f"# {setting.name}={value}"


def write_documents(readme: Path = README, example: Path = EXAMPLE) -> None:
    readme.write_text(make_readme(readme.read_text()))
    example.write_text(make_example())
