"""AWS Signature Version 4. Pure: a request → the headers that prove who sent it."""

import hmac
import re
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
UNRESERVED = "-_.~"


class Keys(NamedTuple):
    id: str
    secret: str
    token: str = ""  # of temporary credentials


class Scope(NamedTuple):
    """What a signature is good for."""

    region: str
    service: str
    now: datetime  # UTC


class Unsigned(NamedTuple):
    """A request.

    Its url is as it will be sent: escaped. The path must hold no dot steps, which AWS takes out
    before it compares.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def sign(request: Unsigned, keys: Keys, scope: Scope) -> dict[str, str]:
    """Return the request's headers and those of the proof.

    It covers host, content type and all of Amazon's own: a proxy may change the others.
    """
    date = scope.now.strftime("%Y%m%dT%H%M%SZ")
    headers = request.headers | {"Host": read_host(request.url), "X-Amz-Date": date}
    if keys.token:
        headers["X-Amz-Security-Token"] = keys.token
    covered = {
        name.lower(): value
        for name, value in headers.items()
        if re.match("host$|content-type$|x-amz", name, re.I)
    }
    names = ";".join(sorted(covered))
    path = f"{date[:8]}/{scope.region}/{scope.service}/aws4_request"
    digest = sha256(spell(request, covered).encode()).hexdigest()
    proof = make_signature(keys.secret, path, f"{ALGORITHM}\n{date}\n{path}\n{digest}")
    credential = f"Credential={keys.id}/{path}"
    claim = f"{ALGORITHM} {credential}, SignedHeaders={names}, Signature={proof}"
    return headers | {"Authorization": claim}


def read_host(url: str) -> str:
    """Return the host as HTTP clients send it: without the scheme's own port."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return host.removesuffix({"https": ":443", "http": ":80"}[parts.scheme])


def spell(request: Unsigned, headers: dict[str, str]) -> str:
    """Write the request in AWS's one spelling, every escape of its path escaped again."""
    path, query = urlsplit(request.url)[2:4]
    fields = sorted(
        tuple(quote(unquote(side), safe=UNRESERVED) for side in pair.partition("=")[::2])
        for pair in query.split("&")
        if pair
    )
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)]
    parts = (
        quote(path or "/", safe=f"/{UNRESERVED}"),
        "&".join(map("=".join, fields)),
        *lines,
        "",
        ";".join(sorted(headers)),
    )
    return "\n".join((request.method, *parts, sha256(request.body).hexdigest()))


def make_signature(secret: str, path: str, text: str) -> str:
    key = f"AWS4{secret}".encode()
    for step in path.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
