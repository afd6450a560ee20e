#!/bin/sh
# Runs the whole program once in a temporary home: start, pull, a chat request over OpenAI's API, list, stop. For `make demo`.
set -eu

python=${PYTHON:-python3}
port=
home=$(mktemp -d "${TMPDIR:-/tmp}/mlx-serve-demo.XXXXXX")

# The demo must not use the settings of the user's own daemon.
for name in $(env | sed -n 's/^\(MLX_SERVE_[A-Z_]*\)=.*/\1/p'); do
  unset "$name"
done
export MLX_SERVE_HOME="$home"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
if [ -n "${NO_COLOR:-}" ] || [ ! -t 1 ]; then
  say() { printf '\n%s\n' "$*"; }
fi

serve() {
  say "\$ mlx-serve $*"
  "$python" -m mlx_serve "$@" </dev/null
}

finish() {
  status=$?
  trap - EXIT
  if [ "$status" -ne 0 ] && [ "$status" -ne 130 ]; then
    say "The demo failed (status $status). The end of the daemon's log:"
    tail -n 20 "$home"/logs/*.log 2>/dev/null || true
  fi
  "$python" -m mlx_serve stop --all --force >/dev/null 2>&1 </dev/null || true
  rm -rf "$home"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

say "A daemon on port $port, with its home folder in $home"
serve start --host 127.0.0.1 --port "$port"
serve pull starter

say "The starter model has 8 million parameters and knows mlx-serve, but little else."
say "POST http://127.0.0.1:$port/v1/chat/completions, streamed:"
"$python" - "$port" <<'PYTHON'
import json
import sys
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

question = "What does mlx-serve ps show?"
body = {
    "model": "starter",
    "messages": [{"role": "user", "content": question}],
    "max_tokens": 200,
    "stream": True,
    "stream_options": {"include_usage": True},
}
url = f"http://127.0.0.1:{sys.argv[1]}/v1/chat/completions"
request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
print(f"> {question}")
usage, ended = {}, False
try:
    answer = build_opener(ProxyHandler({})).open(request, timeout=300)
except HTTPError as error:
    sys.exit(f"the daemon answered with an error: {json.load(error)['error']['message']}")
with answer:
    for line in answer:
        line = line.decode().strip()
        if line == "data: [DONE]":
            ended = True
        elif line.startswith("data: "):
            event = json.loads(line[6:])
            if "error" in event:
                sys.exit(f"the daemon answered with an error: {event['error']['message']}")
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                text = choice["delta"].get("content") or ""
                print("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text), end="", flush=True)
print(f"\n({usage['prompt_tokens']} prompt tokens, {usage['completion_tokens']} generated)")
if not ended:
    sys.exit("the stream ended too early")
PYTHON

serve list
serve ps
serve stop
say "Done. To use it: mlx-serve start, mlx-serve pull starter, mlx-serve run starter"
