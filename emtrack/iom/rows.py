"""Rows of an import: an object of JSON or a line of CSV, read into what is to be entered. Pure.

Every row names its noun and its person. What is not understood (a field that is not known, an optional one that cannot be read) is
kept under its name as it was given; only a row that says nothing without it is refused. Fields of the content stand beside the
others:

    noun, person, pnc, cro, crn, noms, ecins     what and of whom; identifiers find a person whose reference is not given
    system, record                               where it comes from, and its name there: what comes again is found by these
    state, from, to, occurred, due, visibility, named
    registration: code, level, category          a register of a probation system instead of a noun of ours
"""

from __future__ import annotations

import functools
import hashlib
import typing
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from emtrack.errors import MendableError
from emtrack.forms.names import unfit_text
from emtrack.iom.assessments import ASSESSMENT
from emtrack.iom.codes import CATEGORIES, CONTACTS, DOMESTIC_ABUSE, IOM, LEVELS, MAPPA, REGISTRATIONS, ROSH_OF
from emtrack.iom.foreign_times import read_foreign_day, read_foreign_time
from emtrack.iom.grades import GRADE
from emtrack.iom.identifiers import Identifier, Scheme, identifier
from emtrack.iom.memberships import MEMBERSHIP
from emtrack.iom.notes import Visibility
from emtrack.iom.noun import Content, Noun
from emtrack.iom.register import NOUNS
from geofence import NotAnInstant, instant_of

IMPORTED: Final = frozenset(NOUNS) - {"merge", "proposal", "meeting", "line"}
REGISTRATION: Final = "registration"
SCHEMES: Final = {"pnc": Scheme.PNC, "cro": Scheme.CRO, "crn": Scheme.CRN, "noms": Scheme.NOMS, "ecins": Scheme.ECINS}
ABOUT: Final = frozenset({
    "noun", "person", "system", "record", "state", "from", "to", "occurred", "due", "visibility", "named", *SCHEMES,
})  # fmt: skip
"""Fields of a row that are no field of a content."""
LONGEST_VALUE: Final = 20_000
MOST_NOT_UNDERSTOOD: Final = 50


class RefusedRow(MendableError, ValueError):
    """A row that cannot be entered. The message says what was expected."""


class Row(NamedTuple):
    """What a row says. `person`: the reference, if it was given. `content` None: a registration of which `code` says all. Times in
    milliseconds. `state`, `visibility`, `named` None: it does not say; what is on record stays. `not_understood`: by name, as it was
    given."""

    noun: Noun
    person: str | None
    identifiers: tuple[Identifier, ...]
    system: str
    record: str
    fields: dict[str, Any]
    state: str | None
    begin_ms: int | None
    end_ms: int | None
    occurred_ms: int | None
    due_ms: int | None
    visibility: Visibility | None
    named: tuple[str, ...] | None
    code: str | None
    not_understood: dict[str, str]


def read_row(given: Mapping[str, Any], system: str, zone: ZoneInfo, this_year: int) -> Row:
    """`system`: of rows that do not say. `zone`: of days without a time. Raises RefusedRow."""
    values = {
        str(name).strip(): value for name, value in given.items() if name is not None and value not in (None, "")
    }
    _refuse_unfit(values)
    lost: dict[str, str] = {}
    if None in given:  # a line of CSV that has more values than there are columns
        lost["more values than columns"] = _text(given[None])  # type: ignore[index]
    name = _text(values.get("noun", ""))
    code = _text(values["code"]) if "code" in values else None
    noun = _noun_of(name, code)
    identifiers = tuple(
        identifier(scheme, _text(values[column]), this_year) for column, scheme in SCHEMES.items() if column in values
    )
    person = _text(values["person"]) if "person" in values else None
    if person is None and not any(one.is_valid for one in identifiers):
        raise RefusedRow("it names nobody: expected `person`, or an identifier that is valid")
    fields = {field: value for field, value in values.items() if field not in ABOUT}
    if name == REGISTRATION:
        fields = _of_registration(code or "", fields, lost)
    elif code is not None and noun.name == "contact" and "kind" not in fields:
        fields["kind"] = CONTACTS.get(code, code)
    fields = _understood(noun, fields, lost, zone)
    return Row(
        noun,
        person,
        identifiers,
        _text(values.get("system", system)),
        _text(values["record"]) if "record" in values else _made_name(values),
        fields,
        _text(values["state"]).upper() if "state" in values else None,
        _time(values, "from", lost, zone, is_needed=noun.holds),
        _time(values, "to", lost, zone),
        _time(values, "occurred", lost, zone, is_needed=noun.happens and noun not in (ASSESSMENT, GRADE)),
        _time(values, "due", lost, zone),
        _visibility(values),
        tuple(_list(values["named"])) if "named" in values else None,
        code if name == REGISTRATION else None,
        dict(list(lost.items())[:MOST_NOT_UNDERSTOOD]),
    )


def _noun_of(name: str, code: str | None) -> Noun:
    if name == REGISTRATION:
        if code not in REGISTRATIONS:
            raise RefusedRow(
                f"{(code or '')[:60]!r} is no registration that is known; expected {', '.join(REGISTRATIONS)}"
            )
        return MEMBERSHIP if code == IOM else ASSESSMENT
    if name not in IMPORTED:
        raise RefusedRow(f"noun is {name[:60]!r}; expected {REGISTRATION}, {', '.join(sorted(IMPORTED))}")
    return NOUNS[name]


def _refuse_unfit(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        text = _text(value)
        if len(text) > LONGEST_VALUE:
            raise RefusedRow(f"{name[:60]} has {len(text):,} characters; expected at most {LONGEST_VALUE:,}")
        if (trouble := unfit_text(name + text)) is not None:
            raise RefusedRow(f"{name[:60]!r}: {trouble}")


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else msgspec.json.encode(value).decode()


def _list(value: Any) -> list[Any]:
    """Of CSV: parted by semicolons, or JSON."""
    if isinstance(value, list):
        return value
    text = _text(value)
    if text.startswith("["):
        try:
            found = msgspec.json.decode(text)
            return found if isinstance(found, list) else [text]
        except msgspec.DecodeError:
            return [text]
    return [part.strip() for part in text.split(";") if part.strip()]


def _made_name(values: Mapping[str, Any]) -> str:
    """Of a row without one: the same row has the same."""
    told = msgspec.json.encode(sorted((name, _text(value)) for name, value in values.items()))
    return f"row {hashlib.sha256(told).hexdigest()[:24]}"


def usual_state(noun: Noun) -> str | None:
    """Where an item begins that says no state."""
    if noun.states is None:
        return None
    return next(state for state in noun.states.after if state in noun.states.begin)


def _visibility(values: Mapping[str, Any]) -> Visibility | None:
    if "visibility" not in values:
        return None
    text = _text(values["visibility"]).upper()
    if text not in set(Visibility):
        raise RefusedRow(
            f"visibility is {text[:60]!r}; expected {', '.join(Visibility)}"
        )  # never wider than was meant
    return Visibility(text)


def _time(
    values: Mapping[str, Any], name: str, lost: dict[str, str], zone: ZoneInfo, *, is_needed: bool = False
) -> int | None:
    if name not in values:
        if is_needed:
            raise RefusedRow(f"`{name}` is missing; expected a time, or a day")
        return None
    try:
        return read_time_or_day(_text(values[name]), zone)
    except NotAnInstant as error:
        if is_needed or name in ("to", "due"):  # an end that cannot be read must not look like none
            raise RefusedRow(f"`{name}`: {error}") from error
        lost[name] = _text(values[name])
        return None


def read_time_or_day(text: str, zone: ZoneInfo) -> int:
    """A day begins at midnight of the deployment's zone. Raises NotAnInstant."""
    try:
        day = read_foreign_day(text)
    except NotAnInstant:
        return read_foreign_time(text)
    return instant_of(datetime(day.year, day.month, day.day, tzinfo=zone))


# ------------------------------------------------------------------ fields of a content


class Shape(NamedTuple):
    """How fields of a form are read out of text."""

    days: frozenset[str]
    lists: frozenset[str]
    objects: frozenset[str]
    instants: frozenset[str]
    names: frozenset[str]


@functools.cache
def shape_of(form: type[Content]) -> Shape:
    hints = {name: str(hint) for name, hint in typing.get_type_hints(form).items()}
    origins = {name: typing.get_origin(hint) for name, hint in typing.get_type_hints(form).items()}
    names = frozenset(form.__struct_fields__) - {"not_understood"}
    return Shape(
        frozenset(name for name in names if "datetime.date" in hints[name]),
        frozenset(name for name in names if origins[name] is list),
        frozenset(name for name in names if origins[name] is dict),
        frozenset(name.removesuffix("_ms") for name in names if name.endswith("_ms")),
        names,
    )


def _understood(noun: Noun, fields: Mapping[str, Any], lost: dict[str, str], zone: ZoneInfo) -> dict[str, Any]:
    """Fields of the noun in the forms of its content; what is not known, or cannot be read and is not needed, is `lost`."""
    shape = shape_of(noun.form)
    found: dict[str, Any] = {}
    for name, value in fields.items():
        try:
            if name in shape.names and name != "identifiers":
                found[name] = _read_field(shape, name, value)
            elif name in shape.instants:
                found[f"{name}_ms"] = read_time_or_day(_text(value), zone)
            else:
                lost[name] = _text(value)
        except (NotAnInstant, msgspec.DecodeError):
            lost[name] = _text(value)
    return _fitting(noun, found, lost)


def _read_field(shape: Shape, name: str, value: Any) -> Any:
    if name in shape.days:
        return value if isinstance(value, date) else read_foreign_day(_text(value))
    if name in shape.lists:
        return _list(value)
    if name in shape.objects and isinstance(value, str):
        return msgspec.json.decode(value)
    return value.strip() if isinstance(value, str) else value


def _fitting(noun: Noun, found: dict[str, Any], lost: dict[str, str]) -> dict[str, Any]:
    """Each field that fits its form by itself. What is needed is missed where the content is made."""
    fit = {}
    for name, value in found.items():
        try:
            fit[name] = convert_field(noun.form, name, value)
        except msgspec.ValidationError:
            lost[name] = _text(value)
    return fit


def convert_field(form: type[Content], name: str, value: Any) -> Any:
    """Raises msgspec.ValidationError."""
    hint = _hints(form)[name]
    wanted = value.upper() if isinstance(value, str) and _is_choice(hint) else value
    return msgspec.convert(wanted, hint, strict=False)


@functools.cache
def _hints(form: type[Content]) -> dict[str, Any]:
    return typing.get_type_hints(form, include_extras=True)


def _is_choice(hint: Any) -> bool:
    options = [hint, *typing.get_args(hint)]
    return any(isinstance(option, type) and issubclass(option, Enum) for option in options)


def content_of(noun: Noun, fields: Mapping[str, Any], not_understood: dict[str, str]) -> Content:
    """Raises RefusedRow where something is missing that the noun needs."""
    try:
        return noun.form(**fields, not_understood=not_understood)
    except TypeError as error:
        why = "; it was given and not understood" if not_understood else ""
        raise RefusedRow(f"a {noun.name}: {str(error).lower()}{why}") from error


def _of_registration(code: str, fields: Mapping[str, Any], lost: dict[str, str]) -> dict[str, Any]:
    """What a register says, in fields of ours."""
    rest = {name: value for name, value in fields.items() if name not in ("code", "level", "category")}
    level, category = (_text(fields.get(name, "")).upper() for name in ("level", "category"))
    said: dict[str, Any] = {} if code == IOM else {"source": f"registration {code}"}
    if code == MAPPA:
        for name, text, table in (("mappa_level", level, LEVELS), ("mappa_category", category, CATEGORIES)):
            if text in table:
                said[name] = table[text]
            elif text:
                lost[name.removeprefix("mappa_")] = text
        if not {"mappa_level", "mappa_category"} & said.keys():
            raise RefusedRow("a registration MAPP says its level (M1 to M3) or its category (M1 to M4)")
    elif code in ROSH_OF:
        said["rosh"] = str(ROSH_OF[code])
    elif code == DOMESTIC_ABUSE:
        said["domestic_abuse"] = True
    return said | rest
