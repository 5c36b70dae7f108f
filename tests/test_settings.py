"""Settings from the environment, and that each of them and each metric is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emtrack.metrics import Metrics
from emtrack.settings import ClockSetting, Settings, SettingsError, read_clock, read_settings
from tests.service_world import ms

OPERATIONS = Path(__file__).parent.parent / "docs/operations.md"


def test_defaults_need_nothing_but_a_home() -> None:
    settings = read_settings({"HOME": "/home/ann"})
    assert (settings.listen, settings.clock, settings.database_url) == ("127.0.0.1:8040", None, None)
    assert settings.base_url == "http://127.0.0.1:8040"
    assert settings.data_dir.is_absolute()


def test_an_empty_value_is_the_default() -> None:
    names = [f"EMTRACK_{name.upper()}" for name in Settings.__struct_fields__]
    assert read_settings(dict.fromkeys(names, "")) == read_settings({})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("EMTRACK_LISTEN", "8040", "ADDRESS:PORT"),
        ("EMTRACK_LISTEN", "127.0.0.1:99999", "ADDRESS:PORT"),
        ("EMTRACK_LOG_LEVEL", "loud", "debug, info"),
        ("EMTRACK_INBOX_REPORTS", "0", "1 or more"),
        ("EMTRACK_TURN_REPORTS", "many", "1 or more"),
        ("EMTRACK_CONNECTIONS", "²", "1 or more"),
        ("EMTRACK_CONNECTIONS_OF_ONE", "-1", "1 or more"),
        ("EMTRACK_PROXIES", "localhost", "addresses"),
        ("EMTRACK_LISTEN", "127.0.0.1:²", "ADDRESS:PORT"),
        ("EMTRACK_CLOCK", "noon", "ISO 8601"),
        ("EMTRACK_CLOCK", "2026-03-01T00:00:00", "zone"),
        ("EMTRACK_CLOCK", "2026-03-01T00:00:00Z×0", "rate"),
        ("EMTRACK_CLOCK", "2026-03-01T00:00:00Z×1.2.3", "EMTRACK_CLOCK"),
        ("EMTRACK_LISTN", "127.0.0.1:1", "is no setting"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_was_expected(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(says)) as refused:
        read_settings({name: value})
    assert name in str(refused.value)


@pytest.mark.parametrize("sign", ["×", "x", "*"])
def test_a_clock_is_a_start_and_a_rate(sign: str) -> None:
    assert read_clock(f"2026-03-02T12:00:00Z{sign}2.5") == ClockSetting(ms("12:00"), 2.5)
    assert read_clock("2026-03-02T12:00:00Z") == ClockSetting(ms("12:00"), 1.0)


def _operations() -> str:
    if not OPERATIONS.is_file():
        pytest.skip("docs/operations.md is not there")
    return OPERATIONS.read_text()


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_is_explained(name: str) -> None:
    assert f"EMTRACK_{name.upper()}" in _operations()


@pytest.mark.parametrize("family", [family.name for family in Metrics().registry.collect()])
def test_every_metric_is_explained(family: str) -> None:
    assert family in _operations()


def test_what_is_explained_is_there() -> None:
    explained = set(re.findall(r"EMTRACK_([A-Z_]+)", _operations()))
    assert {name.lower() for name in explained} <= set(Settings.__struct_fields__)
    metrics = Metrics().exposed().decode()
    for name in re.findall(r"`(emtrack_[a-z_]+)", _operations()):
        assert name in metrics, name
