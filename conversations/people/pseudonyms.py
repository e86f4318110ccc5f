"""Aliases: one a person, always the same, made from a key; without it nobody can tell whose one is. And requests without their sender. Pure.

An alias is two words to remember and six characters that tell people apart. Two of 1,000 people have the same one with a probability of 1 in
12 million, two of 10,000 with 1 in 120,000; `manage.py doctor` says whether it happened.
"""

import hmac
from collections.abc import Callable
from functools import lru_cache

from ..shape import Json

FIRST = """
    agile airy alpine amber ample ancient apt arctic autumn azure balmy basic beige bold brave breezy bright brisk bronze calm candid central certain
    civic clear clever cobalt copper cosmic cozy crisp cubic curious daily dapper deep deft dewy direct distant dotted early eastern easy elder
    emerald equal even exact fair famous festive fine fleet floral formal fresh frosty gentle gilded glad global golden grand green hardy honest
    humble ideal indigo inner ivory jade jolly keen kind lasting lemon level light lilac linen little lively loyal lucid lunar maple marble mellow merry
    mild mint misty modern modest mossy navy neat nimble noble northern novel olive open opal patient pearl plain polar polite prime proud quick quiet
    rapid ready regal rosy royal ruby rural sage scarlet serene silver simple steady
""".split()
SECOND = """
    acorn anchor apple arch aspen atlas badger bamboo barley basin bay beacon beech berry birch bison brook canoe canyon cape cedar cherry cliff
    cloud clover comet compass condor copse coral cove crane creek cypress dale delta dune eagle ember falcon fern fig finch fjord flint forest fountain
    fox garden garnet geyser glacier grove gull harbor hare harp hawk heath hedge heron hill iris island ivy jasper juniper kelp kestrel lagoon lake
    larch lark laurel ledge lily linnet lotus lynx magpie mango meadow mesa meteor moon moss mountain oak oasis orchid osprey otter palm peak
    pebble pepper pine plum pond poplar prairie quail quartz quince raven reed reef ridge river robin rowan saddle sail sequoia shore sparrow spruce
    star stone stork swan thistle tulip valley violet willow wren yew
""".split()
MARKS = "23456789bcdfghjkmnpqrstvwxz"  # no vowels, hence no words; nothing that looks like something else
LENGTH = 6

# What changes an answer, or is part of what was said. Any other field of a request is its sender's, and may say who that is.
ANSWERING = frozenset(
    """
    model messages prompt input instructions image mask system documents tools tool_choice functions function_call parallel_tool_calls
    stream stream_options n stop seed temperature top_p top_k min_p typical_p max_tokens max_completion_tokens max_output_tokens max_new_tokens
    presence_penalty frequency_penalty repetition_penalty logit_bias logprobs top_logprobs response_format modalities audio prediction reasoning
    reasoning_effort verbosity thinking service_tier store size quality style background moderation output_format output_compression input_fidelity
    partial_images encoding_format dimensions
""".split()
)
SAID = frozenset(
    "role content refusal tool_calls tool_call_id function_call audio images annotations reasoning reasoning_content reasoning_details thinking_blocks".split()
)
SENDER = ("user", "safety_identifier")  # fields that say who asks, in a word
HIDDEN = "(hidden)"


@lru_cache(maxsize=1 << 16)
def alias(key: str, of: str) -> str:
    number = int.from_bytes(hmac.digest(key.encode(), of.encode(), "sha256")[:16])
    number, first = divmod(number, len(FIRST))
    number, second = divmod(number, len(SECOND))
    marks = []
    for _ in range(LENGTH):
        number, mark = divmod(number, len(MARKS))
        marks.append(MARKS[mark])
    return f"{FIRST[first]}-{SECOND[second]}-{''.join(marks)}"


def folded(text: str) -> str:
    """As somebody may write an alias."""
    return "-".join(text.lower().replace("-", " ").split())


def masked(request: Json, named: Callable[[str], str]) -> Json:
    """The request without what may say who sent it. `named` makes an alias of a name, so that two stay two."""
    return {name: _value(name, value, named) for name, value in request.items()}


def _value(name: str, value, named: Callable[[str], str]):
    if name == "messages" and isinstance(value, list):
        return [masked_message(each, named) if isinstance(each, dict) else each for each in value]
    if name in SENDER and isinstance(value, str):
        return named(value)
    return value if name in ANSWERING or value is None else HIDDEN


def masked_message(message: Json, named: Callable[[str], str]) -> Json:
    """The message without its writer's name; a tool's name stays."""
    by_person = message.get("role") in ("user", "system", "developer")
    shown = {}
    for name, value in message.items():
        if name == "name" and isinstance(value, str):
            shown[name] = named(value) if by_person else value
        else:
            shown[name] = value if name in SAID or value is None else HIDDEN
    return shown
