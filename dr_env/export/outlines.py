"""Mask images from silhouettes: only what the silhouette's rectangle covers is worked on."""

from __future__ import annotations

import functools
import struct
import zlib

import numpy as np

from dr_env.records import Silhouette

_MODULUS = 65521  # of Adler-32, RFC 1950
_END = b"\x03\x00"  # an empty last block, RFC 1951


def encode_outline(outline: Silhouette, height: int, width: int) -> bytes:
    """The mask (height, width) of a silhouette as an 8-bit PNG of 0 and 255.

    The rows above and below are compressed once and for all: a deflate stream may be flushed anywhere, and the checksum
    of zeros is known.
    """
    part = outline.within(height, width)
    top, left = (max(outline.y, 0), max(outline.x, 0)) if part.size else (0, 0)
    part = part if part.size else part[:0, :0]
    rows = np.zeros((len(part), 1 + width), np.uint8)  # each begins with its filter, none
    rows[:, 1 + left : 1 + left + part.shape[1]] = part.view(np.uint8) * np.uint8(255)
    above, below = top * (1 + width), (height - top - len(part)) * (1 + width)
    middle = rows.tobytes()
    stream = _zeros(above) + _deflated(middle) + _zeros(below) + _END
    total = _after_zeros(zlib.adler32(middle, _after_zeros(1, above)), below)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"\x78\x01" + stream + struct.pack(">I", total)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _deflated(data: bytes) -> bytes:
    """Blocks of a deflate stream that end on a byte and refer to nothing before them."""
    made = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
    return made.compress(data) + made.flush(zlib.Z_FULL_FLUSH)


@functools.lru_cache(maxsize=4096)
def _zeros(count: int) -> bytes:
    return _deflated(bytes(count)) if count else b""


def _after_zeros(adler: int, count: int) -> int:
    """Adler-32 after so many bytes of 0: the first sum stays, the second gains it each time."""
    low, high = adler & 0xFFFF, adler >> 16
    return ((high + count * low) % _MODULUS) << 16 | low
