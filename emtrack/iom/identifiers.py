"""Numbers by which other systems know a person: as given, in canonical form, and whether they can be right.

PNC, CRO (police), CRN (probation), NOMS (prison) and E-CINS numbers are typed by hand in many places. What is not valid is kept as it
was given and flagged; it is never a reason to refuse a record. Check letters: of PNC and CRO numbers, by the alphabet of 23
letters that leaves out I, O and S.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

import msgspec

CHECK_LETTERS: Final = "ZABCDEFGHJKLMNPQRTUVWXY"
PNC_DIGITS: Final = 7
CRO_DIGITS: Final = 6
FIRST_YEAR: Final = 1900
LONGEST_GIVEN: Final = 60
"""Characters of what was given that are kept."""

PNC: Final = re.compile(r"(\d{4}|\d{2})/(\d{1,7})([A-Z])", re.ASCII)
PNC_WITHOUT_SLASH: Final = re.compile(r"(\d{3,11})([A-Z])", re.ASCII)
CRO: Final = re.compile(r"(\d{1,6})/(\d{2})([A-Z])", re.ASCII)
CRO_OF_A_FILE: Final = re.compile(r"SF(\d{2})/(\d{1,6})([A-Z])", re.ASCII)
CRN: Final = re.compile(r"[A-Z]\d{6}", re.ASCII)
CRN_OF_TWO_LETTERS: Final = re.compile(r"[A-Z]{2}\d{5,6}", re.ASCII)
NOMS: Final = re.compile(r"[A-Z]\d{4}[A-Z]{2}", re.ASCII)


class Scheme(StrEnum):
    """Whose number it is."""

    PNC = "PNC"
    CRO = "CRO"
    CRN = "CRN"
    NOMS = "NOMS"
    ECINS = "ECINS"


class Identifier(msgspec.Struct, frozen=True, omit_defaults=True):
    """`canonical`: None where the number has no form that can be read. `flag`: what is odd about it, in words."""

    scheme: Scheme
    given: str
    canonical: str | None = None
    is_valid: bool = False
    flag: str | None = None


def check_letter(digits: str) -> str:
    """Of all digits as one number: the year's last two, then the number."""
    return CHECK_LETTERS[int(digits) % len(CHECK_LETTERS)]


def identifier(scheme: Scheme, given: str, this_year: int) -> Identifier:
    """Never an error. `this_year`: two digits of a year above it are of the century before."""
    kept = given.strip()[:LONGEST_GIVEN]
    return READERS[scheme](kept, "".join(kept.upper().split()), this_year)


def _pnc(given: str, text: str, this_year: int) -> Identifier:
    read = [_one_pnc(*parts, this_year) for parts in _parts_of_pnc(text)]
    valid = [canonical for canonical, is_valid in read if is_valid]
    if valid:
        return Identifier(Scheme.PNC, given, valid[0], True)
    if read:
        return Identifier(Scheme.PNC, given, read[0][0], False, "the check letter does not fit")
    return _unread(Scheme.PNC, given)


def _parts_of_pnc(text: str) -> Iterator[tuple[str, str, str]]:
    """Year, number and letter. Without a slash the year may have four digits or two; the check letter tells."""
    if match := PNC.fullmatch(text):
        yield match[1], match[2], match[3]
    elif match := PNC_WITHOUT_SLASH.fullmatch(text):
        digits, letter = match[1], match[2]
        for year_digits in (4, 2):
            if 1 <= len(digits) - year_digits <= PNC_DIGITS:
                yield digits[:year_digits], digits[year_digits:], letter


def _one_pnc(year: str, number: str, letter: str, this_year: int) -> tuple[str, bool]:
    """Its canonical form, and whether it is valid."""
    whole_year = int(year) if len(year) == 4 else _whole_year(int(year), this_year)
    padded = number.zfill(PNC_DIGITS)
    is_year = FIRST_YEAR <= whole_year <= this_year
    return f"{whole_year:04d}/{padded}{letter}", is_year and check_letter(year[-2:] + padded) == letter


def _whole_year(two_digits: int, this_year: int) -> int:
    century = this_year - this_year % 100
    return century + two_digits if two_digits <= this_year % 100 else century - 100 + two_digits


def _cro(given: str, text: str, _: int) -> Identifier:
    if match := CRO.fullmatch(text):
        number, year, letter = match[1], match[2], match[3]
        canonical = f"{number.zfill(CRO_DIGITS)}/{year}{letter}"
    elif match := CRO_OF_A_FILE.fullmatch(text):
        year, number, letter = match[1], match[2], match[3]
        canonical = f"SF{year}/{number}{letter}"
    else:
        return _unread(Scheme.CRO, given)
    fits = letter in (check_letter(year + number), check_letter(year + number.zfill(CRO_DIGITS)))
    return Identifier(Scheme.CRO, given, canonical, fits, None if fits else "the check letter does not fit")


def _crn(given: str, text: str, _: int) -> Identifier:
    if CRN.fullmatch(text):
        return Identifier(Scheme.CRN, given, text, True)
    if CRN_OF_TWO_LETTERS.fullmatch(text):
        return Identifier(Scheme.CRN, given, text, False, "it begins with two letters")
    return _unread(Scheme.CRN, given)


def _noms(given: str, text: str, _: int) -> Identifier:
    return Identifier(Scheme.NOMS, given, text, True) if NOMS.fullmatch(text) else _unread(Scheme.NOMS, given)


def _ecins(given: str, text: str, _: int) -> Identifier:
    """Its form is not public: whatever is there is taken."""
    return Identifier(Scheme.ECINS, given, text, True) if text else _unread(Scheme.ECINS, given)


def _unread(scheme: Scheme, given: str) -> Identifier:
    return Identifier(scheme, given, None, False, f"it has not the form of a {scheme} number")


READERS: Final[dict[Scheme, Callable[[str, str, int], Identifier]]] = {
    Scheme.PNC: _pnc,
    Scheme.CRO: _cro,
    Scheme.CRN: _crn,
    Scheme.NOMS: _noms,
    Scheme.ECINS: _ecins,
}
