"""Keeps a folder out of Time Machine: models can be pulled again, and a backup of them would fill its disk.

The mark is the extended attribute that `tmutil addexclusion` sets. It stays with the folder when it is moved, covers
what is in it, and needs no rights and no process of its own.
"""

from __future__ import annotations

import ctypes
import os
import plistlib
import sys
from pathlib import Path
from typing import Any

ATTRIBUTE = b"com.apple.metadata:com_apple_backup_excludeItem"
MARK = plistlib.dumps("com.apple.backupd", fmt=plistlib.FMT_BINARY)


def exclude(folder: Path, library: Any = None) -> bool:
    """Whether the folder has the mark now: always False but on macOS, and on file systems without attributes.

    `library`: the C library, for tests. Its setxattr takes a position and options after the value (sys/xattr.h).
    """
    if sys.platform != "darwin":
        return False
    library = library or ctypes.CDLL(None)
    value = ctypes.create_string_buffer(MARK, len(MARK))
    set_mark = library.setxattr(
        os.fsencode(folder), ATTRIBUTE, value, ctypes.c_size_t(len(MARK)), ctypes.c_uint32(0), 0
    )
    return bool(set_mark == 0)
