"""Two files that say what was acknowledged and what was true, so that others can compare them with what is stored."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import msgspec


class SentLog:
    """Writes `sent.ndjson` and `truth.ndjson` in a directory, which is made; files that are there are continued.

    Every line is handed to the operating system before the call returns: it outlives this process, not a power cut.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.sent_path = directory / "sent.ndjson"
        self.truth_path = directory / "truth.ndjson"
        self._sent: IO[bytes] = self.sent_path.open("ab")
        self._truth: IO[bytes] = self.truth_path.open("ab")
        self._open: dict[tuple[str, str], dict[str, Any]] = {}

    def __enter__(self) -> SentLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def acknowledged(self, device_id: str, boot: int, answers: Iterable[tuple[int, str | None]], at: str) -> None:
        """(seq, reason of refusal or None) of reports that were acknowledged at `at` of the service's clock."""
        rows = [
            {"device_id": device_id, "boot": boot, "seq": seq, "refused": reason, "acknowledged_at": at}
            for seq, reason in answers
        ]
        _append(self._sent, rows)

    def true(self, wearer_id: str, intervals: Iterable[dict[str, Any]], until: str) -> None:
        """Adds what was true of one wearer since the last call, up to `until`.

        An interval that touches `until` waits for what comes after, and is joined to it.
        """
        done = []
        for interval in intervals:
            key = wearer_id, interval["requirement_id"]
            before = self._open.pop(key, None)
            if before is not None and before["end"] == interval["begin"]:
                interval = _together(before, interval)
            elif before is not None:
                done.append(before)
            if interval["end"] == until:
                self._open[key] = interval
            else:
                done.append(interval)
        over = [key for key, row in self._open.items() if key[0] == wearer_id and row["end"] != until]
        done += [self._open.pop(key) for key in over]
        _append(self._truth, done)

    def close(self) -> None:
        """Writes the intervals that still wait, and closes both files."""
        if not self._truth.closed:
            _append(self._truth, self._open.values())
            self._open.clear()
            self._sent.close()
            self._truth.close()


def _together(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    whole = {**second, "begin": first["begin"]}
    if "depth_m" in second:
        whole["depth_m"] = max(first["depth_m"], second["depth_m"])
    return whole


def _append(file: IO[bytes], rows: Iterable[dict[str, Any]]) -> None:
    file.write(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    file.flush()
