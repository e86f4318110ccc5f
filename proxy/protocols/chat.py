"""OpenAI's chat completions: what a stream of them amounts to, and how one is written. Pure.

`base` says what the relay asks of it; `without_usage` and `find_failure` come on top. Each event is
parsed before it passes: one that is none, or that says an error, does not, and ends the stream.
"""

import re
from typing import Any

import orjson

from conversations import bounded_json, exact_json
from conversations.shape import Json

from . import errors, events, merge, tool_calls
from .documents import as_document as as_document  # of this protocol: see base
from .usage import find_usage, merge_usage

END = b"data: [DONE]\n\n"
NOT_ENVELOPE = {"choices", "usage", "object", "obfuscation", "error"}
USAGE_BESIDE = frozenset({"usageMetadata", "usage_metadata", "x_groq"})  # see find_usage
OF_CHOICE = {"index", "delta", "message", "text", "finish_reason", "logprobs"}
OF_WORDS = {"index", "delta", "finish_reason", "logprobs"}  # of a choice that says only words
CARRIERS = ("message", "delta", "text")  # of what a choice says
OF_TOKENS = {"token_ids"}  # lists of a choice that grow token by token (vLLM)
NAMES = ("id", "created", "model")  # of the completion: the first of each stands
LARGE = 1 << 20  # bytes of an event whose values are counted before it is parsed
MOST_VALUES = 500_000
USAGE = re.compile(rb'"usage"\s*:\s*\{')
STRING = rb'"%s"\s*:\s*"((?:[^"\\]|\\.)*+)"'  # that a field has
# OpenAI's, behind all else: of any length, so that listeners who count bytes learn nothing.
PADDING = re.compile(rb'(?<="obfuscation":")\w*"\}\n\n')
Channel = merge.Channel


def new_reply() -> "Reply":
    return Reply()


class Reply:
    """What a stream amounts to so far."""

    held = b""  # nothing waits for the end but its mark
    end = END
    complete = False  # until its end mark comes

    def __init__(self) -> None:
        self.done = False  # [DONE] was seen
        self.bad = False  # something came that is no event of a completion
        self.error: Any = None  # what an event says went wrong
        self.notice: Any = None  # the words of an event that nothing of the answer followed yet
        self.answered = False  # the first piece of an answer came: more than a role
        self.waiting = 0  # bytes since the growth was last taken
        self.usage: Json | None = None
        self._head: Json = {}  # what the envelopes of the events say
        self._settled = {*NOT_ENVELOPE}  # fields that no later event changes
        self._choices: dict[int, _Choice] = {}
        self._growth = merge.Growth()
        # The last event before and after its words, if it only went on with a text, and that.
        self._frame: tuple[bytes, bytes, merge.Text] | None = None

    def feed(self, piece: bytes) -> bytes:
        """Take whole events in. Return those that the caller gets: all before one that ends it."""
        self.waiting += len(piece)
        taken = self._go_on(piece, *self._frame) if self._frame else 0
        if taken == len(piece):
            return piece
        rest = piece[taken:]
        for name, data, start, end in events.read(rest):
            try:
                self._read(name, data, rest[start:end])
            except (ValueError, RecursionError):
                self.bad = True
            if self.bad or self.done or self.error is not None:
                return piece[: taken + (end if self._failed_choice else start)]
        return piece

    def _read(self, name: bytes, data: bytes, block: bytes) -> None:
        """Raises ValueError, RecursionError."""
        if name == b"error":
            self.error = errors.parse(data)
            return
        if not data:
            return  # a sign of life
        if data == events.DONE:
            self.finish()
            self.done = self.error is None
            return
        event = (
            exact_json.loads(data) if len(data) < LARGE else bounded_json.parse(data, MOST_VALUES)
        )
        if type(event) is not dict:
            self.error = errors.find(event)  # Google's is a list
            if self.error is None:
                raise ValueError
            return
        if "choices" not in event or not errors.MARKS.isdisjoint(event):
            said = errors.find(event, is_failed=event.get("object") == "error")
            if said is not None and errors.is_notice(event):
                self.notice = said
            else:
                self.error = said
        if self.error is None:
            self._add(event)
            self._frame = self._find_frame(event, block)

    def _go_on(self, piece: bytes, ahead: bytes, behind: bytes, text: merge.Text) -> int:
        """Take the events that are as the last one but for its words; most are.

        Return their length. Reading one costs twice as much: that counts where many streams take
        turns, and what it needs has left the processor's caches by its turn.
        """
        taken = 0
        while piece.startswith(ahead, taken):
            start = taken + len(ahead)
            end = piece.find(behind, start)
            rest = end + len(behind)
            if end < 0:
                break
            if not behind.endswith(b"\n\n"):
                if (padding := PADDING.match(piece, rest)) is None:
                    break
                rest = padding.end()
            try:
                words = orjson.loads(b'"%s"' % piece[start:end])
            except ValueError:
                break  # it is read for what it is
            self._growth.append(text, words)
            taken = rest
        return taken

    def _find_frame(self, event: Json, block: bytes) -> tuple[bytes, bytes, merge.Text] | None:
        """Return what stands around an event's words where it goes on with a text, and the text."""
        delta = _find_delta(event) if self.answered and self.error is None else None
        if delta is None:
            return None
        [key], [choice] = delta, event["choices"]
        is_words = choice.keys() <= OF_WORDS and key not in merge.WHOLE
        if not is_words or choice.get("finish_reason") or choice.get("logprobs"):
            return None
        text = self._choice(choice).message.get(key)
        found = list(re.finditer(STRING % re.escape(key.encode()), block))
        if type(text) is not merge.Text or len(found) != 1:
            return None
        start, end = found[0].span(1)
        padding = PADDING.search(block, end)
        ahead, behind = block[:start], block[end : padding and padding.start()]
        is_plain = b"\\" not in ahead and b"\\" not in behind  # no name is spelt in another way
        return (ahead, behind, text) if is_plain else None

    def _add(self, event: Json) -> None:
        choices, counts = event.get("choices"), event.get("usage")
        for choice in choices if type(choices) is list else ():
            if type(choice) is dict:
                self._add_choice(choice)
                counts = counts or choice.get("usage")
        if counts or not USAGE_BESIDE.isdisjoint(event):
            self.usage = merge_usage(self.usage, find_usage(event))
        head = self._head
        settled = self._settled
        for key, value in event.items():
            if key in settled:
                continue
            before = head.get(key)
            if value != before and (value or before is None):
                head[key] = merge.merge_whole(before, value)
            elif before is None:
                head[key] = None
            if value and key in NAMES:
                settled.add(key)

    def _choice(self, choice: Json) -> "_Choice":
        index = tool_calls.read_index(choice.get("index")) or 0
        grown = self._choices.get(index)
        if grown is None:
            grown = self._choices[index] = _Choice(index, self._growth)
        return grown

    def _add_choice(self, choice: Json) -> None:
        grown = self._choice(choice)
        grown.add(choice)
        self.notice = None
        self.answered = self.answered or grown.answered
        if grown.failure is not None:
            self.error = grown.failure

    @property
    def _failed_choice(self) -> bool:
        return any(choice.failure is not None for choice in self._choices.values())

    @property
    def ended(self) -> bool:
        """Whether nothing that follows belongs to the answer."""
        return self.done or self.bad or self.error is not None

    @property
    def begun(self) -> bool:
        """Whether a choice was read."""
        return bool(self._choices)

    @property
    def finished(self) -> bool:
        """Whether every choice has said why it ended."""
        return bool(self._choices) and all(
            choice.finish_reason for choice in self._choices.values()
        )

    def finish(self) -> None:
        """Take the end in: the last words before it are why, where no choice has said so."""
        if not (self.done or self.finished) and self.error is None:
            self.error = self.notice

    def take(self) -> list[tuple[Channel, str]]:
        """Return what each string has grown by since the last time, and where it stands."""
        self.waiting = 0
        return self._growth.take()

    def whole(self) -> Json | None:
        """Return the JSON that `stream: false` would have given; None before the first choice."""
        if not self._choices:
            return None
        choices = [choice.as_json() for _, choice in sorted(self._choices.items())]
        head = {key: value for key, value in self._head.items() if key != "object"}
        return head | {"object": "chat.completion", "choices": choices, "usage": self.usage}


class _Choice:
    def __init__(self, index: int, growth: merge.Growth) -> None:
        self.index, self.growth = index, growth
        self.message: Json = {}
        self.logprobs: Any = None
        self.finish_reason: str | None = None
        self.more: Json = {}  # what it says whole, each time
        self.failure: Any = None  # what it says went wrong
        self.answered = self.in_deltas = False

    def add(self, choice: Json) -> None:
        delta = choice.get("delta")
        if type(delta) is str:
            delta = {"content": delta}
        if type(delta) is dict:
            self.in_deltas = True
            self._grow(delta)
        if not self.in_deltas or "message" in choice:
            self._add_undivided(choice)
        if (reason := choice.get("finish_reason")) and type(reason) is str:
            self.finish_reason, self.answered = reason, True
        if logprobs := choice.get("logprobs"):
            channel = (self.index, "logprobs")
            self.logprobs = self.growth.add(self.logprobs, logprobs, channel)
        if not choice.keys() <= OF_CHOICE:
            self._add_more(choice)
        said = delta if type(delta) is dict else choice.get("message")
        if reason == "error" or "error" in choice or (type(said) is dict and "error" in said):
            self.failure = find_choice_failure(choice)

    def _add_more(self, choice: Json) -> None:
        for key in choice.keys() - OF_CHOICE:
            before, value = self.more.get(key), choice[key]
            if key in OF_TOKENS and type(value) is list and type(before) is list:
                before.extend(value)
            else:
                self.more[key] = merge.merge_whole(before, value)

    def _grow(self, delta: Json) -> None:
        message, growth = self.message, self.growth
        for key, value in delta.items():
            grown = message.get(key)
            if type(grown) is merge.Text and type(value) is str and key not in merge.WHOLE:
                growth.append(grown, value)  # most deltas are one more piece of a text
            else:
                message[key] = growth.add(grown, value, (self.index, key))
            if value and key != "role":
                self.answered = True

    def _add_undivided(self, choice: Json) -> None:
        """Take a message that came whole, or a legacy completion's text.

        A server that says the message so far each time is taken at its last word; one that says it
        once more after its deltas adds only what they had not.
        """
        message = choice.get("message")
        if type(message) is not dict:
            if type(text := choice.get("text")) is str:
                self._grow({"content": text})
            return
        said = {key: merge.as_json(self.message.get(key)) for key in message}
        self._grow(
            {
                key: _remainder(said[key], value)
                for key, value in message.items()
                if said[key] in (None, "", []) or not self.in_deltas
            }
        )

    def as_json(self) -> Json:
        message = {"role": "assistant", "content": None} | merge.as_json(self.message)
        message["role"] = message["role"] or "assistant"
        choice = {"index": self.index, "message": message, "finish_reason": self.finish_reason}
        if self.logprobs is not None:
            choice["logprobs"] = merge.as_json(self.logprobs)
        return choice | self.more


def _find_delta(event: Json) -> Json | None:
    """Return the delta of an event's only choice, where one thing alone is in it."""
    choices = event.get("choices")
    if type(choices) is not list or len(choices) != 1 or type(choices[0]) is not dict:
        return None
    delta = choices[0].get("delta")
    return delta if type(delta) is dict and len(delta) == 1 else None


def _remainder(said: Any, value: Any) -> Any:
    """Return what of a value was not said yet."""
    if said == value and said:
        return None
    is_longer = isinstance(said, str) and isinstance(value, str) and value.startswith(said)
    return value[len(said) :] if is_longer else value


def text_of(grown: list[tuple[Channel, str]]) -> str:
    """Return the words of the first choice's text among what has grown."""
    return "".join(text for channel, text in grown if is_text(channel))


def is_text(channel: Channel) -> bool:
    """Tell whether a string is the first choice's text, or a text part of it."""
    return channel[:2] == (0, "content") and (
        len(channel) == 2 or (len(channel) == 4 and channel[3] == "text")
    )


# What went wrong --------------------------------------------------------------------------------


def find_failure(answer: Json) -> Any:
    """Return what a completion says went wrong, in itself or in a choice; None where nothing."""
    choices = answer.get("choices")
    failures = [errors.find(answer)] + [
        find_choice_failure(choice)
        for choice in (choices if isinstance(choices, list) else [])
        if isinstance(choice, dict)
    ]
    return next((failure for failure in failures if failure is not None), None)


def find_choice_failure(choice: Json) -> Any:
    places = [choice, choice.get("delta"), choice.get("message")]
    failures = (errors.find(each) for each in places if isinstance(each, dict) and "error" in each)
    failure = next(filter(None, failures), None)
    if failure is None and choice.get("finish_reason") == "error":
        return {"message": None}
    return failure


def read_message(choice: Json) -> Json:
    """Return what a choice that came whole says, wherever it carries that."""
    said = [choice.get(name) for name in CARRIERS]
    found: Json | str = next((each for each in said if each and isinstance(each, dict | str)), {})
    return {"content": found} if isinstance(found, str) else found


def has_choice(answer: Json) -> bool:
    """Tell whether a choice can be read in it: without one it is no answer."""
    choices = answer.get("choices")
    return isinstance(choices, list) and any(isinstance(choice, dict) for choice in choices)


# What is written --------------------------------------------------------------------------------


def problem(error: Json) -> bytes:
    """Write an event that says why the answer ends here."""
    return events.write({"error": error})


def without_usage(piece: bytes) -> bytes:
    """Take usage out of whole events, whichever carry it; everything else stays byte for byte."""
    if not USAGE.search(piece):
        return piece
    kept, last = [], 0
    for _, data, start, end in events.read(piece):
        kept.append(piece[last:start])
        kept.append(
            _strip_usage(data, piece[start:end]) if USAGE.search(data) else piece[start:end]
        )
        last = end
    return b"".join(kept) + piece[last:]


def _strip_usage(data: bytes, block: bytes) -> bytes:
    try:
        event = exact_json.loads(data)
    except ValueError:
        return block
    if not isinstance(event, dict) or not isinstance(event.pop("usage", None), dict):
        return block
    says_more = any(isinstance(value, dict | list) and value for value in event.values())
    return events.write(event) if says_more else b""


def as_stream(completion: Json) -> bytes:
    """Turn a JSON reply into the stream that the caller wanted, usage included."""
    head = {key: value for key, value in completion.items() if key not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    out: list[Json] = []
    for choice in completion.get("choices") or ():
        if not isinstance(choice, dict):
            continue
        delta = dict(read_message(choice))
        calls = delta.get("tool_calls")
        if isinstance(calls, list) and calls:
            delta["tool_calls"] = [
                call | {"index": i} for i, call in enumerate(calls) if isinstance(call, dict)
            ]
        rest = {key: value for key, value in choice.items() if key not in CARRIERS}
        rest.setdefault("index", 0)
        begin = rest | {"delta": delta, "finish_reason": None}
        end = {"index": rest["index"], "delta": {}}
        end["finish_reason"] = choice.get("finish_reason") or "stop"
        out += [head | {"choices": [begin]}, head | {"choices": [end]}]
    if completion.get("usage"):
        out.append(head | {"choices": [], "usage": completion["usage"]})
    return b"".join(map(events.write, out)) + END
