"""Whether a test may fork a process and go on in it without exec.

On macOS it may not: a process that has used the system's frameworks, for its proxies or its certificates for example,
is aborted when its fork uses them. There a test starts new processes, which takes longer.
"""

from __future__ import annotations

import os
import sys

MAY_FORK = sys.platform == "linux" and "MLX_SERVE_MAC_LIKE" not in os.environ
