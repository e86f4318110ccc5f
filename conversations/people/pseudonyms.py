"""Aliases of people, and requests without their sender. Pure.

A person has one alias, always the same, made from a key; without the key no alias can be traced to
its person. It is two words to remember and six characters that tell people apart. Two of 1,000
people have the same one with a probability of 1 in 12 million, two of 10,000 with 1 in 120,000;
`manage.py doctor` says whether it happened.
"""

import hmac
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..shape import Json
from ..speech.recorded import FIELDS

FIRST = """
    agile airy alpine amber ample ancient apt arctic autumn azure balmy basic beige bold brave
    breezy bright brisk bronze calm candid central certain civic clear clever cobalt copper cosmic
    cozy crisp cubic curious daily dapper deep deft dewy direct distant dotted early eastern easy
    elder emerald equal even exact fair famous festive fine fleet floral formal fresh frosty gentle
    gilded glad global golden grand green hardy honest humble ideal indigo inner ivory jade jolly
    keen kind lasting lemon level light lilac linen little lively loyal lucid lunar maple marble
    mellow merry mild mint misty modern modest mossy navy neat nimble noble northern novel olive
    open opal patient pearl plain polar polite prime proud quick quiet rapid ready regal rosy royal
    ruby rural sage scarlet serene silver simple steady
""".split()
SECOND = """
    acorn anchor apple arch aspen atlas badger bamboo barley basin bay beacon beech berry birch
    bison brook canoe canyon cape cedar cherry cliff cloud clover comet compass condor copse coral
    cove crane creek cypress dale delta dune eagle ember falcon fern fig finch fjord flint forest
    fountain fox garden garnet geyser glacier grove gull harbor hare harp hawk heath hedge heron
    hill iris island ivy jasper juniper kelp kestrel lagoon lake larch lark laurel ledge lily linnet
    lotus lynx magpie mango meadow mesa meteor moon moss mountain oak oasis orchid osprey otter palm
    peak pebble pepper pine plum pond poplar prairie quail quartz quince raven reed reef ridge river
    robin rowan saddle sail sequoia shore sparrow spruce star stone stork swan thistle tulip valley
    violet willow wren yew
""".split()
# No vowels, hence no words; no character that looks like another.
MARKS = "23456789bcdfghjkmnpqrstvwxz"
LENGTH = 6

# Fields that change an answer, or are content. Any other field of a request is its sender's, and
# may identify the sender.
ANSWERING = frozenset(
    """
    model messages prompt input instructions image mask system documents tools tool_choice functions
    function_call parallel_tool_calls stream stream_options n stop seed temperature top_p top_k
    min_p typical_p max_tokens max_completion_tokens max_output_tokens max_new_tokens
    presence_penalty frequency_penalty repetition_penalty logit_bias logprobs top_logprobs
    response_format modalities audio prediction reasoning reasoning_effort verbosity thinking
    service_tier store size quality style background moderation output_format output_compression
    input_fidelity partial_images encoding_format dimensions
""".split()
)
CONTENT = frozenset(
    """
    role content refusal tool_calls tool_call_id function_call audio images annotations reasoning
    reasoning_content reasoning_details thinking_blocks
""".split()
)
SENDER = ("user", "safety_identifier")  # fields that identify the sender in one value
HIDDEN = "(hidden)"


@lru_cache(maxsize=1 << 16)
def alias(key: str, person: str) -> str:
    number = int.from_bytes(hmac.digest(key.encode(), person.encode(), "sha256")[:16])
    number, first = divmod(number, len(FIRST))
    number, second = divmod(number, len(SECOND))
    marks = []
    for _ in range(LENGTH):
        number, mark = divmod(number, len(MARKS))
        marks.append(MARKS[mark])
    return f"{FIRST[first]}-{SECOND[second]}-{''.join(marks)}"


def folded(text: str) -> str:
    """An alias as it is compared: lower case, hyphens for blanks."""
    return "-".join(text.lower().replace("-", " ").split())


def masked(request: Json, make_alias: Callable[[str], str]) -> Json:
    """The request without what can identify its sender.

    `make_alias` makes an alias of a name, so that two senders stay two.
    """
    return {name: _mask_field(name, value, make_alias) for name, value in request.items()}


def _mask_field(name: str, value: Any, make_alias: Callable[[str], str]) -> Any:
    if name == "messages" and isinstance(value, list):
        return [
            masked_message(each, make_alias) if isinstance(each, dict) else each for each in value
        ]
    if name in SENDER and isinstance(value, str):
        return make_alias(value)
    return value if name in ANSWERING or value is None else HIDDEN


def masked_message(message: Json, make_alias: Callable[[str], str]) -> Json:
    """The message without its writer's name; a tool's name stays."""
    role = message.get("role")
    by_person = role in ("user", "system", "developer")
    # A row that holds a field of the request is shown as that field is.
    content = {*CONTENT, FIELDS[role][1]} if isinstance(role, str) and role in FIELDS else CONTENT
    shown = {}
    for name, value in message.items():
        if name == "name" and isinstance(value, str):
            shown[name] = make_alias(value) if by_person else value
        else:
            shown[name] = value if name in content or value is None else HIDDEN
    return shown
