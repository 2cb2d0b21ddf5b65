#!/usr/bin/env bash
# README's story of a laptop and four machines, played with five network
# namespaces on this one: sudo deploy/five-machines.sh [NIGHTSHIFT]
#
# vm1 is the hub. vm2, vm3, vm4 and the laptop are workers, each with a link of its
# own to vm1 and another to the provider (a simulator outside of the five). The
# hub is killed and started again, the laptop is closed, and vm3 is cut off from
# the hub for longer than its lease. In the end each row has one answer, nothing
# was paid twice, and the bill has the tokens that the provider counted.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "network namespaces need root" >&2; exit 2; }
cd "$(dirname "$0")/.."
work=$(mktemp -d)
nightshift=${1:-$work/nightshift}
[ $# -gt 0 ] || go build -o "$nightshift" ./cmd/nightshift
machines=(laptop vm2 vm3 vm4)
rows=600 tag=ns$$ pids=()

cleanup() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  for m in vm1 "${machines[@]}"; do ip netns del "$tag-$m" 2>/dev/null || true; done
  ip address del 10.77.0.1/32 dev lo 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
say() { printf '%3ds  %s\n' "$SECONDS" "$*"; }
on() { local m=$1; shift; exec ip netns exec "$tag-$m" "$@"; }    # in a subshell

# Links: NAME has "hub" to vm1 (10.77.N.0) and "world" to the provider (10.78.N.0).
ip netns add "$tag-vm1"
ip -n "$tag-vm1" link set lo up
ip -n "$tag-vm1" address add 10.77.100.1/32 dev lo                # the hub
ip address add 10.77.0.1/32 dev lo                                # the provider
n=0
for m in "${machines[@]}"; do
  n=$((n + 1))
  ip netns add "$tag-$m"
  ip -n "$tag-$m" link set lo up
  ip -n "$tag-vm1" link add "to-$m" type veth peer name hub netns "$tag-$m"
  ip -n "$tag-vm1" address add "10.77.$n.1/24" dev "to-$m"
  ip -n "$tag-$m" address add "10.77.$n.2/24" dev hub
  ip link add "w$n-$$" type veth peer name world netns "$tag-$m"
  ip address add "10.78.$n.1/24" dev "w$n-$$"
  ip -n "$tag-$m" address add "10.78.$n.2/24" dev world
  ip -n "$tag-vm1" link set "to-$m" up
  ip link set "w$n-$$" up
  ip -n "$tag-$m" link set hub up
  ip -n "$tag-$m" link set world up
  ip -n "$tag-$m" route add 10.77.100.1 via "10.77.$n.1"
  ip -n "$tag-$m" route add 10.77.0.1 via "10.78.$n.1"
done

for i in $(seq "$rows"); do echo "{\"id\": \"r$i\", \"prompt\": \"What is $i + $i?\"}"; done >"$work/data.jsonl"
cat >"$work/tonight.yaml" <<PLAN
version: 1
name: tonight
dataset: {path: data.jsonl}
models: [{name: m, endpoint: provider, model: sim-large, params: {max_tokens: 50}, price: {input: 3, output: 15}}]
endpoints: {provider: {protocol: chat, base_url: "http://10.77.0.1:8000/v1", allow_http: true, auth: {env: PROVIDER_KEY}}}
PLAN
"$nightshift" simulate --addr 10.77.0.1:8000 --ledger "$work/ledger" --latency base=1200ms,jitter=0.3 2>"$work/simulate.log" &
pids+=($!)
disown # the shell says nothing when it is killed in the end
"$nightshift" join-key --host 10.77.100.1:7420 --dir "$work/join" >/dev/null

hub() {
  (on vm1 "$nightshift" run "$work/tonight.yaml" --out "$work/run" --listen 10.77.100.1:7420 --join "$work/join" \
    --no-local --progress none >>"$work/hub.log" 2>&1) &
  hub=$!; pids+=("$hub")
}
declare -A worker
work() {
  (export PROVIDER_KEY=sk-five; on "$1" "$nightshift" work "$work/join/worker.join" --name "$1" --slots 6 \
    --spool "$work/spool-$1" >"$work/$1.log" 2>&1) &
  worker[$1]=$!; pids+=("$!")
}
fail() { say "FAILED: $*"; tail -n 15 "$work"/*.log; exit 1; }
count() { "$nightshift" status "$work/run" --json | sed -n "s/^  \"$1\": \([0-9]*\),*$/\1/p"; }
# until N answers are on record, so that the story does not depend on the machine's speed
until_done() { while [ "$(count done)" -lt "$1" ]; do kill -0 "$hub" 2>/dev/null || fail "the hub has ended"; sleep 0.2; done; }

hub
for m in "${machines[@]}"; do work "$m"; done
say "the hub is on vm1; ${machines[*]} work"
while ! [ -e "$work/run/live.json" ]; do kill -0 "$hub" || fail "no hub"; sleep 0.1; done
until_done 60
say "the hub is killed and started again"
kill -9 "$hub"; wait "$hub" 2>/dev/null || true
hub
until_done 150
say "the laptop is closed: it finishes what it has in flight"
kill -TERM "${worker[laptop]}"; wait "${worker[laptop]}" || fail "the laptop's worker ended with $?"
say "vm3 is cut off from the hub for 14 s, longer than its lease"
ip -n "$tag-vm3" link set hub down
sleep 14
ip -n "$tag-vm3" link set hub up
ip -n "$tag-vm3" route add 10.77.100.1 via 10.77.3.1
say "vm3 is back: $(count done) of $rows answers"
wait "$hub" || fail "the hub ended with $?"
for m in vm2 vm3 vm4; do wait "${worker[$m]}" || fail "$m ended with $?"; done
"$nightshift" cost "$work/run" --by worker
"$nightshift" verify "$work/run" >/dev/null || fail "verify"

answers=$(count done) failed=$(count failed)
requests=$(wc -l <"$work/ledger")
sum() { grep -o "\"$1\":[0-9]*" "$work/ledger" | awk -F: '{n += $2} END {print n + 0}'; }
billed=$("$nightshift" cost "$work/run" --json | awk '/"total"/ {on = 1} on && /"output_tokens"/ {gsub(/[^0-9]/, ""); print; exit}')
[ "$answers" = "$rows" ] && [ "$failed" = 0 ] || fail "$answers answers, $failed failed, of $rows"
[ "$requests" = "$rows" ] || fail "$requests requests were paid for $rows rows"
[ "$billed" = "$(sum output)" ] || fail "$billed tokens of output are on the bill, the provider counted $(sum output)"
say "$rows rows, $requests requests, $billed tokens of output on the bill and at the provider"
