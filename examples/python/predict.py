#!/usr/bin/env python3
"""Prints the 68 keypoints of face crops: predict.py MODEL.safetensors FACE.png..."""
import sys

import facekp


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    session = facekp.Model(sys.argv[1]).session(threads=facekp.THREADS_ALL)
    for path in sys.argv[2:]:
        face, = session.predict(facekp.Picture(path))
        print(path, " ".join("%.2f,%.2f" % point for point in face.points))


try:
    main()
except facekp.FacekpError as error:
    sys.exit("predict.py: %s" % error)
