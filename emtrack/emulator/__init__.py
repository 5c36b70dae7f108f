"""Invented wearers, their tags, and what both would send: a client of the service, for tests, demos and benchmarks."""

from emtrack.client import Backoff, ServiceClock, Totals
from emtrack.emulator.client import send_world
from emtrack.emulator.habits import PRESETS, Faults, Habits, Mix, Sensors
from emtrack.emulator.sending import Upload
from emtrack.emulator.sentlog import SentLog
from emtrack.emulator.world import World, build_world

__all__ = [
    "PRESETS",
    "Backoff",
    "Faults",
    "Habits",
    "Mix",
    "Sensors",
    "SentLog",
    "ServiceClock",
    "Totals",
    "Upload",
    "World",
    "build_world",
    "send_world",
]
