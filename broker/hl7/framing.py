"""MLLP: whole frames out of a byte stream, and into one. No socket, no clock. Floor 1.

A frame is VT, the message, FS CR. Long frames may leave in parts while they come (`take_part`), so
that nobody needs to hold or store them in one piece.
"""

from __future__ import annotations

import re

from broker.hl7.unreadable import Unreadable

__all__ = ["END", "START", "Deframer", "LongFrame", "frame"]

START = b"\x0b"
END = b"\x1c\r"
_KEPT_OF_TOO_LONG = 64 * 1024
_BLANK = b"\x00\t\n\v\r \xef\xbb\xbf"
_MESSAGE = re.compile(rb"[\r\n\v]MSH[^A-Za-z0-9]")


def frame(payload: bytes) -> bytes:
    """The payload as it goes over the wire."""
    return START + payload + END


class LongFrame(bytes):
    """The rest of a frame whose beginning was taken in parts: `taken` bytes, in `parts` parts.

    `messages` counts how often another message began in the whole of it (0 as it should be).
    """

    taken: int = 0
    parts: int = 0
    messages: int = 0


class Deframer:
    """Cuts whole messages out of a byte stream, however it is split; each byte is looked at once.

    Bytes between frames are noise and are dropped, but counted in `noise`, so that a peer that does
    not speak MLLP shows up on the console. A start block inside a frame is content (the header's
    reader finds the second message); repeated at the beginning it is passed over.

    A frame ends with FS CR. Where the CR is left out, the next VT or LF ends it too; when nothing
    follows yet, `half_ended` is true and the caller, having waited a moment (0.1 s), asks `finish`
    for the frame. An FS that something else follows is content. UTF-16's FS NUL CR ends a frame as
    well, so that its sender gets an answer.
    """

    def __init__(self, max_bytes: int = 32 * 1024 * 1024, max_noise: int = 1024 * 1024) -> None:
        self.noise = 0
        self.in_frame = False
        self._max_bytes, self._max_noise = max_bytes, max_noise
        self._buffer = bytearray()
        self._scanned = 0  # no end of a frame begins before this place of the buffer
        self._noise_since_frame = 0
        self._belongs_to_end = False  # a CR that comes now ends the frame that was finished without it
        self._taken = self._parts = self._messages = 0
        self._last_bytes = b""
        self._broken = False

    @property
    def pending(self) -> int:
        """Bytes of the unfinished frame that are held here; what was taken in parts is not."""
        return len(self._buffer)

    @property
    def beginning(self) -> bytes:
        """The first bytes of the unfinished frame, should it be given up; b"" once parts were taken."""
        return b"" if self._parts else bytes(self._buffer[:_KEPT_OF_TOO_LONG])

    @property
    def half_ended(self) -> bool:
        """Whether the unfinished frame's FS has come, and nothing after it."""
        return self.in_frame and self._scanned < len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Every message that `data` completes, oldest first; of a taken one the rest, a `LongFrame`.

        Raises `Unreadable`: `too_long` once an unfinished frame passes `max_bytes`, `noise` once
        bytes without a frame pass `max_noise`; frames completed before stand in its `frames`. After
        that, all that comes is dropped.
        """
        if self._broken:
            self.noise += len(data)
            return []
        if not self.in_frame and not self._belongs_to_end:
            whole = len(data) - 2
            if data[:1] == START and 0 < whole == data.find(b"\x1c") and data[-1] == 13 and data[1] != 11:
                if whole > self._max_bytes + 1:
                    raise self._too_long([], data[1:])
                self._noise_since_frame = 0
                return [data[1:-2]]  # one whole frame in one read, as nearly always
        return self._cut(data)

    def take_part(self, size: int) -> bytes | None:
        """The oldest `size` bytes of the unfinished frame, which are then no longer held here.

        None when fewer than `size` + 2 have come, or when the frame is a batch (which is cut into
        its messages when it is whole). Call it until it says None, after each `feed`; the first part
        holds the header.
        """
        if not self.in_frame or len(self._buffer) < size + 2 or self._scanned < size:
            return None
        if not self._parts and bytes(self._buffer[:128]).lstrip(_BLANK)[:3] in (b"FHS", b"BHS"):
            return None
        part = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._scanned -= size
        self._count_messages(part)
        self._taken += size
        self._parts += 1
        return part

    def finish(self) -> list[bytes]:
        """The frame whose FS came and whose CR did not; nothing when there is none."""
        if not self.half_ended:
            return []
        done = self._done(bytes(self._buffer[: self._scanned]))
        self._buffer.clear()
        self._scanned = 0
        self.in_frame, self._belongs_to_end = False, True
        return [done]

    def end(self) -> int:
        """The stream has ended: how many bytes of an unfinished frame are lost, taken ones included."""
        lost = self._taken + len(self._buffer) if self.in_frame else 0
        self._reset()
        return lost

    def _cut(self, data: bytes) -> list[bytes]:
        done: list[bytes] = []
        buffer = self._buffer
        if self._belongs_to_end and data:
            self._belongs_to_end = False
            data = data.removeprefix(b"\r")
        buffer += data
        at = 0
        while True:
            if not self.in_frame:
                start = buffer.find(START, at)
                self._count_noise((start if start >= 0 else len(buffer)) - at, done)
                if start < 0:
                    at = len(buffer)
                    break
                self.in_frame, at = True, start + 1
                self._scanned = at
            if not self._taken:
                while buffer[at : at + 1] == START:
                    at += 1
            ended = self._find_end(max(self._scanned, at))
            if ended is None:
                break
            stop, follows = ended
            if stop - at + self._taken > self._max_bytes:
                raise self._too_long(done, bytes(buffer[at : at + _KEPT_OF_TOO_LONG]))
            done.append(self._done(bytes(buffer[at:stop])))
            self.in_frame, at = False, follows
        del buffer[:at]
        self._scanned = max(0, self._scanned - at)
        if self.in_frame and self._taken + self._scanned > self._max_bytes:
            raise self._too_long(done, bytes(buffer[:_KEPT_OF_TOO_LONG]))
        return done

    def _find_end(self, at: int) -> tuple[int, int] | None:
        """Where the frame ends and where what follows begins; None, and `_scanned` set, if not yet."""
        buffer = self._buffer
        while True:
            stop = buffer.find(0x1C, at)
            self._scanned = stop if stop >= 0 else len(buffer)
            if stop < 0 or stop + 1 >= len(buffer):
                return None
            after = buffer[stop + 1]
            if after == 13:
                return stop, stop + 2
            if after in (10, 11):
                return stop, stop + 1
            if after == 0:
                if stop + 2 >= len(buffer):
                    return None
                if buffer[stop + 2] == 13:
                    return stop, stop + 3
            at = stop + 1

    def _done(self, rest: bytes) -> bytes:
        self._noise_since_frame = 0
        if not self._parts:
            return rest
        self._count_messages(rest)
        long = LongFrame(rest)
        long.taken, long.parts, long.messages = self._taken, self._parts, self._messages
        self._taken = self._parts = self._messages = 0
        self._last_bytes = b""
        return long

    def _count_messages(self, part: bytes) -> None:
        self._messages += len(_MESSAGE.findall(self._last_bytes + part))
        self._last_bytes = part[-4:]

    def _count_noise(self, count: int, done: list[bytes]) -> None:
        self.noise += count
        self._noise_since_frame += count
        if self._noise_since_frame > self._max_noise:
            self._reset()
            self._broken = True
            raise Unreadable(
                f"more than {self._max_noise} bytes came without a frame", code="noise", frames=done
            )

    def _too_long(self, done: list[bytes], beginning: bytes) -> Unreadable:
        beginning = b"" if self._parts else beginning[:_KEPT_OF_TOO_LONG]
        self._reset()
        self._broken = True
        return Unreadable(
            f"a frame is longer than {self._max_bytes} bytes",
            code="too_long",
            frames=done,
            beginning=beginning,
        )

    def _reset(self) -> None:
        self._buffer.clear()
        self._scanned = self._taken = self._parts = self._messages = 0
        self._last_bytes = b""
        self.in_frame = self._belongs_to_end = False
