"""What threads wait at, as the modules `threading`, `queue` and `time` have it, under the scheduler.

Every operation is a switch point. Futures and thread pools are not here: they are the standard library's own source,
built on these primitives (`copies.py`).
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from tests.schedules.scheduler import Task, number, pause, running, wait_until


class Lock:
    def __init__(self) -> None:
        self.taken = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        pause()
        until = timeout if timeout >= 0 else None
        if self.taken and not (blocking and wait_until(lambda: not self.taken, until)):
            return False
        self.taken = True
        return True

    def release(self) -> None:
        if not self.taken:
            raise RuntimeError("release unlocked lock")
        self.taken = False

    def locked(self) -> bool:
        return self.taken

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock(Lock):
    def __init__(self) -> None:
        super().__init__()
        self.owner: Task | None = None
        self.depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not (self.taken and self.owner is running()) and not super().acquire(blocking, timeout):
            return False
        self.owner = running()
        self.depth += 1
        return True

    def release(self) -> None:
        if self.owner is not running():
            raise RuntimeError("cannot release un-acquired lock")
        self.depth -= 1
        if not self.depth:
            self.owner = None
            super().release()


class Condition:
    def __init__(self, lock: Lock | None = None) -> None:
        self.lock = lock or RLock()
        self.acquire, self.release = self.lock.acquire, self.lock.release
        self.waiters: deque[list[bool]] = deque()
        """For each thread that waits, whether it was notified."""

    def __enter__(self) -> bool:
        return self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        notified = [False]
        self.waiters.append(notified)
        depth = getattr(self.lock, "depth", 1)
        for _ in range(depth):
            self.lock.release()
        try:
            return wait_until(lambda: notified[0], timeout)
        finally:
            if not notified[0]:
                self.waiters.remove(notified)
            for _ in range(depth):
                self.lock.acquire()

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        until = None if timeout is None else _now() + timeout
        while not (result := predicate()):
            left = None if until is None else until - _now()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def notify(self, n: int = 1) -> None:
        if not self.lock.taken:
            raise RuntimeError("cannot notify on un-acquired lock")
        pause()
        for _ in range(min(n, len(self.waiters))):
            self.waiters.popleft()[0] = True

    def notify_all(self) -> None:
        self.notify(len(self.waiters))


class Event:
    def __init__(self) -> None:
        self.flag = False

    def is_set(self) -> bool:
        pause()
        return self.flag

    def set(self) -> None:
        pause()
        self.flag = True

    def clear(self) -> None:
        pause()
        self.flag = False

    def wait(self, timeout: float | None = None) -> bool:
        pause()
        return self.flag or wait_until(lambda: self.flag, timeout)


class Semaphore:
    def __init__(self, value: int = 1) -> None:
        self.value = value

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        pause()
        if self.value <= 0 and not (blocking and timeout != 0 and wait_until(lambda: self.value > 0, timeout)):
            return False
        self.value -= 1
        return True

    def release(self, n: int = 1) -> None:
        pause()
        self.value += n

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Thread:
    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        assert group is None
        self.target, self.args, self.kwargs = target, tuple(args), dict(kwargs or {})
        self.name = name or "thread"
        self.daemon = bool(daemon)
        self.task: Task | None = None
        self.number = number()

    def __hash__(self) -> int:
        return self.number  # a pool joins its threads in the order of a set

    def run(self) -> None:
        if self.target is not None:
            self.target(*self.args, **self.kwargs)

    def start(self) -> None:
        starting = running()
        assert starting is not None, "a thread is started outside of a schedule"
        self.task = starting.scheduler.spawn(self.run, self.name)
        pause()

    def is_alive(self) -> bool:
        pause()
        return self.task is not None and not self.task.ended

    def join(self, timeout: float | None = None) -> None:
        pause()
        task = self.task
        assert task is not None
        if not task.ended:
            wait_until(lambda: task.ended, timeout)


class Local:
    def __getattr__(self, name: str) -> Any:
        try:
            return self._values()[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._values()[name] = value

    def _values(self) -> dict[str, Any]:
        task = running()
        assert task is not None
        return task.locals.setdefault(self, {})


class SimpleQueue:
    """Also a `queue.Queue`, if it is given a size."""

    def __init__(self, maxsize: int = 0) -> None:
        self.items: deque[Any] = deque()
        self.maxsize = maxsize

    def _has_room(self) -> bool:
        return not self.maxsize or len(self.items) < self.maxsize

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        pause()
        if not self._has_room() and (not block or not wait_until(self._has_room, timeout)):
            raise queue.Full
        self.items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        pause()
        if not self.items and (not block or not wait_until(lambda: bool(self.items), timeout)):
            raise queue.Empty
        return self.items.popleft()

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def put_nowait(self, item: Any) -> None:
        self.put(item, block=False)

    def qsize(self) -> int:
        return len(self.items)

    def empty(self) -> bool:
        return not self.items


def _now() -> float:
    task = running()
    return task.scheduler.clock if task else 0.0


def _sleep(seconds: float) -> None:
    wait_until(lambda: False, seconds)


def module(name: str, /, **members: object) -> ModuleType:
    """Make a module of these members."""
    made = ModuleType(name)
    made.__dict__.update(members)
    return made


MODULES = {
    "threading": module(
        "threading",
        Lock=Lock,
        RLock=RLock,
        Condition=Condition,
        Event=Event,
        Semaphore=Semaphore,
        Thread=Thread,
        local=Local,
        current_thread=running,
        get_ident=lambda: id(running()),
        TIMEOUT_MAX=threading.TIMEOUT_MAX,
        _register_atexit=lambda *_, **__: None,
    ),
    "queue": module("queue", SimpleQueue=SimpleQueue, Queue=SimpleQueue, Empty=queue.Empty, Full=queue.Full),
    "time": module("time", monotonic=_now, perf_counter=_now, time=_now, sleep=_sleep),
}
