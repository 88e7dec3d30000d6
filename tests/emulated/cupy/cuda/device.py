"""``cupy.cuda.device``: the device, and its one cuBLAS handle."""

from .stream import Device as Device


def get_cublas_handle():
    return Device().cublas_handle


def get_compute_capability():
    return Device().compute_capability


def get_device_id():
    return 0
