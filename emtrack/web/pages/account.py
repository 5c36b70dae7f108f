""" "Your account": one's own password, sessions and second factor."""

from __future__ import annotations

import segno
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from emtrack.db.connect import Connection
from emtrack.people.accounts import Guess, change_password, user_no_of
from emtrack.people.guesses import Guesses
from emtrack.people.passwords import SHORTEST_PASSWORD, UnfitPassword
from emtrack.people.roles import EVERYBODY, Caller, Needs
from emtrack.people.sealed_secrets import SecretBox
from emtrack.people.second_factor import (
    Offer,
    WrongCode,
    check_code,
    confirm_second_factor,
    has_second_factor,
    offer_second_factor,
    offered,
    recovery_codes_left,
    remove_second_factor,
)
from emtrack.people.sessions import NoSession, end_numbered_session, finish_login, list_sessions
from emtrack.web.guard import Problem, is_count, read_form, source_of
from emtrack.web.refused_logins import LOGIN_ERRORS, problem_of_login
from emtrack.web.rendering import NO_STORE, Pages
from geofence import instant_of

FACTOR_PAGE = "/account/second-factor"


class AccountPages:
    """For everybody who has a session, each for themselves."""

    def __init__(self, pages: Pages, guesses: Guesses, box: SecretBox) -> None:
        """`box`: in which secrets of authenticator apps are kept."""
        self._pages = pages
        self._guesses = guesses
        self._box = box

    def routes(self) -> list[BaseRoute]:
        route = self._pages.route
        password, factor = frozenset({Needs.PASSWORD}), frozenset({Needs.SECOND_FACTOR})
        return [
            route("/account", self.account, EVERYBODY, ["GET", "POST"], password),
            route("/account/sessions", self.end, EVERYBODY, ["POST"]),
            route(FACTOR_PAGE, self.second_factor, EVERYBODY, ["GET", "POST"], factor),
        ]

    async def account(self, request: Request, caller: Caller) -> Response:
        """Who one is, one's sessions, and a new password. Every session ends with the old one."""
        if request.method == "GET":
            return await self._account(caller)
        form = await read_form(request)
        try:
            if form.get("new", "") != form.get("again", ""):
                raise UnfitPassword("Enter the same new password twice")
            guess = Guess(caller.name, form.get("old", ""), source_of(request))
            await change_password(self._pages.pool, self._guesses, guess, form.get("new", ""))
        except UnfitPassword as error:
            return await self._account(caller, 422, str(error))
        except LOGIN_ERRORS as error:
            problem = problem_of_login(error)
            told = await self._account(caller, max(problem.status, 422), str(problem).removesuffix("."))
            told.headers.update(problem.headers)
            return told
        response = RedirectResponse("/login", 303, NO_STORE)
        response.delete_cookie(request.app.state.cookie, path="/", secure=request.app.state.cookie.startswith("__"))
        return response

    async def _account(self, caller: Caller, status: int = 200, error: str | None = None) -> Response:
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            sessions = await list_sessions(connection, caller.name) if caller.form_key else []
            has_factor = caller.form_key is not None and await has_second_factor(
                connection, await user_no_of(connection, caller.name)
            )
        lines = [
            {
                "number": one.session_no, "from": one.begun_from, "browser": one.browser,
                "since": words.moment(instant_of(one.began_at)), "seen": words.moment(instant_of(one.seen_at)),
                "is_this": one.session_hash == caller.credential,
            }
            for one in sessions
        ]  # fmt: skip
        return self._pages.render(
            "account.html", caller, words, status=status,
            shortest=SHORTEST_PASSWORD, error=error, sessions=lines, has_factor=has_factor,
        )  # fmt: skip

    async def end(self, request: Request, caller: Caller) -> Response:
        """One of one's own sessions."""
        number = read_session_no((await read_form(request)).get("session"))
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                await end_numbered_session(connection, number, of=caller.name, who=caller.name)
        except NoSession as error:
            raise Problem(404, f"{error}.") from error
        return RedirectResponse("/account", 303, NO_STORE)

    # ------------------------------------------------------------------------------------- second factor

    async def second_factor(self, request: Request, caller: Caller) -> Response:
        """Set up an authenticator app, get new recovery codes, or remove it."""
        if caller.form_key is None:
            raise Problem(400, "A program has no second factor.")
        if request.method == "GET":
            return await self._factor(caller)
        form = await read_form(request)
        steps = {"start": self._start, "confirm": self._confirm, "remove": self._remove}
        step = steps.get(form.get("step", ""))
        if step is None:
            raise Problem(400, "Open the page again and choose what to do.")
        return await step(caller, form.get("code", ""))

    async def _factor(
        self, caller: Caller, *, offer: Offer | None = None, codes: list[str] | None = None, error: str | None = None
    ) -> Response:
        async with self._pages.pool.acquire() as connection:
            number = await user_no_of(connection, caller.name)
            has_factor, left = (
                await has_second_factor(connection, number),
                await recovery_codes_left(connection, number),
            )
        picture = None if offer is None else _qr(offer.address)
        return self._pages.render(
            "second_factor.html", caller, status=422 if error else 200,
            offer=offer, picture=picture, codes=codes, error=error, has_factor=has_factor, codes_left=left,
        )  # fmt: skip

    async def _start(self, caller: Caller, _: str) -> Response:
        async with self._pages.pool.acquire() as connection:
            number = await user_no_of(connection, caller.name)
            if await has_second_factor(connection, number):
                raise Problem(409, "You have an authenticator app already. Remove it first.")
            offer = await offer_second_factor(connection, self._box, number, caller.name)
        return await self._factor(caller, offer=offer)

    async def _confirm(self, caller: Caller, code: str) -> Response:
        async with self._pages.pool.acquire() as connection:
            number = await user_no_of(connection, caller.name)
            try:
                async with connection.transaction():
                    codes = await confirm_second_factor(connection, self._box, number, caller.name, code)
                    await finish_login(connection, caller.credential, number)
            except WrongCode as wrong:
                offer, error = await _offered(connection, self._box, number, caller.name), str(wrong)
                return await self._factor(caller, offer=offer, error=error)
        return await self._factor(caller._replace(needs=None), codes=codes)

    async def _remove(self, caller: Caller, code: str) -> Response:
        async with self._pages.pool.acquire() as connection:
            number = await user_no_of(connection, caller.name)
            try:
                await check_code(connection, self._box, number, caller.name, code)
            except WrongCode as wrong:
                return await self._factor(caller, error=str(wrong))
            async with connection.transaction():
                await remove_second_factor(connection, number, caller.name, who=caller.name)
                await finish_login(connection, caller.credential, number)
        return RedirectResponse("/account", 303, NO_STORE)


async def _offered(connection: Connection, box: SecretBox, user_no: int, name: str) -> Offer | None:
    try:
        return await offered(connection, box, user_no, name)
    except WrongCode:
        return None


def _qr(address: str) -> str:
    """A picture to scan, as SVG that stands in the page."""
    return segno.make(address, error="m", micro=False).svg_inline(scale=5, border=4, light="#fff", title="QR code")


def read_session_no(text: str | None) -> int:
    """Raises Problem."""
    if not (text and is_count(text)):
        raise Problem(400, "Choose which session ends.")
    return int(text)
