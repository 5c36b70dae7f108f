"""E-mail over SMTP, with TLS but for a server on this machine."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiosmtplib

from alerts import ADDRESS, Attempt
from emtrack.delivery.errors import NotDelivered
from emtrack.delivery.wording import subject_of, text_of
from emtrack.settings import Settings, SettingsError

WITHIN_S: Final = 15.0
LOCAL: Final = ("localhost", "127.0.0.1", "::1")


class MailServer(NamedTuple):
    """Where mail goes out. `implicit_tls`: smtps; otherwise STARTTLS is asked for, and insisted on unless `is_local`."""

    host: str
    port: int
    implicit_tls: bool
    is_local: bool
    user: str | None
    password: str | None
    sender: str


def mail_server_of(settings: Settings) -> MailServer | None:
    """None: none is set. Raises SettingsError."""
    chosen = settings.smtp
    if chosen is None:
        return None
    if settings.mail_from is None or ADDRESS.fullmatch(settings.mail_from) is None:
        raise SettingsError(
            "EMTRACK_SMTP needs EMTRACK_MAIL_FROM, the address from which mail is sent: alerts@centre.example"
        )
    return MailServer(
        chosen.host, chosen.port, chosen.implicit_tls, chosen.host in LOCAL, chosen.user, _password(settings.smtp_password_file),
        settings.mail_from,
    )  # fmt: skip


def _password(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"EMTRACK_SMTP_PASSWORD_FILE {file} cannot be read: {error}") from error


def mail_of(attempt: Attempt, sender: str, base_url: str) -> EmailMessage:
    """One e-mail for all messages of a delivery. Its Message-ID is the same at each attempt."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, attempt.channel.target, subject_of(attempt.messages)
    mail["Date"] = formatdate(attempt.made_ms / 1_000)
    mail["Message-ID"] = f"<{attempt.delivery_id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text_of(attempt.messages, base_url))
    return mail


async def send_mail(server: MailServer | None, attempt: Attempt, base_url: str) -> None:
    """Raises NotDelivered."""
    if server is None:
        raise NotDelivered("No mail server is set up: an administrator can do that")
    await send_text(server, mail_of(attempt, server.sender, base_url))


async def send_text(server: MailServer, mail: EmailMessage) -> None:
    """Raises NotDelivered."""
    options: dict[str, Any] = {"use_tls": server.implicit_tls, "start_tls": None if server.is_local else True}
    if server.implicit_tls:
        options["start_tls"] = False
    try:
        await aiosmtplib.send(
            mail, hostname=server.host, port=server.port, username=server.user,
            password=server.password, timeout=WITHIN_S, tls_context=ssl.create_default_context(), **options,
        )  # fmt: skip
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise NotDelivered(f"The mail server refused the address ({_codes(error.recipients)})") from error
    except aiosmtplib.SMTPResponseException as error:
        raise NotDelivered(f"The mail server answered {error.code}") from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError, ssl.SSLError) as error:
        raise NotDelivered(f"The mail server could not be reached ({type(error).__name__})") from error


def _codes(refused: Sequence[Any]) -> str:
    return ", ".join(sorted({str(one.code) for one in refused}))
