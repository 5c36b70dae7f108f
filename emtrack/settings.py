"""Settings of the program. The only reader of the environment; docs/operations.md lists them all."""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import msgspec

from emtrack.errors import MendableError
from geofence import NotAnInstant, parse_instant

PREFIX = "EMTRACK_"
SHORTEST_SECRET = 20


class SettingsError(MendableError, ValueError):
    """A setting that cannot be used. The message names it and says what was expected."""


class ClockSetting(msgspec.Struct, frozen=True):
    """An emulated clock: it starts at `start_ms` and runs `rate` times as fast as real time."""

    start_ms: int
    rate: float


class MailSetting(msgspec.Struct, frozen=True):
    """Where mail goes out. `implicit_tls`: smtps, else STARTTLS."""

    host: str
    port: int
    implicit_tls: bool
    user: str | None


class TrackerListener(msgspec.Struct, frozen=True):
    """Where trackers of a protocol are heard. `is_datagram`: over UDP, else TCP."""

    protocol: str
    is_datagram: bool
    host: str
    port: int


class BrokerSetting(msgspec.Struct, frozen=True):
    """An MQTT broker. `client_id`: under which it keeps messages for us; `version`: 5 or 3.1.1."""

    host: str
    port: int
    is_tls: bool
    user: str | None
    client_id: str
    version: str


class StreamSetting(msgspec.Struct, frozen=True):
    """NATS JetStream between gateways and workers. `servers`: addresses for the client; `replicas`: on how many servers each message
    is; `max_bytes`: of the whole stream. `system_user`: of the account that may ask the servers for themselves."""

    servers: tuple[str, ...]
    user: str | None
    password: str | None
    system_user: str
    system_password: str | None
    replicas: int
    max_bytes: int

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(urlsplit(server).hostname or "" for server in self.servers)

    @property
    def is_tls(self) -> bool:
        return all(server.startswith("tls:") for server in self.servers)


class Settings(msgspec.Struct, frozen=True):
    """What a deployment chooses. Each field is the variable EMTRACK_ + its name in capitals."""

    data_dir: Path
    database_url: str | None = None
    standby_url: str | None = None
    listen: str = "127.0.0.1:8040"
    url: str | None = None
    clock: ClockSetting | None = None
    log_level: str = "info"
    inbox_reports: int = 20_000
    turn_reports: int = 4_000
    new_days_an_hour: int = 400
    connections: int | None = None
    connections_of_one: int = 2_000
    metrics_token: str | None = None
    tls: str = "off"
    hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    token_days: int = 90
    second_factor: tuple[str, ...] = ()
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret_file: Path | None = None
    oidc_claim: str = "preferred_username"
    oidc_new_role: str | None = None
    oidc_name: str = "your organisation"
    log_head: Path | None = None
    log_witness: tuple[str, ...] = ()
    retention_rules: Path | None = None
    smtp: MailSetting | None = None
    smtp_password_file: Path | None = None
    mail_from: str | None = None
    webhook_networks: tuple[str, ...] = ()
    ntp_servers: tuple[str, ...] = ()
    basemap: Path | None = None
    guide: Path | None = None
    history_gap_s: int = 300
    trackers: tuple[TrackerListener, ...] = ()
    private_networks: tuple[str, ...] = ()
    check_in: str = "off"
    mqtt: BrokerSetting | None = None
    mqtt_password_file: Path | None = None
    stream: StreamSetting | None = None
    stream_password_file: Path | None = None
    stream_system_password_file: Path | None = None

    @property
    def sets_dir(self) -> Path:
        """Where zone sets are kept as they were built: beside the database, not in it, because they are derived."""
        return self.data_dir / "zone-sets"

    @property
    def head_file(self) -> Path:
        """Where the newest head of the log is published; the public key stands beside it."""
        return self.log_head or self.data_dir / "log.head"

    @property
    def is_secure(self) -> bool:
        """Whether people come by TLS, as the deployment says: a proxy before us speaks it."""
        return self.tls == "proxy"

    @property
    def known_hosts(self) -> frozenset[str]:
        """Names under which the service is asked for, in lower case, without ports."""
        own = {"localhost", "127.0.0.1", "::1", self.host, urlsplit(self.base_url).hostname or ""}
        return frozenset(host.lower() for host in {*self.hosts, *own} if host)

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def base_url(self) -> str:
        """Where clients on this machine reach the service."""
        return self.url or f"http://{self.listen}"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment. Raises SettingsError for a value that cannot be used or a name not known."""
    environment = os.environ if environment is None else environment
    given = {
        name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
    }
    unknown = sorted(set(given) - set(Settings.__struct_fields__))
    if unknown:
        raise SettingsError(f"{PREFIX}{unknown[0].upper()} is no setting; docs/operations.md lists those there are")
    return Settings(
        data_dir=Path(given.get("data_dir") or _default_data_dir(environment)).expanduser().absolute(),
        database_url=given.get("database_url") or None,
        standby_url=_standby(given.get("standby_url"), given.get("database_url")),
        listen=_listen(given.get("listen") or "127.0.0.1:8040"),
        url=given.get("url", "").rstrip("/") or None,
        clock=read_clock(given["clock"]) if given.get("clock") else None,
        log_level=_choice("log_level", given.get("log_level") or "info", ("debug", "info", "warning", "error")),
        inbox_reports=_count("inbox_reports", given.get("inbox_reports"), 20_000),
        turn_reports=_count("turn_reports", given.get("turn_reports"), 4_000),
        new_days_an_hour=_count("new_days_an_hour", given.get("new_days_an_hour"), 400),
        connections=_count("connections", given["connections"], 1) if given.get("connections") else None,
        connections_of_one=_count("connections_of_one", given.get("connections_of_one"), 2_000),
        metrics_token=_secret("metrics_token", given.get("metrics_token")),
        tls=_choice("tls", given.get("tls") or "off", ("off", "proxy")),
        hosts=_list(given.get("hosts")),
        proxies=_addresses("proxies", given.get("proxies") or "127.0.0.1,::1"),
        token_days=_count("token_days", given.get("token_days"), 90),
        second_factor=_list(given.get("second_factor")),
        oidc_issuer=given.get("oidc_issuer") or None,
        oidc_client_id=given.get("oidc_client_id") or None,
        oidc_client_secret_file=Path(given["oidc_client_secret_file"])
        if given.get("oidc_client_secret_file")
        else None,
        oidc_claim=given.get("oidc_claim") or "preferred_username",
        oidc_new_role=given.get("oidc_new_role") or None,
        oidc_name=given.get("oidc_name") or "your organisation",
        log_head=Path(given["log_head"]).expanduser().absolute() if given.get("log_head") else None,
        log_witness=_words("log_witness", given.get("log_witness")),
        retention_rules=Path(given["retention_rules"]).expanduser().absolute()
        if given.get("retention_rules")
        else None,
        smtp=_mail(given["smtp"]) if given.get("smtp") else None,
        smtp_password_file=Path(given["smtp_password_file"]) if given.get("smtp_password_file") else None,
        mail_from=given.get("mail_from") or None,
        webhook_networks=_networks("webhook_networks", given.get("webhook_networks")),
        ntp_servers=_list(given.get("ntp_servers")),
        guide=Path(given["guide"]).expanduser().absolute() if given.get("guide") else None,
        basemap=Path(given["basemap"]).expanduser().absolute() if given.get("basemap") else None,
        history_gap_s=_count("history_gap_s", given.get("history_gap_s"), 300),
        trackers=tuple(map(_tracker, _list(given.get("trackers")))),
        private_networks=_networks("private_networks", given.get("private_networks")),
        check_in=_choice("check_in", given.get("check_in") or "off", ("off", "on")),
        mqtt=_broker(given["mqtt"]) if given.get("mqtt") else None,
        mqtt_password_file=Path(given["mqtt_password_file"]) if given.get("mqtt_password_file") else None,
        stream=_stream(given) if given.get("stream") else None,
        stream_password_file=Path(given["stream_password_file"]) if given.get("stream_password_file") else None,
        stream_system_password_file=Path(given["stream_system_password_file"])
        if given.get("stream_system_password_file")
        else None,
    )


def _standby(url: str | None, database_url: str | None) -> str | None:
    """Where reads go; a database of one's own has a standby, and a standby is one server."""
    if not url:
        return None
    if not database_url:
        raise SettingsError(
            f"{PREFIX}STANDBY_URL is set and {PREFIX}DATABASE_URL is not: the embedded database has no standby"
        )
    if "," in urlsplit(url).netloc:
        raise SettingsError(f"{PREFIX}STANDBY_URL names several servers; name one standby")
    return url


HANDED_ON = frozenset(
    {"PATH", "LANG", "LANGUAGE", "TZ", "TERM", "COLUMNS", "NO_COLOR", "CI", "CHROMIUM", "LD_LIBRARY_PATH"}
)
HANDED_ON_FROM = (PREFIX, "LC_", "NUMBA_", "OPENBLAS_", "OMP_", "PG", "PYTHON", "SSL_", "COVERAGE_")
"""What of root's environment another user gets: nothing that root was given for itself."""


def handed_on(
    settings: Settings, *, home: Path, name: str, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment for the same program as another user, who is called `name` and has `home`, where its caches are too. Paths are
    whole: the working directory is another."""
    environment = os.environ if environment is None else environment
    kept = {key: value for key, value in environment.items() if key in HANDED_ON or key.startswith(HANDED_ON_FROM)}
    fields = {field: getattr(settings, field) for field in Settings.__struct_fields__}
    paths = {field: value for field, value in fields.items() if isinstance(value, Path)}
    whole = {f"{PREFIX}{field.upper()}": str(path.absolute()) for field, path in paths.items()}
    user = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "USER": name,
        "LOGNAME": name,
        "PYTHONSAFEPATH": "1",
    }
    return kept | whole | user


def demo_dir(settings: Settings) -> Path:
    """The data directory of the demonstration: one of its own."""
    return settings.data_dir / "demo"


def sudo_uid(environment: Mapping[str, str] | None = None) -> str:
    """The number of the account for which `sudo` runs the program, as it stands there; empty: none. Only root may be believed."""
    return (os.environ if environment is None else environment).get("SUDO_UID", "")


def _default_data_dir(environment: Mapping[str, str]) -> str:
    if os.geteuid() == 0:
        return "/var/lib/emtrack"
    return os.path.join(environment.get("XDG_DATA_HOME") or "~/.local/share", "emtrack")


def _listen(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5) or not 0 <= int(port) < 65_536:
        raise SettingsError(f"{PREFIX}LISTEN is {text!r}; expected ADDRESS:PORT, such as 127.0.0.1:8040")
    return text


def _tracker(text: str) -> TrackerListener:
    """PROTOCOL=ADDRESS:PORT, or PROTOCOL/udp=ADDRESS:PORT."""
    name, _, listen = text.partition("=")
    protocol, _, transport = name.strip().partition("/")
    try:
        if not protocol or transport not in ("", "tcp", "udp"):
            raise SettingsError(text)
        host, _, port = _listen(listen.strip()).rpartition(":")
    except SettingsError:
        raise SettingsError(
            f"{PREFIX}TRACKERS has {text!r}; expected PROTOCOL=ADDRESS:PORT, such as teltonika=127.0.0.1:5027 or "
            "teltonika/udp=127.0.0.1:5027, with commas between them"
        ) from None
    return TrackerListener(protocol, transport == "udp", host.strip("[]"), int(port))


def _choice(name: str, text: str, choices: tuple[str, ...]) -> str:
    if text.lower() not in choices:
        raise SettingsError(f"{PREFIX}{name.upper()} is {text!r}; expected one of {', '.join(choices)}")
    return text.lower()


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _secret(name: str, text: str | None) -> str | None:
    """The message does not repeat it."""
    if text and not (text.isascii() and text.isprintable() and " " not in text and len(text) >= SHORTEST_SECRET):
        raise SettingsError(
            f"{PREFIX}{name.upper()} is too short, or holds what a header does not; expected {SHORTEST_SECRET} characters or more"
        )
    return text or None


def _addresses(name: str, text: str) -> tuple[str, ...]:
    """Addresses with commas between them; `none` for none."""
    parts = [] if text.strip().lower() == "none" else [part.strip() for part in text.split(",")]
    try:
        return tuple(str(ipaddress.ip_address(part)) for part in parts)
    except ValueError as error:
        raise SettingsError(
            f"{PREFIX}{name.upper()} is {text!r}; expected addresses with commas between them, or none"
        ) from error


def _networks(name: str, text: str | None) -> tuple[str, ...]:
    """Networks with commas between them."""
    try:
        return tuple(str(ipaddress.ip_network(part)) for part in _list(text))
    except ValueError as error:
        raise SettingsError(
            f"{PREFIX}{name.upper()} is {text!r}: {error}; expected networks with commas between them, such as 10.1.0.0/16"
        ) from error


def _mail(text: str) -> MailSetting:
    """smtp://user@host:port or smtps://…"""
    parts = urlsplit(text)
    try:
        port = parts.port or {"smtp": 587, "smtps": 465}[parts.scheme]
        if not parts.hostname or parts.password or parts.path not in ("", "/") or parts.query:
            raise ValueError("more or less than a user, a host and a port")
    except (ValueError, KeyError) as error:
        raise SettingsError(
            f"{PREFIX}SMTP is not a mail server; expected smtp://USER@HOST:587 or smtps://USER@HOST:465, with the password in "
            f"the file that {PREFIX}SMTP_PASSWORD_FILE names"
        ) from error
    return MailSetting(parts.hostname, port, parts.scheme == "smtps", parts.username)


MQTT_VERSIONS = ("5", "3.1.1")


def _broker(text: str) -> BrokerSetting:
    """mqtts://user@host:port or mqtt://…, with ?client=NAME and ?version=3.1.1."""
    parts = urlsplit(text)
    asked = dict(parse_qsl(parts.query))
    version, client_id = asked.pop("version", "5"), asked.pop("client", "emtrack")
    try:
        port = parts.port or {"mqtt": 1883, "mqtts": 8883}[parts.scheme]
        if (
            not parts.hostname
            or parts.password
            or parts.path not in ("", "/")
            or asked
            or version not in MQTT_VERSIONS
        ):
            raise ValueError("more or less than a user, a host and a port")
    except (ValueError, KeyError) as error:
        raise SettingsError(
            f"{PREFIX}MQTT is not a broker; expected mqtts://USER@HOST:8883, with ?version=3.1.1 and ?client=NAME where they are "
            f"wanted, and with the password in the file that {PREFIX}MQTT_PASSWORD_FILE names"
        ) from error
    return BrokerSetting(parts.hostname, port, parts.scheme == "mqtts", parts.username, client_id, version)


def _stream(given: Mapping[str, str]) -> StreamSetting:
    """nats://USER@HOST:PORT,HOST:PORT?replicas=3, or tls://…"""
    text = given["stream"]
    parts = urlsplit(text)
    asked = dict(parse_qsl(parts.query))
    replicas, megabytes, system = (
        asked.pop("replicas", "3"),
        asked.pop("megabytes", "1024"),
        asked.pop("system", "system"),
    )
    user, _, hosts = parts.netloc.rpartition("@")
    places = [place.strip() for place in hosts.split(",") if place.strip()]
    named = [place if ":" in place else f"{place}:4222" for place in places]
    if (
        parts.scheme not in ("nats", "tls")
        or not named
        or ":" in user
        or parts.path not in ("", "/")
        or asked
        or replicas not in ("1", "3", "5")
        or not megabytes.isdigit()
        or not 16 <= int(megabytes) <= 1_000_000
    ):
        raise SettingsError(
            f"{PREFIX}STREAM is no stream; expected nats://USER@HOST:4222,HOST:4222,HOST:4222 or tls://…, with ?replicas=1 (3, 5), "
            f"?megabytes=1024 and ?system=USER where they are wanted, and with passwords in the files that "
            f"{PREFIX}STREAM_PASSWORD_FILE and {PREFIX}STREAM_SYSTEM_PASSWORD_FILE name"
        )
    return StreamSetting(
        tuple(f"{parts.scheme}://{place}" for place in named),
        user or None,
        _secret_in("stream_password_file", given),
        system,
        _secret_in("stream_system_password_file", given),
        int(replicas),
        int(megabytes) * 1024**2,
    )


def _secret_in(name: str, given: Mapping[str, str]) -> str | None:
    """What a file holds that a setting names."""
    if not given.get(name):
        return None
    try:
        return Path(given[name]).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{PREFIX}{name.upper()} {given[name]} cannot be read: {error}") from error


def _words(name: str, text: str | None) -> tuple[str, ...]:
    """A command and its arguments, as a shell would take them apart; no shell runs it."""
    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        raise SettingsError(
            f"{PREFIX}{name.upper()} is {text!r}: {error}; expected a command and its arguments"
        ) from error


def _count(name: str, text: str | None, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or int(text) < 1:
        raise SettingsError(f"{PREFIX}{name.upper()} is {text!r}; expected a whole number of 1 or more")
    return int(text)


def read_clock(text: str) -> ClockSetting:
    """`<start>[×rate]`; an x or a * does for the ×."""
    match = re.fullmatch(r"(.+?)(?:[×x*]([0-9.]+))?", text.strip())
    try:
        if match is None:
            raise NotAnInstant("empty")
        rate = float(match.group(2) or 1)
        if not 0 < rate <= 100_000:
            raise ValueError(f"the rate is {rate:g}; expected more than 0 and at most 100,000")
        return ClockSetting(parse_instant(match.group(1)), rate)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}CLOCK is {text!r}: {error}; expected 2026-03-01T00:00:00Z or …Z×60") from error
