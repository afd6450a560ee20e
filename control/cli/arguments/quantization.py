"""Which bits and group sizes each quantization mode allows, for checks on the command line."""

from __future__ import annotations

from .usage_error import UsageError

MODES = {
    "affine": ((2, 3, 4, 5, 6, 8), (32, 64, 128)),
    "mxfp4": ((4,), (32,)),
    "nvfp4": ((4,), (16,)),
    "mxfp8": ((8,), (32,)),
}
BITS = MODES["affine"][0]
GROUP_SIZES = (16, *MODES["affine"][1])


def check(mode: str | None, bits: int | None, group_size: int | None, bits_flag: str) -> None:
    """None: not given, which is always valid. Raises UsageError."""
    mode = mode or "affine"
    for flag, given, known in (
        (bits_flag, bits, MODES[mode][0]),
        ("--group-size", group_size, MODES[mode][1]),
    ):
        if given is None or given in known:
            continue
        if len(known) == 1:
            raise UsageError(f"{mode} does not support {flag} {given}, only {known[0]}; leave {flag} out")
        raise UsageError(
            f"{mode} does not support {flag} {given}; choose {', '.join(map(str, known[:-1]))} or {known[-1]}"
        )
