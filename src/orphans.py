"""Ends processes when their parent ends."""

from __future__ import annotations

import os
import signal
import threading
import time


def stop_with(parent: int) -> None:
    """Send this process SIGTERM when `parent` has ended; a thread checks every second."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    # Only Linux notifies of a parent's death.
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
