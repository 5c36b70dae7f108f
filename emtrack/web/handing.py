"""Files that are handed out, with their hash and the number under which they are on record."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from emtrack.files.positions import FileType


def attachment(content: bytes, file_type: FileType, name: str, disclosure_no: int) -> Response:
    """A file with its hash and the number under which it is on record."""
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{name}.{file_type.extension}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Disclosure": str(disclosure_no),
    }
    return Response(content, 200, headers, file_type.media_type)
