"""The way to an identity provider and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from emtrack.forms.names import unfit_account
from emtrack.people.accounts import LoginRefused
from emtrack.people.provider_logins import log_in_by_provider
from emtrack.people.roles import Role
from emtrack.settings import Settings, SettingsError
from emtrack.web.browsers import origin_of_login
from emtrack.web.guard import DATABASE_ERRORS
from emtrack.web.pages.site import Site, local_target
from emtrack.web.rendering import NO_STORE, Pages

if TYPE_CHECKING:
    from emtrack.web.provider import Provider

BACK = "/login/provider/done"
COOKIE = "emtrack_login"

log = structlog.get_logger()


class ProviderPages:
    """Where a provider is set: a button on the login page, and what is behind it."""

    def __init__(self, pages: Pages, site: Site, settings: Settings) -> None:
        self._pages = pages
        self._site = site
        self._cookie = f"__Host-{COOKIE}" if settings.is_secure else COOKIE
        self._scheme = "https" if settings.is_secure else "http"
        self._new_role = _new_role(settings)
        self._provider = provider_of(settings)

    def routes(self) -> list[BaseRoute]:
        if self._provider is None:
            return []
        return [Route("/login/provider", self.leave), Route(BACK, self.come_back)]

    async def leave(self, request: Request) -> Response:
        """To the provider, with what belongs to this attempt in a cookie."""
        from emtrack.web.provider import ATTEMPT_S, Attempt, ProviderTrouble

        assert self._provider is not None
        attempt = Attempt.new(local_target(request.query_params.get("next")))
        try:
            address = await self._provider.address(attempt, self._back(request))
        except (ProviderTrouble, SettingsError) as trouble:
            return self._told(str(trouble), getattr(trouble, "why", "address"))
        response = RedirectResponse(address, 303, NO_STORE)
        response.set_cookie(
            self._cookie, attempt.cookie(), max_age=ATTEMPT_S, httponly=True, secure=self._scheme == "https",
            samesite="lax", path="/",
        )  # fmt: skip
        return response

    async def come_back(self, request: Request) -> Response:
        from emtrack.web.provider import Attempt, ProviderTrouble

        assert self._provider is not None
        attempt = Attempt.read(request.cookies.get(self._cookie))
        try:
            identity = await self._provider.identity(attempt, dict(request.query_params), self._back(request))
            new_role = None if unfit_account(identity.name) else self._new_role
            async with self._pages.pool.acquire() as connection, connection.transaction():
                login = await log_in_by_provider(
                    connection, identity, origin_of_login(request), new_role, self._pages.clock.now_ms()
                )
        except (ProviderTrouble, LoginRefused, SettingsError) as trouble:
            response = self._told(str(trouble), getattr(trouble, "why", "no account"))
        except DATABASE_ERRORS:
            response = self._pages.trouble(None, 503, "Nobody can log in until it does. Try again in a moment.")
        else:
            response = self._site.logged_in(login, local_target(attempt.following if attempt else None))
        response.delete_cookie(self._cookie, path="/", secure=self._scheme == "https")
        return response

    def _back(self, request: Request) -> str:
        return f"{self._scheme}://{request.headers['host']}{BACK}"

    def _told(self, message: str, why: str) -> Response:
        log.warning("login by the provider failed", why=why)
        return self._site.login_page(401, error=message)


def provider_of(settings: Settings) -> Provider | None:
    """Raises SettingsError."""
    if (settings.oidc_issuer is None) != (settings.oidc_client_id is None):
        raise SettingsError("EMTRACK_OIDC_ISSUER and EMTRACK_OIDC_CLIENT_ID go together; set both, or none of them")
    if settings.oidc_issuer is None:
        return None
    from emtrack.web.provider import Provider  # who has none need not load what it takes

    return Provider(settings)


def _new_role(settings: Settings) -> Role | None:
    if settings.oidc_new_role is None:
        return None
    try:
        return Role(settings.oidc_new_role)
    except ValueError as error:
        raise SettingsError(f"EMTRACK_OIDC_NEW_ROLE: {error}; expected one of {', '.join(Role)}") from error
