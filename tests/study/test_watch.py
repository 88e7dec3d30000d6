"""TensorBoard's files: what a training that is taken up again supersedes, and a disk that is full."""

import struct

import pytest

from minidl.study import watch
from minidl.study.watch import EventFile
from minidl.train import Epoch

tensorboardx = pytest.importorskip("tensorboardX")


def epoch(number):
    return Epoch(number, loss=1.0, accuracy=0.5, lr=0.1, sparsity=0.0, images_per_second=9.0)


def shown(folder):
    """The steps of the training loss that TensorBoard shows: a START forgets its own step and those after it."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    steps = []
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.stat().st_mtime_ns):
        content = path.read_bytes()
        while content:
            (size,) = struct.unpack("Q", content[:8])
            event, content = Event.FromString(content[12 : 12 + size]), content[16 + size :]
            if event.session_log.status == SessionLog.START:
                steps = [step for step in steps if step < event.step]
            steps += [event.step for value in event.summary.value if value.tag == "loss/training"]
    return steps


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_each_epoch_is_shown_once_after_a_resume(tmp_path, monkeypatch, first):
    for start, until, now in ((0, 3, 1e9), (first, 5, 1e9 + 1)):
        monkeypatch.setattr(watch.time, "time", lambda now=now: now)  # files are named by the second
        events = EventFile(tmp_path, start)
        for number in range(start, until):
            events.add(epoch(number), None)
        events.close()
    assert shown(tmp_path) == [1, 2, 3, 4, 5]


def test_a_full_disk_is_reported_once_and_the_training_goes_on(tmp_path, monkeypatch):
    from tensorboardX.record_writer import RecordWriter

    def full(*_):
        raise OSError(28, "No space left on device")

    events = EventFile(tmp_path)
    monkeypatch.setattr(RecordWriter, "flush", full)
    with pytest.warns(UserWarning, match=r"TensorBoard's file.*No space left.*goes on"):
        events.add(epoch(0), None)
    for number in range(1, 50):
        events.add(epoch(number), None)
    events.close()
