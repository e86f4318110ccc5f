"""Events that are no part of an answer end none: keep-alives, notices, counts, empty values."""

import json

import pytest

from conversations.record import rebuild
from proxy.protocols import chat, errors, events
from proxy.protocols.images import Pictures
from proxy.tests.gateway import marked
from proxy.tests.wire import DONE, SSE, chunk, exactly, json_reply, word

START = b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
ANSWER = [START, word("Fi"), word("ne."), word("", "stop")]
# What a caller's SDK would parse, and fail at: a comment leaves in its place.
SIGNS_OF_LIFE = [
    b"data:\n\n",
    b"data: \n\n",
    b"data\n\n",
    b"data: null\n\n",
    b'data: ""\n\n',
    b"data: []\n\n",
    b"data: ping\n\n",
    b"data: [PING]\n\n",
    b"data: keep-alive\n\n",
    b"data: : keepalive\n\n",
    b"event: ping\ndata: ping\n\n",
    b"event: heartbeat\ndata: 12:00:01\n\n",
    b"event: progress\ndata: 3\n\n",
    b"id: 4\nevent: keepalive\ndata\n\n",
]
SILENT = [b"\n\n", b": OPENROUTER PROCESSING\n\n", b":\n\n", b"id: 3\n\n", b"retry: 10\n\n"]
NOTICES = [
    {},
    {"type": "ping"},
    {"event": "keepalive"},
    {"notice": "You are third in the queue."},
    {"warning": "This model is old."},
    {"usage": {"prompt_tokens": 7, "completion_tokens": 2}},
    {"usage": None},
    {"choices": None},
    {"choices": {}},
    {"choices": [], "prompt_filter_results": []},
    {"choices": [None]},
    {"error": None},
    {"error": {}, "choices": None},
    {"error": {"code": 0, "message": "success"}},
    {"error": {"code": 200, "message": "OK"}},
    {"error": "none"},
    {"errors": []},
    {"error_code": "0", "error_msg": "Success"},
    {"base_resp": {"status_code": 0, "status_msg": "success"}},
    {"type": "info", "message": "You are third in the queue."},
    {"type": "status", "detail": "warming up"},
    {"status": "processing", "message": "Queued"},
    {"status": "completed", "message": "done"},
    {"code": 200, "message": "ok"},
    {"code": "102", "message": "still at it"},
    {"message": "This model is old.", "code": "deprecation"},
    {"detail": ["one moment"]},
    {"object": "ping", "message": "here"},
    {"success": True, "message": "here"},
    {"exception": None, "fault": ""},
]
ERRORS = [
    {"message": "no room", "code": 529},
    {"message": "no room", "code": "503"},
    {"message": "no room", "status": 500},
    {"message": "no room", "code": -1},
    {"message": "no room", "code": 1301},
    {"message": "no room", "type": "OverloadedError"},
    {"message": "no room", "type": "invalid_request_error"},
    {"message": "no room", "status": "failed"},
    {"message": "no room", "object": "error", "type": "x"},
    {"detail": "no room", "title": "Forbidden", "status": 403},
    {"detail": [{"loc": ["body"], "msg": "no room"}]},
    {"error": "no room"},
    {"error_msg": "no room", "error_code": 0},
    {"error": {"error": {"message": "no room"}}},
    {"error": '{"message": "no room", "code": 429}'},
    {"error": '{"error": {"message": "no room"}}'},
    {"exception": "no room"},
    {"fault": {"faultstring": "no room"}},
    {"success": False, "message": "no room"},
]


def reply_to(*pieces, protocol=chat):
    """As the relay feeds it: the reply, and what the caller gets."""
    reply, cutter, out = protocol.new_reply(), events.Cutter(), b""
    for piece in pieces:
        if not reply.ended:
            out += reply.feed(events.hush(cutter.cut(piece)))
    if not reply.ended:
        out += reply.feed(events.hush(cutter.finish()))
        reply.finish()
    return reply, out


def everywhere(piece, pieces):
    for place in range(len(pieces) + 1):
        yield [*pieces[:place], piece, *pieces[place:]]
    yield [b"".join([pieces[0], piece, *pieces[1:]])]


@pytest.mark.parametrize("notice", [*SIGNS_OF_LIFE, *SILENT, *map(events.write, NOTICES)])
def test_what_is_no_part_of_an_answer_ends_none(notice):
    for pieces in everywhere(notice, ANSWER):
        for end in ([DONE], []):
            reply, out = reply_to(*pieces, *end)
            assert (reply.bad, reply.error, reply.done) == (False, None, bool(end)), notice
            assert reply.finished
            [choice] = reply.whole()["choices"]
            assert choice["message"] == {"role": "assistant", "content": "Fine."}
            for piece in ANSWER:
                assert piece in out
            assert (notice in out) == (notice not in SIGNS_OF_LIFE)


@pytest.mark.parametrize("sign", SIGNS_OF_LIFE)
def test_a_sign_of_life_reaches_the_caller_as_a_comment(sign):
    _, out = reply_to(START, sign, word("Fine."))
    assert out == START + b":\n\n" + word("Fine.")


@pytest.mark.parametrize("data", [b"true", b"7", b'"words"', b"words", b'{"a"', b'["words"]'])
def test_what_may_be_words_is_no_sign_of_life(data):
    reply, out = reply_to(START, b"data: %s\n\n" % data, word("Fine."))
    assert reply.bad
    assert out == START


@pytest.mark.parametrize("name", [b"", b"event: message\n"])
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_ends_it_at_once(error, name):
    reply, out = reply_to(START, name + events.write(error), word("Fine."))
    assert reply.error["message"].endswith("no room")
    assert out == START


@pytest.mark.parametrize("data", [b"", b"null", b"{}", b"ping", b'{"type": "ping"}', b"no room"])
def test_an_event_that_is_named_so_is_an_error(data):
    reply, out = reply_to(START, b"event: error\ndata: %s\n\n" % data, word("Fine."))
    assert reply.error is not None
    assert out == START


IN_A_CHOICE = {
    "beside the delta": {"delta": {}, "error": "no room"},
    "in the delta": {"delta": {"error": {"message": "no room", "code": 500}}},
    "in a message": {"message": {"role": "assistant", "error": "no room"}},
}


@pytest.mark.parametrize("choice", IN_A_CHOICE.values(), ids=IN_A_CHOICE)
def test_an_error_in_a_choice_is_one_wherever_it_stands(choice):
    event = {"choices": [{"index": 0, "finish_reason": None} | choice]}
    for before in ([], [START, word("Half of")]):
        reply, _ = reply_to(*before, events.write(event), DONE)
        assert reply.error["message"] == "no room"
    assert chat.find_failure(event)["message"] == "no room"
    none = {"choices": [{"index": 0, "delta": {"error": None, "content": "Fine."}}]}
    reply, _ = reply_to(events.write(none), DONE)
    assert (reply.error, reply.done) == (None, True)


ENDS = [b"[DONE]", b"[done]", b"DONE", b"done", b'"[DONE]"', b" [DONE] ", b"[Done]"]


@pytest.mark.parametrize("name", [b"", b"event: done\n"])
@pytest.mark.parametrize("end", ENDS)
def test_the_end_mark_in_any_letters_is_one(end, name):
    mark = name + b"data: %s\n\n" % end
    for pieces in ([*ANSWER, mark], [*ANSWER, mark[:-1]], [b"".join(ANSWER) + mark]):
        reply, out = reply_to(*pieces)
        assert (reply.bad, reply.error, reply.done) == (False, None, True)
        assert out == b"".join(ANSWER)


@pytest.mark.parametrize("end", [[DONE], []])
def test_words_that_nothing_follows_say_why(end):
    """No mark of an error, and no choice said why it ended: the words are what there is."""
    notice = {"type": "capacity", "message": "no room"}
    for before in ([], [START], [START, word("Half of")]):
        reply, _ = reply_to(*before, events.write(notice), *end)
        assert reply.error["message"] == "no room"
        assert not reply.done
    for after in ([word("Fine.", "stop")], [word("Fine.")]):
        reply, _ = reply_to(START, events.write(notice), *after, *end)
        assert reply.error is None


@pytest.mark.parametrize("notice", [*SIGNS_OF_LIFE, *SILENT, *map(events.write, NOTICES)])
def test_pictures_are_not_ended_by_it_either(notice):
    protocol = Pictures("image_generation")
    picture = protocol.as_stream({"created": 1, "data": [{"b64_json": "QUJD"}]})
    for pieces in ([notice, picture], [picture, notice]):
        reply, _ = reply_to(*pieces, protocol=protocol)
        assert (reply.bad, reply.error, reply.finished) == (False, None, True)
    reply, _ = reply_to(events.write({"type": "queue", "message": "no room"}), protocol=protocol)
    assert reply.error["message"] == "no room"


ALL = [*SIGNS_OF_LIFE, *SILENT, *map(events.write, NOTICES)]


def stream(*pieces):
    return exactly(SSE, *map(chunk, pieces), b"0\r\n\r\n")


@pytest.mark.parametrize("streams", [True, False])
def test_the_call_is_answered_and_recorded(wired, wire, recorded, streams):
    pieces = [piece for each in ANSWER for piece in (each, *ALL)]
    wire.answer = stream(*ALL, *pieces, DONE) if streams else json_reply(b"".join([*pieces, DONE]))
    reply = wired.ask(marked(), stream=streams)
    assert reply.status == 200, reply.body
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.finish_reason, snapshot.reply.text) == ("ok", "stop", "Fine.")
    assert rebuild.rebuild_response(snapshot)["notice"] == "You are third in the queue."
    if not streams:
        assert reply.text == "Fine."
        return
    assert reply.body.endswith(DONE)
    for line in reply.body.split(b"\n"):
        if line.startswith(b"data:") and line != DONE.strip():
            assert isinstance(json.loads(line[5:]), dict)


@pytest.mark.parametrize("begun", [True, False])
def test_a_call_that_ends_in_words_alone_fails_with_them(wired, wire, recorded, begun):
    notice = events.write({"type": "capacity", "message": "The model has no room."})
    wire.answer = stream(*([START, word("Half of")] if begun else []), notice)
    reply = wired.ask(marked(), stream=True)
    *_, snapshot = recorded(1)
    assert (snapshot.status, snapshot.error) == ("failed", "The model has no room.")
    assert b"The model has no room." in reply.body


FRAMES = [
    b"%s",
    b"\xef\xbb\xbf%s",
    b"data: %s\n\n",
    b"event: error\ndata: %s\n\n",
    b": x\n\ndata:%s",
]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_refusal_keeps_its_words_in_whatever_frame(frame):
    assert errors.parse(frame % b'{"error": {"message": "no room"}}')["message"] == "no room"
    assert errors.parse(frame % b"no room")["message"] == "no room"
