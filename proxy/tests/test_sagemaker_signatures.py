"""SageMaker on the wire: whom the runtime believes. No database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from proxy.faults import Fault
from proxy.providers import sigv4
from proxy.providers.base import Endpoint, Target
from proxy.providers.kinds import find_kind
from proxy.tests import aws
from proxy.tests.sagemaker import QUESTION, asked, runtime
from proxy.tests.wire import Request, json_reply

THEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


# Signatures --------------------------------------------------------------------------------------


# AWS's own test suite and documentation: of requests at THEN with the pair of aws.KEYS, in
# us-east-1.
PUBLISHED = [
    (
        "GET",
        "example.amazonaws.com",
        "/",
        "",
        b"",
        "service",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "GET",
        "example.amazonaws.com",
        "/?Param2=value2&Param1=value1",
        "",
        b"",
        "service",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "GET",
        "example.amazonaws.com",
        "/?%E1%88%B4=bar",
        "",
        b"",
        "service",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    (
        "POST",
        "example.amazonaws.com",
        "/",
        "",
        b"",
        "service",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    (
        "POST",
        "example.amazonaws.com",
        "/",
        "application/x-www-form-urlencoded",
        b"Param1=value1",
        "service",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    (
        "GET",
        "iam.amazonaws.com",
        "/?Action=ListUsers&Version=2010-05-08",
        "application/x-www-form-urlencoded; charset=utf-8",
        b"",
        "iam",
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    ),
]


@pytest.mark.parametrize(
    ("method", "host", "target", "content_type", "body", "service", "signature"), PUBLISHED
)
def test_published_signatures(method, host, target, content_type, body, service, signature):
    given = {"Content-Type": content_type} if content_type else {}
    keys = sigv4.Keys(*aws.CREDENTIAL.split(":"))
    unsigned = sigv4.Unsigned(method, f"https://{host}{target}", given, body)
    ours = sigv4.sign(unsigned, keys, sigv4.Scope("us-east-1", service, THEN))
    names = "content-type;host;x-amz-date" if content_type else "host;x-amz-date"
    claim = (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    assert ours == given | {"Host": host, "X-Amz-Date": "20150830T123600Z", "Authorization": claim}
    arrived = {"host": host, "x-amz-date": "20150830T123600Z", "authorization": claim} | (
        {"content-type": content_type} if content_type else {}
    )
    request = Request(f"{method} {target} HTTP/1.1", arrived, body)
    assert aws.refused(request, service=service, now=THEN) == ""
    forged = arrived | {"authorization": claim[:-1] + ("0" if claim[-1] != "0" else "1")}
    assert (
        aws.refused(request._replace(headers=forged), service=service, now=THEN)
        == "InvalidSignatureException: proof"
    )


HOST = "runtime.sagemaker.eu-west-1.amazonaws.com"
SPOKEN = '{"inputs": "Wärum?"}'.encode()
# What boto3 1.44.5 made of invoke_endpoint at THEN: endpoint, session token → step of the path,
# signature.
BOTO = [
    (
        "llama-2-7b",
        "",
        "llama-2-7b",
        "9862efe5e14d2247cf3e2e6a0346980abfffc83149e4fdd74532a31e57d29028",
    ),
    (
        "llama-2-7b",
        "session//token+=",
        "llama-2-7b",
        "2fd7aa78a255f4a9eecabf80680ce1bcb095ff1ea870b9fbd31f87f99c3ea617",
    ),
    (
        "two words",
        "",
        "two%20words",
        "16f04f0a5c1da1f0692ddcbe243026833faf0270be6fc6f798c8dec348cc09e5",
    ),
    ("a/b", "", "a%2Fb", "91e89c9b9566682c5babefa2fac3adae4ef30c51d243b4a4a0106ce0152b956c"),
    (
        "a/b",
        "session//token+=",
        "a%2Fb",
        "a653ae77949f2a461a28487a47c24f52880dcea3d60970085cc67271ffc5cab0",
    ),
    ("50%", "", "50%25", "f4a850a8672f96b565e09c89335ec7f2597ea356c421d761c5b870d5b682c03a"),
    ("100%25", "", "100%2525", "a3d4918b43ddacee31b82e049b422ea6656dacbdd5e8d8c4737c417599abf786"),
    ("ünder", "", "%C3%BCnder", "0ac3bedcc6c3c12ba9fa95e9d16d2b7729d09bb8237faef9d1daa4dc2a74b391"),
    (
        "a+b=c&d?e#f",
        "",
        "a%2Bb%3Dc%26d%3Fe%23f",
        "0b3186fed7707a89eaa6c84cf61d71014db1116fdc3708d2a52d6d9278e12113",
    ),
    ("~.-_", "", "~.-_", "2156701747a0eb63157f8eafbc9511f5af2864a6a235793a6868452eb51c9008"),
    ("...", "", "...", "3ec5aa5040463f712091bdba8b8ddd82a6be00d2a0de711ff533794ebeb9d736"),
]


@pytest.mark.parametrize(("name", "token", "escaped", "signature"), BOTO)
def test_an_endpoint_has_the_address_and_the_proof_that_boto3_gives_it(
    wire, name, token, escaped, signature
):
    credential = f"{aws.CREDENTIAL}:{token}" if token else aws.CREDENTIAL
    security_token = "x-amz-security-token;" if token else ""
    names = f"content-type;host;x-amz-date;{security_token}x-amzn-sagemaker-custom-attributes"
    claim = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/sagemaker/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    given = {
        "Content-Type": "application/json",
        "X-Amzn-SageMaker-Custom-Attributes": "accept_eula=true",
    }

    theirs = (
        given
        | {"Host": HOST, "X-Amz-Date": "20150830T123600Z", "Authorization": claim}
        | ({"X-Amz-Security-Token": token} if token else {})
    )
    request = Request(
        f"POST /endpoints/{escaped}/invocations HTTP/1.1",
        {key.lower(): value for key, value in theirs.items()},
        SPOKEN,
    )
    assert aws.refused(request, "eu-west-1", now=THEN) == ""

    target = Target("sagemaker", f"https://{HOST}", credential=credential, model=name)
    url = find_kind(target, Endpoint.CHAT).request(target, Endpoint.CHAT, QUESTION).url
    assert url == f"https://{HOST}/endpoints/{escaped}/invocations"
    keys = sigv4.Keys(*credential.split(":"))
    scope = sigv4.Scope("eu-west-1", "sagemaker", THEN)
    assert sigv4.sign(sigv4.Unsigned("POST", url, given, SPOKEN), keys, scope) == theirs

    wire.answer = aws.runtime("So.")
    status, answer, _ = asked(runtime(wire, credential=credential, model=name))
    assert (status, answer[0]["generation"]["content"]) == (200, "So.")
    assert wire.seen[-1].line == request.line


def test_a_changed_request_is_not_believed(wire):
    wire.answer = json_reply(b"{}")
    asked(runtime(wire, credential=f"{aws.CREDENTIAL}:token"))
    genuine = wire.seen[-1]
    headers = genuine.headers
    assert aws.refused(genuine) == ""
    for changed in (
        genuine._replace(body=genuine.body + b" "),
        genuine._replace(line=genuine.line.replace("llama", "lama")),
        genuine._replace(line=genuine.line.replace("POST", "PUT")),
        *(
            genuine._replace(headers=headers | {name: "other"})
            for name in ("host", "content-type", "x-amz-security-token")
        ),
        genuine._replace(
            headers=headers | {"x-amzn-sagemaker-custom-attributes": "accept_eula=false"}
        ),
        genuine._replace(
            headers=headers
            | {"authorization": headers["authorization"].replace("AKIDEXAMPLE", "AKIDSOMEBODY")}
        ),
    ):
        assert aws.refused(changed) == "InvalidSignatureException: proof"
    assert (
        aws.refused(genuine, now=datetime.now(UTC) + timedelta(hours=1))
        == "InvalidSignatureException: clock"
    )
    assert aws.refused(genuine, region="eu-west-1") == "InvalidSignatureException: scope"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("runtime.sagemaker.eu-central-1.amazonaws.com", "eu-central-1"),
        ("runtime-fips.sagemaker.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("runtime.sagemaker.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("vpce-1.runtime.sagemaker.us-east-2.vpce.amazonaws.com:443", "us-east-2"),
    ],
)
def test_the_host_names_the_region(host, region):
    target = Target("sagemaker", f"https://{host}", credential=aws.CREDENTIAL)
    sent = find_kind(target, Endpoint.CHAT).request(target, Endpoint.CHAT, QUESTION)
    assert sent.url == f"https://{host}/endpoints/llama/invocations"
    assert sent.headers["Host"] == host.removesuffix(":443")
    assert f"/{region}/sagemaker/aws4_request" in sent.headers["Authorization"]


def test_a_whole_address_is_taken_as_it_is(wire):
    wire.answer = aws.runtime("So.")
    status, _, _ = asked(
        replace(runtime(wire, model="other"), base_url=f"{wire.url}/endpoints/a%20b/invocations")
    )
    assert status == 200
    assert wire.seen[-1].line == "POST /endpoints/a%20b/invocations HTTP/1.1"


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        (
            Target("sagemaker", "https://10.0.0.1", credential=aws.CREDENTIAL),
            502,
            "upstream_misconfigured",
        ),
        (
            Target("sagemaker", "https://runtime.sagemaker.eu-west-1.amazonaws.com"),
            502,
            "upstream_credentials",
        ),
        (
            Target(
                "sagemaker", "https://runtime.sagemaker.eu-west-1.amazonaws.com", credential="none"
            ),
            502,
            "upstream_credentials",
        ),
        (
            Target(
                "sagemaker",
                "https://runtime.sagemaker.eu-west-1.amazonaws.com",
                credential="AKIDEXAMPLE:",
            ),
            502,
            "upstream_credentials",
        ),
        (
            Target(
                "sagemaker",
                "https://runtime.sagemaker.eu-west-1.amazonaws.com",
                credential=aws.CREDENTIAL,
                model="..",
            ),
            404,
            "model_not_found",
        ),
    ],
)
def test_what_cannot_be_addressed_or_signed_is_not_sent(target, status, code):
    with pytest.raises(Fault) as caught:
        find_kind(target, Endpoint.CHAT).request(target, Endpoint.CHAT, QUESTION)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert "AKID" not in caught.value.text


def test_credentials_do_not_show(wire):
    target = runtime(wire)
    sent = find_kind(target, Endpoint.CHAT).request(target, Endpoint.CHAT, QUESTION)
    assert "AKID" not in repr(target) + repr(sent)
