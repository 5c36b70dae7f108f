"""The second factor: codes of an app that go by the time (TOTP, RFC 6238), and recovery codes for when there is no app.

A code is taken once: its step of 30 s is kept, and no code of that step or an earlier one is taken again. A clock that is a step off
is borne. The secret is kept encrypted (`sealed_secrets.py`); where it cannot be read, recovery codes still work. Who has the password
has `MOST_WRONG` tries in a quarter of an hour.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import pyotp
import structlog

from emtrack.clock import machine_ms
from emtrack.people.events import Subject, record_event
from emtrack.people.sealed_secrets import SecretBox, UnfitSecretsKey
from emtrack.people.secrets import secret_hash
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

log = structlog.get_logger()

ISSUER = "emtrack"
STEP_MS = 30_000
RECOVERY_CODES = 10
MOST_WRONG = 5
WRONG_FOR_S = 900

FACTOR = "SELECT secret, set_at, last_step FROM second_factors WHERE user_no = $1"
# A secret that is not confirmed yet gives way to the next; one that is stays.
OFFER = """
INSERT INTO second_factors AS f (user_no, secret) VALUES ($1, $2)
ON CONFLICT (user_no) DO UPDATE SET secret = excluded.secret WHERE f.set_at IS NULL
"""
CONFIRM = (
    "UPDATE second_factors SET set_at = $2, last_step = $3 WHERE user_no = $1 AND set_at IS NULL RETURNING user_no"
)
# Who comes second with the same code changes nothing, and is told by that.
USE_STEP = """
UPDATE second_factors SET last_step = $2 WHERE user_no = $1 AND set_at IS NOT NULL AND last_step < $2 RETURNING user_no
"""
REMOVE = "DELETE FROM second_factors WHERE user_no = $1 AND set_at IS NOT NULL RETURNING user_no"
FORGET_CODES = "DELETE FROM recovery_codes WHERE user_no = $1"
NEW_CODES = "INSERT INTO recovery_codes (user_no, code_hash) SELECT $1, unnest($2::bytea[])"
USE_CODE = """
UPDATE recovery_codes SET used_at = $3 WHERE user_no = $1 AND code_hash = $2 AND used_at IS NULL RETURNING user_no
"""
CODES_LEFT = "SELECT count(*) FROM recovery_codes WHERE user_no = $1 AND used_at IS NULL"
WRONG_CODES = """
SELECT count(*) FROM credential_events
WHERE name = $1 AND subject = 'account' AND what = 'wrong code' AND happened_at > $2
"""


class WrongCode(ValueError):
    """The message says what to do."""


class Offer(NamedTuple):
    """What an app needs: `secret` in groups of four to type, `address` to scan."""

    secret: str
    address: str


async def has_second_factor(connection: Connection, user_no: int) -> bool:
    row = await connection.fetchrow(FACTOR, user_no)
    return row is not None and row["set_at"] is not None


async def recovery_codes_left(connection: Connection, user_no: int) -> int:
    left: int = await connection.fetchval(CODES_LEFT, user_no)
    return left


async def offer_second_factor(connection: Connection, box: SecretBox, user_no: int, name: str) -> Offer:
    """A new secret, which counts when it is confirmed by a code; the one that was offered before is forgotten."""
    await connection.execute(OFFER, user_no, box.sealed(user_no, pyotp.random_base32()))
    return await offered(connection, box, user_no, name)


async def offered(connection: Connection, box: SecretBox, user_no: int, name: str) -> Offer:
    """What was offered last, for somebody who wrote a wrong code. Raises WrongCode."""
    row = await connection.fetchrow(FACTOR, user_no)
    if row is None or row["set_at"] is not None:
        raise WrongCode("There is no authenticator app to confirm. Start again")
    secret = box.opened(user_no, row["secret"])
    groups = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    return Offer(groups, pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER))


async def confirm_second_factor(
    connection: Connection, box: SecretBox, user_no: int, name: str, code: str
) -> list[str]:
    """The recovery codes, to be shown once. Inside a transaction. Raises WrongCode."""
    row = await connection.fetchrow(FACTOR, user_no)
    step = None if row is None or row["set_at"] is not None else _step_of(box.opened(user_no, row["secret"]), code, 0)
    if step is None or await connection.fetchval(CONFIRM, user_no, datetime_of(machine_ms()), step) is None:
        raise WrongCode("Enter the 6 digits that your authenticator app shows now")
    await record_event(connection, Subject.ACCOUNT, name, "second factor set", name)
    return await new_recovery_codes(connection, user_no)


async def new_recovery_codes(connection: Connection, user_no: int) -> list[str]:
    """In the place of those there were, each of 128 bits, so that a plain hash keeps them. Inside a transaction."""
    codes = ["-".join(secrets.token_hex(4) for _ in range(4)) for _ in range(RECOVERY_CODES)]
    await connection.execute(FORGET_CODES, user_no)
    await connection.execute(NEW_CODES, user_no, [secret_hash(code) for code in codes])
    return codes


async def remove_second_factor(connection: Connection, user_no: int, name: str, *, who: str) -> bool:
    """Whether there was one. Inside a transaction."""
    if await connection.fetchval(REMOVE, user_no) is None:
        return False
    await connection.execute(FORGET_CODES, user_no)
    await record_event(connection, Subject.ACCOUNT, name, "second factor removed", who)
    return True


async def check_code(connection: Connection, box: SecretBox, user_no: int, name: str, code: str) -> None:
    """A code of the app, or a recovery code; it is used up. Not inside a transaction: a wrong one is recorded although it fails.
    Raises WrongCode."""
    since = datetime_of(machine_ms()) - timedelta(seconds=WRONG_FOR_S)
    if await connection.fetchval(WRONG_CODES, name, since) >= MOST_WRONG:
        raise WrongCode(f"Too many wrong codes. Wait {WRONG_FOR_S // 60} minutes, or ask your administrator")
    plain = "".join(code.split()).lower()
    if await _use_app_code(connection, box, user_no, plain):
        return
    if await connection.fetchval(USE_CODE, user_no, secret_hash(plain), datetime_of(machine_ms())) is not None:
        await record_event(connection, Subject.ACCOUNT, name, "recovery code used", name)
        return
    await record_event(connection, Subject.ACCOUNT, name, "wrong code", "unknown")
    raise WrongCode(
        "Enter the 6 digits that your authenticator app shows now, or a recovery code. Each is taken once"
    )


async def _use_app_code(connection: Connection, box: SecretBox, user_no: int, code: str) -> bool:
    row = await connection.fetchrow(FACTOR, user_no)
    if row is None or row["set_at"] is None:
        return False
    try:
        secret = box.opened(user_no, row["secret"])
    except UnfitSecretsKey as error:
        log.error("second factor cannot be checked", what=str(error))
        return False
    step = _step_of(secret, code, row["last_step"])
    return step is not None and await connection.fetchval(USE_STEP, user_no, step) is not None


def _step_of(secret: str, code: str, after: int) -> int | None:
    """Of which step a code is: this one, the one before or the next, and later than `after`."""
    totp, now = pyotp.TOTP(secret), machine_ms() // STEP_MS
    plain = "".join(code.split())
    if not plain.isascii():
        return None
    steps = [step for step in (now - 1, now, now + 1) if step > after]
    return next((step for step in steps if secrets.compare_digest(totp.generate_otp(step), plain)), None)
