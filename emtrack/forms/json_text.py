"""JSON as forms come in it: read strictly (`ingest.read_json`), with the line of what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emtrack.forms.errors import FormError
from emtrack.forms.locating import form_error_at
from ingest import UnreadableText, encoding_trouble, read_json

__all__ = ["NotJson", "encoding_trouble", "read_json_text"]


class NotJson(FormError):
    """A text that is no JSON, or that says something twice."""


def read_json_text(text: str | bytes, name: str) -> Any:
    """What a JSON text says. Raises NotJson, or FormError for a NUL in it. `name` of the file or body, for the message."""
    body = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    try:
        read = read_json(body)
    except UnreadableText as error:
        line = "" if error.line is None else f"line {error.line}: "
        raise NotJson(f"{name}: {line}{error}") from error
    if b"\\u0000" in body:
        _refuse_nul(read, body.decode(), name)
    return read


def _refuse_nul(read: Any, text: str, name: str) -> None:
    """No database keeps a NUL in a text, and no terminal shows it."""
    for path in _with_nul(read, "$"):
        raise form_error_at(text, name, path, "it holds a NUL character, which no text has; leave it out")


def _with_nul(value: Any, path: str) -> Iterator[str]:
    """The paths of texts that hold one."""
    if isinstance(value, str):
        if "\0" in value:
            yield path
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _with_nul(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if "\0" in key:
                yield path
            yield from _with_nul(item, f"{path}.{key}")
