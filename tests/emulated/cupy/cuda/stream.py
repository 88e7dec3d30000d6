"""Streams, events and the one device. Work is done at once, in order; a capturing stream writes it down instead."""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from types import MappingProxyType

from ..capture import Capture
from . import runtime

_addresses = itertools.count(0x1000, 0x10)
_local = threading.local()
by_address: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()


class Stream:
    def __init__(self, null=False, non_blocking=False):
        self.ptr = 0 if null else next(_addresses)
        self.non_blocking, self.capture = non_blocking, None
        by_address[self.ptr] = self

    def __enter__(self):
        _stack().append(self)
        return self

    def __exit__(self, *error):
        _stack().pop()

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
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self.capture is not None:
            self.capture.refuse(runtime.ILLEGAL_STATE)
        self.capture = Capture(self)

    def end_capture(self):
        if self.capture is None:
            raise runtime.CUDARuntimeError(runtime.ILLEGAL_STATE)
        capture, self.capture = self.capture, None
        return capture.end()


Stream.null = Stream(null=True)


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


def get_elapsed_time(start_event, end_event):
    for event in (start_event, end_event):
        event.synchronize()
        if event._time is None or not event._timed:
            raise runtime.CUDARuntimeError(runtime.INVALID_HANDLE)
    return 1000 * (end_event._time - start_event._time)


class Device:
    compute_capability = "90"
    attributes = MappingProxyType({"MultiProcessorCount": 132})

    def __init__(self, device=None):
        self.id = 0 if device is None else int(device)
        runtime.setDevice(self.id)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def synchronize(self):
        for capture in Capture.active:
            capture.refuse(runtime.STREAM_CAPTURE_UNSUPPORTED)
