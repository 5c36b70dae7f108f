"""Stories: a plain text form for what a monitoring centre sees, and its reader. How to write one: docs/scenarios.md.

The reader is strict. A line that it does not know is an error that names the file and the line, because a line that is
passed over would be an expectation that nobody checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")

# One degree of latitude is some 111,290 m here, one of longitude 67,030 m.
PLACES = {
    "home": (-2.1753, 53.0027),
    "garden": (-2.1753, 53.0030),  # 33 m from home: inside a zone of 60 m
    "pavement": (-2.1753, 53.00324),  # 60 m from home: on the edge of it, as far as a tag can tell
    "corner": (-2.1753, 53.0036),  # 100 m: outside a zone of 60 m
    "street": (-2.1753, 53.0057),  # 330 m
    "shop": (-2.1653, 53.0027),  # 670 m
    "gran": (-2.1453, 53.0027),  # 2 km: another address
    "town": (-2.1453, 53.0127),  # 2.3 km
    "city": (-2.1753, 53.5027),  # 56 km
    "lane": (-2.18, 53.0191),  # 100 m south of the park
    "gate": (-2.18, 53.02),  # on the boundary of the park
    "bench": (-2.18, 53.025),  # in the middle of the park
    "nowhere": (0.0, 0.0),
}
ZONES: dict[str, dict[str, Any]] = {
    "park": {
        "type": "Polygon",
        "coordinates": [[[-2.19, 53.02], [-2.17, 53.02], [-2.17, 53.03], [-2.19, 53.03], [-2.19, 53.02]]],
    }
}
SEVERITIES = {"critical": 1, "serious": 2, "warning": 3, "message": 4}


class StoryError(ValueError):
    """A story that does not fit the form. The message names the file and the line."""


class Sent(NamedTuple):
    """What a device sends at one instant. `report` has no number yet."""

    device_id: str
    report: dict[str, Any]


class Again(NamedTuple):
    """Everything of its own times in [first, last] is delivered once more, with the old or with new numbers."""

    device_id: str
    first_ms: int
    last_ms: int
    renumbered: bool


class Entered(NamedTuple):
    """Orders that somebody enters."""

    form: dict[str, list[dict[str, Any]]]


class Down(NamedTuple):
    """The service does not run until then."""

    until_ms: int


class Restarted(NamedTuple):
    """The service starts anew within the same instant."""


class Tick(NamedTuple):
    """Nothing but the clock."""


class Closed(NamedTuple):
    """A person closes the open alert of a wearer."""

    wearer_id: str
    kind: str


class Found(NamedTuple):
    """A finding that must be there. `shown_ms`: the service must have shown it by then."""

    wearer_id: str
    requirement_id: str | None
    kind: str
    reason: str | None
    begin_ms: int
    end_ms: int | None
    known_ms: int
    within_grace: bool
    shown_ms: int | None = None


class Shows(NamedTuple):
    """What must be shown in the middle of a story: exactly these of a wearer, `UNVERIFIED` and silence among them."""

    wearer_id: str
    findings: list[Found]


class Raised(NamedTuple):
    """An alert that must be there. `raised_ms` None: whenever."""

    wearer_id: str
    kind: str
    requirement_id: str | None
    code: str | None
    severity: int
    findings: int
    closed: bool
    withdrawn: bool
    linked: bool
    raised_ms: int | None


Action = Sent | Again | Entered | Down | Restarted | Tick | Closed | Shows


class Event(NamedTuple):
    at_ms: int
    action: Action


class Together(NamedTuple):
    """One alert of this severity for many people, by then."""

    severity: int
    by_ms: int
    reason: str


class Story(NamedTuple):
    name: str
    title: str
    prose: str
    ready_ms: int
    orders: dict[str, list[dict[str, Any]]]
    course: list[Event]
    now_ms: int
    findings: list[Found]
    never: list[tuple[str, str]]
    alerts: list[Raised] | None
    together: list[Together]
    rests_on_receipt: str | None
    """Why the story would end otherwise if all were received at its end; None if it would not (but for silence)."""


# ---------------------------------------------------------------------------------------------- reading

TIME = r"\d\d:\d\d(?::\d\d(?:\.\d\d\d)?)?(?:\+\d)?"
NAMES = r"[A-Z]+\d+(?:\.\.[A-Z]+\d+)?"
SECTIONS = ("Orders", "Course", "Findings", "Alerts", "Together")


def read_story(path: Path) -> Story:
    return _Reader(path.stem, path.read_text()).story()


def all_stories() -> list[Story]:
    return [read_story(path) for path in sorted(HERE.glob("*.story"))]


def names(text: str) -> list[str]:
    """ "W1..W3" are W1, W2, W3."""
    first, _, last = text.partition("..")
    if not last:
        return [first]
    letter = re.sub(r"\d", "", first)
    low, high = int(first.removeprefix(letter)), int(last.removeprefix(letter))
    return [f"{letter}{number}" for number in range(low, high + 1)]


def _iso(at_ms: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Reader:
    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = [line.rstrip() for line in text.splitlines()]
        self.number = 0
        self.midnight = datetime(2026, 3, 2, tzinfo=UTC)
        self.course: list[Event] = []
        self.findings: list[Found] = []
        self.never: list[tuple[str, str]] = []
        self.alerts: list[Raised] | None = None
        self.together: list[Together] = []
        self.orders: dict[str, list[dict[str, Any]]] = {}
        self.receipt: str | None = None
        self.last_ms = 0

    def wrong(self, what: str) -> StoryError:
        return StoryError(f"{self.name}, line {self.number}: {what}")

    def story(self) -> Story:
        title = self.lines[0] if self.lines else ""
        self.number = 1
        if not title.endswith(".") or title != title.strip():
            raise self.wrong("the first line is the title, a sentence with a full stop")
        prose: list[str] = []
        headers: dict[str, str] = {}
        section = ""
        for number, line in enumerate(self.lines[1:], start=2):
            self.number = number
            word = line.partition(" at ")[0]
            if line in SECTIONS or word == "Findings":
                section = word if word == "Findings" else line
                self._begin(section, line, headers)
            elif not line or line.lstrip().startswith("#"):
                continue
            elif not line.startswith("  "):
                self._header(line, headers, prose, section)
            else:
                self._line(section, line.strip())
        for wanted in ("Now", "Ready"):
            if wanted not in headers:
                raise self.wrong(f"there is no {wanted}")
        return Story(
            self.name, title, " ".join(prose), self.time(headers["Ready"]), self.orders,
            sorted(self.course, key=lambda event: event.at_ms), self.time(headers["Now"]), self.findings, self.never,
            self.alerts, self.together, self.receipt,
        )  # fmt: skip

    def _begin(self, section: str, line: str, headers: dict[str, str]) -> None:
        if section == "Findings":
            match = re.fullmatch(rf"Findings at ({TIME})", line)
            if match is None:
                raise self.wrong("write `Findings at HH:MM`")
            headers["Now"] = match[1]
        if section == "Alerts":
            self.alerts = []

    def _header(self, line: str, headers: dict[str, str], prose: list[str], section: str) -> None:
        if section:
            raise self.wrong(f"{line!r} is no section ({', '.join(SECTIONS)}); lines of a section are indented")
        if match := re.fullmatch(r"Day (\d{4}-\d\d-\d\d)", line):
            self.midnight = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
        elif match := re.fullmatch(rf"Ready ({TIME})", line):
            headers["Ready"] = match[1]
        elif match := re.fullmatch(r"Rests on receipt: (.+)", line):
            self.receipt = match[1]
        else:
            prose.append(line)

    def time(self, text: str) -> int:
        clock, _, days = text.partition("+")
        hours, minutes, *seconds = clock.split(":")
        moment = self.midnight + timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes))
        moment += timedelta(seconds=float(seconds[0]) if seconds else 0)
        return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))

    def _line(self, section: str, line: str) -> None:
        readers: dict[str, list[tuple[str, Callable[..., None]]]] = {
            "Orders": [(r"(.+)", self._initial_order)],
            "Course": [
                (rf"({TIME}) clock", self._tick),
                (rf"({TIME}) down until ({TIME})", self._down),
                (rf"({TIME}) restart", self._restart),
                (rf"({TIME}) entered: (.+)", self._entered),
                (rf"({TIME}) closed: (W\d+) ([A-Z_]+)", self._closed),
                (rf"({TIME}) again: ({NAMES}) ({TIME}) to ({TIME})(, renumbered)?", self._again),
                (rf"({TIME}) shows: (W\d+) nothing", self._shows_nothing),
                (rf"({TIME}) shows: (.+)", self._shows),
                (rf"({TIME}) to ({TIME}) every (\d+) (min|s) ({NAMES}) (.+)", self._repeated),
                (rf"({TIME}) ({NAMES}) (.+)", self._sent),
            ],
            "Findings": [(r"none", lambda: None), (r"never (W\d+) ([A-Z_]+)", self._never), (r"(.+)", self._finding)],
            "Alerts": [(r"none", lambda: None), (r"(.+)", self._alert)],
            "Together": [(rf"one (\w+) alert by ({TIME}): (.+)", self._many)],
        }
        for pattern, read in readers.get(section, []):
            if match := re.fullmatch(pattern, line):
                return read(*match.groups())
        raise self.wrong(f"{line!r} is not understood under {section or 'the title'!r}")

    def _add(self, at: str, action: Action) -> None:
        self.course.append(Event(self.time(at), action))

    # ------------------------------------------------------------------------------------- orders

    def _initial_order(self, line: str) -> None:
        self._order(line, self.orders)

    def _entered(self, at: str, line: str) -> None:
        at_ms = self.time(at)
        last = self.course[-1] if self.course else None
        if last is None or last.at_ms != at_ms or not isinstance(last.action, Entered):
            last = Event(at_ms, Entered({}))
            self.course.append(last)
        assert isinstance(last.action, Entered)
        self._order(line, last.action.form)

    def _order(self, line: str, form: dict[str, list[dict[str, Any]]]) -> None:
        readers: list[tuple[str, Callable[..., tuple[str, list[dict[str, Any]]]]]] = [
            (rf"tag ({NAMES}) on ({NAMES}) from ({TIME})(?: to ({TIME}))? every (\d+) s(?: on (\S+?))?(?:, telling (\w+))?",
             self._tag),
            (rf"(W\d+) is absent from ({TIME}) to ({TIME}) for (.+)", self._absence),
            (rf"home unit (\w+) of (W\d+) stands at (\w+) from ({TIME})(?:, speaks (\d+) s)?", self._home_unit),
            (rf"(\w+) obliges ({NAMES}): (CURFEW|INCLUSION|EXCLUSION|ATTENDANCE) (within \d+ m of \w+|inside \w+)((?:, .+)?)",
             self._requirement),
        ]  # fmt: skip
        for pattern, read in readers:
            if match := re.fullmatch(pattern, line):
                what, rows = read(*match.groups())
                form.setdefault(what, []).extend(rows)
                return
        raise self.wrong(f"{line!r} is no order")

    def _tag(
        self,
        tags: str,
        wearers: str,
        first: str,
        last: str | None,
        every: str,
        network: str | None,
        telling: str | None,
    ) -> Any:
        rows = []
        for device_id, wearer_id in zip(names(tags), names(wearers), strict=True):
            row: dict[str, Any] = {
                "activation_id": f"{device_id}-{wearer_id}", "device_id": device_id, "wearer_id": wearer_id,
                "from": _iso(self.time(first)), "report_interval_s": int(every),
            }  # fmt: skip
            if telling is not None:
                row["evidence"] = [] if telling == "nothing" else [telling]
            rows.append(
                row | ({"to": _iso(self.time(last))} if last else {}) | ({"network": network} if network else {})
            )
        return "activations", rows

    def _absence(self, wearer_id: str, first: str, last: str, reason: str) -> Any:
        span = {"from": _iso(self.time(first)), "to": _iso(self.time(last))}
        return "absences", [{"wearer_id": wearer_id, "reason": reason, **span}]

    def _home_unit(self, unit: str, wearer_id: str, requirement_id: str, first: str, speaks: str | None) -> Any:
        row: dict[str, Any] = {"rf_gap_s": int(speaks)} if speaks else {}
        row |= {"hmu_id": unit, "wearer_id": wearer_id, "requirement_id": requirement_id}
        return "home_units", [row | {"from": _iso(self.time(first))}]

    def _requirement(self, requirement_id: str, wearers: str, kind: str, where: str, options: str) -> Any:
        row: dict[str, Any] = {
            "requirement_id": requirement_id, "kind": kind, "geometry": self._geometry(where),
            "from": _iso(self.time("00:00")),
        }  # fmt: skip
        for option in filter(None, options.split(", ")):
            self._option(option, row)
        return "requirements", [row | {"wearer_id": wearer_id} for wearer_id in names(wearers)]

    def _geometry(self, where: str) -> dict[str, Any]:
        match = re.fullmatch(r"within (\d+) m of (\w+)|inside (\w+)", where)
        assert match is not None
        radius_m, place, zone = match.groups()
        if (place or zone) not in (PLACES if place else ZONES):
            raise self.wrong(f"{place or zone!r} is no place that is known")
        if zone:
            return ZONES[zone]
        return {"type": "Circle", "centre": list(PLACES[place]), "radius_m": int(radius_m)}

    def _option(self, option: str, row: dict[str, Any]) -> None:
        if match := re.fullmatch(r"(daily|on [A-Z]{3}) (\d\d:\d\d)-(\d\d:\d\d)", option):
            days = DAYS if match[1] == "daily" else [match[1][3:]]
            rows = [{"day": day, "start": match[2], "end": match[3]} for day in days]
            row.setdefault("timetable", []).extend(rows)
        elif match := re.fullmatch(rf"(from|to) ({TIME})", option):
            row[match[1]] = _iso(self.time(match[2]))
        elif match := re.fullmatch(r"grace (\d+) s", option):
            row["grace_s"] = int(match[1])
        elif match := re.fullmatch(r"(seen within|stay) (\d+) s", option):
            row["seen_within_s" if match[1] == "seen within" else "stay_s"] = int(match[2])
        elif match := re.fullmatch(r"buffer (\d+) m", option):
            row["buffer_m"] = int(match[1])
        elif match := re.fullmatch(r"confirmed by (\d+) points?", option):
            row["confirm_points"] = int(match[1])
        elif match := re.fullmatch(r"confirmed over (\d+) s", option):
            row["confirm_seconds"] = int(match[1])
        elif option != "always":
            raise self.wrong(f"{option!r} is no part of a requirement")

    # ------------------------------------------------------------------------------------- course

    def _tick(self, at: str) -> None:
        self._add(at, Tick())

    def _down(self, at: str, until: str) -> None:
        self._add(at, Down(self.time(until)))

    def _restart(self, at: str) -> None:
        self._add(at, Restarted())

    def _closed(self, at: str, wearer_id: str, kind: str) -> None:
        self._add(at, Closed(wearer_id, kind))

    def _again(self, at: str, devices: str, first: str, last: str, renumbered: str | None) -> None:
        for device_id in names(devices):
            self._add(at, Again(device_id, self.time(first), self.time(last), renumbered is not None))

    def _shows_nothing(self, at: str, wearer_id: str) -> None:
        self._add(at, Shows(wearer_id, []))

    def _shows(self, at: str, line: str) -> None:
        """Several lines of one instant and wearer are one look at the screen."""
        (found,) = self._found(line)
        last = self.course[-1]
        same = last.at_ms == self.time(at) and isinstance(last.action, Shows)
        if same and isinstance(last.action, Shows) and last.action.wearer_id == found.wearer_id:
            last.action.findings.append(found)
        else:
            self._add(at, Shows(found.wearer_id, [found]))

    def _repeated(self, first: str, last: str, step: str, unit: str, devices: str, what: str) -> None:
        step_ms = int(step) * (60_000 if unit == "min" else 1_000)
        for at_ms in range(self.time(first), self.time(last) + 1, step_ms):
            self._send(at_ms, devices, what)

    def _sent(self, at: str, devices: str, what: str) -> None:
        self._send(self.time(at), devices, what)

    def _send(self, own_ms: int, devices: str, what: str) -> None:
        what, _, received = what.partition(", received ")
        if received and not re.fullmatch(TIME, received):
            raise self.wrong(f"{received!r} is no time")
        for device_id in names(devices):
            at_ms = self.time(received) if received else own_ms
            self.course.append(Event(at_ms, Sent(device_id, self._report(own_ms, what))))

    def _report(self, own_ms: int, what: str) -> dict[str, Any]:
        if match := re.fullmatch(r"([A-Z_]+)(?: of (\w+))?", what):
            unit = {"hmu_id": match[2]} if match[2] else {}
            return {"type": "event", "event": match[1], "event_time": _iso(own_ms), **unit}
        match = re.fullmatch(r"at (\w+)(?: by (GPS|RF|WIFI|LBS))?(?: ± (\d+) m| ± (unknown))?", what)
        if match is None or match[1] not in PLACES:
            raise self.wrong(f"{what!r} is no report: `at PLACE [by GPS] [± 6 m]`, or an event")
        lon_deg, lat_deg = PLACES[match[1]]
        precision_m = None if match[4] else int(match[3] or 6)
        return {
            "type": "position", "fix_time": _iso(own_ms), "lat_deg": lat_deg, "lon_deg": lon_deg,
            "precision_m": precision_m, "mechanism": match[2] or "GPS",
        }  # fmt: skip

    # ------------------------------------------------------------------------------------- expectations

    def _never(self, wearer_id: str, kind: str) -> None:
        self.never.append((wearer_id, kind))

    def _finding(self, line: str) -> None:
        self.findings += self._found(line)

    def _found(self, line: str) -> Iterator[Found]:
        match = re.fullmatch(
            rf"({NAMES}) ([A-Z_]+)(?: ([A-Z_]+))?(?: on (\w+))? from ({TIME})(?: to ({TIME})|, lasting)((?:, [^,]+)*)",
            line,
        )
        if match is None:
            raise self.wrong(f"{line!r} is no finding: `W1 CURFEW LEFT_DURING on C1 from 20:00 to 20:30`")
        wearers, kind, reason, requirement_id, begin, end, options = match.groups()
        known = shown = None
        grace = False
        for option in filter(None, options.split(", ")):
            if got := re.fullmatch(rf"known ({TIME})", option):
                known = self.time(got[1])
            elif got := re.fullmatch(rf"shown by ({TIME})", option):
                shown = self.time(got[1])
            elif option == "within grace":
                grace = True
            else:
                raise self.wrong(f"{option!r} is nothing that a finding has")
        begin_ms = self.time(begin)
        end_ms = self.time(end) if end else None
        for wearer_id in names(wearers):
            known_ms = begin_ms if known is None else known
            yield Found(wearer_id, requirement_id, kind, reason, begin_ms, end_ms, known_ms, grace, shown)

    def _alert(self, line: str) -> None:
        severities = "|".join(SEVERITIES)
        match = re.fullmatch(rf"({NAMES}) ([A-Z_]+)(?: on (\w+))?(?: (AL\d\d))? ({severities})((?:, [^,]+)*)", line)
        if match is None or self.alerts is None:
            raise self.wrong(f"{line!r} is no alert: `W1 CURFEW on C1 AL08 serious, raised 19:00`")
        wearers, kind, requirement_id, code, severity, options = match.groups()
        count, raised, flags = 1, None, set()
        for option in filter(None, options.split(", ")):
            if got := re.fullmatch(r"(\d+) findings", option):
                count = int(got[1])
            elif got := re.fullmatch(rf"raised ({TIME})", option):
                raised = self.time(got[1])
            elif option in ("closed", "withdrawn", "after another"):
                flags.add(option)
            else:
                raise self.wrong(f"{option!r} is nothing that an alert has")
        marks = ("closed" in flags, "withdrawn" in flags, "after another" in flags)
        for wearer_id in names(wearers):
            alert = Raised(wearer_id, kind, requirement_id, code, SEVERITIES[severity], count, *marks, raised)
            self.alerts.append(alert)

    def _many(self, severity: str, by: str, reason: str) -> None:
        if severity not in SEVERITIES:
            raise self.wrong(f"{severity!r} is no severity")
        self.together.append(Together(SEVERITIES[severity], self.time(by), reason))
