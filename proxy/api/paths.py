"""The paths of the API, and what programs write instead. Pure.

A base URL is set up by hand: with or without /v1, with a slash too many, or as Azure has it. What
is meant is served; what no endpoint is here is named in log and metrics by the vendors' own path.
"""

import re
from typing import NamedTuple

DEPLOYMENT = "gateway.deployment"  # in a request's META: the model that Azure's path names
PREFIXES = ("/v1/", "/api/")  # of all endpoints
SERVED = ("chat/completions", "images/generations", "images/edits", "embeddings", "models")
# Of vendors' endpoints that are none here; by these alone unknown paths are told apart.
VENDORS = (
    "/v1/assistants",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/batches",
    "/v1/complete",
    "/v1/completions",
    "/v1/containers",
    "/v1/conversations",
    "/v1/evals",
    "/v1/files",
    "/v1/fine_tuning/jobs",
    "/v1/images/variations",
    "/v1/messages",
    "/v1/messages/batches",
    "/v1/messages/count_tokens",
    "/v1/moderations",
    "/v1/organization",
    "/v1/realtime",
    "/v1/rerank",
    "/v1/responses",
    "/v1/threads",
    "/v1/uploads",
    "/v1/vector_stores",
    "/v1/videos",
    "/v1beta/models",
    "/api/embed",
    "/api/embeddings",
    "/api/generate",
    "/api/tags",
)
OTHER = "other"
# Their pages end with a slash; no other path of the API does.
PAGES = ("/api/docs", "/api/schema")

ROOTS = re.compile(r"/(?:(?:openai|api|anthropic)/)?v1(?:/v1)*(?=/|$)")
NAMES = (*SERVED, *(path.removeprefix("/v1/") for path in VENDORS if path.startswith("/v1/")))
NAMED = "|".join(map(re.escape, NAMES))
# A model's name may have slashes (vendor/model): an endpoint that is known ends it.
AZURE = re.compile(rf"/openai/deployments/(?:(?P<m>.+?)/(?P<e>{NAMED})|(?P<a>[^/]+)/(?P<b>.+))")
WITHOUT_ROOT = re.compile(f"/(?:{NAMED})(?=/|$)")


class Meant(NamedTuple):
    """What a path means here."""

    path: str
    deployment: str = ""  # the model, where the path names it


def find_meant(path: str) -> Meant:
    """Find the gateway's own path for one that a program may write; a page's stays as it is."""
    tidy = re.sub("//+", "/", path)
    tidy = tidy.rstrip("/") or "/"
    if azure := AZURE.fullmatch(tidy):
        return Meant(f"/v1/{azure['e'] or azure['b']}", azure["m"] or azure["a"])
    if root := ROOTS.match(tidy):
        return Meant("/v1" + (tidy[root.end() :] or "/"))
    if tidy.startswith("/openai/"):
        return Meant("/v1" + tidy.removeprefix("/openai"))
    if WITHOUT_ROOT.match(tidy):
        return Meant("/v1" + tidy)
    if tidy == "/api" or tidy.startswith("/api/"):
        return Meant(f"{tidy}/" if tidy in PAGES else tidy)
    return Meant(path)


def is_endpoint(path: str) -> bool:
    """Whether a path, as a program may write it, means one of the API's."""
    return find_meant(path).path.startswith(PREFIXES)


def name_unknown(path: str) -> str:
    """Name an endpoint that is none here: one of VENDORS, or OTHER."""
    found = (each for each in VENDORS if path == each or path.startswith(each + "/"))
    return max(found, key=len, default=OTHER)
