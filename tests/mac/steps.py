"""What `make mac-check` does on a Mac, in order: about an hour with a model of 8 billion parameters."""

from __future__ import annotations

from mac.step import Step

PROBE = '"$PYTHON" tests/mac/probe_{}.py'

STEPS = (
    Step(
        "machine",
        "The machine",
        "sw_vers; uname -m; sysctl -n machdep.cpu.brand_string hw.memsize hw.perflevel0.physicalcpu;"
        " sysctl iogpu.wired_limit_mb kern.memorystatus_vm_pressure_level",
        "macOS 14 or newer, arm64 (x86_64: a terminal under Rosetta, which MLX does not run in)",
    ),
    Step(
        "python",
        "Python and MLX",
        '"$PYTHON" -c "import platform, sys; import mlx.core as mx; from importlib.metadata import version;'
        " print(sys.version, platform.machine(), version('mlx'), mx.default_device(), mx.device_info())\"",
        "a native (arm64) Python 3.11 to 3.13, MLX 0.32.4, the device gpu",
        portable=True,
    ),
    Step(
        "demo",
        "The whole way once (make demo)",
        "sh packaging/demo.sh",
        "a streamed answer, a table with the starter model, `Done.`",
        seconds=300,
        portable=True,
    ),
    Step(
        "check",
        "Lint and types (make check)",
        '"${MAKE:-make}" PYTHON="$PYTHON" check',
        "no finding",
        seconds=600,
        portable=True,
    ),
    Step(
        "test",
        "Every test (make test)",
        '"${MAKE:-make}" PYTHON="$PYTHON" test',
        "no failure; skipped tests say why",
        seconds=2400,
        portable=True,
    ),
    Step(
        "soak",
        "Two streams with changing caches, wired memory watched",
        PROBE.format("soak") + ' --model "$MODEL" --minutes "$MINUTES"',
        "no failed answer, no panic of the machine; wired memory rises by no more than the model's process holds, and"
        " is back within 1 GiB after the model is unloaded",
        seconds=3600,
        portable=True,
    ),
    Step(
        "soak-wired",
        "The same with the weights wired",
        "MLX_SERVE_MODELS_WIRED=1GiB " + PROBE.format("soak") + ' --model "$MODEL" --minutes 3',
        "as before; wired memory between requests is higher by up to 1 GiB",
        seconds=1200,
    ),
    Step(
        "pipelining",
        "Speed around the size of cache where steps were launched late before",
        PROBE.format("speed") + ' --model "$MODEL"',
        "tokens/s fall slowly with the length, with no step of more than a fifth (an 8B model passes 128 MiB of cache"
        " at some 900 tokens)",
        seconds=1200,
        portable=True,
    ),
    Step(
        "awake",
        "No idle sleep while there is an answer",
        PROBE.format("awake"),
        "an assertion of caffeinate while an answer runs, none a minute after the last one",
        seconds=300,
    ),
    Step(
        "launchd",
        "A daemon of launchd",
        PROBE.format("launchd"),
        "it answers, `status` in this shell finds it, SIGTERM ends it with status 0, and no socket is left",
        seconds=180,
    ),
    Step(
        "apfs",
        "Clones and case on APFS",
        PROBE.format("apfs"),
        "pulling a folder of 512 MB takes less than 64 MB of the disk; a name in other letters finds the same model",
        seconds=180,
        portable=True,
    ),
    Step(
        "backups",
        "Time Machine leaves the weights out",
        PROBE.format("backups"),
        "[Excluded] for blobs and partial",
        seconds=60,
    ),
    Step(
        "firewall",
        "The firewall's state",
        "for each in globalstate blockall allowsigned; do"
        ' /usr/libexec/ApplicationFirewall/socketfilterfw "--get$each"; done',
        "three lines; the question that it asks is the next step",
    ),
    Step(
        "firewall-question",
        "The firewall's question",
        '"$PYTHON" -m mlx_serve start --port 8765; "$PYTHON" -m mlx_serve stop --port 8765',
        "start says in one line how to listen on this machine only",
        question="With the firewall on: did macOS ask whether Python may accept connections? What did `start` say?",
    ),
    Step(
        "completion",
        "Completion in macOS' own shells",
        'export PATH="$(dirname "$PYTHON"):$PATH"; /bin/bash --version | head -n 1;'
        " /bin/bash -c 'eval \"$(mlx-serve completion bash)\" && complete -p mlx-serve' &&"
        " /bin/zsh -f -c 'eval \"$(mlx-serve completion zsh)\" && echo zsh: $_comps[mlx-serve]'",
        "a `complete … mlx-serve` line of bash 3.2, a function's name of zsh",
    ),
    Step(
        "proxy",
        "System proxies",
        'scutil --proxy; "$PYTHON" -c "import urllib.request; print(urllib.request.getproxies())"',
        "the second line has the proxies of the first, if any",
    ),
    Step(
        "pressure",
        "Memory pressure",
        "sudo memory_pressure -S -l warn  # while a chat of `mlx-serve run starter` is open in another window",
        "a log line on memory pressure; the answer goes on",
        question="What did `mlx-serve status` and the log say about memory while the command ran?",
    ),
    Step(
        "sleep",
        "Sleep and wake",
        "sudo pmset relative wake 60 && pmset sleepnow  # while a long answer and a pull run in other windows",
        "after waking the answer goes on or ends with an error that says so, the pull goes on, no child is"
        " killed as hung",
        question="What did the answer, the pull and `mlx-serve logs` show after waking?",
    ),
)
