"""A real OpenID provider in a process of its own, on loopback: oidc-provider-mock, whose tokens and codes are Authlib's.

It asks for PKCE, which that provider does not by itself: a code is given for a challenge, and a token only to who has its verifier.
It can be told to go wrong in one way, as a provider would that is attacked or badly set up. `python -m tests.provider FAULT` prints
its address.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode
from wsgiref.simple_server import WSGIRequestHandler, make_server

import oidc_provider_mock

FAULTS = ("none", "nonce", "audience", "issuer", "expired", "signature", "unsigned", "discovery", "keys")
START = Callable[..., Any]


class Checked:
    """The provider, with PKCE, and with a fault."""

    def __init__(self, app: Any, fault: str) -> None:
        self._app = app
        self._fault = fault
        self._challenges: dict[str, str] = {}

    def __call__(self, environ: dict[str, Any], start: START) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/oauth2/authorize":
            return self._authorize(environ, start)
        if path == "/oauth2/token":
            return self._token(environ, start)
        status, headers, body = self._ask(environ)
        if path.endswith("openid-configuration") and self._fault == "discovery":
            body = body.replace(b'"issuer": "', b'"issuer": "http://other.example/')
        if path == "/jwks" and self._fault == "keys":
            body = b'{"keys": []}'
        return _answer(start, status, headers, body)

    def _authorize(self, environ: dict[str, Any], start: START) -> Iterable[bytes]:
        query = parse_qs(environ["QUERY_STRING"])
        if query.get("code_challenge_method") != ["S256"]:
            return _answer(start, "400 Bad Request", [], b"no code challenge")
        if self._fault == "nonce":
            query["nonce"] = ["another"]
        if self._fault == "audience":
            query["client_id"] = ["another"]
        environ["QUERY_STRING"] = urlencode(query, doseq=True)
        status, headers, body = self._ask(environ)
        location = dict(headers).get("Location", "")
        if "code=" in location:
            self._challenges[parse_qs(location.partition("?")[2])["code"][0]] = query["code_challenge"][0]
        return _answer(start, status, headers, body)

    def _token(self, environ: dict[str, Any], start: START) -> Iterable[bytes]:
        sent = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        form = parse_qs(sent.decode())
        digest = hashlib.sha256(form.get("code_verifier", [""])[0].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if self._challenges.pop(form["code"][0], None) != challenge:
            return _answer(start, "400 Bad Request", [], b'{"error": "invalid_grant"}')
        if self._fault == "audience":
            form["client_id"] = ["another"]
            environ.pop("HTTP_AUTHORIZATION", None)
            form["client_secret"] = ["any"]
        if self._fault == "issuer":
            environ["HTTP_HOST"] = "localhost"
        body = urlencode(form, doseq=True).encode()
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        status, headers, answered = self._ask(environ)
        return _answer(start, status, headers, self._spoilt(answered))

    def _spoilt(self, body: bytes) -> bytes:
        if self._fault not in ("signature", "unsigned"):
            return body
        said = json.loads(body)
        header, claims, signature = said["id_token"].split(".")
        if self._fault == "unsigned":
            none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
            said["id_token"] = f"{none}.{claims}."
        else:
            said["id_token"] = f"{header}.{claims}.{signature[:20]}{'A' * 20}{signature[40:]}"
        return json.dumps(said).encode()

    def _ask(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        said: list[Any] = []
        body = b"".join(self._app(environ, lambda status, headers, _=None: said.extend((status, headers))))
        return said[0], said[1], body


def _answer(start: START, status: str, headers: list[tuple[str, str]], body: bytes) -> Iterable[bytes]:
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    start(status, [*kept, ("Content-Length", str(len(body)))])
    return [body]


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def main(fault: str) -> None:
    users = [
        oidc_provider_mock.User(sub="s-1", claims={"preferred_username": "Ann", "email": "ann@agency.example"}),
        oidc_provider_mock.User(sub="s-2", claims={"preferred_username": "Ann"}),
        oidc_provider_mock.User(sub="s-3", claims={"preferred_username": "Bob"}),
        oidc_provider_mock.User(sub="s-4", claims={"email": "cy@agency.example", "email_verified": True}),
    ]
    age = timedelta(seconds=-3_600 if fault == "expired" else 3_600)
    app = oidc_provider_mock.app(user_claims=users, require_nonce=True, access_token_max_age=age)
    server = make_server("127.0.0.1", 0, Checked(app, fault), handler_class=_Silent)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
