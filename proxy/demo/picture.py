"""A landscape as PNG, drawn from a digest: the same prompt gives the same picture. Pure, standard library only."""

import math
import struct
import zlib
from hashlib import sha256
from itertools import pairwise

Colour = tuple[int, int, int]

# Sky above, sky at the horizon, sun, and the hills from far to near.
PALETTES: list[tuple[Colour, ...]] = [
    (
        (38, 70, 110),
        (255, 196, 160),
        (255, 236, 200),
        (196, 140, 150),
        (122, 90, 122),
        (52, 44, 76),
    ),  # dawn
    (
        (88, 40, 92),
        (255, 150, 88),
        (255, 220, 140),
        (190, 84, 92),
        (120, 48, 84),
        (44, 22, 52),
    ),  # dusk
    (
        (60, 140, 200),
        (214, 240, 246),
        (255, 250, 226),
        (124, 178, 190),
        (58, 124, 142),
        (18, 70, 88),
    ),  # sea
    (
        (120, 176, 190),
        (240, 244, 214),
        (255, 252, 232),
        (146, 176, 140),
        (80, 124, 92),
        (28, 66, 52),
    ),  # forest
    (
        (10, 16, 42),
        (62, 84, 140),
        (236, 240, 255),
        (48, 62, 110),
        (28, 38, 76),
        (10, 14, 34),
    ),  # night
    (
        (94, 160, 196),
        (250, 226, 180),
        (255, 246, 214),
        (226, 172, 118),
        (184, 112, 74),
        (112, 60, 46),
    ),  # desert
]


def png(digest: bytes, width: int, height: int) -> bytes:
    """The picture that 32 bytes stand for; about 30 ms at 1024x1024."""
    sky, horizon, sun, *hills = PALETTES[digest[0] % len(PALETTES)]
    sun_x, sun_y = width * (0.2 + digest[1] / 425), height * (0.2 + digest[2] / 1020)
    radius = min(width, height) * (0.06 + digest[3] / 3600)
    ridges = [
        _ridge(
            digest[4 + 8 * n : 12 + 8 * n],
            width,
            height * (0.5 + 0.14 * n),
            height * (0.2 - 0.03 * n),
        )
        for n in range(len(hills))
    ]
    rows = []
    for y in range(height):
        air = _mix(sky, horizon, min(1.0, y / (height * 0.62)) ** 1.3)
        row = bytearray(bytes(air) * width)
        for ring in range(10, -1, -1):  # a glow of ten rings, then the disc
            _disc(
                row,
                y,
                sun_x,
                sun_y,
                radius * (1 + ring * 0.32),
                sun if ring == 0 else _mix(air, sun, 0.32 * (1 - ring / 11) ** 2),
            )
        for n, (hill, ridge) in enumerate(zip(hills, ridges, strict=True)):
            mist = max(0.0, min(1.0, (y / height - 0.5 - 0.14 * n) / 0.3))
            _below(row, y, ridge, _mix(hill, horizon, 0.55 * mist * (1 - n / 4)))
        rows.append(b"\0" + row)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"".join(rows), 6))
        + _chunk(b"IEND", b"")
    )


def digest(prompt: str, *more: bytes) -> bytes:
    return sha256(b"\0".join([prompt.encode(errors="replace"), *more])).digest()


def _ridge(seed: bytes, width: int, base: float, rise: float) -> list[tuple[int, float]]:
    """Knots of a line of hills, at whole pixels so that neighbouring slopes leave no seam."""
    return [
        (round(width * n / (len(seed) - 1)), base - rise * (byte / 255) * (1 if n % 2 else 0.35))
        for n, byte in enumerate(seed)
    ]


def _below(row: bytearray, y: int, ridge: list[tuple[int, float]], colour: Colour) -> None:
    """Fills the part of this row that lies under a ridge."""
    for (x0, y0), (x1, y1) in pairwise(ridge):
        if y0 <= y and y1 <= y:
            _span(row, x0, x1, colour)
        elif min(y0, y1) <= y:
            crossing = x0 + (x1 - x0) * (y - y0) / (y1 - y0)
            left, right = (crossing, x1) if y1 <= y else (x0, crossing)
            _span(row, left, right, colour)


def _disc(row: bytearray, y: int, x: float, centre: float, radius: float, colour: Colour) -> None:
    reach = radius * radius - (y - centre) ** 2
    if reach > 0:
        _span(row, x - math.sqrt(reach), x + math.sqrt(reach), colour)


def _span(row: bytearray, left: float, right: float, colour: Colour) -> None:
    """Colours a stretch of a row; its two end pixels only as far as it covers them."""
    left, right = max(0.0, left), min(len(row) / 3, right)
    first, last = math.ceil(left), math.floor(right)
    if first <= last:
        row[3 * first : 3 * last] = bytes(colour) * (last - first)
        for x, covered in ((first - 1, first - left), (last, right - last)):
            if covered > 0 and 0 <= x < len(row) // 3:
                red, green, blue = row[3 * x : 3 * x + 3]
                row[3 * x : 3 * x + 3] = bytes(_mix((red, green, blue), colour, covered))


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
