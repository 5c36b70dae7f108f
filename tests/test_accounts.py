"""Passwords that are taken, codes that count once, sessions that their owners see and end."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from unittest import mock

import pyotp
import pytest

from emtrack.db.connect import connect
from emtrack.people import hashing, second_factor
from emtrack.people.accounts import new_password
from emtrack.people.events import Subject, history_of
from emtrack.people.guesses import OF_A_NAME
from emtrack.people.passwords import UnfitPassword, require_fit
from emtrack.people.provider_logins import NO_PASSWORD
from emtrack.people.roles import Role
from emtrack.people.sealed_secrets import KEY_FILE, MARK, SecretBox, UnfitSecretsKey
from emtrack.people.second_factor import (
    MOST_WRONG,
    RECOVERY_CODES,
    STEP_MS,
    WrongCode,
    check_code,
    confirm_second_factor,
    offer_second_factor,
)
from emtrack.people.sessions import list_sessions
from emtrack.service.app import running_service
from tests.command_line import emtrack_aside
from tests.office import Office, open_office
from tests.visitor import Visitor

GOOD = "lantern-oboe-cardigan"


def box_of(office: Office) -> SecretBox:
    return SecretBox(office.settings.data_dir)


# ------------------------------------------------------------------------------------------ passwords


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaa", "abababababab", "123123123123", "password1234", "Password123!", "qwertyuiop12", "iloveyou1234",
        "1234567890123", "Hyacinth2026", "emtrackemtrack", "administrator1", "bucket1Hyacinth", "x" * 11, "y" * 201,
    ],
)  # fmt: skip
def test_a_password_that_is_common_or_made_of_a_name_or_of_few_signs_is_refused(password: str) -> None:
    with pytest.raises(UnfitPassword):
        require_fit(password, "Hyacinth Bucket")


@pytest.mark.parametrize("password", [GOOD, "correct horse battery", "żółw pije herbatę", "4u7-plum-Oxide-9"])
def test_a_password_that_is_hard_to_guess_is_taken_whatever_signs_it_has(password: str) -> None:
    require_fit(password, "Hyacinth Bucket")


async def test_a_password_that_somebody_else_set_is_changed_before_anything_else(
    office: Office, visitor: Visitor
) -> None:
    password = await office.fresh_account()
    assert await visitor.log_in(password) == (303, "/account")
    assert await visitor.get("/alerts") == (303, "/account")
    assert await visitor.get("/account/second-factor") == (303, "/account")
    async with visitor.http.get("/v1/alerts") as response:
        assert response.status == 403
    key = await visitor.form_key()
    assert await visitor.post("/account", form_key=key, old=password, new=GOOD, again=GOOD) == (303, "/login")
    assert await visitor.log_in(GOOD) == (303, "/")
    async with office.connection.transaction():
        again = await new_password(office.connection, "Ann", who="Bob")
    assert (await visitor.get("/alerts"))[1].startswith("/login")
    assert await visitor.log_in(again) == (303, "/account")


async def test_a_common_password_is_refused_on_the_page_with_the_reason(office: Office, visitor: Visitor) -> None:
    password = await office.account()
    await visitor.log_in(password)
    key = await visitor.form_key()
    status, page = await visitor.post(
        "/account", form_key=key, old=password, new="password1234", again="password1234"
    )
    assert status == 422
    assert "Password is too easy to guess" in page


# ------------------------------------------------------------------------------------------ sessions


async def test_a_person_sees_where_they_are_logged_in_and_ends_the_other_session(
    office: Office, visitor: Visitor
) -> None:
    password = await office.account()
    elsewhere = Visitor(office)
    await elsewhere.log_in(password)
    await visitor.log_in(password)
    _, page = await visitor.get("/account")
    assert "This session" in page
    assert "From 127.0.0.1, since" in page
    (number,) = re.findall(r'name="session" value="(\d+)"', page)
    key = await visitor.form_key()
    assert await visitor.post("/account/sessions", form_key=key, session=number) == (303, "/account")
    assert (await elsewhere.get("/alerts"))[0] == 303
    assert (await visitor.get("/account"))[0] == 200
    assert ("session ended", "Ann") in [
        (e.what, e.done_by) for e in await history_of(office.connection, Subject.ACCOUNT, "Ann")
    ]
    await elsewhere.http.close()


async def test_nobody_ends_the_session_of_another_but_an_administrator(office: Office, visitor: Visitor) -> None:
    other = Visitor(office)
    await other.log_in(await office.account(name="Bob"), name="Bob")
    number = str((await list_sessions(office.connection, "Bob"))[0].session_no)
    await visitor.log_in(await office.account())
    key = await visitor.form_key()
    assert (await visitor.post("/account/sessions", form_key=key, session=number))[0] == 404
    assert (await visitor.post("/sessions", form_key=key, session=number))[0] == 403
    assert (await other.get("/account"))[0] == 200
    head = Visitor(office)
    await head.log_in(await office.account(Role.ADMINISTRATOR, "Cy"), name="Cy")
    assert "Bob" in (await head.get("/sessions"))[1]
    assert await head.post("/sessions", form_key=await head.form_key(), session=number) == (303, "/sessions")
    assert (await other.get("/alerts"))[0] == 303
    for one in (other, head):
        await one.http.close()


@pytest.mark.parametrize("number", ["", "x", "²", "-1", "9" * 30])
async def test_a_session_that_is_no_number_is_refused(office: Office, visitor: Visitor, number: str) -> None:
    await visitor.log_in(await office.account())
    status, _ = await visitor.post("/account/sessions", form_key=await visitor.form_key(), session=number)
    assert status == 400


# ------------------------------------------------------------------------------------------ second factor


async def set_up(visitor: Visitor) -> tuple[str, list[str]]:
    """An authenticator app for who is logged in: its secret, and the recovery codes."""
    key = await visitor.form_key()
    _, page = await visitor.post("/account/second-factor", form_key=key, step="start")
    found = re.search(r'<code id="key">([A-Z2-7 ]+)</code>', page)
    assert found is not None
    assert "<svg" in page
    secret = found[1].replace(" ", "")
    code = pyotp.TOTP(secret).now()
    _, page = await visitor.post("/account/second-factor", form_key=key, step="confirm", code=code)
    return secret, re.findall(r"<li><code>([0-9a-f-]+)</code></li>", page)


async def code_key(visitor: Visitor) -> str:
    _, page = await visitor.get("/login/code")
    found = re.search(r'name="form_key" value="([^"]+)"', page)
    assert found is not None
    return found[1]


async def test_with_an_app_a_login_takes_a_code_and_gets_another_cookie(office: Office, visitor: Visitor) -> None:
    password = await office.account()
    await visitor.log_in(password)
    secret, codes = await set_up(visitor)
    assert len(set(codes)) == RECOVERY_CODES
    visitor.http.cookie_jar.clear()
    status, where = await visitor.log_in(password, next="/wearers")
    assert (status, where) == (303, "/login/code?next=%2Fwearers")
    assert await visitor.get("/alerts") == (303, "/login/code")
    (before,) = visitor.http.cookie_jar
    key = await code_key(visitor)
    async with office.connection.transaction():  # the code that set it up was of this very step
        await office.connection.execute("UPDATE second_factors SET last_step = last_step - 10")
    code = pyotp.TOTP(secret).now()
    assert await visitor.post("/login/code", form_key=key, code=code, next="/wearers") == (303, "/wearers")
    (after,) = visitor.http.cookie_jar
    assert before.value != after.value
    assert (await visitor.get("/account"))[0] == 200
    kept = str(await office.connection.fetch("SELECT code_hash FROM recovery_codes"))
    assert not any(code in kept for code in codes)


async def test_a_recovery_code_is_good_once(office: Office, visitor: Visitor) -> None:
    password = await office.account()
    await visitor.log_in(password)
    _, codes = await set_up(visitor)
    answers = []
    for _ in range(2):
        visitor.http.cookie_jar.clear()
        await visitor.log_in(password)
        answers.append(
            (await visitor.post("/login/code", form_key=await code_key(visitor), code=codes[0].upper()))[0]
        )
    assert answers == [303, 401]


async def test_no_code_counts_twice(office: Office) -> None:
    await office.account()
    code, number = await _confirmed(office)
    with pytest.raises(WrongCode):
        await check_code(office.connection, box_of(office), number, "Ann", code)


async def test_a_code_that_two_send_at_once_counts_for_one(office: Office) -> None:
    await office.account()
    code, number = await _confirmed(office)
    await office.connection.execute("UPDATE second_factors SET last_step = last_step - 10")
    assert office.settings.database_url is not None
    other = await connect(office.settings.database_url)
    try:
        outcomes = await asyncio.gather(
            *(check_code(one, box_of(office), number, "Ann", code) for one in (office.connection, other)),
            return_exceptions=True,
        )
    finally:
        await other.close()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "WrongCode"]


async def test_a_code_of_the_step_before_or_after_is_taken_and_none_further_off(office: Office) -> None:
    await office.account()
    _, number = await _confirmed(office)
    secret = box_of(office).opened(number, await office.connection.fetchval("SELECT secret FROM second_factors"))
    now_ms = 1_800_000_000_000
    with mock.patch.object(second_factor, "machine_ms", return_value=now_ms):
        taken = []
        for step in (-2, -1, 0, 1, 2):
            await office.connection.execute("UPDATE second_factors SET last_step = 0")
            await office.connection.execute("DELETE FROM credential_events")
            code = pyotp.TOTP(secret).generate_otp(now_ms // STEP_MS + step)
            try:
                await check_code(office.connection, box_of(office), number, "Ann", code)
                taken.append(step)
            except WrongCode:
                pass
    assert taken == [-1, 0, 1]


async def test_who_guesses_codes_has_five_tries_in_a_quarter_of_an_hour(office: Office) -> None:
    await office.account()
    code, number = await _confirmed(office)
    await office.connection.execute("UPDATE second_factors SET last_step = 0")
    for _ in range(MOST_WRONG):
        with pytest.raises(WrongCode, match="6 digits"):
            await check_code(office.connection, box_of(office), number, "Ann", "000000")
    with pytest.raises(WrongCode, match="Too many"):
        await check_code(office.connection, box_of(office), number, "Ann", code)


async def _confirmed(office: Office) -> tuple[str, int]:
    number = await office.connection.fetchval("SELECT user_no FROM users WHERE name = 'Ann'")
    offer = await offer_second_factor(office.connection, box_of(office), number, "Ann")
    code = pyotp.TOTP(offer.secret.replace(" ", "")).now()
    async with office.connection.transaction():
        await confirm_second_factor(office.connection, box_of(office), number, "Ann", code)
    return code, number


async def test_a_role_that_needs_an_app_sets_it_up_before_anything_else(database_url: str, data_dir: Path) -> None:
    async with open_office(database_url, data_dir, second_factor=("officer",)) as office:
        visitor, operator = Visitor(office), Visitor(office)
        assert await operator.log_in(await office.account(name="Bob"), name="Bob") == (303, "/")
        assert await visitor.log_in(await office.account(Role.OFFICER)) == (303, "/account/second-factor")
        assert await visitor.get("/alerts") == (303, "/account/second-factor")
        _, page = await visitor.get("/account/second-factor")
        found = re.search(r'name="form_key" value="([^"]+)"', page)
        assert found is not None
        with mock.patch.object(visitor, "form_key", mock.AsyncMock(return_value=found[1])):
            _, codes = await set_up(visitor)
        assert len(codes) == RECOVERY_CODES
        assert (await visitor.get("/account"))[0] == 200
        for one in (visitor, operator):
            await one.http.close()


async def test_setting_up_an_app_ends_the_other_sessions_and_is_on_record(office: Office, visitor: Visitor) -> None:
    password = await office.account()
    elsewhere = Visitor(office)
    await elsewhere.log_in(password)
    await visitor.log_in(password)
    await set_up(visitor)
    assert (await elsewhere.get("/alerts"))[0] == 303
    assert (await visitor.get("/account"))[0] == 200
    events = [(e.what, e.done_by) for e in await history_of(office.connection, Subject.ACCOUNT, "Ann")]
    assert ("second factor set", "Ann") in events
    await elsewhere.http.close()


async def test_an_app_is_removed_with_a_code_only(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    _, codes = await set_up(visitor)
    key = await visitor.form_key()
    for code, status in (("000000", 422), (codes[1], 303)):
        sent = await visitor.post("/account/second-factor", form_key=key, step="remove", code=code)
        assert sent[0] == status
    assert await office.connection.fetchval("SELECT count(*) FROM second_factors") == 0
    assert await office.connection.fetchval("SELECT count(*) FROM recovery_codes") == 0


# ------------------------------------------------------------------------------------------ secrets that are kept


async def test_the_secret_of_an_app_is_nowhere_in_the_database(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    secret, _ = await set_up(visitor)
    kept = await office.connection.fetchval("SELECT secret FROM second_factors")
    assert kept.startswith(MARK)
    assert secret not in kept
    key = office.settings.data_dir / KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600


async def test_secrets_from_before_are_encrypted_when_the_service_starts(database_url: str, data_dir: Path) -> None:
    async with open_office(database_url, data_dir) as office:
        await office.account()
        _, number = await _confirmed(office)
        secret = box_of(office).opened(number, await office.connection.fetchval("SELECT secret FROM second_factors"))
        await office.connection.execute("UPDATE second_factors SET secret = $1", secret)
    connection = await connect(database_url)
    try:
        box = SecretBox(data_dir)
        stop = asyncio.Event()
        async with running_service(office.settings, stop):
            kept = await connection.fetchval("SELECT secret FROM second_factors")
            stop.set()
        assert kept.startswith(MARK)
        assert box.opened(number, kept) == secret
    finally:
        await connection.close()


async def test_a_new_key_encrypts_everything_anew_and_apps_go_on(office: Office) -> None:
    await office.account()
    code, number = await _confirmed(office)
    before = (office.settings.data_dir / KEY_FILE).read_text()
    ran = await emtrack_aside(
        "users", "rotate-secrets-key",
        EMTRACK_DATABASE_URL=str(office.settings.database_url), EMTRACK_DATA_DIR=str(office.settings.data_dir),
    )  # fmt: skip
    assert (ran.returncode, ran.stderr.splitlines()[-1].startswith("1 secrets")) == (0, True), ran.stderr
    after = (office.settings.data_dir / KEY_FILE).read_text()
    assert before not in after
    await office.connection.execute("UPDATE second_factors SET last_step = 0")
    await check_code(office.connection, box_of(office), number, "Ann", code)


def test_a_secret_is_good_for_its_account_and_its_key_alone(tmp_path: Path) -> None:
    box = SecretBox(tmp_path)
    kept = box.sealed(1, "ABCDEFGH")
    assert box.opened(1, kept) == "ABCDEFGH"
    with pytest.raises(UnfitSecretsKey, match="another account"):
        box.opened(2, kept)
    with pytest.raises(UnfitSecretsKey, match="not the key"):
        box.opened(1, kept[:-3] + ("AAA" if kept[-3:] != "AAA" else "BBB"))
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(UnfitSecretsKey, match="read by others"):
        box.opened(1, kept)
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(UnfitSecretsKey, match="restore it"):
        box.opened(1, kept)


async def test_without_the_key_a_recovery_code_still_logs_in(office: Office, visitor: Visitor) -> None:
    password = await office.account()
    await visitor.log_in(password)
    secret, codes = await set_up(visitor)
    (office.settings.data_dir / KEY_FILE).unlink()
    await office.connection.execute("UPDATE second_factors SET last_step = 0")
    visitor.http.cookie_jar.clear()
    await visitor.log_in(password)
    key = await code_key(visitor)
    assert (await visitor.post("/login/code", form_key=key, code=pyotp.TOTP(secret).now()))[0] == 401
    assert (await visitor.post("/login/code", form_key=key, code=codes[0]))[0] == 303


# ------------------------------------------------------------------------------------------ guesses


async def test_a_guess_at_an_account_without_a_password_is_hashed_like_any_other() -> None:
    """Who logs in by the provider alone has no hash; the time of the answer must not say so."""
    verified: list[str] = []
    with mock.patch.object(hashing, "_verified", side_effect=lambda digest, _: verified.append(digest) or True):
        for digest in (NO_PASSWORD, None, ""):
            assert not await hashing.is_password(digest, GOOD)
    assert len(verified) == 3
    assert all(digest.startswith("$argon2id$") for digest in verified)


async def test_the_history_says_from_where_somebody_logged_in_or_could_not(office: Office, visitor: Visitor) -> None:
    password = await office.account()
    await visitor.log_in("wrong")
    await visitor.log_in(password)
    events = [(e.what, e.source) for e in await history_of(office.connection, Subject.ACCOUNT, "Ann")]
    assert ("failed", "127.0.0.1") in events
    assert ("logged in", "127.0.0.1") in events
    assert ("added", "") in events


async def test_a_restart_gives_nobody_new_guesses(database_url: str, data_dir: Path) -> None:
    async with open_office(database_url, data_dir) as office:
        password, visitor = await office.account(), Visitor(office)
        assert [(await visitor.log_in("wrong"))[0] for _ in range(OF_A_NAME)] == [401] * OF_A_NAME
        await visitor.http.close()
    stop = asyncio.Event()
    async with running_service(office.settings, stop) as service:
        again = Visitor(office._replace(address=service.address))
        assert (await again.log_in(password))[0] == 429
        await again.http.close()
        stop.set()
