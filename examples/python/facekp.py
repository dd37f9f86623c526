"""libfacekp from Python: the public header through ctypes, nothing else. numpy arrays are taken where they are handed in.

    import facekp
    model = facekp.Model("facekp-resnet18.safetensors")
    session = model.session(threads=facekp.THREADS_ALL)
    face, = session.predict(facekp.Picture("face.png"))
    print(face.points[30], face.confidences[30])
"""
import ctypes
import ctypes.util
import os
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from typing import NamedTuple

THREADS_ALL = -1
AUTO, DIRECT, RESNET18, DINO, UNET = range(5)
GRAY8, RGB8, BGR8, RGBA8, BGRA8, GRAYF = range(1, 7)
_CHANNELS = {GRAY8: 1, RGB8: 3, BGR8: 3, RGBA8: 4, BGRA8: 4, GRAYF: 1}


class _Sized(ctypes.Structure):
    """A struct of the header: struct_size set, every other field zero."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class _LoadOptions(_Sized):
    _fields_ = [("struct_size", c_size_t), ("allocator", c_void_p), ("log", c_void_p), ("log_user", c_void_p),
                ("message", c_char_p), ("message_size", c_size_t), ("architecture", c_int32),
                ("normalization", c_int32), ("random_weights", c_int32), ("activation", c_int32),
                ("seed", c_uint64), ("cpu", c_char_p), ("measure", c_int32), ("reserved", c_int32)]


class ModelInfo(_Sized):
    _fields_ = [("struct_size", c_size_t), ("architecture", c_char_p), ("variant", c_char_p),
                ("license", c_char_p), ("training_data", c_char_p), ("precision", c_char_p), ("cpu", c_char_p),
                ("architecture_id", c_int32), ("keypoints", c_int32), ("input_width", c_int32),
                ("input_height", c_int32), ("output_kind", c_int32), ("output_width", c_int32),
                ("output_height", c_int32), ("reserved", c_int32), ("parameters", c_uint64),
                ("multiply_adds", c_uint64), ("weight_bytes", c_uint64), ("label_bias_px", c_double * 2)]


class _SessionOptions(_Sized):
    _fields_ = [("struct_size", c_size_t), ("allocator", c_void_p), ("parallel_for", c_void_p),
                ("parallel_user", c_void_p), ("threads", c_int32), ("batch", c_int32)]


class _Image(_Sized):
    _fields_ = [("struct_size", c_size_t), ("data", c_void_p), ("stride", c_int64), ("width", c_int32),
                ("height", c_int32), ("format", c_int32), ("rotation", c_int32)]


class _PredictOptions(_Sized):
    _fields_ = [("struct_size", c_size_t), ("decode", c_int32), ("window", c_int32),
                ("keep_label_bias", c_int32), ("second_pass", c_int32)]


class _Faces(_Sized):
    _fields_ = [("struct_size", c_size_t), ("points", c_void_p), ("confidences", c_void_p),
                ("transforms", c_void_p), ("statuses", c_void_p), ("raw", c_void_p)]


def _open_library():
    """FACEKP_LIBRARY, else what the dynamic linker finds."""
    library = ctypes.CDLL(os.environ.get("FACEKP_LIBRARY") or ctypes.util.find_library("facekp") or "libfacekp.so.0")
    declare = {
        "facekp_status_string": (c_char_p, [c_int32]),
        "facekp_version_string": (c_char_p, []),
        "facekp_model_load": (c_int32, [c_char_p, POINTER(_LoadOptions), POINTER(c_void_p)]),
        "facekp_model_free": (None, [c_void_p]),
        "facekp_model_get_info": (c_int32, [c_void_p, POINTER(ModelInfo)]),
        "facekp_model_output_count": (c_size_t, [c_void_p]),
        "facekp_session_open": (c_int32, [c_void_p, POINTER(_SessionOptions), POINTER(c_void_p)]),
        "facekp_session_free": (None, [c_void_p]),
        "facekp_session_message": (c_char_p, [c_void_p]),
        "facekp_session_run": (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t]),
        "facekp_session_predict": (c_int32, [c_void_p, POINTER(POINTER(_Image)), c_size_t, c_void_p, c_void_p,
                                             c_size_t, POINTER(_PredictOptions), POINTER(_Faces)]),
        "facekp_picture_read": (c_int32, [c_char_p, c_int32, c_char_p, c_size_t, POINTER(c_void_p)]),
        "facekp_picture_get_image": (c_int32, [c_void_p, POINTER(_Image)]),
        "facekp_picture_free": (None, [c_void_p]),
    }
    for name, (result, arguments) in declare.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_library = _open_library()
version = _library.facekp_version_string().decode()


class FacekpError(Exception):
    """A call that failed: .status is the number of the header."""

    def __init__(self, status, message=b""):
        super().__init__((message or _library.facekp_status_string(status)).decode("utf-8", "replace"))
        self.status = status


class Face(NamedTuple):
    """Points [(x, y), ...] in pixels of the image, a confidence each, and the map crop -> image."""
    points: list
    confidences: list
    transform: tuple


def _buffer(data, writable=False):
    """Address and bytes of a contiguous buffer: bytes, bytearray, array.array, a numpy array, ..."""
    view = memoryview(data).cast("B")
    if view.readonly and not writable:
        return (c_char_p(bytes(view)) if not isinstance(data, bytes) else c_char_p(data)), view.nbytes
    return (ctypes.c_char * view.nbytes).from_buffer(view), view.nbytes


class Picture:
    """A PNG file as gray pixels."""

    def __init__(self, path):
        handle, message = c_void_p(), ctypes.create_string_buffer(512)
        status = _library.facekp_picture_read(os.fsencode(path), 1, message, len(message), byref(handle))
        if status:
            raise FacekpError(status, message.value)
        self._handle, self.image = handle, _Image()
        _library.facekp_picture_get_image(handle, byref(self.image))

    def __del__(self):
        if getattr(self, "_handle", None):
            _library.facekp_picture_free(self._handle)


class Image:
    """Pixels in memory: any object with a buffer (bytes, numpy), dense unless `stride` says else."""

    def __init__(self, data, width, height, format=GRAY8, stride=0, rotation=0):
        self._keep, size = _buffer(data)
        row = width * _CHANNELS[format] * (4 if format == GRAYF else 1)
        if size < (height - 1) * (stride or row) + row:
            raise ValueError("the buffer is smaller than the image")
        self.image = _Image(data=ctypes.cast(self._keep, c_void_p), stride=stride, width=width, height=height,
                            format=format, rotation=rotation)


class Model:
    """A weights file, ready to compute; shared by sessions and threads."""

    def __init__(self, path=None, architecture=AUTO, random_seed=None, cpu=None, measure=False):
        message = ctypes.create_string_buffer(512)
        options = _LoadOptions(message=ctypes.cast(message, c_char_p), message_size=len(message),
                               architecture=architecture, random_weights=random_seed is not None,
                               seed=random_seed or 0, cpu=cpu.encode() if cpu else None, measure=measure)
        self._handle = c_void_p()
        status = _library.facekp_model_load(None if path is None else os.fsencode(path), byref(options),
                                            byref(self._handle))
        if status:
            raise FacekpError(status, message.value)
        self.info = ModelInfo()
        _library.facekp_model_get_info(self._handle, byref(self.info))
        self.output_count = _library.facekp_model_output_count(self._handle)

    def __del__(self):
        if getattr(self, "_handle", None):
            _library.facekp_model_free(self._handle)

    def session(self, threads=1, batch=1):
        return Session(self, threads, batch)


class Session:
    """The memory and threads of one stream of work; one Python thread at a time."""

    def __init__(self, model, threads=1, batch=1):
        self.model, self._handle = model, c_void_p()
        options = _SessionOptions(threads=threads, batch=batch)
        status = _library.facekp_session_open(model._handle, byref(options), byref(self._handle))
        if status:
            raise FacekpError(status)

    def __del__(self):
        if getattr(self, "_handle", None):
            _library.facekp_session_free(self._handle)

    def _check(self, status):
        if status:
            raise FacekpError(status, _library.facekp_session_message(self._handle))

    def predict(self, image, boxes=None, decode=0, second_pass=False, keep_label_bias=False):
        """Faces of one Picture or Image: the whole of it, or one for each box (x, y, width, height)."""
        count, keypoints = len(boxes) if boxes is not None else 1, self.model.info.keypoints
        points = (c_float * (count * keypoints * 2))()
        confidences, transforms = (c_float * (count * keypoints))(), (c_float * (count * 6))()
        flat = None if boxes is None else (c_float * (4 * count))(*[float(v) for box in boxes for v in box])
        options = _PredictOptions(decode=decode, second_pass=second_pass, keep_label_bias=keep_label_bias)
        faces = _Faces(points=ctypes.addressof(points), confidences=ctypes.addressof(confidences),
                       transforms=ctypes.addressof(transforms))
        images = (POINTER(_Image) * 1)(ctypes.pointer(image.image))
        self._check(_library.facekp_session_predict(self._handle, images, 1, flat, None, count, byref(options),
                                                    byref(faces)))
        pairs = list(zip(points[0::2], points[1::2]))
        return [Face(pairs[i * keypoints:(i + 1) * keypoints], confidences[i * keypoints:(i + 1) * keypoints],
                     tuple(transforms[6 * i:6 * i + 6])) for i in range(count)]

    def run(self, tensor, count=1):
        """The raw output, a flat array of floats, for count x 1 x 224 x 224 float32 numbers in [0, 1]."""
        data, size = _buffer(tensor)
        if size != 4 * count * self.model.info.input_width * self.model.info.input_height:
            raise ValueError("the tensor is not count x 1 x %d x %d float32"
                             % (self.model.info.input_height, self.model.info.input_width))
        output = (c_float * (count * self.model.output_count))()
        self._check(_library.facekp_session_run(self._handle, data, count, output, len(output)))
        return output
