"""What signed reports cost: the same fixes over real sockets with signatures and without, in turns.

    python -m benchmarks.signatures [--wearers 1000] [--seconds 10] [--repeats 3]

As `benchmarks.end_to_end`, saturated: requests of ten fixes over 32 connections. Every round alternates the two. The sender signs on
the same machine, which costs about half of what checking costs; what a check alone takes is printed first.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import time

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.end_to_end import CONNECTIONS, HISTORY_MS, Walk, orders, quantile
from benchmarks.serving import served
from benchmarks.session_load import FIXES_A_REQUEST, send
from emtrack.client import new_signing_key, public_half, signature_of
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_with_keys, replace_signing_keys
from emtrack.settings import Settings

CHECKS = 5_000
SIZES = (200, 2_000, 20_000, 200_000, 1_000_000)


class SigningWalk(Walk):
    """The same, which goes on signed or not as `signer` says."""

    def __init__(self, number: int, from_ms: int) -> None:
        super().__init__(number, from_ms)
        self._device_id = f"D{number}"
        self.key = new_signing_key()
        self.signer: Ed25519PrivateKey | None = None

    def request(self, fixes: int) -> bytes:
        body = super().request(fixes)
        if self.signer is None:
            return body
        reports = msgspec.json.encode(msgspec.json.decode(body)["reports"])
        signature = signature_of(self.signer, self._device_id, 1, reports)
        return msgspec.json.encode({"boot": 1, "reports": msgspec.Raw(reports), "signature": signature})


def check_us(size: int) -> float:
    """Microseconds of one check of a message of so many bytes."""
    key, message = new_signing_key(), bytes(size)
    public, signature, checks = key.public_key(), key.sign(message), max(100, CHECKS * 200 // max(size, 200))
    started = time.perf_counter()
    for _ in range(checks):
        public.verify(signature, message)
    return (time.perf_counter() - started) / checks * 1e6


async def measure(settings: Settings, wearers: int, seconds: float, repeats: int) -> None:
    from_ms = int(time.time() * 1000) - HISTORY_MS
    keys = await import_with_keys(settings, read_orders(orders(wearers, from_ms), "orders"), who="benchmark")
    ordered = [keys[f"D{number}"] for number in range(wearers)]
    walks = [SigningWalk(number, from_ms) for number in range(wearers)]
    public = {f"D{number}": public_half(walk.key) for number, walk in enumerate(walks)}
    await replace_signing_keys(settings, public, who="benchmark")
    rates: dict[str, list[float]] = {"not signed": [], "signed": []}
    waits: dict[str, list[float]] = {"not signed": [], "signed": []}
    async with aiohttp.ClientSession(settings.base_url, connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        await send(session, walks, ordered, 3, None)  # warm: partitions, connections, caches
        for _ in range(repeats):
            for what in rates:
                for walk in walks:
                    walk.signer = walk.key if what == "signed" else None
                rate, latencies = await send(session, walks, ordered, seconds, None)
                rates[what].append(rate)
                waits[what] += latencies
    for what, found in rates.items():
        p50, p99 = (quantile(waits[what], share) * 1000 for share in (0.5, 0.99))
        print(f"| {what}: fixes/s, p50 / p99 | {statistics.median(found):,.0f}, {p50:.1f} / {p99:.1f} ms |")
    ratio = statistics.median(s / p for s, p in zip(rates["signed"], rates["not signed"], strict=True))
    print(f"| signed to not signed (median of rounds) | {ratio:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {arguments.wearers} wearers × 5 zones, requests of {FIXES_A_REQUEST}\n")
    print("| what | measured |\n|---|---|")
    for size in SIZES:
        print(f"| a check of {size:,} bytes | {check_us(size):,.0f} µs |")
    with served() as settings:
        asyncio.run(measure(settings, arguments.wearers, arguments.seconds, arguments.repeats))


if __name__ == "__main__":
    main()
