# shellcheck shell=bash
# A token that dies: the streams opened with it, the next calls, and what the guard's local listener says.

# From the acknowledgement of a revocation to the end of an open stream, in milliseconds.
readonly CUT_MS=1000

check_revocation() { # SERVER
    local server="$1" client era name lines
    new_token "$server"
    check "${server}_guard_decides_before_the_revocation" decides "$server" true
    for client in "${SDKS[@]}"; do
        for era in "${ERAS[@]}"; do
            name="${server}_server_${client}_client_${era//-/_}"
            lines="$SUITE_DIR/$name-watch.jsonl"
            new_token "$server"
            revoke_during '"watching"' "$lines" client "$client" "$era" "$(resource "$server")" "$TOKEN" \
                '[{"name":"watch","watch":"watch_tickets","timeout":15000}]'
            check "${name}_is_told_that_its_token_died" is_told "$lines"
            check "${name}_has_no_next_call" challenges "$server" "Authorization: Bearer $TOKEN" invalid_token
            admin reinstate
        done
    done
    new_token "$server"
    revoke_during notifications/progress "$SUITE_DIR/$server-stream.txt" watch_by_curl "$server"
    check "${server}_guard_cuts_the_stream_of_a_call" is_cut "$SUITE_DIR/$server-stream.txt" -32003
    check "${server}_guard_decides_after_the_revocation" decides "$server" false
    admin reinstate

    new_token "$server"
    check "${server}_guard_opens_a_session" open_session "$server"
    renewed_token "$server"
    check "${server}_guard_keeps_the_session_for_the_next_token_of_the_task" calls_in_session "$server"
    revoke_during "HTTP/1.1 200" "$SUITE_DIR/$server-session.txt" listen_by_curl "$server"
    check "${server}_guard_cuts_the_stream_of_a_session" is_cut "$SUITE_DIR/$server-session.txt" text/event-stream
    admin reinstate
    new_token "$server"
    check "${server}_guard_keeps_the_session_from_another_task" has_no_session "$server"

    admin revoke --tool "$(resource "$server")#search_tickets"
    check "${server}_guard_refuses_a_tool_that_was_switched_off" soon call_says "$server" search_tickets -32003
    check "${server}_guard_lets_the_other_tools_be" call_says "$server" get_ticket_by_id "ticket 7"
    admin reinstate --tool "$(resource "$server")#search_tickets"
    # Like every cutoff, this one stays in force for tokens from before it.
    new_token "$server"
    check "${server}_guard_lets_a_new_token_call_the_tool_once_it_is_on_again" call_says "$server" search_tickets "10 tickets"
    note "streams of the $server server ended after the acknowledgement by up to $(sort -n "$SUITE_DIR/lags" | tail -n 1) ms"
}

STARTED_AT=""
REVOKED_AT=""
ENDED_AT=""

# revoke_during TEXT FILE COMMAND…: revokes as soon as the command has printed the text into the file, and waits for its end.
revoke_during() {
    local text="$1" file="$2" pid
    shift 2
    : > "$file"
    "$@" > "$file" 2>> "$SUITE_DIR/clients.log" &
    pid=$!
    STARTED_AT="" REVOKED_AT=""
    if wait_until 20 grep -q "$text" "$file"; then
        STARTED_AT="$(now_ms)"
        admin revoke
        REVOKED_AT="$(now_ms)"
    fi
    wait "$pid" || true
    ENDED_AT="$(now_ms)"
}

within_the_bound() { # FILE MOMENT
    [[ -n "$REVOKED_AT" ]] || fail "it never began: $(tail -n 1 "$1")"
    (($2 > STARTED_AT)) || fail "it was over before the revocation"
    echo "$(($2 - REVOKED_AT))" >> "$SUITE_DIR/lags"
    (($2 - REVOKED_AT < CUT_MS)) || fail "it went on for $(($2 - REVOKED_AT)) ms after the acknowledgement"
}

# A stream that merely ends leaves the TypeScript client waiting until its own timeout, so the guard says why.
is_told() { # LINES
    expect_said "$1" watch error.code -32003
    within_the_bound "$1" "$(said "$1" watch at)"
}

is_cut() { # FILE LAST_WORDS
    within_the_bound "$1" "$ENDED_AT"
    grep -qF -e "$2" "$1" || fail "it ended without '$2'"
}

watch_by_curl() { # SERVER
    local params='"name": "watch_tickets", "arguments": {}, '
    curl --silent --no-buffer --max-time 20 --noproxy '*' "$(resource "$1")" "${JSON[@]}" "${MODERN[@]}" \
        -H "Authorization: Bearer $TOKEN" -H "Mcp-Method: tools/call" -H "Mcp-Name: watch_tickets" \
        --data "$(rpc tools/call "$params" '"progressToken": 1, ')"
}

# 2025-11-25: the session's own stream, on which a server may speak unasked.
open_session() { # SERVER
    post_authorized "$1" '{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "curl", "version": "1"}}}'
    expect_equal "status (the answer was: $(answer))" 200 "$HTTP_STATUS"
    header mcp-session-id > "$SUITE_DIR/$1-session-id"
    [[ -s "$SUITE_DIR/$1-session-id" ]] || fail "no Mcp-Session-Id"
    in_session "$1" '{"jsonrpc": "2.0", "method": "notifications/initialized"}'
    expect_equal "status of the notification" 202 "$HTTP_STATUS"
}

in_session() { # SERVER BODY
    post_authorized "$1" "$2" -H "Mcp-Session-Id: $(cat "$SUITE_DIR/$1-session-id")" -H "MCP-Protocol-Version: 2025-11-25"
}

listen_by_curl() { # SERVER
    curl --silent --include --no-buffer --max-time 20 --noproxy '*' "$(resource "$1")" -H "Accept: text/event-stream" \
        -H "Authorization: Bearer $TOKEN" -H "Mcp-Session-Id: $(cat "$SUITE_DIR/$1-session-id")" \
        -H "MCP-Protocol-Version: 2025-11-25"
}

calls_in_session() { # SERVER
    in_session "$1" "$(call_body get_ticket_by_id | sed 's/, "_meta.*/}}/')"
    expect_equal "status (the answer was: $(answer))" 200 "$HTTP_STATUS"
    grep -q "ticket 7" <<< "$HTTP_BODY" || fail "the answer was: $(answer)"
}

has_no_session() { # SERVER
    in_session "$1" "$(call_body get_ticket_by_id | sed 's/, "_meta.*/}}/')"
    expect_equal "status (the answer was: $(answer))" 404 "$HTTP_STATUS"
}

# soon COMMAND…: it succeeds within about a second.
soon() {
    wait_until 2 apart "$@" || "$@"
}

apart() {
    ("$@")
}

call_says() { # SERVER TOOL WORDS
    post_authorized "$1" "$(call_body "$2")" "${MODERN[@]}" -H "Mcp-Method: tools/call" -H "Mcp-Name: $2"
    grep -qF -e "$3" <<< "$HTTP_BODY" || fail "the answer was: $(answer)"
}

# The local listener: RFC 7662, and a decision on one call.
decides() { # SERVER true|false
    request POST "$(local_of "$1")/introspect" --data-urlencode "token=$TOKEN"
    expect_equal introspection "$2" "$(body active)"
    if [[ "$2" == true ]]; then
        expect_equal "agent in the introspection" triage "$(body act.sub)"
    else
        expect_equal "the whole answer" '{"active": false}' "$(body '')"
    fi
    ask_authorize "$1" search_tickets '{"query": "x", "limit": 50}'
    expect_equal "decision (the answer was: $(answer))" "$2" "$(body allowed)"
    ask_authorize "$1" search_tickets '{"query": "x", "limit": 51}'
    expect_equal "decision beyond the limit" false "$(body allowed)"
    ask_authorize "$1" close_ticket '{"id": 7}'
    expect_equal "decision on another tool" false "$(body allowed)"
}

ask_authorize() { # SERVER TOOL ARGUMENTS
    request POST "$(local_of "$1")/v1/authorize" "${JSON[@]}" --data "{\"token\": \"$TOKEN\", \"tool\": \"$2\", \"arguments\": $3}"
}
