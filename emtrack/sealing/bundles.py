"""A report as one file of files with a manifest of their hashes, in a form in which each byte is given by what is in it: so any byte
that was changed shows, and no clock, no order and no compression can hide one."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from emtrack.sealing.notes import read_key, read_note
from emtrack.sealing.proofs import LARGEST_FILE, Inclusion, NotProved, Proof, read_proofs, read_small_file, verify

MANIFEST: Final = "manifest.json"
PROOFS: Final = "proofs.json"
LARGEST_BUNDLE: Final = 64 * 1024 * 1024
MOST_FILES: Final = 20
_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z]+")


class FileHash(msgspec.Struct, frozen=True):
    name: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What is in a bundle. It says nothing else, so that nothing of it can be changed unseen."""

    form: int
    files: list[FileHash]


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    """Of all files but itself, by name."""
    hashes = [
        FileHash(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in sorted(files.items())
        if name != MANIFEST
    ]
    return msgspec.json.format(msgspec.json.encode(Manifest(1, hashes)), indent=1) + b"\n"


def bundled(files: Mapping[str, bytes]) -> bytes:
    """A zip of files and their manifest: in order of names, not compressed, of one time, for their owner."""
    whole = {**files, MANIFEST: manifest_of(files)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(whole.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, content)
    return out.getvalue()


def is_bundle(path: Path) -> bool:
    """A folder, or a file that begins as a zip does."""
    if path.is_dir():
        return True
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def read_bundle(path: Path) -> tuple[dict[str, bytes], str]:
    """The files of a zip or of the folder that it was unpacked into, and the SHA-256 of the zip. Raises NotProved for what is not as
    it was made."""
    files = _in_folder(path) if path.is_dir() else _in_zip(path)
    if MANIFEST not in files:
        raise NotProved(f"{path}: there is no {MANIFEST} in it, so it is no report of ours, or it is not whole")
    expected = manifest_of(files)
    if files[MANIFEST] != expected:
        raise NotProved(f"{path}: {_difference(files)}")
    return files, hashlib.sha256(bundled(files)).hexdigest()


def _in_folder(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for one in sorted(path.iterdir()):
        if len(files) >= MOST_FILES or not one.is_file() or one.is_symlink():
            raise NotProved(f"{one}: this is not of the report; a report has files only, and at most {MOST_FILES}")
        files[one.name] = _small(one)
    return files


def _small(path: Path) -> bytes:
    if path.stat().st_size > LARGEST_BUNDLE:
        raise NotProved(f"{path}: it is larger than any file of a report")
    return path.read_bytes()


def _in_zip(path: Path) -> dict[str, bytes]:
    content = _small(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_FILES or any(one.compress_type != zipfile.ZIP_STORED for one in entries):
                raise NotProved(f"{path}: it is not packed as a report is")
            files = {one.filename: archive.read(one) for one in entries if _NAME.fullmatch(one.filename)}
    except (
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
        OSError,
    ) as error:
        raise NotProved(f"{path}: it cannot be unpacked, so it was changed or is not whole: {error}") from error
    if MANIFEST in files and files[MANIFEST] == manifest_of(files) and bundled(files) != content:
        raise NotProved(f"{path}: its files are as they were made, and the zip around them was changed")
    return files


def _difference(files: Mapping[str, bytes]) -> str:
    try:
        said = msgspec.json.decode(files[MANIFEST], type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"{MANIFEST} was changed: it cannot be read"
    told = {one.name: one for one in said.files}
    for name, content in files.items():
        if name == MANIFEST:
            continue
        if name not in told:
            return f"{name} is not in the manifest"
        if hashlib.sha256(content).hexdigest() != told[name].sha256:
            return f"{name} was changed: it does not have the hash of the manifest"
    missing = sorted(set(told) - set(files))
    return f"{missing[0]} is missing" if missing else f"{MANIFEST} was changed"


def verify_bundle(path: Path, key_line: str, trusted: str | None = None, disclosure: Path | None = None) -> list[str]:
    """What is proved, in sentences. `disclosure`: a proof of the row under which the bundle was handed out. Raises NotProved or
    UnfitHead."""
    files, sha256 = read_bundle(path)
    said = [f"{len(files) - 1} files are as they were made; SHA-256 of the zip: {sha256}"]
    content = files.get(PROOFS, b"[]")
    if len(content) > LARGEST_FILE:
        raise NotProved(f"{PROOFS}: it is larger than any file of proofs")
    proofs = read_proofs(content)
    said += [verify(proof, key_line, trusted) for proof in proofs]
    said.append(f"{len(proofs)} rows of the record that it rests on are in the log")
    if disclosure is not None:
        said.append(_handed_out(read_proofs(read_small_file(disclosure)), sha256, key_line, trusted))
    return said


def _handed_out(proofs: list[Proof], sha256: str, key_line: str, trusted: str | None) -> str:
    for proof in proofs:
        if not isinstance(proof, Inclusion) or proof.kind != "disclosures":
            continue
        verify(proof, key_line, trusted)
        if f"\\x{sha256}" in json.loads(proof.content):
            head = read_note(proof.head, *read_key(key_line))
            return f"this very file was handed out, and that has been on record since before {head.at}"
    raise NotProved(f"the proof is not of a file with the SHA-256 {sha256}: another file was handed out")
