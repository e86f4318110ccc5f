"""A SageMaker model behind an API Gateway of AWS's and a Lambda, which asks the model and hands its answer on.

`base_url` is the whole address; a credential, where there is one, is the whole Authorization header. AWS's gateway gives up
after 29 s with a 504.
"""

import orjson

from conversations.shape import Json

from .base import Endpoint, Form, Sent, Target, our_headers, secret
from .sagemaker import SERVES, STREAMS, error, inputs, reply

__all__ = ["LABEL", "SERVES", "STREAMS", "error", "reply", "request"]

LABEL = "Amazon SageMaker behind an API Gateway"


def request(target: Target, endpoint: Endpoint, body: Json | Form) -> Sent:
    authorization = {"Authorization": value} if (value := secret(target)) else {}
    return Sent(
        target.base_url,
        our_headers(target.content_type, **authorization),
        orjson.dumps(inputs(body)),
    )
