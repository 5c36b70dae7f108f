"""The script of the demonstration's first ten minutes, for the page that guides through them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from emtrack.atomic_files import replace_file
from emtrack.demo.scenes import DRIFT_MS, INSIDE_MS, MINUTE_MS, WRONG_MS, Scenes
from geofence import format_instant

FILE = "guide.json"
BURST_MS = 40_000
"""From the end of the history to seven o'clock."""
INCIDENT_MS = 7 * MINUTE_MS
HANDOVER_MS = 10 * MINUTE_MS


def write_guide(folder: Path, scenes: Scenes) -> Path:
    path = folder / FILE
    steps = [
        {"at": format_instant(scenes.end_ms + at_ms), "title": title, "text": text, "look_at": look_at}
        for at_ms, title, text, look_at in sorted(_steps(scenes))
    ]
    replace_file(path, msgspec.json.encode({"title": "Your first ten minutes", "steps": steps}))
    return path


OVER = (
    "It is a minute before seven. Open the alerts and look at what is there: what nobody has acknowledged comes first. "
    "Press ? for the keys. Turn the sound on, if you like."
)
STRAP = (
    " The strap of {name} was opened at ten to seven and closed again four minutes later. The alert is still there: what clears by "
    "itself needs somebody who finds out why."
)
BURST = (
    "Some people are not at home. They stand together in one line, because they began in the same second: open it, and "
    "acknowledge all of them at once. A row says how far away each is and how old that is."
)
ENTRY = (
    "{name} drives into a zone that they must not enter. First it is a possible entry, then, with the next position, a "
    "finding. Open it: the map, the steps for this kind, whom to call. Acknowledge it within two minutes, log a call, log "
    "that the police were told. They leave after three minutes; the alert stays until you close it."
)
DRIFT = (
    "{name} seems to leave home during curfew, for a minute and a half, by 190 metres and back. Look at the positions "
    "before and after. What do you think? Close it as a location error, so that it counts where the noise comes from."
)
WRONGED = (
    "The tag of {name} is not heard, but for two positions in a zone that they must not enter: a finding, an alert, a signal, and "
    "on their page of the programme a proposal to raise the grade to red. Have that page open at ten past seven. The tag then sends "
    "what it kept: ten seconds before, between and after, it was more than a kilometre away, and nobody is so fast. The service "
    "withdraws the finding, its signal and the proposal, in view and with the reason; the alert says so and stays until somebody "
    "closes it."
)
OUTAGE = (
    "The tags of {name} fall silent one after the other. When a fifth of them is silent they become one incident, instead "
    "of as many alerts as there are people. The network comes back at a quarter past seven, and the tags send what they "
    "kept: nothing was lost, and what they kept is judged at its own time."
)
HANDOVER = (
    "Close what is over, with its outcome and a note. Then open the handover sheet: what the next shift takes over, why it "
    "is open and what is due. It can be printed."
)


def _steps(scenes: Scenes) -> list[tuple[int, str, str, str]]:
    """When, what, what to do, where; in no order."""
    steps = [
        (0, "You take over", OVER + (STRAP.format(name=scenes.strap_name) if scenes.strap else ""), "/alerts"),
        (BURST_MS, "Curfews begin", BURST, "/alerts"),
        (HANDOVER_MS, "You hand over", HANDOVER, "/alerts/handover"),
    ]
    if scenes.enters is not None:
        text = ENTRY.format(name=scenes.enters_name)
        steps.append((INSIDE_MS[0], "Somebody is in an exclusion zone", text, "/alerts?severity=critical"))
    if scenes.drifts is not None:
        text = DRIFT.format(name=scenes.drifts_name)
        steps.append((DRIFT_MS[0] + MINUTE_MS, "A false alarm", text, "/alerts?kind=CURFEW"))
    if scenes.wronged is not None:
        text = WRONGED.format(name=scenes.wronged_name)
        steps.append((WRONG_MS[1], "Somebody is wronged, and cleared", text, "/iom"))
    if scenes.silent:
        steps.append((INCIDENT_MS, "A network is not heard", OUTAGE.format(name=scenes.network), "/alerts"))
    return steps
