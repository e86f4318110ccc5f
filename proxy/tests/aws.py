"""The other side of Amazon's signatures, written apart from ours.

Does a request, as it arrived, prove who sent it?"""

import hmac
import json
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import parse_qsl, quote

from proxy.tests.wire import Answer, Request, json_reply

KEYS = {
    "AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
}  # the pair of AWS's documentation
CREDENTIAL = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CLAIM = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)"
    r"/(?P<service>[^/]+)/aws4_request,"
    r" ?SignedHeaders=(?P<names>\S+), ?Signature=(?P<proof>[0-9a-f]{64})"
)


def refused(
    request: Request,
    region: str = "us-east-1",
    service: str = "sagemaker",
    now: datetime | None = None,
) -> str:
    """Why AWS would refuse it; empty if it is genuine."""
    claim = CLAIM.fullmatch(request.headers.get("authorization", ""))
    if claim is None:
        return "MissingAuthenticationTokenException"
    names, when = claim["names"].split(";"), request.headers["x-amz-date"]
    sent = datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if (claim["region"], claim["service"], claim["day"]) != (region, service, when[:8]):
        return "InvalidSignatureException: scope"
    if abs(sent - (now or datetime.now(UTC))) > timedelta(minutes=5):
        return "InvalidSignatureException: clock"
    if (
        names != sorted(names)
        or "host" not in names
        or not {name for name in request.headers if name.startswith("x-amz-")} <= {*names}
    ):
        return "InvalidSignatureException: headers"
    method, target, _ = request.line.split(" ")
    path, _, query = target.partition("?")
    asked = [method, "/".join(quote(step, safe="-._~") for step in path.split("/"))]
    asked += [
        "&".join(
            f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}"
            for name, value in sorted(parse_qsl(query, keep_blank_values=True))
        )
    ]
    asked += [f"{name}:{re.sub(' +', ' ', request.headers[name].strip())}" for name in names]
    asked += ["", ";".join(names), sha256(request.body).hexdigest()]
    scope = [claim["day"], claim["region"], claim["service"], "aws4_request"]
    text = "\n".join(
        ["AWS4-HMAC-SHA256", when, "/".join(scope), sha256("\n".join(asked).encode()).hexdigest()]
    )
    key = b"AWS4" + KEYS.get(claim["id"], "").encode()
    for word in (*scope, text):
        key = hmac.new(key, word.encode(), "sha256").digest()
    return "" if key.hex() == claim["proof"] else "InvalidSignatureException: proof"


def runtime(*texts: str, region: str = "us-east-1") -> Answer:
    """SageMaker's runtime: to whoever signs, one of these answers after the other."""
    left = list(texts)

    def answer(sock, request: Request) -> None:
        if why := refused(request, region):
            json_reply(
                json.dumps({"message": why}).encode(),
                "403 Forbidden",
                headers=b"x-amzn-ErrorType: %s:\r\n" % why.split(":")[0].encode(),
            )(sock, request)
        elif request.headers.get("x-amzn-sagemaker-custom-attributes") != "accept_eula=true":
            json_reply(b'{"message": "Accept the licence."}', "400 Bad Request")(sock, request)
        else:
            generation(left.pop(0))(sock, request)

    return answer


def generation(text: str) -> Answer:
    return json_reply(json.dumps([{"generation": {"role": "assistant", "content": text}}]).encode())
