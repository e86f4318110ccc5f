"""SageMaker as an upstream, in both ways."""

import json

from proxy.providers.base import Endpoint, Target
from proxy.providers.kinds import find_kind
from proxy.tests import aws
from proxy.upstreams import client

QUESTION = {"model": "llama", "messages": [{"role": "user", "content": "Why?"}]}


def runtime(wire, **more):
    return Target(
        "sagemaker", wire.url, **{"credential": aws.CREDENTIAL, "region": "us-east-1", **more}
    )


def asked(target, body=QUESTION):
    sent = find_kind(target, Endpoint.CHAT).request(target, Endpoint.CHAT, body)
    with client.post(sent, timeout=60) as reply:
        return reply.status_code, json.loads(reply.content), reply.headers
