"""What a test run under Mac-like conditions says of itself; it does not begin where a condition is missing."""

from __future__ import annotations

import os

import pytest


def pytest_report_header() -> str:
    return "Mac-like: long TMPDIR, Unix socket paths of 103 bytes, no /proc, no fork without exec, macOS' names only"


def pytest_configure() -> None:
    if hasattr(os, "pidfd_open") or os.access("/proc", os.F_OK):
        raise pytest.UsageError("the conditions are not on: use `make test-mac-like`, or tests/support/mac_like/run.py")
