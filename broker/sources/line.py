"""One MLLP connection: whole frames in, answers out in the order of the frames. Floor 5.

Nothing here reads a message or knows a database. What can be wrong with a stream (too long, never ending,
noise, silence, a peer that does not read its answers) ends here, within the limits that are given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol as Connected
from twisted.python.failure import Failure
from zope.interface import implementer

from broker.hl7.framing import Deframer
from broker.hl7.unreadable import Unreadable
from broker.sources.receiver import Turn
from broker.sources.wire import Drained, keep_alive, unread

if TYPE_CHECKING:
    from broker.sources.mllp import Listener

__all__ = ["PART", "Line"]

PART = 1024 * 1024  # a long frame leaves in parts of this size, so that it never stands before the others
MAX_OPEN_TURNS = 1000  # frames of one connection that wait for their answers; past it, it is not read
HALF_ENDED_SECS = 0.1  # so long the CR of FS CR may take before the frame is taken without it
HANG_UP_SECS = 5.0  # so long a peer may take to read its last answers and close


@implementer(IHalfCloseableProtocol, IPushProducer)
class Line(Connected):
    """One connection.

    A receiver puts a `Turn` on the line for each frame (`expect`), gives its answer when it knows it (`give`)
    and flushes. Answers leave in the order of their turns, whatever the order in which they are given.
    """

    transport: Any

    def __init__(self, listener: Listener, peer: str) -> None:
        self._listener, self.peer = listener, peer
        self._deframer = Deframer(listener.limits.max_bytes)
        self._feed, self._seconds = self._deframer.feed, listener.seconds
        self._receive = listener.receiver.receive
        self._turns: deque[Turn] = deque()
        self._out: list[Turn] = []  # answered and in order, not yet given to the transport
        self._leaving: list[Turn] = []  # given to the transport, which could not send all of it yet
        self._waiting: deque[bytes] = deque()  # frames that came while the line was held
        self._stopped: set[str] = set()  # why this line is not being read
        self._send: Callable[[bytes], int | BaseException] | None = None
        self._noise = 0
        self.heard = self._seconds()
        self._frame_since: float | None = None
        self._closing_since: float | None = None
        self._half_ended: Any = None
        self._long = self._held = self._peer_done = self._full = self._closed = False
        self._quiet: list[Deferred[None]] = []
        self.gone = self.dirty = False
        self.broken = False  # the store failed one of its frames: what it sent after that is not kept either

    # Reading

    def connectionMade(self) -> None:
        self._listener.lines.add(self)
        keep_alive(self.transport)
        if isinstance(self.transport, tcp.Connection):
            self._send = self.transport.writeSomeData
        else:
            self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        if self._closing_since is not None:
            return
        deframer = self._deframer
        try:
            frames = self._feed(data)
        except Unreadable as error:
            self._take(error.frames)
            self._give_up(error.code, error.beginning)
            return
        if frames:
            self.heard = self._seconds()
            self._frame_since = None
            if len(frames) == 1 and not self._held and not self._waiting:
                self._long = False
                self._receive(self, frames[0])
            else:
                self._take(frames)
        if deframer.in_frame:
            self._unfinished()
        else:
            self._frame_since = None

    def _take(self, frames: list[bytes]) -> None:
        waiting = self._waiting
        waiting.extend(frames)
        while waiting and not self._held and self._closing_since is None:
            self._long = False
            self._receive(self, waiting.popleft())

    def _unfinished(self) -> None:
        now = self.heard = self._seconds()
        if self._frame_since is None:
            self._frame_since = now
        deframer = self._deframer
        if deframer.half_ended and self._half_ended is None:
            self._half_ended = self._listener.clock.callLater(HALF_ENDED_SECS, self._finish)
        while (
            deframer.pending > PART and not self._held and not self._waiting and self._closing_since is None
        ):
            part = deframer.take_part(PART)
            if part is None:
                return
            self._long = True
            self._listener.receiver.part(self, part)

    def _finish(self) -> None:
        self._half_ended = None
        if not self.gone and (frames := self._deframer.finish()):
            self._frame_since = None
            self._take(frames)
            self.flush()

    def hold(self) -> None:
        """No further frame is handed over until `release`: what came before is not in its place yet."""
        self._held = True
        self.stop_reading("held")

    def release(self) -> None:
        """Hands over what came meanwhile."""
        self._held = False
        self._take([])
        if not self._held:
            self.go_on_reading("held")

    def stop_reading(self, why: str) -> None:
        """Leaves the peer's bytes in its own buffers, until each `why` is over."""
        if self._closing_since is not None:
            return
        if not self._stopped and not self._peer_done and not self.gone:
            self.transport.pauseProducing()
        self._stopped.add(why)

    def go_on_reading(self, why: str) -> None:
        """This `why` is over. The time spent so does not count against the sender."""
        if why not in self._stopped:
            return
        self._stopped.discard(why)
        if not self._stopped and not self.gone and self._closing_since is None:
            self.heard = self._seconds()
            if self._frame_since is not None:
                self._frame_since = self.heard
            if not self._peer_done:
                self.transport.resumeProducing()

    # Answering

    def expect(self, turn: Turn) -> None:
        """The next answer of this line will be this turn's."""
        self._turns.append(turn)
        if len(self._turns) > MAX_OPEN_TURNS:
            self.stop_reading("unanswered")

    def quiet(self) -> Deferred[None]:
        """Fires when no answer of this line is open any more, or its peer is gone."""
        waits: Deferred[None] = Deferred()
        if self._turns:
            self._quiet.append(waits)
        else:
            waits.callback(None)
        return waits

    def _now_quiet(self) -> None:
        quiet, self._quiet = self._quiet, []
        for waits in quiet:
            waits.callback(None)

    @property
    def unread_because(self) -> frozenset[str]:
        """Why this line is not being read; empty while it is."""
        return frozenset(self._stopped)

    @property
    def owes(self) -> bool:
        """Whether an answer of this line is open."""
        return bool(self._turns)

    @property
    def has_sent_more(self) -> bool:
        """Whether the peer has sent anything beyond the frames that are answered."""
        if self._turns or self._waiting or self._deframer.in_frame:
            return True
        return self._send is not None and unread(self.transport.socket)

    def give(self, turn: Turn, answer: bytes) -> None:
        """The answer of a turn, as it goes over the wire; it leaves with a `flush`, once it is its turn."""
        turn.answer = answer
        if self.gone:
            self._listener.receiver.unanswered(turn)
            return
        turns = self._turns
        while turns and turns[0].answer is not None:
            self._out.append(turns.popleft())

    def flush(self) -> None:
        """Sends what is answered, in one piece; closes if this was the last."""
        self.dirty = False
        if self._out and not self._leaving and not self._full:
            out, self._out = self._out, []
            answers = [turn.answer for turn in out if turn.answer]
            if answers:
                self._write(b"".join(answers) if len(answers) > 1 else answers[0], out)
            if self._peer_done:
                for turn in out:  # nobody can say whether somebody still reads
                    self._listener.receiver.unanswered(turn)
        if "unanswered" in self._stopped and len(self._turns) <= MAX_OPEN_TURNS // 2:
            self.go_on_reading("unanswered")
        if self._turns:
            return
        if self._quiet:
            self._now_quiet()
        if not self._turns and not self._waiting and not self._held:
            if self._peer_done and self._closing_since is None:
                self.hang_up()
            elif self._closing_since is not None:
                self._close()

    def _write(self, answers: bytes, out: list[Turn]) -> None:
        """Straight to the socket, as nearly always possible: the transport's own way costs two system calls
        and a turn of the reactor more, and does not say when the bytes have left."""
        if self._send is None:
            self.transport.write(answers)
            return
        sent = self._send(answers)
        count = sent if isinstance(sent, int) else 0
        if count < len(answers):
            self._leaving = out
            self.stop_reading("full")
            self.transport.registerProducer(Drained(self._drained), False)
            self.transport.write(answers[count:])

    def _drained(self) -> None:
        self.transport.unregisterProducer()
        self._leaving = []
        self.go_on_reading("full")
        self.flush()

    # Ending

    def _give_up(self, cause: str, beginning: bytes) -> None:
        self._listener.count_ended(cause, self)
        if self._closing_since is None:
            if cause in ("too_long", "never_ending"):
                self._listener.receiver.broken(self, cause, beginning)
            elif self._long:
                self._listener.receiver.part_lost(self)
            self._long = False
            self.hang_up()

    def hang_up(self) -> None:
        """Closes when all that is unanswered is answered. What still comes is read and dropped: bytes left
        unread would make the kernel reset the connection, and the last answer be lost with it."""
        if self.gone or self._closing_since is not None:
            return
        self._waiting.clear()
        self._held = False
        self._closing_since = self._seconds()
        if self._stopped and not self._peer_done:
            self.transport.resumeProducing()
        self._stopped.clear()
        if self._long:
            self._long = False
            self._listener.receiver.part_lost(self)
        self.flush()

    def cut(self) -> None:
        """Closes with what is answered now; the answers of the other turns will not leave."""
        self._turns.clear()
        self._now_quiet()
        self.hang_up()
        self.flush()

    def _close(self) -> None:
        if self.gone or self._leaving or self._out or self._full:
            return
        if self._send is not None and self._peer_done:
            self.transport.loseConnection()
        elif self._closed:
            return
        elif self._send is not None:
            self.transport.loseWriteConnection()
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        self._closed = True

    def sweep(self, now: float) -> None:
        """Ends what takes too long; called about once a second."""
        limits = self._listener.limits
        if self._closing_since is not None:
            if not self._turns and now - self._closing_since > HANG_UP_SECS:
                self.transport.abortConnection()
        elif self._full or self._leaving:
            if now - self.heard > limits.idle_secs:
                self._listener.count_ended("not_reading", self)
                self.transport.abortConnection()
        elif self._stopped:
            return
        elif self._frame_since is not None:
            if now - self._frame_since > limits.frame_secs:
                self._give_up("never_ending", self._deframer.beginning)
        elif not self._turns and now - self.heard > limits.idle_secs:
            self._give_up("idle", b"")

    def readConnectionLost(self) -> None:
        """The peer sends no more, and may still read: what it sent is answered, then the line is closed."""
        self._peer_done = True
        if lost := self._deframer.end():
            self._listener.count_ended("unfinished", self, lost)
            if self._long:
                self._long = False
                self._listener.receiver.part_lost(self)
        self.flush()

    def writeConnectionLost(self) -> None:
        """Required by IHalfCloseableProtocol; we never close only this side."""

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        self.gone = True
        self._listener.lines.discard(self)
        self._listener.noise_of_gone += self._deframer.noise
        if lost := self._deframer.end():
            self._listener.count_ended("unfinished", self, lost)
        if self._half_ended is not None:
            self._half_ended.cancel()
        if self._long:
            self._listener.receiver.part_lost(self)
        for turn in (*self._leaving, *self._out, *(turn for turn in self._turns if turn.answer is not None)):
            self._listener.receiver.unanswered(turn)
        self._turns.clear()
        self._waiting.clear()
        self._now_quiet()

    @property
    def noise(self) -> int:
        """Bytes that came outside of frames."""
        return self._deframer.noise

    # As a push producer (only over TLS): the transport's buffer is full, or empty again.

    def pauseProducing(self) -> None:
        self._full = True
        self.stop_reading("full")

    def resumeProducing(self) -> None:
        self._full = False
        self.go_on_reading("full")
        self.flush()

    def stopProducing(self) -> None:
        """Required by IPushProducer; `connectionLost` says the same."""
