"""Writes the Homebrew formula: `python packaging/homebrew/formula.py [--release URL --wheel FILE] [--check]`.

The wheels of what mlx-serve needs come from constraints.txt by way of the package index; the release's own address and
digest stay as they are in the file unless they are given. `--check` writes nothing, and fails where it would change.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from wheels import Wheel, by_macos

FORMULA = Path(__file__).resolve().parent / "mlx-serve.rb"
_SYSTEMS = {14: "on_sonoma :or_older", 15: "on_sequoia", 26: "on_tahoe :or_newer"}
_RELEASE = re.compile(
    r'^  homepage "(?P<homepage>.*)"\n  url "(?P<url>.*)", using: :nounzip\n  sha256 "(?P<sha256>.*)"$', re.M
)
_RESOURCES = "@RESOURCES@\n"

TEXT = """\
# Written by packaging/homebrew/formula.py (`make formula`); change the text there.
class MlxServe < Formula
  desc "Serve MLX models over the HTTP of OpenAI, Anthropic and Ollama"
  homepage "@HOMEPAGE@"
  url "@URL@", using: :nounzip
  sha256 "@SHA256@"
  license "MIT"

  depends_on arch: :arm64
  depends_on macos: :sonoma
  depends_on :macos
  depends_on "python@3.13"

@RESOURCES@

  # MLX comes as its makers' wheels: on macOS 26 Homebrew's own bottle lacks the kernels for the M5.
  def install
    (libexec/"wheels").install Dir["*.whl"]
    resources.each { |wheel| wheel.stage { (libexec/"wheels").install Dir["*.whl"] } }
    ours = (libexec/"wheels").glob("mlx_serve-*.whl").first
    system "unzip", "-q", ours, "*.data/data/share/*", "-d", buildpath/"data"
    shared = (buildpath/"data").glob("*.data/data/share").first
    man1.install shared/"man/man1/mlx-serve.1"
    bash_completion.install shared/"bash-completion/completions/mlx-serve.bash" => "mlx-serve"
    zsh_completion.install shared/"zsh/site-functions/_mlx-serve"
    fish_completion.install shared/"fish/vendor_completions.d/mlx-serve.fish"
    pkgshare.install (shared/"mlx-serve").children
    bin.write_exec_script libexec/"venv/bin/mlx-serve"
  end

  # Here and not in `install`, after which Homebrew rewrites the paths inside of libraries: those of wheels have no room
  # for longer ones, and rewriting breaks their signatures.
  def post_install
    python = Formula["python@3.13"].opt_bin/"python3.13"
    environment = libexec/"venv"
    rm_r environment if environment.exist?
    system python, "-m", "venv", "--without-pip", environment
    system python, "-m", "pip", "--python=#{environment}/bin/python", "install", "--no-index", "--no-deps",
           "--disable-pip-version-check", *(libexec/"wheels").glob("*.whl")
  end

  service do
    run [opt_bin/"mlx-serve", "start", "--foreground"]
    keep_alive crashed: true
    process_type :interactive
    environment_variables PATH: std_service_path_env, MLX_SERVE_LOGGING_STDERR: "false"
    log_path var/"log/mlx-serve.log"
    error_log_path var/"log/mlx-serve.log"
  end

  def caveats
    <<~EOS
      Settings, models and logs are in ~/.mlx-serve. Why a daemon of `brew services` did not start is in
        #{var}/log/mlx-serve.log
    EOS
  end

  test do
    ENV["MLX_SERVE_HOME"] = testpath/"home"
    ENV["MLX_SERVE_HOST"] = "127.0.0.1"
    ENV["MLX_SERVE_PORT"] = free_port.to_s
    system bin/"mlx-serve", "start"
    begin
      system bin/"mlx-serve", "pull", "starter"
      answer = shell_output("#{bin}/mlx-serve run starter 'What does mlx-serve ps show?'")
      assert_match "loaded models", answer
      models = shell_output("curl -sS http://127.0.0.1:#{ENV.fetch("MLX_SERVE_PORT")}/v1/models")
      assert_match '"starter"', models
    ensure
      system bin/"mlx-serve", "stop"
    end
  end
end
"""


def written(homepage: str, url: str, sha256: str, resources: str) -> str:
    """The whole file."""
    text = TEXT.replace("@HOMEPAGE@", homepage).replace("@URL@", url).replace("@SHA256@", sha256)
    return text.replace(_RESOURCES, resources)


def resources() -> str:
    """Those of every macOS, then those of each one's own."""
    same, own = by_macos()
    blocks = [_resource(wheel, "  ") for wheel in same.values()]
    for macos, system in _SYSTEMS.items():
        if own[macos]:
            inner = "\n".join(_resource(wheel, "    ") for wheel in own[macos].values())
            blocks.append(f"  {system} do\n{inner}  end\n")
    return "\n".join(blocks)


def _resource(wheel: Wheel, indent: str) -> str:
    return (
        f'{indent}resource "{wheel.name}" do\n'
        f'{indent}  url "{wheel.url}", using: :nounzip\n'
        f'{indent}  sha256 "{wheel.sha256}"\n'
        f"{indent}end\n"
    )


def release(text: str) -> dict[str, str]:
    """Homepage, address and digest of the release in a formula."""
    found = _RELEASE.search(text)
    if found is None:
        sys.exit(f"{FORMULA} has no homepage, url and sha256 as this script writes them")
    return found.groupdict()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Write the Homebrew formula.")
    parser.add_argument("--homepage", help="where the project is")
    parser.add_argument("--release", metavar="URL", help="where the release's wheel is; with --wheel")
    parser.add_argument("--wheel", metavar="FILE", type=Path, help="that wheel, for its digest")
    parser.add_argument("--check", action="store_true", help="only say whether the file would change")
    options = parser.parse_args(arguments)
    if (options.release is None) != (options.wheel is None):
        parser.error("--release and --wheel belong together")
    before = FORMULA.read_text(encoding="utf-8")
    about = release(before)
    if options.homepage:
        about["homepage"] = options.homepage
    if options.release:
        about |= {"url": options.release, "sha256": hashlib.sha256(options.wheel.read_bytes()).hexdigest()}
    after = written(**about, resources=resources())
    if options.check:
        print("the formula is up to date" if after == before else "the formula would change: make formula")
        return int(after != before)
    FORMULA.write_text(after, encoding="utf-8")
    print(FORMULA)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
