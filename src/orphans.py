"""Processes that must not outlive the one that started them, however it ends."""

from __future__ import annotations

import os
import signal
import threading
import time


def stop_with(parent: int) -> None:
    """Send this process SIGTERM once `parent` is no longer its parent; looked at every second, from a thread."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    # The system tells nobody that a parent died, except on Linux.
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
