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


def signed(
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
    keys: Keys,
    *,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """`headers`, and those of the proof, which covers host, content type and all of Amazon's own: a proxy may change the others.
    The url is as it will be sent: escaped. Its path must hold no dot steps, which AWS takes out before it compares."""
    when = now.strftime("%Y%m%dT%H%M%SZ")
    headers = (
        headers
        | {"Host": host_of(url), "X-Amz-Date": when}
        | ({"X-Amz-Security-Token": keys.token} if keys.token else {})
    )
    covered = {
        name.lower(): value
        for name, value in headers.items()
        if re.match("host$|content-type$|x-amz", name, re.I)
    }
    scope = f"{when[:8]}/{region}/{service}/aws4_request"
    asked = sha256(canonical(method, url, covered, body).encode()).hexdigest()
    proof = signature(keys.secret, scope, f"{ALGORITHM}\n{when}\n{scope}\n{asked}")
    claim = f"{ALGORITHM} Credential={keys.id}/{scope}, SignedHeaders={';'.join(sorted(covered))}, Signature={proof}"
    return headers | {"Authorization": claim}


def host_of(url: str) -> str:
    """As HTTP clients send it: without the scheme's own port."""
    parts = urlsplit(url)
    return (
        parts.netloc.rpartition("@")[2]
        .lower()
        .removesuffix({"https": ":443", "http": ":80"}[parts.scheme])
    )


def canonical(method: str, url: str, headers: dict[str, str], body: bytes) -> str:
    """The request in AWS's one spelling, every escape of its path escaped again."""
    path, query = urlsplit(url)[2:4]
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
    return "\n".join((method, *parts, sha256(body).hexdigest()))


def signature(secret: str, scope: str, text: str) -> str:
    key = f"AWS4{secret}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
