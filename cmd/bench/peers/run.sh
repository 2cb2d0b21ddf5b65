#!/usr/bin/env bash
# Sends the same requests through other clients and through nightshift, against
# one server process, and prints a table. Installs each client into a directory of
# its own; skips, with a line, what cannot be had or run. Never a gate.
#   ROWS         requests (default 4000)
#   CONCURRENCY  in flight (default 64)
#   PEERS        directory for what is installed, kept for the next time (default
#                a temporary one)
#   ONLY         clients to measure, with spaces (default all): nightshift openai litellm
#                saturate inspect curator batchllm evalscope promptfoo
set -uo pipefail
cd "$(dirname "$0")/../../.."
rows="${ROWS:-4000}" concurrency="${CONCURRENCY:-64}"
here="$PWD/cmd/bench/peers"
dir="$(mktemp -d)"
peers="${PEERS:-$dir}"
server=
trap 'if [ -n "$server" ]; then kill "$server"; fi; rm -rf "$dir"' EXIT

go build -trimpath -o "$dir/nightshift" ./cmd/nightshift || exit 1
"$dir/nightshift" simulate --addr 127.0.0.1:0 2>"$dir/server" &
server=$!
for _ in $(seq 50); do grep -q http "$dir/server" && break; sleep 0.1; done
url="$(grep -o 'http://[0-9.:]*' "$dir/server" | head -1)"

python3 - "$rows" "$dir" <<'PY'
import json, sys
filler = "Consider the harbour, the railway, the library and the market of the old town, and who keeps them. " * 20
with open(sys.argv[2] + "/rows.jsonl", "w") as rows, open(sys.argv[2] + "/rows.txt", "w") as lines:
    for i in range(int(sys.argv[1])):
        prompt = (f"Report {i}, in detail. " + filler)[:1000]
        rows.write(json.dumps({"prompt": prompt, "input": prompt}) + "\n")
        lines.write(prompt + "\n")
PY

wanted() { [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $1 "* ]]; }

echo "| client | answers | requests/s | wall | processor time of a request | most memory | on disk | what is kept |"
echo "|---|---|---|---|---|---|---|---|"

# measure NAME OUT COMMAND...: OUT is what the client leaves.
measure() {
  python3 "$here/measure.py" "$rows" "$url" 900 "$dir/log" "$@"
}

# python PACKAGE WORDS OUT ARGUMENTS...: installs a package of PyPI and measures what
# its Python runs with these arguments; $bin is where its programs are.
python() {
  local package="$1" words="$2" out="$3" name="${1%%[*}"
  shift 3
  bin="$peers/$name/bin"
  if ! "$bin/pip" show -q "$name" >/dev/null 2>&1; then
    if ! python3 -m venv "$peers/$name" >"$dir/pip" 2>&1 ||
      ! timeout 900 "$bin/pip" install -q --disable-pip-version-check "$package" openai >>"$dir/pip" 2>&1; then
      echo "skipped $name: pip could not install it: $(tail -1 "$dir/pip")" >&2
      return
    fi
  fi
  version="$("$bin/pip" show "$name" 2>/dev/null | sed -n 's/^Version: //p')"
  measure "$name $version$words" "$out" env OPENAI_API_KEY=none HF_HOME="$dir/hf" HF_HUB_OFFLINE=1 \
    INSPECT_EVAL_LOG_FILE_PATTERN='{task}' TELEMETRY_ENABLED=false HOSTED_CURATOR_VIEWER=0 \
    LITELLM_LOCAL_MODEL_COST_MAP=True "$bin/python" "$@"
}

if wanted nightshift; then
  mkdir "$dir/ns"
  measure "nightshift" "$dir/ns/run" "$dir/nightshift" run --dataset "$dir/rows.jsonl" --model openai/sim-large \
    --base-url "$url/v1" --auth none --concurrency "$concurrency" --out "$dir/ns/run" --quiet
fi
for client in openai litellm; do
  wanted "$client" || continue
  python "$client" ", asyncio.gather" "$dir/$client.jsonl" \
    "$here/gather.py" "$client" "$url" "$dir/rows.jsonl" "$dir/$client.jsonl" "$concurrency"
done
for client in saturate inspect curator; do
  wanted "$client" || continue
  package="$client"
  case "$client" in inspect) package=inspect-ai ;; curator) package=bespokelabs-curator ;; esac
  python "$package" "" "$dir/$client" "$here/run_$client.py" "$url" "$dir/rows.jsonl" "$dir/$client" "$concurrency"
done
if wanted batchllm; then
  python batchllm-ai "" "$dir/batchllm.jsonl" -m batchllm.cli run "$dir/rows.jsonl" -m sim-large \
    --base-url "$url/v1" --api-key none -c "$concurrency" -o "$dir/batchllm.jsonl"
fi
if wanted evalscope; then
  python 'evalscope[perf]' ", perf" "$dir/evalscope" -m evalscope.cli.cli perf --model sim-large \
    --url "$url/v1/chat/completions" --api openai --dataset line_by_line --dataset-path "$dir/rows.txt" \
    --parallel "$concurrency" --number "$rows" --outputs-dir "$dir/evalscope"
fi

# promptfoo without what it needs for other providers, which is most of it.
npm="$peers/npm"
if ! wanted promptfoo; then
  exit 0
elif [ -x "$npm/node_modules/.bin/promptfoo" ] || { command -v npm >/dev/null &&
  timeout 900 npm install --silent --no-audit --no-fund --omit=optional --ignore-scripts --prefix "$npm" \
    promptfoo@0.121.20 @libsql/linux-x64-gnu@0.5.29 >"$dir/npm.log" 2>&1; }; then
  version="$(node -p "require('$npm/node_modules/promptfoo/package.json').version")"
  mkdir "$dir/promptfoo" # with logs it ends in most runs before it has written its results: write after end
  python3 "$here/promptfoo.py" "$url" "$dir/rows.jsonl" "$dir/promptfoo.json"
  measure "promptfoo $version" "$dir/promptfoo" env PROMPTFOO_CONFIG_DIR="$dir/promptfoo" PROMPTFOO_DISABLE_TELEMETRY=1 \
    PROMPTFOO_DISABLE_DEBUG_LOG=1 PROMPTFOO_DISABLE_ERROR_LOG=1 PROMPTFOO_DISABLE_UPDATE=1 OPENAI_API_KEY=none "$npm/node_modules/.bin/promptfoo" eval -c "$dir/promptfoo.json" \
    --max-concurrency "$concurrency" --no-cache --no-progress-bar --no-table -o "$dir/promptfoo/out.json"
else
  echo "skipped promptfoo: npm is not there or could not install it" >&2
fi
