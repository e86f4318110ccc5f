"""The kinds of upstreams, by the name that a row has."""

from .. import faults
from . import azure, openai, sagemaker, sagemaker_gateway
from .base import Endpoint, Kind, Target

KINDS: dict[str, Kind] = {
    "openai": openai,
    "azure": azure,
    "sagemaker": sagemaker,
    "sagemaker_gateway": sagemaker_gateway,
}


def find_kind(target: Target, endpoint: Endpoint) -> Kind:
    """The kind that speaks to it. Raises Fault where that has no such endpoint."""
    kind = KINDS[target.kind]
    if endpoint not in kind.SERVES:
        raise faults.endpoint_not_supported(endpoint)
    return kind
