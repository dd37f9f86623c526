"""The Python module beyond what predict.py shows: pixels in memory, boxes, the raw output, errors."""
import array
import sys

import facekp

model_path, face_path = sys.argv[1:]
model = facekp.Model(model_path)
assert model.info.keypoints == 68 and model.info.architecture == b"dino"
session = model.session(threads=2)
whole, = session.predict(facekp.Picture(face_path))
assert all(0.0 <= confidence <= 1.0 for confidence in whole.confidences)

pixels = bytearray(range(256)) * 300
boxes = [(10, 20, 100, 110), (120.5, 30, 90, 90)]
first = session.predict(facekp.Image(pixels, 320, 240), boxes)
again = session.predict(facekp.Image(bytes(pixels), 320, 240), boxes)
rgb = session.predict(facekp.Image(bytes(v for v in pixels for _ in range(3)), 320, 240, facekp.RGB8), boxes)
assert first == again and len(first) == 2 and first[0].points != first[1].points
assert max(abs(a - b) for f, r in zip(first, rgb) for p, q in zip(f.points, r.points) for a, b in zip(p, q)) < 0.05

tensor = array.array("f", [0.5]) * (2 * 224 * 224)
output = session.run(tensor, 2)
assert len(output) == 2 * 136 and list(output[:136]) == list(output[136:])


def status_of(call):
    try:
        call()
    except facekp.FacekpError as error:
        assert str(error)
        return error.status
    return 0


assert status_of(lambda: facekp.Model("no such file")) == -30
assert status_of(lambda: facekp.Model(random_seed=1)) == -10
assert status_of(lambda: session.predict(facekp.Image(pixels, 320, 240), [(0, 0, -1, 5)])) == -10
assert status_of(lambda: facekp.Picture(model_path)) == -40
try:
    import numpy
except ImportError:
    print("without numpy")
else:
    assert session.predict(facekp.Image(numpy.frombuffer(pixels, numpy.uint8), 320, 240), boxes) == first
