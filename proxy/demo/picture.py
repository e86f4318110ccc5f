"""A landscape as PNG, drawn from a digest: the same prompt gives the same picture.

Pure, standard library only.
"""

import math
import struct
import zlib
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

Colour = bytes  # red, green, blue


class Palette(NamedTuple):
    sky: Colour
    horizon: Colour
    sun: Colour
    hills: list[Colour]  # from far to near


class Circle(NamedTuple):
    x: float
    y: float
    radius: float


def _parse_palette(colours: str) -> Palette:
    parts = [bytes.fromhex(colour) for colour in colours.split()]
    return Palette(parts[0], parts[1], parts[2], parts[3:])


PALETTES = [
    _parse_palette("26466e ffc4a0 ffecc8 c48c96 7a5a7a 342c4c"),  # dawn
    _parse_palette("58285c ff9658 ffdc8c be545c 783054 2c1634"),  # dusk
    _parse_palette("3c8cc8 d6f0f6 fffae2 7cb2be 3a7c8e 124658"),  # sea
    _parse_palette("78b0be f0f4d6 fffce8 92b08c 507c5c 1c4234"),  # forest
    _parse_palette("0a102a 3e548c ecf0ff 303e6e 1c264c 0a0e22"),  # night
    _parse_palette("5ea0c4 fae2b4 fff6d6 e2ac76 b8704a 703c2e"),  # desert
]


def png(digest: bytes, width: int, height: int) -> bytes:
    """Draw the picture that 32 bytes stand for; it takes about 30 ms at 1024x1024."""
    palette = PALETTES[digest[0] % len(PALETTES)]
    sun = Circle(
        width * (0.2 + digest[1] / 425),
        height * (0.2 + digest[2] / 1020),
        min(width, height) * (0.06 + digest[3] / 3600),
    )
    ridges = [
        _ridge(
            digest[4 + 8 * n : 12 + 8 * n],
            width,
            height * (0.5 + 0.14 * n),
            height * (0.2 - 0.03 * n),
        )
        for n in range(len(palette.hills))
    ]
    rows = []
    for y in range(height):
        air = _mix(palette.sky, palette.horizon, min(1.0, y / (height * 0.62)) ** 1.3)
        row = bytearray(air * width)
        _draw_sun(row, y, sun, air, palette.sun)
        for n, (hill, ridge) in enumerate(zip(palette.hills, ridges, strict=True)):
            mist = max(0.0, min(1.0, (y / height - 0.5 - 0.14 * n) / 0.3))
            _fill_below(row, y, ridge, _mix(hill, palette.horizon, 0.55 * mist * (1 - n / 4)))
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
    """Place the knots of a line of hills, at whole pixels: neighbouring slopes leave no seam."""
    return [
        (round(width * n / (len(seed) - 1)), base - rise * (byte / 255) * (1 if n % 2 else 0.35))
        for n, byte in enumerate(seed)
    ]


def _draw_sun(row: bytearray, y: int, sun: Circle, air: Colour, colour: Colour) -> None:
    """Draw a glow of ten rings, then the disc."""
    for ring in range(10, 0, -1):
        glow = sun._replace(radius=sun.radius * (1 + ring * 0.32))
        _fill_circle(row, y, glow, _mix(air, colour, 0.32 * (1 - ring / 11) ** 2))
    _fill_circle(row, y, sun, colour)


def _fill_below(row: bytearray, y: int, ridge: list[tuple[int, float]], colour: Colour) -> None:
    """Fill the part of this row that lies under a ridge."""
    for (x0, y0), (x1, y1) in pairwise(ridge):
        if y0 <= y and y1 <= y:
            _fill_span(row, x0, x1, colour)
        elif min(y0, y1) <= y:
            crossing = x0 + (x1 - x0) * (y - y0) / (y1 - y0)
            left, right = (crossing, x1) if y1 <= y else (x0, crossing)
            _fill_span(row, left, right, colour)


def _fill_circle(row: bytearray, y: int, circle: Circle, colour: Colour) -> None:
    reach = circle.radius * circle.radius - (y - circle.y) ** 2
    if reach > 0:
        _fill_span(row, circle.x - math.sqrt(reach), circle.x + math.sqrt(reach), colour)


def _fill_span(row: bytearray, left: float, right: float, colour: Colour) -> None:
    """Colour a stretch of a row; its two end pixels only as far as it covers them."""
    left, right = max(0.0, left), min(len(row) / 3, right)
    first, last = math.ceil(left), math.floor(right)
    if first > last:
        return
    row[3 * first : 3 * last] = colour * (last - first)
    for x, covered in ((first - 1, first - left), (last, right - last)):
        if covered > 0 and 0 <= x < len(row) // 3:
            pixel = slice(3 * x, 3 * x + 3)
            row[pixel] = _mix(row[pixel], colour, covered)


def _mix(one: bytes, other: bytes, share: float) -> Colour:
    return bytes(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
