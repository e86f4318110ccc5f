"""A question to a kind of upstream, and what arrives there."""

from proxy.providers.kinds import find_kind
from proxy.upstreams.client import post

QUESTION = {
    "model": "house",
    "messages": [{"role": "user", "content": "Why?"}],
    "temperature": 0.2,
    "future_parameter": {"a": [1]},
}


def arrived(wire, target, endpoint, body):
    """What the server got: method and path, headers, body."""
    sent = find_kind(target, endpoint).request(target, endpoint, body)
    before = len(wire.seen)
    reply = post(sent, timeout=60)
    reply.close()
    [request] = wire.seen[before:]
    return request
