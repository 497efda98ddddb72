# shellcheck shell=bash
# What the conformance suites share. Each suite begins with:
#
#     #!/usr/bin/env bash
#     # needs: go                     (programs without which the suite is skipped; optional)
#     set -euo pipefail
#     . "$(dirname -- "${BASH_SOURCE[0]}")/../lib.sh"
#     begin_suite spire
#
# A suite's stdout is its report, one line per test:
#
#     ok NAME
#     not ok NAME: why
#     skip NAME: reason
#
# All else goes to stderr or into files under $SUITE_DIR, which is removed at the end.

CONFORMANCE_DIR="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
ROOT_DIR="$(dirname -- "$CONFORMANCE_DIR")"

readonly JWT_BEARER="urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
readonly JWT_SPIFFE="urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
readonly TOKEN_EXCHANGE="urn:ietf:params:oauth:grant-type:token-exchange"
readonly TOKEN_TYPE_JWT="urn:ietf:params:oauth:token-type:jwt"
readonly TOKEN_TYPE_ACCESS_TOKEN="urn:ietf:params:oauth:token-type:access_token"
export JWT_BEARER JWT_SPIFFE TOKEN_EXCHANGE TOKEN_TYPE_JWT TOKEN_TYPE_ACCESS_TOKEN

# --- The report ---------------------------------------------------------------------------------------------

FAILED=0

ok() { # NAME
    printf 'ok %s\n' "$1"
}

not_ok() { # NAME WHY
    FAILED=$((FAILED + 1))
    printf 'not ok %s: %s\n' "$1" "$(one_line "$2")"
}

skip() { # NAME REASON
    printf 'skip %s: %s\n' "$1" "$(one_line "$2")"
}

note() { # TEXT: for the person who watches
    printf '  # %s\n' "$1" >&2
}

one_line() {
    printf '%s' "$1" | tr -s '\n\r\t ' ' '
}

# check NAME FUNCTION [ARGUMENT…]: one test. The function runs in a subshell under `set -e`; what it prints is the
# reason if it fails. Whatever must outlive the test (a process, a variable) is started outside of it.
check() {
    local name="$1" reason status
    shift
    # Not `if reason="$(…)"`: a condition would switch `set -e` off inside the function.
    set +e
    reason="$(
        set -euo pipefail
        "$@" 2>&1
    )"
    status=$?
    set -e
    if ((status == 0)); then
        ok "$name"
    else
        not_ok "$name" "${reason:-exit code $status, without a word}"
    fi
}

fail() { # WHY: ends the test that `check` runs
    printf '%s\n' "$1"
    exit 1
}

expect_equal() { # WHAT WANTED FOUND
    [[ "$2" == "$3" ]] || fail "$1: wanted '$2', found '$3'"
}

# --- The suite's folder and its processes -------------------------------------------------------------------

SUITE=""
SUITE_DIR=""
STARTED=()       # Pids that this suite started and has not yet stopped. Nothing else is ever signalled.
STARTED_PID=""

begin_suite() { # NAME
    SUITE="$1"
    local tool
    while read -r tool; do
        if [[ -n "$tool" ]] && ! command -v "$tool" > /dev/null; then
            skip "$SUITE" "'$tool' is not installed"
            exit 0
        fi
    done < <(sed -n 's/^# needs: //p' "$0" | tr ' ' '\n')
    # Always /tmp: the path of a unix socket must fit into 107 bytes.
    SUITE_DIR="$(mktemp -d "/tmp/taskpass-$SUITE.XXXXXXXX")"
    trap end_suite EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

end_suite() {
    local status=$? pid log
    trap '' INT TERM
    set +e
    # Before the processes are stopped: their last words would push the interesting ones out.
    if ((FAILED > 0 || status != 0)); then
        for log in "$SUITE_DIR"/*.log; do
            [[ -s "$log" ]] || continue
            printf '  # last lines of %s:\n' "$(basename "$log")" >&2
            tail -n 15 "$log" | sed 's/^/  #   /' >&2
        done
        ((status != 0)) || status=1
    fi
    for pid in "${STARTED[@]}"; do
        stop_process "$pid"
    done
    if [[ -n "${TASKPASS_KEEP:-}" ]]; then
        note "kept: $SUITE_DIR"
    else
        rm -rf -- "$SUITE_DIR"
    fi
    exit "$status"
}

# start_process NAME COMMAND…: in the background, output to $SUITE_DIR/NAME.log, pid in STARTED_PID.
start_process() {
    local name="$1"
    shift
    # Appended to, since a restart has the same name.
    "$@" >> "$SUITE_DIR/$name.log" 2>&1 < /dev/null &
    STARTED_PID=$!
    STARTED+=("$STARTED_PID")
}

# stop_process PID: asks, waits ten seconds, insists. Only for a pid that start_process gave.
stop_process() {
    local pid="$1" other
    local -a rest=()
    for other in "${STARTED[@]}"; do
        [[ "$other" == "$pid" ]] || rest+=("$other")
    done
    # Not one of ours, or already reaped: its number may belong to somebody else by now.
    ((${#rest[@]} < ${#STARTED[@]})) || return 0
    STARTED=("${rest[@]}")
    kill -TERM "$pid" 2> /dev/null || true
    wait_until 10 process_is_gone "$pid" || kill -KILL "$pid" 2> /dev/null || true
    # Its exit code says only that it was stopped.
    wait "$pid" 2> /dev/null || true
}

process_is_gone() {
    ! kill -0 "$1" 2> /dev/null
}

# wait_until SECONDS COMMAND…: repeats the command until it succeeds; fails when the time is up.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

# A loopback port that is free at this moment, below the range from which the system takes client ports.
free_port() {
    local port
    while true; do
        port=$((20000 + RANDOM % 12000))
        # Connecting succeeds where somebody listens.
        if ! (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
}

# --- Taskpass -----------------------------------------------------------------------------------------------

TASKPASS_URL=""  # Also the issuer, since the suites use the tenant `main`.
TASKPASS_PID=""

# build_taskpass: sets TASKPASS_BIN, unless it is given, to the debug binary, built now.
build_taskpass() {
    if [[ -z "${TASKPASS_BIN:-}" ]]; then
        # In CI the lock file must already be right; at a developer's desk it may be in the making.
        (cd "$ROOT_DIR" && cargo build --bin taskpass ${CI:+--locked}) >&2
        TASKPASS_BIN="$(cd "$ROOT_DIR" && cargo metadata --format-version 1 --no-deps |
            json target_directory)/debug/taskpass"
    fi
    [[ -x "$TASKPASS_BIN" ]] || {
        echo "TASKPASS_BIN is not a program: $TASKPASS_BIN" >&2
        return 1
    }
    export TASKPASS_BIN
}

# start_taskpass REGISTRY [FLAG…]: a server on SQLite in $SUITE_DIR/taskpass. Sets TASKPASS_URL and TASKPASS_PID.
# Called again after stop_taskpass, it is a restart: same data, same address.
start_taskpass() {
    local registry="$1" port
    shift
    [[ -n "${TASKPASS_BIN:-}" ]] || build_taskpass
    mkdir -p "$SUITE_DIR/taskpass"
    # A port can be taken between our look and the server's start, hence three attempts.
    for _ in 1 2 3; do
        if [[ -z "$TASKPASS_URL" ]]; then
            port="$(free_port)"
        else
            port="${TASKPASS_URL##*:}"
        fi
        # Nothing that this shell's user has set for a Taskpass of theirs may reach the one under test.
        start_process taskpass env -i PATH="$PATH" HOME="$SUITE_DIR" RUST_BACKTRACE=1 \
            "$TASKPASS_BIN" serve --listen "127.0.0.1:$port" --public-url "http://127.0.0.1:$port" \
            --database-url "sqlite:$SUITE_DIR/taskpass/taskpass.sqlite" --data-dir "$SUITE_DIR/taskpass" \
            --registry "$registry" "$@"
        TASKPASS_PID="$STARTED_PID"
        if wait_until 30 is_ready_or_gone "http://127.0.0.1:$port" "$TASKPASS_PID" && is_ready "http://127.0.0.1:$port"; then
            TASKPASS_URL="http://127.0.0.1:$port"
            return
        fi
        stop_process "$TASKPASS_PID"
    done
    echo "taskpass did not become ready on 127.0.0.1:$port" >&2
    return 1
}

stop_taskpass() {
    stop_process "$TASKPASS_PID"
    TASKPASS_PID=""
}

is_ready() {
    curl --silent --fail --max-time 2 --noproxy '*' "$1/readyz" > /dev/null
}

is_ready_or_gone() {
    is_ready "$1" || process_is_gone "$2"
}

# --- Tests of real processes --------------------------------------------------------------------------------

# process_tests MODULE::NAME…: runs these tests of `tests/processes` one after the other, each with what the environment says,
# on a PostgreSQL of their own unless there is one. They build and start the debug binary themselves.
process_tests() {
    local name
    local -a with=()
    if [[ -z "${TASKPASS_TEST_POSTGRES_URL:-}" ]]; then
        if ! "$ROOT_DIR/scripts/with-postgres" --check 2> /dev/null; then
            skip "$SUITE" "no PostgreSQL server is installed"
            return
        fi
        with=("$ROOT_DIR/scripts/with-postgres")
    fi
    for name in "$@"; do
        check "${name#*::}" process_test "$name" "${with[@]}"
        if [[ -s "$SUITE_DIR/measured" ]]; then
            note "$(cat "$SUITE_DIR/measured")"
        fi
        rm -f -- "$SUITE_DIR/measured"
    done
}

process_test() { # MODULE::NAME [WRAPPER…]
    local name="$1" log="$SUITE_DIR/process-test.log"
    shift
    cd -- "$ROOT_DIR"
    if "$@" cargo test ${CI:+--locked} --test processes -- --exact --nocapture --test-threads 1 "$name" \
        > "$log" 2>&1 && grep -q '^test result: ok. 1 passed' "$log"; then
        # What was measured: the test's own last word.
        grep -E '; [0-9.]+ s$' "$log" > "$SUITE_DIR/measured" || true
        return 0
    fi
    grep -vE '^ *(Compiling|Finished|Running)' "$log" | tail -n 20
    return 1
}

# --- HTTP and JSON ------------------------------------------------------------------------------------------

HTTP_STATUS=""
HTTP_HEADERS=""
HTTP_BODY=""

# post_form URL [NAME=VALUE…]: sets HTTP_STATUS, HTTP_HEADERS and HTTP_BODY.
post_form() {
    local url="$1" pair work
    shift
    local -a fields=()
    for pair in "$@"; do
        fields+=(--data-urlencode "$pair")
    done
    work="$(mktemp -d "$SUITE_DIR/http.XXXXXXXX")"
    HTTP_STATUS="$(curl --silent --show-error --max-time 20 --noproxy '*' --request POST \
        --dump-header "$work/headers" --output "$work/body" --write-out '%{http_code}' "${fields[@]}" "$url")" ||
        fail "no answer from $url"
    HTTP_HEADERS="$(tr -d '\r' < "$work/headers")"
    HTTP_BODY="$(cat "$work/body" 2> /dev/null || true)"
    rm -rf -- "$work"
}

# json PATH: the member at a dotted path of the JSON on stdin. Strings come bare, all else as JSON, a missing one empty.
json() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for name in filter(None, sys.argv[1].split(".")):
    if isinstance(value, list) and name.isdigit() and int(name) < len(value):
        value = value[int(name)]
    elif isinstance(value, dict) and name in value:
        value = value[name]
    else:
        sys.exit()
print(value if isinstance(value, str) else json.dumps(value))' "$1"
}

body() { # PATH: a member of the last answer
    printf '%s' "$HTTP_BODY" | json "$1"
}

# jwt_part HEADER_OR_PAYLOAD TOKEN PATH: a member of a JWT, unverified. The first argument is 1 or 2.
jwt_part() {
    printf '%s' "$2" | cut -d . -f "$1" | python3 -c '
import base64, sys
part = sys.stdin.read().strip()
sys.stdout.buffer.write(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))' | json "$3"
}

claim() { # TOKEN PATH
    jwt_part 2 "$1" "$2"
}

# The last answer, fit for a report: no token belongs there, not even a test's.
answer() {
    sed -E 's/("[a-z_]*token" *: *")[^"]{20,}"/\1(hidden)"/g' <<< "$HTTP_BODY"
}

# expect_issued: the last answer is a token; sets ACCESS_TOKEN.
expect_issued() {
    expect_equal "status (the answer was: $(answer))" 200 "$HTTP_STATUS"
    ACCESS_TOKEN="$(body access_token)"
    [[ -n "$ACCESS_TOKEN" ]] || fail "no access_token in: $(answer)"
    # RFC 6749 §5.1: a response with a token must not be stored.
    expect_no_store
}

# expect_refused STATUS ERROR: the last answer is this refusal and nothing was issued with it.
expect_refused() {
    expect_equal "status (the answer was: $(answer))" "$1" "$HTTP_STATUS"
    expect_equal error "$2" "$(body error)"
    expect_equal access_token "" "$(body access_token)"
    expect_no_store
}

expect_no_store() {
    grep -iq '^cache-control:.*no-store' <<< "$HTTP_HEADERS" || fail "no 'Cache-Control: no-store' in the answer"
}

# keys …: key files and assertions made without Taskpass's code; see keys.py.
keys() {
    python3 "$CONFORMANCE_DIR/keys.py" "$@"
}

# --- Excused skips ------------------------------------------------------------------------------------------

# excuse_for SUITE TEST REASON: prints why conformance/skips.toml excuses this skip; fails if it doesn't.
# `[suite]` excuses any test of the suite, `[suite.test]` one; `when`, if given, must begin the skip's own reason.
excuse_for() {
    SKIP_SUITE="$1" SKIP_TEST="$2" SKIP_REASON="$3" awk '
        function settle() {
            if (reason != "" && (section == ENVIRON["SKIP_SUITE"] || section == ENVIRON["SKIP_SUITE"] "." ENVIRON["SKIP_TEST"]) &&
                (when == "" || index(ENVIRON["SKIP_REASON"], when) == 1)) { print reason; found = 1; exit }
            reason = when = ""
        }
        function quoted(line) { sub(/^[^"]*"/, "", line); sub(/"[^"]*$/, "", line); return line }
        /^\[/       { settle(); section = substr($0, 2, index($0, "]") - 2) }
        /^reason *=/ { reason = quoted($0) }
        /^when *=/   { when = quoted($0) }
        END         { if (!found) settle(); exit !found }
    ' "$CONFORMANCE_DIR/skips.toml"
}
