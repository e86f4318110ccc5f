"""The product's own sources, which some tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ("conversations", "proxy", "llmgateway")


def modules() -> dict[str, Path]:
    """All but tests and migrations, by their dotted names."""
    found = {}
    for path in (path for app in APPS for path in (ROOT / app).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not {"tests", "migrations"} & {*parts}:
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found
