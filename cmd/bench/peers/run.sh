#!/usr/bin/env bash
# Sends the same requests through other clients and through nightshift, against
# one server process, and prints a table. Installs the clients below a
# temporary directory; skips, with a line, what cannot be had. Never a gate.
#   ROWS         requests (default 4000)
#   CONCURRENCY  in flight (default 64)
set -uo pipefail
cd "$(dirname "$0")/../../.."
rows="${ROWS:-4000}" concurrency="${CONCURRENCY:-64}"
here="$PWD/cmd/bench/peers"
dir="$(mktemp -d)"
server=
trap 'if [ -n "$server" ]; then kill "$server"; fi; rm -rf "$dir"' EXIT

go build -trimpath -o "$dir/nightshift" ./cmd/nightshift || exit 1
"$dir/nightshift" simulate --addr 127.0.0.1:0 2>"$dir/server" &
server=$!
for _ in $(seq 50); do grep -q http "$dir/server" && break; sleep 0.1; done
url="$(grep -o 'http://[0-9.:]*' "$dir/server" | head -1)"

python3 - "$rows" >"$dir/rows.jsonl" <<'PY'
import json, sys
filler = "Consider the harbour, the railway, the library and the market of the old town, and who keeps them. " * 20
for i in range(int(sys.argv[1])):
    print(json.dumps({"prompt": (f"Report {i}, in detail. " + filler)[:1000]}))
PY

echo "| client | requests/s | wall | processor time of a request | most memory | on disk | what is kept |"
echo "|---|---|---|---|---|---|---|"

# measure NAME OUT COMMAND...: OUT is what the client leaves.
measure() {
  python3 "$here/measure.py" "$rows" "$dir/log" "$@"
}

mkdir "$dir/ns"
measure "nightshift" "$dir/ns/run" "$dir/nightshift" run --dataset "$dir/rows.jsonl" --model openai/sim-large \
  --base-url "$url/v1" --auth none --concurrency "$concurrency" --out "$dir/ns/run" --quiet

if python3 -m venv "$dir/venv" >/dev/null 2>&1; then
  for client in openai litellm; do
    if "$dir/venv/bin/pip" install -q --disable-pip-version-check "$client" >"$dir/pip" 2>&1; then
      version="$("$dir/venv/bin/pip" show "$client" 2>/dev/null | sed -n 's/^Version: //p')"
      measure "$client $version, asyncio.gather" "$dir/$client.jsonl" \
        "$dir/venv/bin/python" "$here/gather.py" "$client" "$url" "$dir/rows.jsonl" "$dir/$client.jsonl" "$concurrency"
    else
      echo "skipped $client: pip could not install it" >&2
    fi
  done
else
  echo "skipped the Python clients: python3 -m venv is not to be had" >&2
fi

if command -v npm >/dev/null && npm install --silent --no-audit --no-fund --prefix "$dir/npm" promptfoo >"$dir/npm.log" 2>&1; then
  version="$(node -p "require('$dir/npm/node_modules/promptfoo/package.json').version")"
  mkdir "$dir/promptfoo"
  python3 "$here/promptfoo.py" "$url" "$dir/rows.jsonl" "$dir/promptfoo.json"
  measure "promptfoo $version" "$dir/promptfoo" env PROMPTFOO_CONFIG_DIR="$dir/promptfoo" PROMPTFOO_DISABLE_TELEMETRY=1 PROMPTFOO_DISABLE_UPDATE=1 \
    OPENAI_API_KEY=none "$dir/npm/node_modules/.bin/promptfoo" eval -c "$dir/promptfoo.json" --max-concurrency "$concurrency" \
    --no-cache --no-progress-bar --no-table -o "$dir/promptfoo/out.json"
else
  echo "skipped promptfoo: npm is not there or could not install it" >&2
fi
