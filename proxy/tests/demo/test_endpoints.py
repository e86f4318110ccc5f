"""The demo upstream over real sockets: models, images, embeddings, and what it refuses."""

import base64
import math
import struct
import zlib

import pytest
import requests

from proxy.demo import server
from proxy.tests.demo.questions import ask, draw, embed


@pytest.mark.parametrize(
    ("more", "status", "param", "code"),
    [
        ({"model": "gpt-9"}, 404, None, "model_not_found"),
        ({"model": None}, 400, None, None),
        ({"messages": None}, 400, "messages", "missing_required_parameter"),
        ({"messages": []}, 400, "messages", "empty_array"),
        ({"messages": ["hi"]}, 400, "messages", "invalid_type"),
        (
            {"messages": [{"role": "king", "content": "hi"}]},
            400,
            "messages[0].role",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "12"}]},
            400,
            "messages.[0].role",
            None,
        ),
        ({"temperature": 3}, 400, "temperature", "invalid_value"),
        ({"n": 0}, 400, "n", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options", None),
        ({"max_tokens": "many"}, 400, None, "invalid_type"),
    ],
)
def test_bad_requests_are_refused_in_openais_shape(upstream, more, status, param, code):
    reply = ask(upstream, **more)
    assert reply.status_code == status
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert error["message"]


@pytest.mark.parametrize(
    ("method", "path", "data", "status"),
    [
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b"", 400),
        ("GET", "/v1/chat/completions", None, 405),
        ("POST", "/v1/completions", b"{}", 404),
        ("GET", "/v1/models/gpt-9", None, 404),
        ("GET", "/_seen", None, 404),
        ("GET", "/images/00-64x64.png", None, 404),
    ],
)
def test_wrong_bodies_methods_and_places(method, path, data, status):
    with server.DemoServer(pace=0) as upstream:
        upstream.upstream.record = False  # as `make run` has it
        reply = requests.request(method, upstream.url + path, data=data, timeout=60)
        assert upstream.seen == []
    assert reply.status_code == status
    assert reply.json()["error"].keys() == {"message", "type", "param", "code"}


# Models, images, embeddings ----------------------------------------------------------------------


def test_models(upstream):
    listed = requests.get(f"{upstream.url}/v1/models", timeout=60).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4.1-mini",
        "o4-mini",
    ]
    for name in ("gpt-4o", "text-embedding-3-small", "dall-e-2"):
        model = requests.get(f"{upstream.url}/v1/models/{name}", timeout=60).json()
        assert model.keys() == {"id", "object", "created", "owned_by"}
        assert model["id"] == name
    assert requests.get(f"{upstream.url}/v1/models/gpt%2D4o", timeout=60).json()["id"] == "gpt-4o"


def pixels(png):
    """Width, height and the rows of an RGB picture, every check sum looked at."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data, kinds, width, height = 8, b"", [], 0, 0
    while at < len(png):
        [length] = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (
            zlib.crc32(kind + body),
        )
        if kind == b"IHDR":
            width, height, *form = struct.unpack(">IIBBBBB", body)
            assert form == [8, 2, 0, 0, 0]
        data += body if kind == b"IDAT" else b""
        kinds.append(kind)
        at += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    raw = zlib.decompress(data)
    assert len(raw) == height * (1 + 3 * width)
    rows = [raw[y * (1 + 3 * width) :][: 1 + 3 * width] for y in range(height)]
    assert all(row[0] == 0 for row in rows)
    return width, height, [row[1:] for row in rows]


def test_a_picture_is_drawn_from_its_prompt(upstream):
    [one], [again], [other] = (
        draw(upstream, response_format="b64_json", prompt=prompt).json()["data"]
        for prompt in ("a fox", "a fox", "a hare")
    )
    assert one == again
    assert one != other
    width, height, rows = pixels(base64.b64decode(one["b64_json"]))
    assert (width, height) == (256, 256)
    colours = {row[n : n + 3] for row in rows for n in range(0, len(row), 3)}
    assert len(colours) > 100


def test_a_picture_can_be_fetched_by_its_url(upstream):
    urls = [image["url"] for image in draw(upstream, n=2, size="512x512").json()["data"]]
    assert len(set(urls)) == 2
    for url in urls:
        reply = requests.get(url, timeout=60)
        assert reply.headers["content-type"] == "image/png"
        assert pixels(reply.content)[:2] == (512, 512)


def test_the_newer_image_model_counts_tokens_and_sends_base64_only(upstream):
    body = draw(upstream, model="gpt-image-1", size="1536x1024", n=2).json()
    assert pixels(base64.b64decode(body["data"][1]["b64_json"]))[:2] == (1536, 1024)
    assert (
        body["usage"]["total_tokens"]
        == body["usage"]["input_tokens"] + body["usage"]["output_tokens"]
        > 1000
    )
    assert (
        draw(upstream, model="gpt-image-1", response_format="url").json()["error"]["code"]
        == "unknown_parameter"
    )


@pytest.mark.parametrize(
    ("more", "param"), [({"prompt": ""}, "prompt"), ({"size": "7x7"}, "size"), ({"n": 11}, "n")]
)
def test_bad_image_requests(upstream, more, param):
    reply = draw(upstream, **more)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


@pytest.mark.parametrize("name", ["image", "image[]"])
def test_image_edits_take_one_file_or_several(upstream, name):
    def edit(*files, prompt="add snow"):
        fields = {"model": "gpt-image-1", "prompt": prompt, "size": "1024x1024"}
        return requests.post(
            f"{upstream.url}/v1/images/edits",
            data=fields,
            files=[(name, file) for file in files],
            timeout=60,
        )

    png = ("a.png", b"\x89PNG\r\n\x1a\n\r\n--\xff", "image/png")
    one, two = edit(png), edit(png, png)
    assert one.status_code == two.status_code == 200
    assert one.json()["data"] != two.json()["data"]
    assert upstream.seen[-1]["body"]["prompt"] == "add snow"
    assert (
        upstream.seen[-1]["body"][name]
        == [{"filename": "a.png", "content_type": "image/png", "bytes": png[1]}] * 2
    )
    assert edit(("a.txt", b"hello", "text/plain")).json()["error"]["code"] == "invalid_image_file"
    assert edit().status_code == 400
    assert edit(png, prompt="!500").status_code == 500


def test_embeddings_are_unit_vectors_that_know_likeness(upstream):
    body = embed(upstream, input=["red apples", "green apples", "tax law"]).json()
    assert body["object"] == "list"
    assert [entry["index"] for entry in body["data"]] == [0, 1, 2]
    vectors = [entry["embedding"] for entry in body["data"]]
    assert all(len(vector) == 1536 and math.isclose(math.hypot(*vector), 1) for vector in vectors)
    near, far = (
        math.sumprod(vectors[0], other)
        if hasattr(math, "sumprod")
        else sum(a * b for a, b in zip(vectors[0], other, strict=True))
        for other in vectors[1:]
    )
    assert near > 0.3 > abs(far)
    assert body["usage"] == {"prompt_tokens": 3 + 3 + 2, "total_tokens": 8}


def test_embeddings_as_base64_are_the_same_numbers(upstream):
    floats = embed(upstream, dimensions=64).json()["data"][0]["embedding"]
    packed = base64.b64decode(
        embed(upstream, dimensions=64, encoding_format="base64").json()["data"][0]["embedding"]
    )
    assert struct.unpack("<64f", packed) == pytest.approx(floats, rel=1e-6)


@pytest.mark.parametrize(("given", "count"), [([1, 2, 3], 1), ([[1, 2], [3]], 2), (["a", "b"], 2)])
def test_embeddings_take_tokens_and_lists(upstream, given, count):
    assert len(embed(upstream, input=given).json()["data"]) == count


@pytest.mark.parametrize(
    "more",
    [
        {"input": ""},
        {"input": []},
        {"input": None},
        {"input": ["a", ""]},
        {"dimensions": 1537},
        {"input": [1.5, None]},
    ],
)
def test_bad_embedding_requests(upstream, more):
    assert embed(upstream, **more).status_code == 400
