# shellcheck shell=bash
# Requests that no SDK would send, and what the guard tells the server.

check_raw_requests() { # SERVER
    local server="$1"
    new_token "$server"
    check "${server}_guard_without_a_token" challenges "$server" "" ""
    check "${server}_guard_with_garbage" challenges "$server" "Authorization: Bearer e30.e30.e30" invalid_token
    check "${server}_guard_with_another_scheme" challenges "$server" "Authorization: Basic dTpw" ""
    check "${server}_guard_with_a_token_in_the_query" refuses_query_token "$server"
    check "${server}_guard_with_two_tokens" refuses_two_tokens "$server"
    local own="$TOKEN"
    new_token api
    check "${server}_guard_with_a_token_for_elsewhere" challenges "$server" "Authorization: Bearer $TOKEN" invalid_token
    TOKEN="$own"
    check "${server}_guard_refuses_a_batch" refuses_batch "$server"
    check "${server}_guard_compares_mcp_name" mismatches "$server" close_ticket -H "Mcp-Method: tools/call" -H "Mcp-Name: search_tickets"
    check "${server}_guard_compares_mcp_method" mismatches "$server" close_ticket -H "Mcp-Method: tools/list" -H "Mcp-Name: close_ticket"
    check "${server}_guard_wants_mcp_method" mismatches "$server" search_tickets -H "Mcp-Name: search_tickets"
    check "${server}_guard_wants_mcp_name" mismatches "$server" search_tickets -H "Mcp-Method: tools/call"
    check "${server}_guard_refuses_a_repeated_mcp_name" refuses_repetition "$server"
    check "${server}_guard_refuses_a_repeated_json_member" refuses_repeated_member "$server"
    check "${server}_guard_checks_calls_without_headers" checks_without_headers "$server"
    check "${server}_guard_refuses_too_large_a_body" refuses_large_body "$server"
    check "${server}_guard_tells_the_server_who_calls" tells_who_calls "$server"
}

challenges() { # SERVER HEADER ERROR
    local challenge metadata url
    post_rpc "$1" "$(call_body search_tickets)" ${2:+-H "$2"} "${MODERN[@]}" -H "Mcp-Method: tools/call" -H "Mcp-Name: search_tickets"
    expect_equal status 401 "$HTTP_STATUS"
    challenge="$(header www-authenticate)"
    url="$(sed -n 's/.*resource_metadata="\([^"]*\)".*/\1/p' <<< "$challenge")"
    [[ -n "$url" ]] || fail "no resource_metadata in: $challenge"
    # RFC 6750 §3.1: without authentication information "the resource server SHOULD NOT include an error code".
    expect_equal "error of the challenge" "$3" "$(sed -n 's/.*[ ,]error="\([^"]*\)".*/\1/p' <<< "$challenge")"
    metadata="$(fetch_json "$url")"
    expect_equal resource "$(resource "$1")" "$(json resource <<< "$metadata")"
    expect_equal "authorization server" "$TASKPASS_URL" "$(json authorization_servers.0 <<< "$metadata")"
}

refuses_query_token() { # SERVER
    request POST "$(resource "$1")?access_token=$TOKEN" "${JSON[@]}" "${MODERN[@]}" -H "Mcp-Method: tools/list" --data "$(list_body)"
    [[ "$HTTP_STATUS" == 400 || "$HTTP_STATUS" == 401 ]] || fail "status $HTTP_STATUS"
}

refuses_two_tokens() { # SERVER
    post_rpc "$1" "$(list_body)" -H "Authorization: Bearer $TOKEN" -H "Authorization: Bearer $TOKEN" "${MODERN[@]}" -H "Mcp-Method: tools/list"
    [[ "$HTTP_STATUS" == 400 || "$HTTP_STATUS" == 401 ]] || fail "status $HTTP_STATUS"
}

# Each of the two calls would be allowed by itself.
refuses_batch() { # SERVER
    post_authorized "$1" "[$(call_body search_tickets),$(call_body get_ticket_by_id)]"
    expect_equal status 400 "$HTTP_STATUS"
    expect_equal code -32600 "$(body error.code)"
}

mismatches() { # SERVER TOOL HEADER…
    local server="$1" tool="$2"
    shift 2
    post_authorized "$server" "$(call_body "$tool")" "${MODERN[@]}" "$@"
    # MCP 2026-07-28: servers "MUST reject requests" whose headers and body disagree, with 400 and HeaderMismatch.
    expect_equal "status (the answer was: $(answer))" 400 "$HTTP_STATUS"
    expect_equal code -32020 "$(body error.code)"
    expect_equal id 1 "$(body id)"
}

refuses_repetition() { # SERVER
    post_authorized "$1" "$(call_body search_tickets)" "${MODERN[@]}" -H "Mcp-Method: tools/call" \
        -H "Mcp-Name: search_tickets" -H "Mcp-Name: close_ticket"
    expect_equal "status (the answer was: $(answer))" 400 "$HTTP_STATUS"
}

# Whichever of the two names a server reads, nobody closes a ticket.
refuses_repeated_member() { # SERVER
    local text
    text="$(call_body search_tickets | sed 's/"name": "search_tickets"/"name": "close_ticket", "name": "search_tickets"/')"
    grep -q close_ticket <<< "$text" || fail "the request is not as meant: $text"
    post_authorized "$1" "$text" "${MODERN[@]}" -H "Mcp-Method: tools/call" -H "Mcp-Name: search_tickets"
    expect_equal "status (the answer was: $(answer))" 400 "$HTTP_STATUS"
}

# Without any MCP header it is a call of the session era, or nonsense: the tool is checked all the same.
checks_without_headers() { # SERVER
    post_authorized "$1" "$(call_body close_ticket)"
    [[ "$(body error.code)" == -32003 || "$(body error.code)" == -32020 ]] || fail "status $HTTP_STATUS: $(answer)"
}

refuses_large_body() { # SERVER
    python3 -c 'print("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"x\":\"" + "x" * 3_000_000 + "\"}}")' \
        > "$SUITE_DIR/large.json"
    post_authorized "$1" "@$SUITE_DIR/large.json" "${MODERN[@]}" -H "Mcp-Method: tools/list"
    expect_equal status 413 "$HTTP_STATUS"
}

# Whatever the caller says of itself, the server reads the guard's words.
tells_who_calls() { # SERVER
    post_authorized "$1" "$(call_body search_tickets)" "${MODERN[@]}" -H "Mcp-Method: tools/call" -H "Mcp-Name: search_tickets" \
        -H "X-Taskpass-Agent: root" -H "X-Taskpass-Sub: root"
    expect_equal "status (the answer was: $(answer))" 200 "$HTTP_STATUS"
    fetch_json "$(upstream_of "$1")/seen" | python3 -c '
import json, sys
headers = json.load(sys.stdin)["requests"][-1]
told = [headers.get(name) for name in ("x-taskpass-agent", "x-taskpass-sub", "x-taskpass-task")]
if told != sys.argv[1:]:
    sys.exit(f"the server was told {told}")' triage "$(claim "$TOKEN" sub)" "$(claim "$TOKEN" task)"
}
