"""A report as HTML that stands alone, and as PDF.

Typst makes the PDF: a wheel without system libraries that reads nothing but what it is given. Texts reach it as data, so none of them
is taken for markup; nothing is fetched. Where its wheel is not there, the report says so and has no PDF.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from emtrack.web.reports.contents import Report

HERE: Final = Path(__file__).parent
NO_PDF: Final = (
    "PDF is not available on this machine: Typst, which makes it, is not installed. The HTML holds the same."
)


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html_of(report: Report) -> bytes:
    """One file: no script, no picture from elsewhere."""
    return _environment().get_template("report.html").render(report=report).encode()


def can_print() -> bool:
    """Whether this machine makes PDF. Asked by pages, which do not load it."""
    try:
        return find_spec("typst") is not None
    except ValueError:  # it was taken out
        return False


def pdf_of(report: Report, made_ms: int) -> bytes | None:
    """PDF/UA-1, which a screen reader reads in order; plain PDF where a letter has no shape in the fonts that come with Typst. None:
    this machine makes none."""
    try:
        import typst
    except ImportError:
        return None
    source = (HERE / "report.typ").read_bytes()
    data = {"report": msgspec.json.encode(report).decode()}
    made_at = datetime.fromtimestamp(made_ms // 1000, UTC)

    def printed(standards: list[Any]) -> bytes:
        return typst.compile(
            source,
            format="pdf",
            sys_inputs=data,
            ignore_system_fonts=True,
            pdf_standards=standards,
            timestamp=made_at,
        )

    try:
        return printed(["ua-1"])
    except typst.TypstError:
        return printed([])
