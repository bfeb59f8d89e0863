"""Mistakes with threads, each as small as it can be, which the scheduler must find."""

from __future__ import annotations

import threading
import time
from queue import Queue


class Visits:
    """A counter without a lock."""

    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        self.count += 1


class Tickets:
    """A number that is checked, and then changed."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self) -> None:
        if self.left:
            self.left -= 1


class Accounts:
    """Two locks that are taken in two orders."""

    def __init__(self) -> None:
        self.locks = threading.Lock(), threading.Lock()

    def move(self, first: int, second: int) -> None:
        with self.locks[first], self.locks[second]:
            pass


class Door:
    """A condition that is looked at without its lock: the notice may come before the waiting begins."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.is_open = False

    def open(self) -> None:
        self.is_open = True
        with self.changed:
            self.changed.notify_all()

    def enter(self) -> None:
        if not self.is_open:
            with self.changed:
                self.changed.wait()


class Meeting:
    """Threads that look again and again whether the other one has come, and leave the queue full."""

    def __init__(self) -> None:
        self.queue: Queue[int] = Queue(1)
        self.event = threading.Event()

    def spin(self) -> None:
        while not self.event.is_set():
            pass

    def poll(self) -> None:
        while not self.event.wait(0.5):
            time.sleep(0.5)

    def put_twice(self) -> None:
        self.queue.put(1)
        self.queue.put(2)
