"""Which ids and names are taken at entry: one check for every door (docs/decisions/0015).

An id stands in addresses, files, logs and on pages: it must be possible to address it, to see it and to tell it from another. A name
of an account stands in the record of who did what, so nobody may look like another there.
"""

from __future__ import annotations

import unicodedata

LONGEST = 200
_UNSEEN = {"Cc": "a control character", "Cf": "a mark that is not seen", "Cs": "half of a surrogate pair",
           "Co": "a character of private use", "Cn": "a character that is none", "Zl": "a line separator",
           "Zp": "a paragraph separator"}  # fmt: skip
"""Categories of Unicode that no id holds, and what to call them."""
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn the order in which other text is shown."""
_IN_NOTES = frozenset("\t\n\r")


def unfit_id(text: str) -> str | None:
    """Why a text cannot be an id that stands in addresses (of a device, wearer, requirement, activation or home unit)."""
    if "/" in text:
        return "it holds '/', which parts an address; write another character, such as '-'"
    if text in (".", ".."):
        return "it is a step in an address; name it otherwise"
    return unfit_label(text)


def unfit_label(text: str) -> str | None:
    """Why a text cannot be a name that is shown and compared (of a zone, of a set, of a version)."""
    if not 0 < len(text) <= LONGEST:
        return f"it has {len(text)} characters; expected 1 to {LONGEST}"
    if not (text.isascii() and text.isprintable()):  # nearly all are, and most need no closer look
        for character in text:
            if (kind := _UNSEEN.get(unicodedata.category(character))) is not None:
                return f"it holds {kind} (U+{ord(character):04X}); leave it out"
    if text != text.strip():
        return "it has spaces around it; leave them out"
    if not unicodedata.is_normalized("NFC", text):
        return "its accents are written apart from their letters, so that it only looks like another; write it in the form NFC"
    return None


def unfit_account(text: str) -> str | None:
    """Why a text cannot be the name of an account or a token."""
    if (trouble := unfit_label(text)) is not None:
        return trouble
    for character in text:
        if unicodedata.category(character)[0] == "L" and not unicodedata.name(character, "").startswith("LATIN "):
            return f"it holds {character!r} (U+{ord(character):04X}), which is no Latin letter and may look like one"
    if not unicodedata.is_normalized("NFKC", text):
        return "it holds a character that stands for another; write the usual one"
    return None


def unfit_line(text: str) -> str | None:
    """Why a text cannot be a name of somebody or something that is shown in a line of a list, a log or a terminal."""
    if any(character in _IN_NOTES for character in text):
        return "it holds a line break or a tab; write it in one line"
    return unfit_text(text)


def harmless(text: str) -> str:
    """A text for a terminal: what is not seen and changes what is seen is written as its number. Line breaks and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"\\u{ord(character):04x}" if _does_harm(character) else character for character in text)


def _does_harm(character: str) -> bool:
    return character in _OVERRIDES or (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in "\t\n"
    )


def unfit_text(text: str) -> str | None:
    """Why a text for people (a name, a reason) cannot be kept or shown. Marks that writing needs may stand in it."""
    if text.isascii() and text.isprintable():
        return None
    for character in text:
        if character in _OVERRIDES or (
            unicodedata.category(character) in ("Cc", "Cs") and character not in _IN_NOTES
        ):
            return f"it holds U+{ord(character):04X}, which is not seen and changes what is; leave it out"
    return None
