"""A SageMaker model behind an API Gateway of AWS's and a Lambda, which passes on its answer.

`base_url` is the full address; a credential, where there is one, is the value of the Authorization
header. AWS's gateway gives up after 29 s with a 504.
"""

from conversations import exact_json
from conversations.shape import Json

from .base import Endpoint, Form, Sent, Target, make_headers
from .openai import authorize
from .sagemaker import SERVES, STREAMS, error, make_inputs, reply

__all__ = ["LABEL", "SERVES", "STREAMS", "error", "reply", "request"]

LABEL = "Amazon SageMaker behind an API Gateway"


def request(target: Target, endpoint: Endpoint, body: Json | Form) -> Sent:
    headers = make_headers(target.content_type, **authorize(target, target.base_url))
    return Sent(target.base_url, headers, exact_json.dumps(make_inputs(body)))
