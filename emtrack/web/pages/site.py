"""The site round the pages: files, login, logout."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from emtrack.metrics import Metrics
from emtrack.people.accounts import Guess, Login, LoginRefused, log_in, log_in_with_code, log_out
from emtrack.people.guesses import Guesses
from emtrack.people.roles import EVERYBODY, Caller, Needs, Role
from emtrack.people.sealed_secrets import SecretBox
from emtrack.people.second_factor import WrongCode
from emtrack.people.sessions import LONGEST_S, session_of
from emtrack.settings import Settings, SettingsError
from emtrack.web.assets import static_route
from emtrack.web.browsers import cookie_name, origin_of_login, session_cookie
from emtrack.web.form_keys import masked
from emtrack.web.guard import DATABASE_ERRORS, Problem, is_count, read_form, refuse_foreign_origin, source_of
from emtrack.web.refused_logins import LOGIN_ERRORS, problem_of_login
from emtrack.web.rendering import NO_HEADERS, NO_STORE, WHERE_NEEDS_ARE_MET, Pages

HOME = "/alerts"
LARGEST_REPORT = 16 * 1024
REPORTS_A_MINUTE = 60

log = structlog.get_logger()


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
    """Login, logout, files, reports of the content security policy."""

    def __init__(self, pages: Pages, metrics: Metrics, settings: Settings, guesses: Guesses, box: SecretBox) -> None:
        """`guesses`: those of all who give a password. `box`: in which secrets of authenticator apps are kept."""
        self._pages = pages
        self._metrics = metrics
        self._settings = settings
        self._factor_for = roles_of(settings.second_factor)
        self._guesses = guesses
        self._box = box
        self._reports = Rate(REPORTS_A_MINUTE)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.home),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/csp-reports", self.reported, methods=["POST"]),
            static_route(),
            self._pages.route("/logout", self.logout, EVERYBODY, ["POST"], frozenset(Needs)),
            self._pages.route("/login/code", self.code, EVERYBODY, ["GET", "POST"], frozenset({Needs.CODE})),
        ]

    async def home(self, request: Request) -> Response:
        """Where one's work is."""
        return RedirectResponse(_home_of(await self._session(request)), 303, NO_STORE)

    async def login(self, request: Request) -> Response:
        """The form, and what is sent with it. A person who is logged in already is not asked."""
        try:
            if request.method == "POST":
                return await self._log_in(request)
            following = local_target(request.query_params.get("next"))
            if (caller := await self._session(request)) is not None:
                target = following if request.query_params.get("next") else _home_of(caller)
                return RedirectResponse(target, 303, NO_STORE)
            return self.login_page(200, following=following)
        except Problem as problem:
            return self._pages.trouble(None, problem.status, str(problem))
        except DATABASE_ERRORS:
            return self._pages.trouble(None, 503, "Nobody can log in until it does. Try again in a moment.")

    def login_page(
        self,
        status: int,
        *,
        following: str = HOME,
        error: str | None = None,
        name: str = "",
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Response:
        """With the way to the identity provider, where there is one."""
        provider = self._settings.oidc_name if self._settings.oidc_issuer else None
        return self._pages.render(
            "login.html", None, status=status, headers=headers, following=following,
            error=error, name=name, provider=provider,
        )  # fmt: skip

    async def _session(self, request: Request) -> Caller | None:
        cookie = session_cookie(request)
        if cookie is None:
            return None
        async with self._pages.pool.acquire() as connection:
            return await session_of(connection, cookie)

    async def _log_in(self, request: Request) -> Response:
        refuse_foreign_origin(request)
        form = await read_form(request)
        following = local_target(form.get("next"))
        try:
            guess = Guess(form.get("name", "").strip(), form.get("password", ""), source_of(request))
            login = await log_in(self._pages.pool, self._guesses, guess, origin_of_login(request), self._factor_for)
        except LOGIN_ERRORS as refused:
            problem = problem_of_login(refused)
            name = form.get("name", "")[:200]
            return self.login_page(
                problem.status, following=following, error=str(problem), name=name, headers=problem.headers
            )
        return self.logged_in(login, following)

    def logged_in(self, login: Login, following: str) -> Response:
        """On to what was wanted, or first to what is needed, with the cookie of the session."""
        target = following if login.needs is None else WHERE_NEEDS_ARE_MET[login.needs]
        if login.needs is Needs.CODE:
            target = f"{target}?next={quote(following, safe='')}"
        response = RedirectResponse(target, 303, NO_STORE)
        response.set_cookie(
            cookie_name(self._settings), login.cookie, max_age=LONGEST_S, httponly=True, secure=self._settings.is_secure,
            samesite="lax", path="/",
        )  # fmt: skip
        return response

    async def code(self, request: Request, caller: Caller) -> Response:
        """After the password, for who has a second factor."""
        following = local_target(request.query_params.get("next"))
        if caller.needs is not Needs.CODE:
            return RedirectResponse(following, 303, NO_STORE)
        if request.method == "GET":
            return self._pages.render("code.html", None, following=following, form_key=masked(caller.form_key or ""))
        form = await read_form(request)
        following, cookie = local_target(form.get("next")), session_cookie(request) or ""
        try:
            async with self._pages.pool.acquire() as connection:
                login = await log_in_with_code(
                    connection, self._box, cookie, caller, form.get("code", ""), origin_of_login(request)
                )
        except (WrongCode, LoginRefused) as error:
            return self._pages.render(
                "code.html",
                None,
                status=401,
                following=following,
                form_key=masked(caller.form_key or ""),
                error=str(error),
            )
        return self.logged_in(login, following)

    async def logout(self, request: Request, caller: Caller) -> Response:
        async with self._pages.pool.acquire() as connection:
            await log_out(connection, session_cookie(request) or "", caller.name)
        response = RedirectResponse("/login", 303, NO_STORE)
        response.delete_cookie(cookie_name(self._settings), path="/", secure=self._settings.is_secure)
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
            if await self._session(request) is None:
                return Response(status_code=403)
        except DATABASE_ERRORS:
            return Response(status_code=503, headers={"Retry-After": "60"})
        await request.body()
        self._metrics.policy_reports.inc()
        log.warning("content security policy report", bytes=int(size))
        return Response(status_code=204)


def _home_of(caller: Caller | None) -> str:
    return "/looks" if caller is not None and caller.role is Role.AUDITOR else "/alerts"


def local_target(target: Any) -> str:
    """Where to go after the login: a path of ours, whatever was asked for; one's own home if nothing was."""
    if not isinstance(target, str) or not target.startswith("/") or target.startswith(("//", "/\\")):
        return "/"
    parts = urlsplit(target)
    return "/" if parts.netloc or parts.scheme or "\\" in target or not target.isprintable() else target


def roles_of(names: tuple[str, ...]) -> frozenset[Role]:
    """Raises SettingsError."""
    try:
        return frozenset(Role(name) for name in names)
    except ValueError as error:
        raise SettingsError(f"EMTRACK_SECOND_FACTOR: {error}; expected some of {', '.join(Role)}") from error
