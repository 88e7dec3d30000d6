"""What CuPy passes on from the CUDA runtime, with the real names and numbers."""

import types

errorMemoryAllocation = 2  # noqa: N816

INVALID_VALUE, INSUFFICIENT_DRIVER, NO_DEVICE, INVALID_HANDLE, ILLEGAL_STATE = 1, 35, 100, 400, 401
STREAM_CAPTURE_UNSUPPORTED, STREAM_CAPTURE_INVALIDATED, STREAM_CAPTURE_IMPLICIT, CAPTURED_EVENT = 900, 901, 906, 907
_MESSAGES = {
    INVALID_VALUE: ("cudaErrorInvalidValue", "invalid argument"),
    errorMemoryAllocation: ("cudaErrorMemoryAllocation", "out of memory"),
    INSUFFICIENT_DRIVER: ("cudaErrorInsufficientDriver", "CUDA driver version is insufficient"),
    NO_DEVICE: ("cudaErrorNoDevice", "no CUDA-capable device is detected"),
    INVALID_HANDLE: ("cudaErrorInvalidResourceHandle", "invalid resource handle"),
    ILLEGAL_STATE: ("cudaErrorIllegalState", "the operation cannot be performed in the present state"),
    STREAM_CAPTURE_UNSUPPORTED: (
        "cudaErrorStreamCaptureUnsupported",
        "operation not permitted when stream is capturing",
    ),
    STREAM_CAPTURE_INVALIDATED: (
        "cudaErrorStreamCaptureInvalidated",
        "operation failed due to a previous error during capture",
    ),
    STREAM_CAPTURE_IMPLICIT: (
        "cudaErrorStreamCaptureImplicit",
        "operation would make the legacy stream depend on a capturing blocking stream",
    ),
    CAPTURED_EVENT: (
        "cudaErrorCapturedEvent",
        "operation not permitted on an event last recorded in a capturing stream",
    ),
}
LIMITS = types.SimpleNamespace(threads=1024, block=(1024, 1024, 64), grid=(2**31 - 1, 65535, 65535), shared=49152)
SHARED_OPTIN = 232448  # bytes a block may have, if its kernel asks for them


class CUDARuntimeError(RuntimeError):
    def __init__(self, status):
        self.status = status
        super().__init__("{}: {}".format(*_MESSAGES[status]))


class CUDADriverError(RuntimeError):
    """Of ``cupy_backends.cuda.api.driver``: what a launch raises."""

    def __init__(self, reason):
        super().__init__(f"CUDA_ERROR_INVALID_VALUE: invalid argument ({reason})")


def getDeviceCount():  # noqa: N802
    return 1


def setDevice(device):  # noqa: N802
    if device != 0:
        raise ValueError(f"there is one card, of number 0: {device}")


def driverGetVersion():  # noqa: N802
    return 13000


def runtimeGetVersion():  # noqa: N802
    return 13000


def memGetInfo():  # noqa: N802
    from .. import memory

    return memory.free_bytes(), memory.TOTAL_BYTES


def getDeviceProperties(device):  # noqa: N802
    return {"name": b"emulated"}
