# shellcheck shell=bash
# What the suite mcp-guard sets up: SDKs, keys, addresses, the registry, servers, guards, tokens, requests.

SDKS=()           # the languages whose SDK is here: python, typescript
declare -A TOOLS=()     # where each SDK is
declare -A ADDRESS=()   # resource URL, upstream and local listener of each guard, by NAME-resource and so on
TOKEN=""
SERVER_PID=""
GUARD_PID=""

readonly JSON=(-H "Content-Type: application/json" -H "Accept: application/json, text/event-stream")
readonly MODERN=(-H "MCP-Protocol-Version: 2026-07-28")

# --- Software, keys, addresses --------------------------------------------------------------------------------

install_sdks() {
    local sdk found status
    for sdk in python typescript; do
        status=0
        found="$("$HERE/install" "$sdk")" || status=$?
        if ((status == 0)); then
            SDKS+=("$sdk")
            TOOLS[$sdk]="$found"
        elif ((status == 75)); then
            skip "$sdk" "$found"
        else
            not_ok "$sdk" "its SDK could not be installed (exit code $status)"
        fi
    done
    if [[ -n "${TOOLS[typescript]:-}" ]]; then
        # Node looks for packages beside the program.
        mkdir "$SUITE_DIR/typescript"
        cp -- "$HERE"/typescript/*.mjs "$SUITE_DIR/typescript/"
        ln -s "${TOOLS[typescript]}/node_modules" "$SUITE_DIR/typescript/node_modules"
    fi
}

# All addresses are chosen before anything runs, since the registry and the key files name them.
choose_addresses() {
    local name what
    choose issuer
    TASKPASS_URL="http://${ADDRESS[issuer]}"
    for name in python typescript api; do
        for what in listen local upstream; do
            choose "$name-$what"
        done
        ADDRESS[$name-resource]="http://${ADDRESS[$name-listen]}/mcp"
    done
    choose nginx
    ADDRESS[api-resource]="http://${ADDRESS[nginx]}/api"
}

choose() { # NAME: a free address that isn't another one's yet
    local address
    until address="127.0.0.1:$(free_port)" && [[ " ${ADDRESS[*]} " != *" $address "* ]]; do :; done
    ADDRESS[$1]="$address"
}

resource() { printf '%s\n' "${ADDRESS[$1-resource]}"; }
upstream_of() { printf 'http://%s\n' "${ADDRESS[$1-upstream]}"; }
local_of() { printf 'http://%s\n' "${ADDRESS[$1-local]}"; }

write_keys() {
    local name
    for name in ops triage python-guard typescript-guard api-guard; do
        keys new "$SUITE_DIR/$name.json" "$name" "$TASKPASS_URL"
    done
    keys new "$SUITE_DIR/idp.json" corp https://idp.example.com
}

# --- The registry ---------------------------------------------------------------------------------------------

# What Alice lets the triage agent do: not to close tickets, and to search for 50 at a time.
details() { # NAME
    printf '[{type: mcp_tool_call, locations: ["%s"], tools: [{name: search_tickets, arguments: {/limit: {maximum: 50}}}, {name: get_ticket_by_id}, {name: watch_tickets}]}]' \
        "$(resource "$1")"
}

write_registry() {
    local name scope
    cat <<YAML
version: 1
tenants:
  - tenant: main
    identity_providers: [{id: corp, issuer: "https://idp.example.com", jwks: $(keys public "$SUITE_DIR/idp.json")}]
    clients: [{client: ops, administrator: [revoke, "registry:read"], identities: [{jwks: $(keys public "$SUITE_DIR/ops.json")}]}]
    resources:
      - {resource: "$(resource api)", name: API, scopes: [api.read]}
YAML
    for name in python typescript; do
        cat <<YAML
      - resource: "$(resource "$name")"
        name: Tickets
        scopes: [tickets.read]
        detail_types: [mcp_tool_call]
        tools:
          - {name: search_tickets, impact: read}
          - {name: get_ticket_by_id, impact: read}
          - {name: watch_tickets, impact: read}
          - {name: close_ticket, impact: external_write}
YAML
    done
    echo "    enforcers:"
    for name in python typescript api; do
        echo "      - {enforcer: $name-guard, resources: [\"$(resource "$name")\"], identities: [{jwks: $(keys public "$SUITE_DIR/$name-guard.json")}]}"
    done
    cat <<YAML
    agents:
      - agent: triage
        owner: alice@example.com
        identities: [{jwks: $(keys public "$SUITE_DIR/triage.json")}]
        ceiling:
          - {resource: "$(resource api)", scopes: [api.read]}
          - {resource: "$(resource python)", scopes: [tickets.read], authorization_details: $(details python)}
          - {resource: "$(resource typescript)", scopes: [tickets.read], authorization_details: $(details typescript)}
    consents:
YAML
    for name in python typescript api; do
        scope="scopes: [tickets.read], authorization_details: $(details "$name")"
        [[ "$name" != api ]] || scope="scopes: [api.read]"
        echo "      - {consent: $name, user: {issuer: \"https://idp.example.com\", subject: alice}, agent: triage," \
            "resource: \"$(resource "$name")\", $scope, expires_at: 4102444800}"
    done
}

# --- Processes ------------------------------------------------------------------------------------------------

# start_server SDK PORT LOG: an MCP server; its pid is SERVER_PID.
start_server() {
    case "$1" in
        python) start_process "$3" "${TOOLS[python]}" "$HERE/python/server.py" "$2" ;;
        typescript) start_process "$3" node "$SUITE_DIR/typescript/server.mjs" "$2" ;;
    esac
    SERVER_PID="$STARTED_PID"
    wait_until 30 fetch_json "http://127.0.0.1:$2/seen" || echo "the $1 server does not answer" >&2
}

# start_guard NAME: the guard of that resource; its pid is GUARD_PID.
start_guard() {
    local name="$1"
    mkdir -p "$SUITE_DIR/guard-$name"
    # Nothing that this shell's user has set for a Taskpass of theirs may reach it.
    start_process "guard-$name" env -i PATH="$PATH" HOME="$SUITE_DIR" RUST_BACKTRACE=1 \
        "$TASKPASS_BIN" guard --issuer "$TASKPASS_URL" --resource "$(resource "$name")" --upstream "$(upstream_of "$name")" \
        --listen "${ADDRESS[$name-listen]}" --local "${ADDRESS[$name-local]}" --credentials "$SUITE_DIR/$name-guard.json" \
        --data-dir "$SUITE_DIR/guard-$name"
    GUARD_PID="$STARTED_PID"
    wait_until 30 is_ready_or_gone "$(local_of "$name")" "$GUARD_PID" && is_ready "$(local_of "$name")"
}

start_guarded() { # SDK
    start_server "$1" "${ADDRESS[$1-upstream]##*:}" "server-$1"
    start_guard "$1"
}

# client SDK ERA URL TOKEN STEPS: the SDK's client; what it prints is described in python/client.py.
client() {
    # On stdin, since everybody on the machine can read arguments.
    local script="{\"url\": \"$3\", \"token\": \"$4\", \"era\": \"$2\", \"steps\": $5}"
    case "$1" in
        python) timeout 60 "${TOOLS[python]}" "$HERE/python/client.py" <<< "$script" ;;
        typescript) timeout 60 node "$SUITE_DIR/typescript/client.mjs" <<< "$script" ;;
    esac
}

# said LINES STEP PATH: a member of what the client printed for that step; nothing if it didn't get there.
said() {
    local line
    line="$(grep -m 1 -E "^\{\"name\": ?\"$2\"" "$1")" || return 0
    json "$3" <<< "$line"
}

expect_said() { # LINES STEP PATH WANTED
    # The whole line if that is not it, or the client's last word if there is none.
    [[ "$(said "$1" "$2" "$3")" == "$4" ]] ||
        fail "$2: $3: wanted '$4', found: $(grep -E "^\{\"name\": ?\"$2\"" "$1" || tail -n 1 "$1")"
}

expect_tools() { # LINES TOOLS
    expect_equal "tools ($(tail -n 1 "$1"))" "$2" "$(said "$1" list tools | tr -d '[],"')"
}

# --- Tokens and revocation ------------------------------------------------------------------------------------

# new_token NAME: sets TOKEN, by exchange of Alice's ID token: a new task.
new_token() {
    local now
    now="$(date +%s)"
    keys sign "$SUITE_DIR/idp.json" '{"alg":"ES256","typ":"JWT"}' \
        "{\"iss\":\"https://idp.example.com\",\"sub\":\"alice\",\"aud\":\"triage\",\"iat\":$now,\"exp\":$((now + 300))}" \
        > "$SUITE_DIR/subject.jwt"
    exchange "$1" id_token
}

# renewed_token NAME: sets TOKEN to another one of the same task.
renewed_token() {
    printf '%s' "$TOKEN" > "$SUITE_DIR/subject.jwt"
    exchange "$1" access_token
}

exchange() { # NAME SUBJECT_TOKEN_TYPE
    TOKEN="$("$TASKPASS_BIN" token --key-file "$SUITE_DIR/triage.json" --resource "$(resource "$1")" \
        --subject-token-file "$SUITE_DIR/subject.jwt" --subject-token-type "$2" 2>> "$SUITE_DIR/token.log")"
    SIGNATURES+=("${TOKEN##*.}")
}

admin() { # revoke|reinstate [FLAG VALUE]: the agent, unless something else is named
    "$TASKPASS_BIN" "$1" "${2:---agent}" "${3:-triage}" --reason conformance --credentials "$SUITE_DIR/ops.json" >> "$SUITE_DIR/admin.log" 2>&1
}

now_ms() {
    date +%s%3N
}

# --- Requests -------------------------------------------------------------------------------------------------

# request METHOD URL [CURL_ARGUMENT…]: sets HTTP_STATUS, HTTP_HEADERS and HTTP_BODY.
request() {
    local method="$1" url="$2" work
    shift 2
    work="$(mktemp -d "$SUITE_DIR/http.XXXXXXXX")"
    HTTP_STATUS="$(curl --silent --show-error --max-time 20 --noproxy '*' --request "$method" \
        --dump-header "$work/headers" --output "$work/body" --write-out '%{http_code}' "$@" "$url")" ||
        fail "no answer from $url"
    HTTP_HEADERS="$(tr -d '\r' < "$work/headers")"
    HTTP_BODY="$(cat "$work/body" 2> /dev/null || true)"
    rm -rf -- "$work"
}

header() { # NAME: of the last answer
    sed -n "s/^$1: *//Ip" <<< "$HTTP_HEADERS" | head -n 1
}

fetch_json() { # URL
    curl --silent --fail --max-time 5 --noproxy '*' "$1"
}

post_rpc() { # SERVER BODY [CURL_ARGUMENT…]
    local server="$1" body="$2"
    shift 2
    request POST "$(resource "$server")" "${JSON[@]}" --data-binary "$body" "$@"
}

post_authorized() { # SERVER BODY [CURL_ARGUMENT…]
    post_rpc "$@" -H "Authorization: Bearer $TOKEN"
}

list_body() {
    rpc tools/list ''
}

call_body() { # TOOL
    rpc tools/call "\"name\": \"$1\", \"arguments\": {\"query\": \"x\", \"id\": 7}, "
}

# A request of 2026-07-28, whose envelope is in its parameters.
rpc() { # METHOD MEMBERS [MEMBERS_OF_META]
    printf '{"jsonrpc": "2.0", "id": 1, "method": "%s", "params": {%s"_meta": {%s"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}}' \
        "$1" "$2" "${3:-}"
}
