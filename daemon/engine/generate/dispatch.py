"""Who hands a decode step's graph to the device: the engine's thread, or one of its own beside it.

With launches as expensive as CUDA's, most of a step is MLX walking through the graph (`eval_impl`), which lets other
threads run. So a second thread does that while the engine's tells the last step's tokens and builds the next graph.
MLX has no locks for this; what two threads may do at the same time follows from its code (0.32):

- Only one of them evaluates at a time: whoever else wants to calls `settle` first, or gives `ahead` what nobody waits
  for: that is begun between two graphs. (Tried: by the thread, with the graph behind it. It takes the same time there,
  and rows join a step later.)
- Arrays belong to a stream that any thread may use (`mx.new_thread_unsafe_stream`), the default one from the start.
  What belongs to another stream and was never computed, the engine's thread computes.
- What is read is no input of a later step: both threads would look at its event and let go of it, and reading moves its
  memory. So tokens are told from a copy of those that go on.
- An array with siblings, of a function with several results, looks at them when its last handle goes, while the
  other thread forgets them: between its dispatch and the end of that no such handle may go. Caches of keys and
  values have no siblings; recurrent states may.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

import mlx.core as mx

from ..prefix.ahead import Tell, at_once

_SWITCH_SECONDS = 0.0002  # after which Python lets the other thread run; by default 5 ms, longer than a step
_FOREIGN = "There is no Stream"  # what MLX says of a stream that belongs to another thread


class Dispatch:
    """At most one graph is with the thread. `threaded`: there is one, from the first launch on."""

    def __init__(self, *, threaded: bool = False) -> None:
        self.threaded = threaded
        self._graphs: SimpleQueue[list[mx.array] | None] = SimpleQueue()
        self._ends: SimpleQueue[Exception | None] = SimpleQueue()
        self._graph: list[mx.array] = []
        self._number = 0
        self._under_way = False
        self._ahead: list[tuple[list[mx.array], Tell | None]] = []
        self._thread: threading.Thread | None = None

    @property
    def under_way(self) -> bool:
        """Whether the thread may be evaluating now."""
        return self._under_way

    def launch(self, arrays: list[mx.array]) -> Callable[[], None]:
        """Begin to compute these, after what was launched before. Before any of them is read, the result is called:
        it waits until they are dispatched, and raises what went wrong there."""
        self.settle()
        if not self.threaded:
            mx.async_eval(arrays)
            return _nothing
        if self._thread is None:
            sys.setswitchinterval(_SWITCH_SECONDS)
            self._thread = threading.Thread(target=self._run, name="dispatch", daemon=True)
            self._thread.start()
        self._number += 1
        self._graph, self._under_way = arrays, True
        self._graphs.put(arrays)
        return partial(self._settle_one, self._number)

    def ahead(self, arrays: list[mx.array], tell: Tell | None = None) -> bool:
        """As `Ahead`: now, or as soon as the thread is waited for where it may be evaluating. `tell` is called then;
        without it what goes wrong is raised."""
        if self._under_way:
            self._ahead.append((arrays, tell))
            return True
        _begin(arrays, tell)
        return False

    def begin(self, arrays: list[mx.array]) -> None:
        """Begin to compute these, likewise."""
        self.ahead(arrays)

    def settle(self) -> None:
        """Wait until the thread evaluates nothing, and begin what was to be `ahead` of the next graph. Raises what went
        wrong there."""
        self._wait()
        while self._ahead:
            _begin(*self._ahead.pop(0))

    def _wait(self) -> None:
        if self._under_way:
            error = self._ends.get()
            graph, self._graph, self._under_way = self._graph, [], False
            if error is None:
                return
            if not (isinstance(error, RuntimeError) and _FOREIGN in str(error)):
                raise error
            mx.async_eval(graph)

    def close(self) -> None:
        """The end of the thread. Nobody waits any more for what it computes, nor for what goes wrong there."""
        if self._under_way:
            self._ends.get()
            self._graph, self._under_way = [], False
        self._ahead.clear()
        self.threaded = False
        if self._thread is not None:
            self._graphs.put(None)
            self._thread.join()
            self._thread = None

    def _settle_one(self, number: int) -> None:
        if number == self._number:
            self.settle()

    def _run(self) -> None:
        while (arrays := self._graphs.get()) is not None:
            error: Exception | None = None
            try:
                mx.async_eval(arrays)
            except Exception as caught:
                error = caught
            del arrays  # before the other thread goes on
            self._ends.put(error)


def _begin(arrays: list[mx.array], tell: Tell | None) -> None:
    if tell is None:
        mx.async_eval(arrays)
    else:
        at_once(arrays, tell)


def _nothing() -> None:
    """They are dispatched."""
