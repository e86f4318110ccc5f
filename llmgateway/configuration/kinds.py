"""What the value of a setting may be: each kind turns a text into a value, or refuses it.

A kind refuses with ValueError, whose text says what is wrong and quotes nothing of the value: the
text may be a secret. What it takes is said by `right`.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

TRUE = {"true", "1", "yes", "on"}
FALSE = {"false", "0", "no", "off"}
NAME = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)
ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", re.ASCII)
# Django's own word in the query, beside those of libpq.
CURSORS = re.compile("(?i)(?<=[?&])disable_server_side_cursors=([^&]*)&?")
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Kind:
    """How a text becomes a value.

    `quotable`: a short wrong value may be shown, since no secret is written there by design.
    `keeps_empty`: an empty text is a value of its own, and not the default.
    `mask`: how a value is shown that is no secret as a whole, but may hold one.
    """

    parse: Callable[[str], Any]
    right: str  # what it takes: the rest of a sentence that begins with "Write"
    quotable: bool = True
    keeps_empty: bool = False
    mask: Callable[[Any], str] | None = None


def _boolean(text: str) -> bool:
    word = text.strip().casefold()
    if word not in TRUE | FALSE:
        raise ValueError("is neither true nor false")
    return word in TRUE


BOOLEAN = Kind(_boolean, "true or false (or 1, 0, yes, no, on, off)")


def whole(least: int, most: int) -> Kind:
    """Whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
            raise ValueError("is no whole number")
        return within(int(text), least, most)

    return Kind(parse, f"a whole number from {least} to {most}")


def number(least: float, most: float) -> Kind:
    """Numbers from `least` to `most`, with or without a decimal point."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", text.strip()):
            raise ValueError("is no number")
        return within(float(text), least, most)

    return Kind(parse, f"a number from {least:g} to {most:g}")


def within(value: Number, least: Number, most: Number) -> Number:
    if not least <= value <= most:
        raise ValueError("is out of range")
    return value


def choice(*words: str) -> Kind:
    """One of these words, in whatever case."""
    known = {word.casefold(): word for word in words}

    def parse(text: str) -> str:
        if text.strip().casefold() not in known:
            raise ValueError(f"is none of {', '.join(words)}")
        return known[text.strip().casefold()]

    return Kind(parse, f"one of {', '.join(words)}")


def _line(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("holds a line break or another control character")
    return text


TEXT = Kind(lambda text: _line(text.strip()), "a line of text", quotable=False)


def _key(text: str) -> str:
    """It is kept as it stands, spaces too: several machines share the same bytes."""
    if "\x00" in text:
        raise ValueError("holds a zero byte")
    return text


KEY = Kind(_key, "a long random text", quotable=False)


def _header(text: str) -> str:
    for position, character in enumerate(_line(text), 1):
        if ord(character) > 255:
            raise ValueError(f"holds a character that no HTTP header can carry, the {position}th")
    if text != text.strip():
        raise ValueError("begins or ends with a space")
    return text


HEADER = Kind(_header, "the header's whole value, in Latin-1 characters", quotable=False)


def _host(text: str) -> str:
    """A name, or an address without brackets."""
    bare = re.sub(r"\[(.+)\]", r"\1", text.strip())
    if is_address(bare):
        return bare.lower()
    name = text.strip().removesuffix(".").lower()
    if not NAME.fullmatch(name):
        raise ValueError("is no name of a host")
    return name


def _served_host(text: str) -> str:
    """A host as Django compares it: IPv6 in brackets; .example.com is all names under it too."""
    if text == "*":
        return text
    host = _host(text.removeprefix("."))
    host = f"[{host}]" if ":" in host else host
    return f".{host}" if text.startswith(".") else host


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# What it listens on.
LISTENER = Kind(_host, "an address to listen on, such as 127.0.0.1 or 0.0.0.0, without a port")


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("is no address and no network") from None
    if network.prefixlen == 0:
        raise ValueError("is every address there is")
    return str(network) if network.num_addresses > 1 else str(network.network_address)


def _origin(text: str) -> str:
    """Take it as a browser sends it: one that differs in a letter is another.

    No pattern: each host below a domain would be trusted, a forgotten or rented one too.
    """
    if "*" in text:
        raise ValueError("stands for many origins: each has to be named")
    if not ORIGIN.fullmatch(text):
        raise ValueError("is no origin as a browser sends it")
    return text


def _credential(text: str) -> str:
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", text.partition("@")[0].strip()):
        raise ValueError("begins with no name of an environment variable")
    return text


def listed(parse: Callable[[str], str], right: str) -> Kind:
    """Many of them, with commas between; none where the text is empty."""

    def parse_each(text: str) -> list[str]:
        values = []
        for position, item in enumerate(text.split(","), 1):
            try:
                values += [parse(item.strip())] if item.strip() else []
            except ValueError as problem:
                raise ValueError(f"is wrong in item {position}, which {problem}") from None
        return values

    return Kind(parse_each, f"{right}, with commas between", quotable=False, keeps_empty=True)


HOSTS = listed(_host, "names or addresses of hosts, without https:// and port")
SERVED_HOSTS = listed(_served_host, "names or addresses, without https:// and port")
NETWORKS = listed(_network, "addresses or networks, such as 192.0.2.1, 10.0.0.0/8 or fd00::/8")
ORIGINS = listed(_origin, "origins as a browser sends them, such as https://tool.example")
# Which hosts there may be is another question: `proxy.credentials` answers it.
CREDENTIALS = listed(
    _credential, "names of environment variables, each with its hosts: NAME@host or NAME@a|b"
)


def _public_key(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise ValueError("is no public key of 64 hexadecimal digits")
    return text.lower()


PUBLIC_KEYS = listed(_public_key, "public keys of 64 hexadecimal digits")


def choices(*words: str) -> Kind:
    return listed(choice(*words).parse, f"some of {', '.join(words)}")


def web_address(*schemes: str) -> Kind:
    """An address with one of these schemes and a host; it may hold a secret, and is never quoted.

    Where calls may be sent is another question: `proxy.addresses` answers it.
    """
    right = " or ".join(f"{scheme}://…" for scheme in schemes)

    def parse(text: str) -> str:
        text = _line(text.strip())
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("is no web address") from None
        if not host or parts.scheme not in schemes or re.search(r"[\s#]", text):
            raise ValueError("is no web address")
        return text

    return Kind(parse, right, quotable=False, mask=mask_address)


def mask_address(text: str) -> str:
    """The address without account, password and what stands behind the question mark."""
    parts = urlsplit(text)
    place = re.sub(".*@", "…@", parts.netloc)
    shown = f"{parts.scheme}://{place}{parts.path}"
    return f"{shown}?…" if parts.query else shown


def read_database(url: str) -> tuple[dict[str, Any], bool]:
    """What libpq understands of it, and whether a pooler wants no cursors of the server's.

    Raises ProgrammingError, whose words quote the address.
    """
    found = CURSORS.search(url)
    off = found is not None and _boolean(found[1])
    return conninfo_to_dict(CURSORS.sub("", url)), off


def _database(text: str) -> str:
    text = text.strip()
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("names no PostgreSQL")
    try:
        parts, _ = read_database(text)
        ports = [int(port) for port in str(parts.get("port") or "5432").split(",")]
    except (ProgrammingError, ValueError):  # libpq's own words quote what they object to
        raise ValueError("cannot be read by PostgreSQL's client") from None
    if not all(0 < port < 65536 for port in ports):
        raise ValueError("has a port that is none")
    return text


def mask_database(text: str) -> str:
    """Host, port and name as libpq understands them: its passwords may hold any character."""
    parts, _ = read_database(text)
    place = parts.get("host") or parts.get("hostaddr") or ""
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://…@{place}{port}/{parts.get('dbname', '')}"


DATABASE = Kind(
    _database, "postgresql://user:password@host:5432/name", quotable=False, mask=mask_database
)


def _folder(text: str) -> Path:
    path = Path(_line(text.strip())).resolve()
    if path.exists() and not path.is_dir():
        raise ValueError("is no folder")
    return path


def _file(text: str) -> Path:
    path = Path(_line(text.strip()))
    if path.is_dir():
        raise ValueError("is a folder")
    return path


def _present_file(text: str) -> str:
    if not Path(_line(text.strip())).is_file():
        raise ValueError("is no file that is there")
    return text.strip()


FOLDER = Kind(_folder, "the path of a folder", quotable=False)
FILE = Kind(_file, "the path of a file", quotable=False)
PRESENT_FILE = Kind(_present_file, "the path of a file that is there", quotable=False)
