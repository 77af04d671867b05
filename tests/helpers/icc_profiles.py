"""ICC profiles of matrix and gamma, made by hand, and what their colours are in sRGB by the same arithmetic."""

import struct

import numpy as np

WHITE = (0.9642, 1.0, 0.8249)  # D50, to which ICC adapts every colour
PRIMARIES = {  # X, Y, Z of red, green and blue at D50
    "sRGB": [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141)],
    "Display P3": [(0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)],
    "Adobe RGB": [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)],
}


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(gamma: float | None) -> bytes:
    """A gamma, or sRGB's own curve for None."""
    if gamma:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    table = np.rint(65535 * linear(np.linspace(0, 1, 1024))).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(table)) + table.tobytes()


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    body, table = b"", struct.pack(">I", len(tags))
    first = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, first + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", first + len(body), bytes(4), 0x02200000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", *(round(value * 65536) for value in WHITE))
    return header.ljust(128, b"\0") + table + body


def rgb_profile(name: str, gamma: float | None = 2.2) -> bytes:
    """A profile of the primaries of that name; gamma None is sRGB's curve."""
    colorants = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, PRIMARIES[name]), strict=True))
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma))
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"made\0" + bytes(78)
    return _profile(b"RGB ", {b"desc": text, b"wtpt": _xyz(WHITE)} | colorants | curves)


def gray_profile(gamma: float) -> bytes:
    """A profile of gray images."""
    return _profile(b"GRAY", {b"wtpt": _xyz(WHITE), b"kTRC": _curve(gamma)})


def linear(values: np.ndarray) -> np.ndarray:
    """Light of sRGB values, both 0 to 1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def in_srgb(pixels: np.ndarray, name: str, gamma: float) -> np.ndarray:
    """uint8 [..., 3] of a profile -> what sRGB calls the same colours, uint8; colours outside of sRGB are clipped."""
    xyz = (pixels / 255) ** gamma @ np.array(PRIMARIES[name])
    light = np.clip(xyz @ np.linalg.inv(np.array(PRIMARIES["sRGB"])), 0, 1)
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * values).astype(np.uint8)
