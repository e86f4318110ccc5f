"""The kinds of upstreams, by the name that a row has."""

from importlib import import_module
from types import ModuleType

from ..faults import Fault
from .base import Endpoint, Target

KINDS = {
    "openai": "OpenAI, or any server that speaks its API",
    "azure": "Azure OpenAI",
    "sagemaker": "Amazon SageMaker's runtime, signed",
    "sagemaker_gateway": "Amazon SageMaker behind an API Gateway",
}


def of(target: Target, endpoint: Endpoint) -> ModuleType:
    """The module that speaks to it. Raises Fault where its kind has no such endpoint."""
    module = import_module(f"{__name__}.{target.kind}")
    if endpoint not in module.SERVES:
        raise Fault(404, "endpoint_not_supported", f"This model cannot be asked at /{endpoint}.", "invalid_request_error", param="model")
    return module
