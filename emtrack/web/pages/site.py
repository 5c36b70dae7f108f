"""The site round the pages: security headers, files, login, one's own account."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emtrack.metrics import Metrics
from emtrack.people.accounts import (
    LONGEST_S,
    SHORTEST_PASSWORD,
    Guess,
    LoginRefused,
    UnfitPassword,
    change_password,
    log_in,
    log_out,
    session_of,
)
from emtrack.people.guesses import Guesses, TooManyGuesses
from emtrack.people.hashing import TooManyHashes
from emtrack.people.roles import EVERYBODY, Caller
from emtrack.web.guard import COOKIE, DATABASE_ERRORS, Problem, is_count, read_form, refuse_foreign_origin, source_of
from emtrack.web.rendering import NO_STORE, Pages

STATIC = Path(__file__).parents[1] / "static"
LARGEST_REPORT = 16 * 1024
REPORTS_A_MINUTE = 60
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

LOGIN_ERRORS = (LoginRefused, TooManyGuesses, TooManyHashes)

log = structlog.get_logger()


class SecurityHeaders:
    """Puts the headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, sent)


class Rate:
    """So many a minute."""

    def __init__(self, most: int, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._stopwatch = stopwatch
        self._since_s = -60.0
        self._taken = 0

    def take(self) -> bool:
        """Whether one more is taken now."""
        now_s = self._stopwatch()
        if now_s - self._since_s >= 60:
            self._since_s, self._taken = now_s, 0
        self._taken += 1
        return self._taken <= self._most


class Site:
    """Login, logout, account, files, reports of the content security policy."""

    def __init__(self, pages: Pages, metrics: Metrics, *, secure: bool) -> None:
        self._pages = pages
        self._metrics = metrics
        self._secure = secure
        self._guesses = Guesses()
        self._reports = Rate(REPORTS_A_MINUTE)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.home),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/csp-reports", self.reported, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC), name="static"),
            self._pages.route("/logout", self.logout, EVERYBODY, ["POST"]),
            self._pages.route("/account", self.account, EVERYBODY, ["GET", "POST"]),
        ]

    async def home(self, _: Request) -> Response:
        return RedirectResponse("/alerts", 303)

    async def login(self, request: Request) -> Response:
        """The form, and what is sent with it. A person who is logged in already is not asked."""
        try:
            if request.method == "POST":
                return await self._log_in(request)
            following = _local(request.query_params.get("next"))
            if await self._is_logged_in(request):
                return RedirectResponse(following, 303, NO_STORE)
            return self._pages.render("login.html", None, following=following)
        except Problem as problem:
            return self._pages.trouble(None, problem.status, str(problem))
        except DATABASE_ERRORS:
            return self._pages.trouble(None, 503, "Nobody can log in until it does. Try again in a moment.")

    async def _is_logged_in(self, request: Request) -> bool:
        cookie = request.cookies.get(COOKIE)
        if cookie is None:
            return False
        async with self._pages.pool.acquire() as connection:
            return await session_of(connection, cookie) is not None

    async def _log_in(self, request: Request) -> Response:
        refuse_foreign_origin(request)
        form = await read_form(request)
        following = _local(form.get("next"))
        try:
            guess = Guess(form.get("name", "").strip(), form.get("password", ""), source_of(request))
            login = await log_in(self._pages.pool, self._guesses, guess)
        except LOGIN_ERRORS as refused:
            problem = _problem_of(refused)
            name = form.get("name", "")[:200]
            return self._pages.render(
                "login.html", None, status=problem.status, headers=problem.headers, following=following,
                error=str(problem), name=name,
            )  # fmt: skip
        response = RedirectResponse(following, 303, NO_STORE)
        response.set_cookie(
            COOKIE, login.cookie, max_age=LONGEST_S, httponly=True, secure=self._secure, samesite="lax", path="/"
        )
        return response

    async def logout(self, request: Request, caller: Caller) -> Response:
        async with self._pages.pool.acquire() as connection:
            await log_out(connection, request.cookies.get(COOKIE, ""), caller.name)
        response = RedirectResponse("/login", 303, NO_STORE)
        response.delete_cookie(COOKIE, path="/")
        return response

    async def account(self, request: Request, caller: Caller) -> Response:
        """Who one is, and a new password. Every session ends with the old one."""
        if request.method == "GET":
            return self._pages.render("account.html", caller, shortest=SHORTEST_PASSWORD)
        form = await read_form(request)
        try:
            if form.get("new", "") != form.get("again", ""):
                raise UnfitPassword("the new password was not written twice in the same way")
            guess = Guess(caller.name, form.get("old", ""), source_of(request))
            await change_password(self._pages.pool, self._guesses, guess, form.get("new", ""))
        except (UnfitPassword, *LOGIN_ERRORS) as error:
            problem = _problem_of(error)
            return self._pages.render(
                "account.html", caller, status=max(problem.status, 422), headers=problem.headers,
                shortest=SHORTEST_PASSWORD, error=_sentence(str(problem)),
            )  # fmt: skip
        response = RedirectResponse("/login", 303, NO_STORE)
        response.delete_cookie(COOKIE, path="/")
        return response

    async def reported(self, request: Request) -> Response:
        """A browser says that a page wanted something that the policy forbids: a fault of ours, or an attack. Only of somebody who is
        logged in, and so many a minute: what anybody can send is no sign of anything, and fills logs."""
        size = request.headers.get("content-length", "")
        if not is_count(size) or int(size) > LARGEST_REPORT:
            return Response(status_code=413)
        if not self._reports.take():
            return Response(status_code=429, headers={"Retry-After": "60"})
        try:
            if not await self._is_logged_in(request):
                return Response(status_code=403)
        except DATABASE_ERRORS:
            return Response(status_code=503, headers={"Retry-After": "60"})
        await request.body()
        self._metrics.policy_reports.inc()
        log.warning("content security policy report", bytes=int(size))
        return Response(status_code=204)


def _problem_of(error: Exception) -> Problem:
    """One of `LOGIN_ERRORS`, or of a new password, as an answer."""
    if isinstance(error, TooManyHashes):
        return Problem(
            429, "Too many people log in just now. Try again in a moment.", retry_after_s=error.retry_after_s
        )
    if isinstance(error, TooManyGuesses):
        return Problem(429, str(error), retry_after_s=error.retry_after_s)
    return Problem(401, str(error))


def _local(target: Any) -> str:
    """Where to go after the login: a path of ours, whatever was asked for."""
    if not isinstance(target, str) or not target.startswith("/") or target.startswith(("//", "/\\")):
        return "/alerts"
    parts = urlsplit(target)
    return "/alerts" if parts.netloc or parts.scheme or "\\" in target or not target.isprintable() else target


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
