"""The page of the figures: what stands between its markers is replaced."""

from __future__ import annotations

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def written(page: str, text: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with what stands between the markers replaced. Raises ValueError for a page without them."""
    if begin not in page or end not in page:
        raise ValueError(f"the page has no place for the figures: put {begin} and {end} on lines of their own")
    head, tail = page.split(begin)[0], page.split(end)[1]
    return f"{head}{begin}\n{text}\n{end}{tail}"
