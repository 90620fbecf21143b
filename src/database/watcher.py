"""`python -m src.database.watcher FOLDER BIN LOCK`: stops a server without users.

The last user stops the server; the watcher does it when users were killed.
"""

import os
import sys
from pathlib import Path

from src.database.embedded import EmbeddedPostgres

if __name__ == "__main__":
    folder, folder_of_binaries, lock = sys.argv[1:]
    os.chdir("/")
    EmbeddedPostgres(Path(folder), Path(folder_of_binaries)).watch(int(lock))
