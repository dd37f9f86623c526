"""PNG files for tests, in plain Python."""
import struct
import zlib


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, width, height, pixel):
    """8-bit gray; pixel(x, y) -> 0 to 255."""
    rows = b"".join(b"\0" + bytes(pixel(x, y) for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
                   + chunk(b"IEND", b""))


def predict(kind, left, up, corner):
    """The five filters of PNG."""
    if kind == 4:
        distances = [(abs(up - corner), left), (abs(left - corner), up), (abs(left + up - 2 * corner), corner)]
        return min(distances, key=lambda pair: pair[0])[1]
    return (0, left, up, (left + up) // 2)[kind]


def read_png(path):
    """(width, height, channels, rows of bytes) of an 8-bit gray or RGB file without interlace."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", path
    position, packed = 8, b""
    while position < len(data):
        size, kind = struct.unpack(">I4s", data[position:position + 8])
        body = data[position + 8:position + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
        packed += body if kind == b"IDAT" else b""
        position += size + 12
    assert depth == 8 and colour in (0, 2) and not interlace, path
    channels, raw = (1 if colour == 0 else 3), zlib.decompress(packed)
    stride, rows, above = width * channels, [], bytes(width * channels)
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            left = line[i - channels] if i >= channels else 0
            corner = above[i - channels] if i >= channels else 0
            line[i] = (line[i] + predict(kind, left, above[i], corner)) & 255
        above = bytes(line)
        rows.append(above)
    return width, height, channels, rows


def face_like(x, y):
    """A smooth gray pattern with something of a face, for networks that need not find one."""
    head = ((x - 112) / 60.0) ** 2 + ((y - 120) / 80.0) ** 2 < 1
    eyes = any((x - cx) ** 2 + (y - 100) ** 2 < 64 for cx in (88, 136))
    return 20 if eyes else 190 - y // 4 if head else 60 + x // 8
