"""What protects browsers: headers on every answer, cookies that keep to TLS, and hosts that we are asked for by name."""

from __future__ import annotations

import msgspec
from starlette.middleware import Middleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emtrack.people.sessions import Origin
from emtrack.settings import Settings

COOKIE = "emtrack_session"
SHORTEST_COMPRESSED = 1_000
COMPRESSION = 4
"""Of a page of 120 kB a sixth is left, in 2 ms; level 9 takes three times as long and saves a twentieth more."""
COOKIE_OVER_TLS = f"__Host-{COOKIE}"
"""A browser takes a cookie of such a name only over TLS, from this very host, for all of its paths."""

# Scripts, styles, pictures and requests of our own origin only. Nothing inline, nothing from elsewhere, no frames.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "report-uri /csp-reports",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
}
OVER_TLS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


def cookie_name(settings: Settings) -> str:
    return COOKIE_OVER_TLS if settings.is_secure else COOKIE


def middleware_of(settings: Settings) -> list[Middleware]:
    """Headers outermost, so that a refusal has them too."""
    headers = HEADERS | (OVER_TLS if settings.is_secure else {})
    return [
        Middleware(SecurityHeaders, headers=headers),
        Middleware(KnownHosts, hosts=settings.known_hosts),
        Middleware(CompressedAnswers),
    ]


def session_cookie(request: Request) -> str | None:
    """The cookie of the session, under the one name that is ours here."""
    return request.cookies.get(request.app.state.cookie)


def origin_of_login(request: Request) -> Origin:
    """The address from which a login comes (of the browser, where a proxy that is trusted says so), and what the browser calls
    itself."""
    address = "not known" if request.client is None else request.client.host
    return Origin(address, request.headers.get("user-agent", "not said"))


class CompressedAnswers:
    """Compresses what is asked for with GET. Streams of events and parts of files stay as they are, and so do answers to devices:
    those are a few bytes each, and thousands a second."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        kinds = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/vnd.pmtiles")
        self._compressed = GZipMiddleware(
            app, minimum_size=SHORTEST_COMPRESSED, compresslevel=COMPRESSION, exclude_content_types=kinds
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._compressed if scope["type"] == "http" and scope["method"] == "GET" else self._app
        await app(scope, receive, send)


class SecurityHeaders:
    """Puts the headers on every answer, in place of any that are there."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._names = frozenset(name for name, _ in self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = [header for header in message["headers"] if header[0].lower() not in self._names]
                message["headers"] = [*there, *self._headers]
            await send(message)

        await self._app(scope, receive, sent)


class KnownHosts:
    """A request for another host than ours is refused, and sent nowhere: what we answer may lead to the host that it names."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) == 1 and _without_port(named[0].decode("latin-1")) in self._hosts:
            await self._app(scope, receive, send)
            return
        error = "the service is not known by this host name; EMTRACK_HOSTS lists those it is known by"
        body = msgspec.json.encode({"error": error})
        refusal = Response(body, 400, {"Cache-Control": "no-store"}, "application/json")
        await refusal(scope, receive, send)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port or not port.isdigit():
        name = host
    return name.strip("[]").lower()
