"""A file that we write for a service manager: whose it is, and that it is always whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlx_serve.control.service.service_error import FileChanged, ServiceError
from mlx_serve.control.service.unit_file import UnitFile, is_ours, marked

UNIT = b"[Service]\nExecStart=/bin/true\n"
PLIST = b'<?xml version="1.0"?>\n<!DOCTYPE plist>\n<plist version="1.0"><dict/></plist>\n'


@pytest.mark.parametrize(("content", "xml"), [(UNIT, False), (PLIST, True)])
def test_what_we_write_is_known_again_until_somebody_changes_a_byte(content: bytes, xml: bool) -> None:
    ours = marked(content, xml=xml)
    assert is_ours(ours) and not is_ours(content)
    line = next(line for line in ours.splitlines(keepends=True) if b"sha256" in line)
    assert ours.replace(line, b"") == content
    other_digest = ours.replace(line, line.upper())
    for changed in (ours + b"\n", ours[:-2] + ours[-1:], ours.replace(b"/", b"//", 1), other_digest):
        assert not is_ours(changed)


def test_each_state_of_a_file(tmp_path: Path) -> None:
    file = UnitFile(tmp_path / "new" / "x.service", marked(UNIT, xml=False))
    assert file.state() == "absent" and file.read() is None
    assert file.write() is True and file.state() == "current"
    assert file.write() is False, "there is nothing to do"
    assert file.path.stat().st_mode & 0o777 == 0o644
    file.path.write_bytes(marked(b"[Service]\n", xml=False))
    assert file.state() == "outdated"
    file.refuse_if_changed()
    assert file.write() is True and file.state() == "current"
    file.path.write_bytes(file.wanted + b"# mine\n")
    assert file.state() == "changed"
    with pytest.raises(FileChanged, match=r"x\.service was changed since mlx-serve wrote it") as raised:
        file.refuse_if_changed()
    assert "-# mine\n" in raised.value.difference
    file.path.write_bytes(UNIT)
    assert file.state() == "foreign"
    with pytest.raises(FileChanged, match="was not written by mlx-serve"):
        file.refuse_if_changed()
    file.remove()
    file.remove()
    assert file.state() == "absent" and list(file.path.parent.iterdir()) == []


def test_a_file_of_any_bytes_is_shown_line_by_line(tmp_path: Path) -> None:
    """Also one without an end of line, or that is no text."""
    file = UnitFile(tmp_path / "x.service", b"one\ntwo\n")
    file.path.write_bytes(b"one\n\xff")
    lines = file.difference().splitlines()
    assert lines[3:] == [" one", "-\ufffd", "+two"]
    file.path.write_bytes(b"")
    assert file.difference().splitlines()[3:] == ["+one", "+two"]


def test_what_cannot_be_written_or_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "away").symlink_to("a-disk-that-is-not-there")
    with pytest.raises(ServiceError, match="cannot write") as raised:
        UnitFile(tmp_path / "away" / "x.service", UNIT).write()
    assert raised.value.hint == f"make {tmp_path / 'away'} writable"
    (tmp_path / "folder").mkdir()
    with pytest.raises(ServiceError, match="cannot read"):
        UnitFile(tmp_path / "folder", UNIT).state()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = UnitFile(tmp_path / "x.service", UNIT)
    file.path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ServiceError, match="No space left on device"):
        file.write()
    assert [path.name for path in tmp_path.iterdir()] == ["x.service"] and file.read() == b"old"
