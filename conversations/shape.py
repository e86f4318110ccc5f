"""The shape of JSON objects, as they are read and written here."""

from typing import Any

Json = dict[str, Any]
