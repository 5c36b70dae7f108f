"""An identity provider: OpenID Connect, the authorisation code flow with PKCE.

What belongs to one attempt (state, nonce, verifier, where to go after it) stands in a cookie of that browser, so that the answer
counts in the browser that asked and nowhere else. The identity token is checked by joserfc (signature, with keys of the provider) and
by Authlib (issuer, audience, times, nonce). What the provider says is never shown: it may be anybody's text.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlencode, urlsplit

import aiohttp
import msgspec
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from emtrack.people.provider_logins import Identity
from emtrack.settings import Settings, SettingsError

WITHIN_S = 10.0
KEPT_S = 3_600.0
"""What the provider says of itself is asked again after an hour, and its keys where a token names one that is not known."""
ATTEMPT_S = 600
LARGEST = 1 << 20
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""Of signatures by a key that only the provider has: neither `none` nor a shared secret."""
LEEWAY_S = 60


class ProviderTrouble(Exception):
    """A login by the provider that came to nothing. The message says what to do; `why` is for the log, and names nobody."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


class Attempt(msgspec.Struct, frozen=True):
    """What is kept in the browser until the provider has answered. `following`: where to go then."""

    state: str
    nonce: str
    verifier: str
    following: str

    @staticmethod
    def new(following: str) -> Attempt:
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        return Attempt(state, nonce, verifier, following)

    @staticmethod
    def read(cookie: str | None) -> Attempt | None:
        """What a cookie says; None where it says nothing."""
        try:
            return msgspec.json.decode(bytes.fromhex(cookie or ""), type=Attempt)
        except ValueError:
            return None

    def cookie(self) -> str:
        return msgspec.json.encode(self).hex()


class Known(NamedTuple):
    """What the provider says of itself."""

    authorize: str
    token: str
    keys: str
    says_issuer: bool


class Provider:
    """The provider of a deployment, as its settings have it."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError."""
        assert settings.oidc_issuer is not None
        assert settings.oidc_client_id is not None
        self.name = settings.oidc_name
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._secret = _secret_of(settings)
        self._claim = settings.oidc_claim
        self._known: tuple[float, Known] | None = None
        self._keys: KeySet | None = None
        _require_tls(self._issuer)

    async def address(self, attempt: Attempt, redirect_uri: str) -> str:
        """Where the browser goes to log in. Raises ProviderTrouble."""
        known = await self._discovered()
        query = {
            "response_type": "code", "client_id": self._client_id, "redirect_uri": redirect_uri,
            "scope": "openid profile email", "state": attempt.state, "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier), "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{known.authorize}{'&' if '?' in known.authorize else '?'}{urlencode(query)}"

    async def identity(self, attempt: Attempt | None, answer: dict[str, str], redirect_uri: str) -> Identity:
        """Who the provider says that it is, of the query with which the browser came back. Raises ProviderTrouble."""
        known = await self._discovered()
        if attempt is None or not secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise self._again("the state is not that of this browser")
        if answer.get("iss", self._issuer if not known.says_issuer else "") != self._issuer:
            raise self._again("the answer names another issuer")
        if "error" in answer:
            raise ProviderTrouble(
                f"{self.name} did not log you in. Try again, or contact your administrator", "refused"
            )
        sent = await self._token(known, answer.get("code", ""), attempt.verifier, redirect_uri)
        return self._named(await self._checked(known, sent, attempt.nonce))

    def _again(self, why: str) -> ProviderTrouble:
        return ProviderTrouble("This login could not be finished. Try again from the beginning", why)

    async def _token(self, known: Known, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "client_id": self._client_id,
            "code_verifier": verifier,
        }  # fmt: skip
        sent = await self._ask("POST", known.token, data=form, headers=self._authentication())
        if not isinstance(sent.get("id_token"), str):
            raise self._again("no identity token came")
        return sent

    def _authentication(self) -> dict[str, str]:
        """`client_secret_basic` (RFC 6749, section 2.3.1); nothing of a public client, for whom PKCE speaks."""
        if self._secret is None:
            return {}
        pair = f"{quote_plus(self._client_id)}:{quote_plus(self._secret)}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    async def _checked(self, known: Known, sent: dict[str, Any], nonce: str) -> dict[str, Any]:
        options: dict[str, Any] = {
            "iss": {"essential": True, "value": self._issuer},
            "aud": {"essential": True, "value": self._client_id},
            "nonce": {"essential": True, "value": nonce},
        }
        params = {"nonce": nonce, "client_id": self._client_id, "access_token": sent.get("access_token")}
        try:
            token = await self._verified(known, sent["id_token"])
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError) as error:
            raise self._again(f"the identity token does not hold ({type(error).__name__})") from error
        return dict(claims)

    async def _verified(self, known: Known, token: str) -> jwt.Token:
        """With the keys that are known, or with those of now: providers change theirs."""
        if self._keys is not None:
            try:
                return jwt.decode(token, self._keys, algorithms=ALGORITHMS)
            except (JoseError, ValueError):
                pass
        self._keys = KeySet.import_key_set(await self._ask("GET", known.keys))  # type: ignore[arg-type]
        return jwt.decode(token, self._keys, algorithms=ALGORITHMS)

    def _named(self, claims: dict[str, Any]) -> Identity:
        name, subject = claims.get(self._claim), claims.get("sub")
        if not isinstance(name, str) or not name or not isinstance(subject, str):
            raise ProviderTrouble(
                f"{self.name} does not say who you are in a way that is known here. Contact your administrator",
                "the claim that names the account is missing",
            )
        if self._claim == "email" and claims.get("email_verified") is not True:
            raise ProviderTrouble(
                f"{self.name} has not verified your email address. Contact your administrator", "email not verified"
            )
        return Identity(self._issuer, subject, name)

    async def _discovered(self) -> Known:
        if self._known is not None and time.monotonic() - self._known[0] < KEPT_S:
            return self._known[1]
        said = await self._ask("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        places = [said.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if said.get("issuer") != self._issuer or not all(isinstance(place, str) for place in places):
            raise self._unreachable("it calls itself by another issuer, or does not say where to ask")
        for place in places:
            _require_tls(str(place))
        says_issuer = said.get("authorization_response_iss_parameter_supported") is True
        authorize, token, keys = map(str, places)
        known = Known(authorize, token, keys, says_issuer)
        self._known = time.monotonic(), known
        return known

    def _unreachable(self, why: str) -> ProviderTrouble:
        return ProviderTrouble(
            f"{self.name} cannot be reached. Try again, or log in with your username and password", why
        )

    async def _ask(self, method: str, address: str, **request: Any) -> dict[str, Any]:
        limit = aiohttp.ClientTimeout(total=WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as http,
                http.request(method, address, allow_redirects=False, **request) as response,
            ):
                body = await response.content.read(LARGEST)
                said = msgspec.json.decode(body) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            raise self._unreachable(type(error).__name__) from error
        if not isinstance(said, dict):
            raise (
                self._again(f"status {response.status}")
                if method == "POST"
                else self._unreachable(f"status {response.status}")
            )
        return said


def _require_tls(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")):
        return
    raise SettingsError(
        f"the identity provider's address {address[:200]!r} is not https; only a provider on this machine is asked without TLS"
    )


def _secret_of(settings: Settings) -> str | None:
    if settings.oidc_client_secret_file is None:
        return None
    try:
        return settings.oidc_client_secret_file.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"EMTRACK_OIDC_CLIENT_SECRET_FILE is {str(settings.oidc_client_secret_file)!r}: {error.strerror}"
        ) from error
