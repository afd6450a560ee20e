"""Settings: precedence, and an error that names the place for everything that can be written wrong."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from mlx_serve.daemon.settings import command as config_command
from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.daemon.settings.schema import SECTIONS, Settings
from mlx_serve.daemon.settings.value import ConfigError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"MLX_SERVE_HOME": str(tmp_path)}


def write(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    path.chmod(mode)
    return path


def error_of(environ: dict[str, str], **flags: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings({key.replace("__", "."): value for key, value in flags.items()}, environ)
    return str(caught.value)


def test_defaults_are_those_of_the_contract(environ: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings({}, environ)
    assert (settings.server.host, settings.server.port, settings.server.protected) == ("0.0.0.0", 8000, True)
    assert settings.models.directory == tmp_path / "models"
    assert settings.models.memory_limit is None and settings.engine.context_length is None
    assert settings.cache.ttl_seconds == 1800 and settings.server.cors_origins == ("localhost",)
    assert set(settings.origins.values()) == {"default"}


def test_flags_win_over_environment_over_file_over_defaults(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, "server:\n  host: a.example\n  port: 1001\n  max_queue: 7\n")
    environ |= {"MLX_SERVE_SERVER_PORT": "1002", "MLX_SERVE_HOST": "b.example"}
    settings = load_settings({"server.port": "1003"}, environ)
    assert (settings.server.host, settings.server.port) == ("b.example", 1003)
    assert (settings.server.max_queue, settings.server.drain_seconds) == (7, 30)
    origins = settings.origins
    assert origins["server.port"] == "--port"
    assert origins["server.host"] == "MLX_SERVE_HOST"
    assert origins["server.max_queue"] == "config.yaml:4"
    assert origins["server.drain_seconds"] == "default"


def test_every_setting_has_an_environment_variable(environ: dict[str, str], tmp_path: Path) -> None:
    """A value is taken from MLX_SERVE_<SECTION>_<KEY> for each key there is."""
    (tmp_path / "keys").write_text("d" * 16)
    (tmp_path / "keys").chmod(0o600)
    samples = {"text": "x", "switch": "false", "whole": "16", "number": "1.5", "size": "2MB", "path": "/x"}
    samples |= {"names": f"{'a' * 16},{'b' * 16}", "map": "a=b", "choice": "", "models": '{"a": {"pin": true}}'}
    environ |= {"MLX_SERVE_SERVER_API_KEYS": "c" * 16}  # without a key some other settings are refused
    for section, cls in SECTIONS.items():
        for name, each in cls.__dataclass_fields__.items():
            spec = each.metadata["setting"]
            variable = f"MLX_SERVE_{section}_{name}".upper()
            value = samples[spec.kind] or spec.choices[-1].lower()
            if name == "api_keys_file":  # which is read
                value = str(tmp_path / "keys")
            if name == "draft_models":  # which may not have any
                value = ","
            settings = load_settings({}, environ | {variable: value})
            assert settings.origins[f"{section}.{name}"] == variable


def test_short_names_of_the_contract(environ: dict[str, str]) -> None:
    environ |= {
        "MLX_SERVE_MODELS_DIR": "~/m",
        "MLX_SERVE_LOG_LEVEL": "debug",
        "MLX_SERVE_PRELOAD_MODELS": "a/b, c:d",
        "MLX_SERVE_AUTO_DOWNLOAD": "true",
    }
    settings = load_settings({}, environ)
    assert settings.models.directory == Path("~/m").expanduser()
    assert settings.logging.level == "DEBUG"
    assert settings.models.preload == ("a/b", "c:d")
    assert settings.models.auto_download is True


def test_the_long_name_wins_over_the_short_one(environ: dict[str, str]) -> None:
    environ |= {"MLX_SERVE_SERVER_PORT": "2", "MLX_SERVE_PORT": "1"}
    assert load_settings({}, environ).server.port == 2


def test_an_empty_variable_is_not_set(environ: dict[str, str]) -> None:
    assert load_settings({}, environ | {"MLX_SERVE_PORT": ""}).server.port == 8000


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 8 * 10**9), ("8GiB", 8 << 30), ("8 gib", 8 << 30), ("1.5MB", 1_500_000), ("4194304", 4 << 20)],
)
def test_sizes(environ: dict[str, str], text: str, size: int) -> None:
    assert load_settings({}, environ | {"MLX_SERVE_MODELS_MEMORY_LIMIT": text}).models.memory_limit == size


def test_auto_and_null_in_the_file(environ: dict[str, str], tmp_path: Path) -> None:
    """`auto` is None; a key with nothing behind it is a default, as a list with its items commented out is."""
    write(tmp_path, "models:\n  memory_limit: auto\n  preload:\n  #  - a\nserver:\n")
    settings = load_settings({}, environ)
    assert settings.models.memory_limit is None and settings.models.preload == ()


def test_a_choice_that_is_a_number(environ: dict[str, str], tmp_path: Path) -> None:
    """YAML reads it as one; others are refused with what there is."""
    file = tmp_path / "config.yaml"
    for given, bits in (("8", "8"), ("'8'", "8"), ("exact", "exact"), ("null", "exact")):
        file.write_text(f"cache:\n  prefix_bits: {given}\n")
        assert load_settings({"config": str(file)}, environ).cache.prefix_bits == bits
    for wrong in ("4", "true", "8.0", "auto"):
        file.write_text(f"cache:\n  prefix_bits: {wrong}\n")
        with pytest.raises(ConfigError, match=r"config.yaml:2: cache.prefix_bits must be one of exact, 8, not"):
            load_settings({"config": str(file)}, environ)


def test_lists_and_maps_in_the_file(environ: dict[str, str], tmp_path: Path) -> None:
    write(
        tmp_path,
        "models:\n  preload: [a/b, c]\n  aliases: {fast: o/m}\n"
        "server: {api_keys: [1234567890123456, sixteen-or-more-]}\n",
    )
    settings = load_settings({}, environ)
    assert settings.models.preload == ("a/b", "c")
    assert settings.models.aliases == {"fast": "o/m"}
    assert settings.server.api_keys == ("1234567890123456", "sixteen-or-more-")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("server:\n  prot: 1\n", 2, ["server.prot", "did you mean server.port?"]),
        ("sever:\n  port: 1\n", 2, ["sever is not a section", "did you mean server?"]),
        ("server:\n  port: 1\n  port: 2\n", 3, ["port is given twice", "line 2"]),
        ("server: {}\nserver: {}\n", 2, ["server is given twice"]),
        ("server:\n  port: many\n", 2, ["server.port", "whole number between 0 and 65535", "'many'"]),
        ("server:\n  port: 70000\n", 2, ["server.port", "70000"]),
        ("server:\n  port: 8e3\n", 2, ["server.port"]),
        ("server:\n  protected: maybe\n", 2, ["server.protected", "true or false"]),
        ("server:\n\n  port: [1]\n", 3, ["server.port"]),
        ("server:\n  host: {a: b}\n", 2, ["server.host"]),
        ("server: 5\n", 1, ["server must hold settings"]),
        ("- server\n", 1, ["the file must hold sections"]),
        ("server:\n  port: 1\n bad\n", 3, ["not valid YAML"]),
        ("server:\n\tport: 1\n", 2, ["not valid YAML"]),
        ("a: &x {b: 1}\nc: *x\n", 2, ["aliases"]),
        ("server: {host: !!python/name:os.system x}\n", 1, ["tags are not supported"]),
        ("logging: {level: LOUD}\n", 1, ["one of DEBUG, INFO, WARNING, ERROR"]),
        ("engine: {max_batch: true}\n", 1, ["engine.max_batch", "whole number"]),
        ("models: {memory_limit: 8 elephants}\n", 1, ["8GiB"]),
        ("models: {aliases: {a: [b]}}\n", 1, ["models.aliases.a"]),
        ("---\nserver: {}\n---\nserver: {}\n", 3, ["not valid YAML"]),
        ("server: " + "[" * 50 + "]" * 50, 1, ["nested"]),
    ],
)
def test_a_fault_in_the_file_is_named_with_its_line(
    environ: dict[str, str], tmp_path: Path, text: str, line: int, words: list[str]
) -> None:
    path = write(tmp_path, text)
    message = error_of(environ)
    assert message.startswith(f"{path}:{line}: "), message
    for word in words:
        assert word in message


def test_a_billion_laughs_is_refused_before_it_grows(environ: dict[str, str], tmp_path: Path) -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for index in range(1, 9):
        before, after = chr(96 + index), chr(97 + index)
        lines.append(f"{after}: &{after} [{','.join([f'*{before}'] * 9)}]")
    write(tmp_path, "\n".join(lines))
    assert "aliases" in error_of(environ)


def test_a_huge_file_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, "#" * (1 << 20) + "\n")
    assert "1 MiB" in error_of(environ)


def test_bytes_that_are_not_text_are_named_with_their_line(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"server:\n  host: \xff\n")
    assert "config.yaml:2: is not UTF-8" in error_of(environ)


def test_a_pipe_in_place_of_the_file_does_not_hang(environ: dict[str, str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    assert "is not a file" in error_of(environ)
    (tmp_path / "config.yaml").unlink()
    (tmp_path / "config.yaml").mkdir()
    assert "is not a file" in error_of(environ)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620])
def test_keys_in_a_file_that_others_can_open_are_refused(environ: dict[str, str], tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, "server: {api_keys: [hunter22hunter22]}\n", mode)
    message = error_of(environ)
    assert f"chmod 600 {path}" in message and "hunter22" not in message


def test_a_readable_file_without_keys_is_fine(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, "server: {port: 1, api_keys: []}\n", 0o644)
    assert load_settings({}, environ).server.port == 1


def test_a_bad_variable_is_named(environ: dict[str, str]) -> None:
    message = error_of(environ | {"MLX_SERVE_PORT": "tcp://10.0.0.1:80"})
    assert message.startswith("MLX_SERVE_PORT: server.port must be a whole number")


def test_a_mistyped_variable_is_named_with_the_nearest(environ: dict[str, str]) -> None:
    message = error_of(environ | {"MLX_SERVE_SERVER_PROT": "1"})
    assert "MLX_SERVE_SERVER_PROT" in message and "did you mean MLX_SERVE_SERVER_PORT?" in message


def test_variables_of_other_purposes_are_left_alone(environ: dict[str, str]) -> None:
    load_settings({}, environ | {"MLX_SERVE_NO_AUTOSTART": "1", "MLX_SERVE_LOOP": "asyncio"})


def test_a_bad_flag_is_named(environ: dict[str, str]) -> None:
    assert error_of(environ, server__port="x").startswith("--port: server.port must be")
    assert error_of(environ, models__directory=" ").startswith("--models-dir: ")


def test_a_named_file_must_exist(environ: dict[str, str], tmp_path: Path) -> None:
    assert "there is no such file" in error_of(environ, config=str(tmp_path / "nope.yaml"))


def test_a_named_file_is_read_instead_of_the_usual_one(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, "server: {port: 1}\n")
    other = tmp_path / "other.yaml"
    other.write_text("server: {port: 2}\n")
    settings = load_settings({"config": str(other)}, environ)
    assert settings.server.port == 2 and settings.origins["server.port"] == "other.yaml:1"


def test_the_example_is_a_valid_file_of_defaults(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With every `#` of a setting taken away the example still reads, and changes nothing."""
    monkeypatch.setenv("MLX_SERVE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert config_command.main(["--example"]) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text) == dict.fromkeys(SECTIONS)
    written = re.sub("^  # ", "  ", text, flags=re.MULTILINE)
    write(tmp_path, written.replace("~/.mlx-serve/models", str(tmp_path / "models")))
    settings, defaults = load_settings({}, environ), load_settings({}, {"MLX_SERVE_HOME": str(tmp_path / "none")})
    for section in SECTIONS:
        if section != "models":
            assert getattr(settings, section) == getattr(defaults, section)


def test_the_command_prints_settings_with_masked_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLX_SERVE_HOME", str(tmp_path))
    monkeypatch.setenv("MLX_SERVE_SERVER_API_KEYS", "hunter22hunter22,another-long-key")
    assert config_command.main(["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["server"]["api_keys"] == ["***", "***"]
    assert printed["models"]["memory_limit"] == "auto"
    assert printed["origins"]["server.api_keys"] == "MLX_SERVE_SERVER_API_KEYS"
    assert config_command.main([]) == 0
    listing = capsys.readouterr().out
    assert "hunter22" not in listing and "server.port = 8000" in listing
    assert config_command.main(["--path"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'config.yaml'}\n"


def test_the_command_says_what_is_wrong_and_exits_78(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLX_SERVE_HOME", str(tmp_path))
    write(tmp_path, "server: {prot: 1}\n")
    assert config_command.main(["--json"]) == 78
    assert "did you mean server.port?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "fault"), [("a", "item 1 has 1"), ("sixteen-or-more-,fifteen-letters", "item 2 has 15")]
)
def test_a_short_key_is_refused_without_being_shown(environ: dict[str, str], keys: str, fault: str) -> None:
    """A key of one letter could be guessed, and would be blotted out of every word of the log."""
    message = error_of(environ | {"MLX_SERVE_SERVER_API_KEYS": keys})
    assert message == (
        "MLX_SERVE_SERVER_API_KEYS: server.api_keys must be a list whose items have at least 16 characters each; "
        + fault
    )


def test_a_short_key_in_the_file_is_named_with_its_line(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, "server:\n  port: 1\n  api_keys: [hunter22]\n")
    message = error_of(environ)
    assert message.startswith(f"{tmp_path / 'config.yaml'}:3: server.api_keys must be") and "hunter22" not in message


def test_keys_that_are_always_asked_for_must_be_there(environ: dict[str, str]) -> None:
    message = error_of(environ | {"MLX_SERVE_SERVER_REQUIRE_KEYS": "always"})
    assert message == (
        "MLX_SERVE_SERVER_REQUIRE_KEYS: server.require_keys is always, but there is no key to send; "
        "set server.api_keys (MLX_SERVE_SERVER_API_KEYS), or set require_keys to remote"
    )
    environ |= {"MLX_SERVE_SERVER_REQUIRE_KEYS": "ALWAYS", "MLX_SERVE_SERVER_API_KEYS": "sixteen-or-more-"}
    assert load_settings({}, environ).server.require_keys == "always"
    assert load_settings({}, {"MLX_SERVE_HOME": environ["MLX_SERVE_HOME"]}).server.require_keys == "remote"


def test_settings_cannot_be_changed(environ: dict[str, str]) -> None:
    settings: Settings = load_settings({}, environ)
    with pytest.raises(AttributeError):
        settings.server.port = 1  # type: ignore[misc]
