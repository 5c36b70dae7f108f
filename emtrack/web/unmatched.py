"""What is answered to requests that no route is for: programs get JSON there, too, and people a line of text."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from emtrack.web.guard import ErrorAnswer, answer

PROGRAMS = "/v1/"
WORDS = {
    404: "there is nothing at this address; GET /v1/openapi.json describes all that there is",
    405: "this address is not for that method; GET /v1/openapi.json describes which it is for",
}


async def unmatched(request: Request, error: Exception) -> Response:
    """Starlette's refusals (an HTTPException each)."""
    assert isinstance(error, HTTPException)
    if request.url.path.startswith(PROGRAMS):
        response = answer(ErrorAnswer(WORDS.get(error.status_code, error.detail)), error.status_code)
        response.headers.update(error.headers or {})
        return response
    return PlainTextResponse(error.detail, error.status_code, error.headers)
