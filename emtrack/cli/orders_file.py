"""Files of orders as commands read them, and write repaired polygons back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from emtrack.atomic_files import replace_file
from emtrack.cli.saying import say
from emtrack.forms.errors import FormError
from emtrack.forms.orders import Orders
from emtrack.forms.reading import read_and_mend, write_orders


def read_orders_file(
    path: Path,
    *,
    repair: bool = False,
    write_back: bool = True,
    ignored: frozenset[str] = frozenset(),
    check: Callable[[Orders, str, str], None] | None = None,
) -> Orders:
    """The orders in a file. With `repair`, what was mended is said, and written back. Raises FormError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormError(f"{path}: cannot be read: {error}") from error
    orders, mended = read_and_mend(text, path.name, folder=path.parent, repair=repair, ignored=ignored)
    if check is not None:
        check(orders, text, path.name)
    for one in mended:
        say(f"{path.name if one.source is None else one.source}: {one}")
    if write_back:
        _write_back(path, orders, {one.source for one in mended})
    return orders


def _write_back(path: Path, orders: Orders, changed: set[str | None]) -> None:
    """Repaired polygons into the files that they came from: the orders (None), and files with zone sets."""
    for form in orders.zone_sets:
        source = form.features.source
        if source is not None and source in changed:
            replace_file(path.parent / source, msgspec.json.encode(form.features.collection))
            say(f"{path.parent / source}: repaired polygons were written back")
    if None in changed:
        replace_file(path, write_orders(orders))
        say(f"{path}: repaired polygons were written back")
