"""What ITK's MetaImage and NRRD readers do not tell: compressed voxels that are damaged.

Where compressed bytes cannot be decompressed, or their checksum is wrong, both go on with what they have, without an
error (seen with ITK 5.4). Here the compressed data are therefore read once more, without being turned into an image.
"""

from __future__ import annotations

from pathlib import Path

from ctcore.errors import UnreadableImageError, first_line
from ctcore.inflate import DAMAGED, SLACK_BYTES, DamagedStreamError, inflated
from ctcore.text_header import StoredVoxels


def verify_compressed(path: Path, voxels: StoredVoxels) -> None:
    """Checks the compressed voxels of an image that ITK could read; others pass.

    Args:
        path: the image.
        voxels: where its header says that they lie.

    Raises:
        UnreadableImageError: they are damaged, end early, or are more than the header says.
    """
    if not voxels.deflated:
        return
    most = voxels.bytes_at_most + SLACK_BYTES
    try:
        with voxels.path.open("rb") as handle:
            handle.seek(voxels.start)
            for block in inflated(handle, members=False):
                most -= len(block)
                if most < 0:
                    raise ValueError("it holds more voxels than its header says")
    except (OSError, EOFError, ValueError, DamagedStreamError) as error:
        reason = DAMAGED if isinstance(error, DamagedStreamError) else first_line(error)
        raise UnreadableImageError(f"'{path.name}' cannot be read: {reason}; check or replace it") from error
