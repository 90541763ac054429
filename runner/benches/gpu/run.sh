#!/usr/bin/env bash
# Every check and measurement of the GPU engine in one command, on a host with a GPU, no cargo and no network.
#
#     runner/benches/gpu/run.sh BIN_DIR OUT_DIR [check|bench|serve]…      (all three unless some are named)
#
# BIN_DIR holds `fidelio` and `gpu-bench`, built elsewhere. OUT_DIR gets one JSON document a stage, report.md, the
# bundle of the busiest load and one archive with logs and tables: at most six files. A stage ends by itself within
# STAGE_S seconds. Each step has a limit and a log; one that fails is reported, the others go on, and the exit code
# is 1 at the end. Steps that succeeded with these very binaries and scripts are not done again, so a run that
# was stopped is continued by the same command; FRESH=1 starts over. Works without torch and transformers: the
# comparisons with them are then reported as missing. Nothing here changes the device's clocks or settings.
#
# Settings from the environment: PYTHON, STAGE_S, WORK_ROOT, FRESH, EXPERIMENT, SHAPE (0.6b or tiny), NEW_TOKENS,
# REPEATS, SATURATING_REQUESTS, LOAD_S (a run's longest arrivals), OVERRIDES (of every experiment, no spaces inside).
# Some functions are called by a trap, or by shells of their own.
# shellcheck disable=SC2329
set -euo pipefail

usage() {
  sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

[[ $# -ge 2 ]] || usage
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2
stages=("$@")
[[ ${#stages[@]} -gt 0 ]] || stages=(check bench serve)
for stage in "${stages[@]}"; do
  [[ $stage =~ ^(check|bench|serve)$ ]] || usage
done
for program in fidelio gpu-bench; do
  [[ -x $bin/$program ]] || { echo "error: no executable \`$program\` in BIN_DIR" >&2; exit 2; }
done

python=${PYTHON:-python3}
stage_s=${STAGE_S:-460}
shape=${SHAPE:-0.6b}
experiment=${EXPERIMENT:-qwen3-0.6b-gpu}
new_tokens=${NEW_TOKENS:-32}
repeats=${REPEATS:-3}
saturating_requests=${SATURATING_REQUESTS:-1500}
read -r -a overrides <<<"${OVERRIDES:-}"

# Results belong to what made them: other binaries or scripts get a folder of their own.
key=$(cat "$bin/fidelio" "$bin/gpu-bench" "$here"/*.py "$here"/run.sh | sha256sum | cut -c1-12)
root=${WORK_ROOT:-${TMPDIR:-/tmp}/fidelio-gpu}
work=$root/$key
[[ -z ${FRESH:-} ]] || rm -rf "$work"
mkdir -p "$work"
model=$root/models/qwen3-$shape-$(sha256sum "$here/make_model.py" | cut -c1-8)

FIDELIO_CUDA_LIBS=$("$python" "$here/collect.py" libraries)${FIDELIO_CUDA_LIBS:+:$FIDELIO_CUDA_LIBS}
export FIDELIO_CUDA_LIBS
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false NO_COLOR=1
export TORCHINDUCTOR_CACHE_DIR=$root/inductor TRITON_CACHE_DIR=$root/triton
failures=0

# --- steps -----------------------------------------------------------------------------------------------------

stage='' started=0 child=''

left() { echo $((stage_s - (SECONDS - started))); }

# One line a step: name, status, seconds, a note. The last line of a name counts.
record() {
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4//[$'\t\n\r']/ }" >>"$work/$stage/steps.tsv"
  printf '  %-20s %-8s %5s s  %s\n' "$1" "$2" "$3" "$4"
}

# What a log says went wrong: its first line that calls itself an error, else its last.
complaint() {
  local log
  log=$(tr '\r' '\n' <"$1" | tr -cd '[:print:][:space:]')
  { grep -m 1 -E '^error|Error:' <<<"$log" || grep -v '^[[:space:]]*$' <<<"$log" | tail -n 1 || true; } | cut -c1-200
}

# step NAME LIMIT_S COMMAND…: stdout is the result NAME.json, stderr the log. Never ends the script.
step() {
  local name=$1 limit=$2 folder=$work/$stage code=0 begun=$SECONDS note status=failed
  shift 2
  if [[ -e $folder/$name.done ]]; then
    record "$name" ok "$(cat "$folder/$name.done")" 'done before'
    return 0
  fi
  ((limit <= $(left))) || limit=$(left)
  if ((limit < 5)); then
    record "$name" missing 0 'no time left in this stage'
    failures=$((failures + 1))
    return 0
  fi
  # Waited for, not run in front: a signal to this script reaches its trap at once.
  timeout --kill-after=10 "$limit" "$@" >"$folder/$name.partial" 2>"$folder/$name.log" &
  child=$!
  wait "$child" || code=$?
  child=''
  mv "$folder/$name.partial" "$folder/$name.json"
  # What a peer had measured before it was stopped counts.
  [[ ! -e $folder/$name.rows ]] || cp "$folder/$name.rows" "$folder/$name.json"
  case $code in
    0) status=ok note='' ;;
    124 | 137) status=timeout note="stopped after $limit s" ;;
    *) note="exit $code: $(complaint "$folder/$name.log")" ;;
  esac
  record "$name" "$status" "$((SECONDS - begun))" "$note"
  if [[ $status == ok ]]; then
    echo "$((SECONDS - begun))" >"$folder/$name.done"
  else
    failures=$((failures + 1))
  fi
  publish
}

succeeded() { [[ -e $work/$stage/$1.done ]]; }

# A step that cannot be tried, and why.
missing() {
  record "$1" missing 0 "$2"
}

# What is there goes to OUT_DIR after every step: a run that is killed leaves it.
publish() {
  "$python" "$here/collect.py" stage "$stage" "$work" "$out/$stage.json" || echo 'nothing could be published' >&2
}

has_peer() { "$python" -c 'import torch, transformers, safetensors' 2>/dev/null; }

machine() {
  uname -srm >"$work/$stage/machine.txt"
  "$python" --version >>"$work/$stage/machine.txt" 2>&1
  nvidia-smi >>"$work/$stage/machine.txt" 2>&1 || echo 'nvidia-smi: not there' >>"$work/$stage/machine.txt"
  nvidia-smi --format=csv --query-gpu=name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,temperature.gpu \
    >>"$work/$stage/machine.txt" 2>/dev/null || true
}

# The random model, made once. Without torch there is none, and what needs no file of weights uses `dummy`.
make_model() {
  if [[ -e $model/config.json ]]; then
    record model ok 0 'made before'
  elif ! has_peer; then
    missing model 'this Python has no torch, transformers or safetensors'
  else
    step model 150 "$python" "$here/make_model.py" "$model" --shape "$shape"
  fi
}

weights() { if [[ -e $model/config.json ]]; then echo "$model"; else echo dummy; fi; }

# --- stages ----------------------------------------------------------------------------------------------------

check() {
  step device 120 "$bin/gpu-bench" device
  make_model
  if [[ ! -e $model/config.json ]]; then
    for name in prompts logits torch_truth; do missing "$name" 'no model'; done
    # The engine's own random weights are enough to hold it to the processor.
    step truth 300 "$bin/gpu-bench" truth --model dummy
    return 0
  fi
  step prompts 20 "$python" "$here/torch_truth.py" --write-prompts "$work/$stage/prompts.txt"
  step logits 120 "$bin/gpu-bench" logits --model "$model" --prompts "$work/$stage/prompts.txt" --new-tokens "$new_tokens"
  if ! succeeded logits; then
    missing torch_truth 'no logits of ours'
  elif ! has_peer; then
    missing torch_truth 'this Python has no torch, transformers or safetensors'
  else
    step torch_truth 180 "$python" "$here/torch_truth.py" "$model" \
      --prompts "$work/$stage/prompts.txt" --ours "$work/$stage/logits.json"
  fi
  # Last: the reference runs on the processor and is the slowest.
  step truth 300 "$bin/gpu-bench" truth --model "$model"
}

bench() {
  local batches=1,4,16,64,256 contexts=128,2048 prompts=128,512,2048 weights
  step device 120 "$bin/gpu-bench" device
  make_model
  weights=$(weights)
  step decode 120 "$bin/gpu-bench" decode --model "$weights" --batches "$batches" --contexts "$contexts"
  step prefill 60 "$bin/gpu-bench" prefill --model "$weights" --tokens "$prompts"
  step timeline 45 "$bin/gpu-bench" timeline --model "$weights" --batch 1 --steps 200
  if [[ $weights == dummy ]]; then
    missing peer 'no model'
    missing peer_compiled 'no model'
  else
    peer peer 90 dynamic,static,graph
  fi
  step decode_eager 60 "$bin/gpu-bench" decode --model "$weights" --batches "$batches" --contexts "$contexts" --eager
  step decode_plain_launch 45 "$bin/gpu-bench" decode --model "$weights" --batches 1,4,16 --contexts "$contexts" \
    --no-programmatic-launch
  step prefill_eager 30 "$bin/gpu-bench" prefill --model "$weights" --tokens "$prompts" --eager
  if [[ $weights != dummy ]]; then
    # A process of its own: what a failed capture leaves behind cannot reach it.
    peer peer_compiled 240 compiled
  fi
}

# peer NAME MOST_SECONDS MODES: within what is left of the stage; it stops by itself before its limit does it.
peer() {
  local budget=$(($(left) - 20))
  ((budget <= $2)) || budget=$2
  if ((budget < 20)); then
    missing "$1" 'no time left in this stage'
    return 0
  fi
  step "$1" $((budget + 15)) "$python" "$here/peer.py" "$model" --modes "$3" --budget-s "$budget" \
    --out "$work/$stage/$1.rows"
}

serve() {
  local folder=$work/$stage
  step doctor 30 "$bin/fidelio" doctor --json
  # Exported for the functions below, which `step` runs in shells of their own.
  export FIDELIO=$bin/fidelio FOLDER=$folder EXPERIMENT_NAME=$experiment REPEATS_ASKED=$repeats
  export HERE=$here PYTHON_NAME=$python
  export -f in_folder finished profile_once saturate serve_load
  step profile 240 bash -euo pipefail -c 'profile_once "$@"' _ "${overrides[@]}"
  step saturate 90 bash -euo pipefail -c 'saturate "$@"' _ "$saturating_requests" "${overrides[@]}"
  if ! succeeded saturate; then
    for name in load_0.1 load_0.5 load_0.85; do missing "$name" 'capacity is not known'; done
    return 0
  fi
  local rate share limit way
  rate=$(cat "$folder/capacity_rps.txt")
  for share in 0.85 0.5 0.1; do
    limit=$(($(left) - 5))
    # The whole job in one command, its own profile included, where there is time for it; one is enough.
    way=stages
    if [[ $share == 0.85 ]] && succeeded profile && (($(cat "$folder/profile.done") < 100)); then way=run; fi
    if [[ $way == stages ]] && ! succeeded profile; then
      missing "load_$share" 'no profile'
      continue
    fi
    step "load_$share" "$limit" bash -euo pipefail -c 'serve_load "$@"' _ "$share" "$rate" "$way" "${overrides[@]}"
    tabulate
  done
  local bundles=("$folder"/load_0.85/bundles/*.zip)
  [[ ! -e ${bundles[0]} ]] || cp "${bundles[0]}" "$out/bundle_0.85.zip"
}

# The loads so far, after each of them; there is always time for it.
tabulate() {
  local stage_s=$((stage_s + 60))
  rm -f "$work/$stage/loads.done"
  step loads 30 "$python" "$here/collect.py" comparisons "$work/$stage"/load_{0.1,0.5,0.85}
}

# Exit code 1 of fidelio is a tolerance that was declared and exceeded: a result, not a failure.
finished() {
  local code=0
  "$@" || code=$?
  ((code <= 1)) || return "$code"
}

in_folder() { rm -rf "${FOLDER:?}/$1" && mkdir -p "$FOLDER/$1"; }

profile_once() {
  in_folder profile
  "$FIDELIO" --root "$FOLDER/profile" profile "$EXPERIMENT_NAME" "$@" --out "$FOLDER/profile/root" >&2
  cat "$FOLDER/profile/root/run_meta.json"
}

# All requests at once: what the engine completes in the middle of that is its capacity.
saturate() {
  local count=$1
  shift
  in_folder saturate
  "$FIDELIO" --root "$FOLDER/saturate" measure "$EXPERIMENT_NAME" "$@" "workload.num_requests=$count" \
    'workload.arrivals={kind="static"}' --repeats 1 --out "$FOLDER/saturate/run" >&2
  "$PYTHON_NAME" "$HERE/collect.py" capacity "$FOLDER/saturate/run" >"$FOLDER/capacity_rps.txt"
  printf '{"capacity_rps": %s, "num_requests": %s}\n' "$(cat "$FOLDER/capacity_rps.txt")" "$count"
}

# serve_load SHARE CAPACITY run|stages OVERRIDE…: workload, three real runs, simulation, comparison, bundle.
serve_load() {
  local share=$1 capacity=$2 way=$3 rate count dir=$FOLDER/load_$1
  shift 3
  rate=$(awk -v share="$share" -v capacity="$capacity" 'BEGIN { printf "%.3f", share * capacity }')
  count=$("$PYTHON_NAME" "$HERE/collect.py" load "$rate" "${LOAD_S:-40}")
  in_folder "load_$share"
  local all=("$EXPERIMENT_NAME" "$@" "workload.num_requests=$count" "workload.arrivals={kind=\"poisson\", rate_rps=$rate}"
    "backend.repeats=$REPEATS_ASKED")
  if [[ $way == run ]]; then
    finished "$FIDELIO" run "${all[@]}" --out "$dir" >&2
  else
    "$FIDELIO" --root "$dir" workload "${all[@]}" --out "$dir/workload" >&2
    "$FIDELIO" --root "$dir" measure "${all[@]}" --workload "$dir/workload" >&2
    "$FIDELIO" --root "$dir" simulate "${all[@]}" --workload "$dir/workload" --profile "$FOLDER/profile/root" \
      --out "$dir/sim" >&2
    finished "$FIDELIO" --root "$dir" compare --real "$dir"/real_runs/* --sim "$dir/sim" --workload "$dir/workload" \
      --out "$dir/comparison" >&2
    "$FIDELIO" --root "$dir" bundle "$dir/comparison" --out "$dir/bundles/load_$share.zip" >&2
  fi
  printf '{"share": %s, "rate_rps": %s, "num_requests": %s, "way": "%s"}\n' "$share" "$rate" "$count" "$way" |
    tee "$dir/load.json"
}

# --- the whole -------------------------------------------------------------------------------------------------

# Logs, tables and figures of these stages in one archive; raw rows are in the bundle, logits and weights stay.
archive() {
  local name
  name=files-$(IFS=-; echo "${stages[*]}").tar.gz
  (cd "$work" && find "${stages[@]}" -type f \( -name '*.log' -o -name '*.json' -o -name '*.rows' -o -name '*.tsv' \
    -o -name '*.md' -o -name 'machine.txt' -o -name '*.svg' -o -path '*/profile/root/*' -o -path '*/tables/*' \) \
    ! -name 'logits.json' ! -name '*.partial' -print0 2>/dev/null | tar --null -czf "$out/$name" -T -) ||
    echo "the archive is incomplete" >&2
}

report() {
  "$python" "$here/report.py" "$out" --out "$out/report.md" "$@"
}

main() {
  trap 'archive || true; report >/dev/null 2>&1 || true' EXIT
  trap '[[ -z $child ]] || kill "$child" 2>/dev/null; exit 143' TERM INT

  for stage in "${stages[@]}"; do
    started=$SECONDS
    mkdir -p "$work/$stage"
    rm -f "$work/$stage/steps.tsv"
    echo "== $stage"
    machine
    case $stage in
      check) check ;;
      bench) bench ;;
      serve) serve ;;
    esac
    publish
    echo
    report --print "$stage" || { echo "no report: see above" >&2; failures=$((failures + 1)); }
  done

  if ((failures > 0)); then
    echo "$failures steps failed or found no time: logs are in the archive"
    exit 1
  fi
}

# Read as a whole before it runs: an edit of this file cannot reach a run.
main
exit 0
