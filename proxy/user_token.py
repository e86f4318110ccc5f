"""A person's own token for the upstream, in a cookie that only this gateway opens for that person.

It is sealed with a key made of SECRET_KEY and the person's id. A cookie that was changed, is too
old, or is another person's opens nothing, and is deleted with the next reply; after sign-out it
opens nothing either. From here the token travels as an argument, to the headers of the one request
that it is for: never into a row, a job, a session or a log.
"""

import base64
from collections.abc import Callable
from datetime import timedelta

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac

from conversations.models import User

from . import faults
from .upstreams import client
from .upstreams.routing import ENVIRONMENT, Way

COOKIE = "user_token"
LONGEST = 2500  # characters: sealed, it has to fit a cookie
OLDEST = timedelta(days=1)  # some browsers never end a session
MISSING = (
    "This gateway sends your own token to the model. Paste it under “Your token”, then ask again."
)


def read_token(request: HttpRequest) -> str:
    """Return an Authorization header; empty where there is none that may be used."""
    if not settings.ALLOW_USER_TOKENS or not request.user.is_authenticated:
        return ""
    sealed, oldest = request.COOKIES.get(COOKIE, ""), int(OLDEST.total_seconds())
    try:
        return _seal(request.user).decrypt(sealed, ttl=oldest).decode()
    except InvalidToken:
        return ""


def require_token(request: HttpRequest, way: Way) -> str:
    """Return the person's token, or none where the gateway's own credentials serve.

    Where LLM_ENDPOINT has neither, the call takes the other routes of its model. Raises Fault where
    there are none.
    """
    if not settings.ALLOW_USER_TOKENS or not client.may_take_token(way.environment_url):
        return ""
    token = read_token(request)
    if not token and not settings.LLM_API_AUTHORIZATION and not way.leave_out(ENVIRONMENT):
        raise faults.token_missing(MISSING)
    return token


def store_token(user: User, response: HttpResponse, token: str) -> None:
    """Keep it until the browser is closed, the person signs out, or a day has passed."""
    header = token if " " in token else f"Bearer {token}"
    sealed = _seal(user).encrypt(header.encode())
    response.set_cookie(
        COOKIE,
        sealed.decode(),
        httponly=True,
        samesite="Strict",
        secure=settings.SESSION_COOKIE_SECURE,
    )


def forget_token(response: HttpResponse) -> None:
    response.delete_cookie(COOKIE, samesite="Strict")


class Cookie:
    """Middleware that deletes a cookie which opens nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if (
            COOKIE in request.COOKIES
            and COOKIE not in response.cookies
            and hasattr(request, "user")
            and not read_token(request)
        ):
            forget_token(response)
        return response


def shell(request: HttpRequest) -> dict[str, object]:
    """Return what the frame of every page needs."""
    return {
        "user_tokens": settings.ALLOW_USER_TOKENS,
        "token_url": settings.TOKEN_URL,
        "token_kept": lambda: bool(read_token(request)),
        "token_missing": lambda: (
            settings.ALLOW_USER_TOKENS
            and not settings.LLM_API_AUTHORIZATION
            and not read_token(request)
        ),
    }


def _seal(user: User) -> Fernet:
    key = salted_hmac("proxy.user_token", str(user.pk), algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(key))
