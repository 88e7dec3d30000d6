"""Streams, events and the one device. Work is done at once, in order; a capturing stream writes it down instead."""

from __future__ import annotations

import itertools
import threading
import time
import weakref

from ..capture import Capture
from . import runtime

_addresses = itertools.count(0x1000, 0x10)
_local = threading.local()
by_address: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()


class Stream:
    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else 2 if ptds else next(_addresses)
        self.non_blocking, self.device_id, self.capture = non_blocking, -1 if null else 0, None
        by_address[self.ptr] = self

    def __eq__(self, other):
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self):
        return self.ptr

    def __repr__(self):
        return f"<Stream {self.ptr} (device {self.device_id})>"

    def __enter__(self):
        _stack().append(self)
        return self

    def __exit__(self, *error):
        _stack().pop()

    def use(self):
        _stack()[-1] = self
        return self

    @property
    def is_non_blocking(self):
        return self.non_blocking

    @property
    def done(self):
        self._host_waits()
        return True

    def synchronize(self):
        self._host_waits()

    def _host_waits(self):
        if self.capture is not None:
            self.capture.refuse(runtime.STREAM_CAPTURE_UNSUPPORTED)

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        if self.capture is not None or event._capture is not None:
            raise NotImplementedError("the emulated card captures one stream, without forks to others")

    def begin_capture(self, mode=None):
        if self.ptr in (0, 1):
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self.capture is not None:
            self.capture.refuse(runtime.ILLEGAL_STATE)
        self.capture = Capture(self)

    def end_capture(self):
        if self.capture is None:
            raise runtime.CUDARuntimeError(runtime.ILLEGAL_STATE)
        capture, self.capture = self.capture, None
        return capture.end()

    def is_capturing(self):
        return self.capture is not None


Stream.null = Stream(null=True)
Stream.ptds = Stream(ptds=True)


def _stack():
    if not hasattr(_local, "stack"):
        _local.stack = [Stream.null]
    return _local.stack


def get_current_stream(device_id=-1):
    return _stack()[-1]


def capture_of(stream=None):
    """Where work for a stream (None: the current one) must be recorded; None where it is simply done."""
    stream = get_current_stream() if stream is None else stream
    if stream.ptr == 0:
        for capture in Capture.active:
            if not capture.stream.non_blocking:
                capture.refuse(runtime.STREAM_CAPTURE_IMPLICIT)
    return stream.capture


def host_waits(stream=None):
    """The host is about to wait for a stream, or to move ordinary memory: neither can be captured."""
    capture = capture_of(stream)
    if capture is not None:
        capture.refuse(runtime.STREAM_CAPTURE_UNSUPPORTED)


class Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.ptr, self._time, self._timed, self._capture = next(_addresses), None, not disable_timing, None

    def record(self, stream=None):
        self._capture = capture_of(stream)
        self._time = time.perf_counter()

    def synchronize(self):
        if self._capture is not None:
            raise runtime.CUDARuntimeError(runtime.CAPTURED_EVENT)

    @property
    def done(self):
        self.synchronize()
        return True


def get_elapsed_time(start_event, end_event):
    for event in (start_event, end_event):
        event.synchronize()
        if event._time is None or not event._timed:
            raise runtime.CUDARuntimeError(runtime.INVALID_HANDLE)
    return 1000 * (end_event._time - start_event._time)


class Device:
    def __init__(self, device=None):
        self.id = 0 if device is None else int(device)
        runtime.setDevice(self.id)

    def __int__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return self.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def use(self):
        return self

    def synchronize(self):
        for capture in Capture.active:
            capture.refuse(runtime.STREAM_CAPTURE_UNSUPPORTED)

    @property
    def compute_capability(self):
        return "90"

    @property
    def mem_info(self):
        return runtime.memGetInfo()

    @property
    def cublas_handle(self):
        return 1

    @property
    def attributes(self):
        properties = runtime.getDeviceProperties(self.id)
        names = {
            "MultiProcessorCount": "multiProcessorCount",
            "L2CacheSize": "l2CacheSize",
            "WarpSize": "warpSize",
            "MaxThreadsPerBlock": "maxThreadsPerBlock",
            "MaxThreadsPerMultiProcessor": "maxThreadsPerMultiProcessor",
            "MaxSharedMemoryPerBlock": "sharedMemPerBlock",
            "MaxSharedMemoryPerBlockOptin": "sharedMemPerBlockOptin",
            "MaxSharedMemoryPerMultiprocessor": "sharedMemPerMultiprocessor",
            "MaxRegistersPerBlock": "regsPerBlock",
            "ClockRate": "clockRate",
            "MemoryClockRate": "memoryClockRate",
            "GlobalMemoryBusWidth": "memoryBusWidth",
        }
        return {there: properties[here] for there, here in names.items()}
