# shellcheck shell=bash
# nginx with auth_request in front of a plain HTTP API: the guard answers nginx's questions and is not in the path.

check_nginx() {
    local nginx status=0
    nginx="$("$HERE/install" nginx)" || status=$?
    if ((status == 75)); then
        skip nginx "$nginx"
        return
    elif ((status != 0)); then
        not_ok nginx "it could not be installed (exit code $status)"
        return
    fi
    start_process api python3 "$HERE/api.py" "${ADDRESS[api-upstream]##*:}"
    if ! start_guard api; then
        not_ok nginx "the guard of the API did not become ready"
        return
    fi
    mkdir "$SUITE_DIR/nginx"
    write_nginx_conf > "$SUITE_DIR/nginx/nginx.conf"
    start_process nginx "$nginx" -p "$SUITE_DIR/nginx" -e stderr -c nginx.conf
    if ! wait_until 10 fetch_json "http://${ADDRESS[nginx]}/alive"; then
        not_ok nginx "it does not answer"
        return
    fi
    note "$("$nginx" -v 2>&1)"

    new_token api
    check nginx_lets_a_token_through lets_through
    check nginx_tells_the_api_who_it_is_whatever_the_caller_says cannot_be_told
    check nginx_passes_the_challenge_on nginx_challenges "" ""
    check nginx_refuses_garbage nginx_challenges "Bearer e30.e30.e30" invalid_token
    check forward_auth_answers_as_traefik_asks answers_traefik
    local own="$TOKEN"
    if ((${#SDKS[@]} > 0)); then
        new_token "${SDKS[0]}"
        check nginx_refuses_a_token_for_elsewhere nginx_challenges "Bearer $TOKEN" invalid_token
    fi
    TOKEN="$own"
    admin revoke
    check nginx_refuses_a_revoked_token_within_a_second refused_within_a_second
    admin reinstate
    new_token api
    check nginx_lets_a_new_token_through lets_through
    check api_guard_logs_no_token logs_no_token guard-api
    stop_process "$GUARD_PID"
    check nginx_lets_nobody_through_without_the_guard fails_closed
    start_guard api || true
    check nginx_lets_through_once_the_guard_is_back lets_through
}

write_nginx_conf() {
    local name
    cat <<CONF
daemon off;
worker_processes 1;
pid $SUITE_DIR/nginx/pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path $SUITE_DIR/nginx/body;
    proxy_temp_path $SUITE_DIR/nginx/proxy;
    fastcgi_temp_path $SUITE_DIR/nginx/fastcgi;
    uwsgi_temp_path $SUITE_DIR/nginx/uwsgi;
    scgi_temp_path $SUITE_DIR/nginx/scgi;
    server {
        listen ${ADDRESS[nginx]};

        location /api {
            auth_request /_taskpass;
CONF
    for name in sub agent task; do
        cat <<CONF
            auth_request_set \$taskpass_$name \$upstream_http_x_taskpass_$name;
            proxy_set_header X-Taskpass-${name^} \$taskpass_$name;
CONF
    done
    cat <<CONF
            # The API needs no token, so it gets none.
            proxy_set_header Authorization "";
            proxy_pass $(upstream_of api);
        }

        location = /_taskpass {
            internal;
            proxy_pass $(local_of api)/forward-auth?scope=api.read;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }

        # Where the challenge sends clients that have no token.
        location /.well-known/oauth-protected-resource {
            proxy_pass http://${ADDRESS[api-listen]};
        }

        location = /alive {
            return 200;
        }
    }
}
CONF
}

ask_nginx() { # [CURL_ARGUMENT…]
    request GET "$(resource api)/tickets/3" "$@"
}

lets_through() {
    ask_nginx -H "Authorization: Bearer $TOKEN"
    expect_equal status 200 "$HTTP_STATUS"
    expect_equal subject "$(claim "$TOKEN" sub)" "$(body x-taskpass-sub)"
    expect_equal agent triage "$(body x-taskpass-agent)"
    expect_equal task "$(claim "$TOKEN" task)" "$(body x-taskpass-task)"
    expect_equal "the token at the API" "" "$(body authorization)"
    ! grep -q eyJ <<< "$HTTP_BODY" || fail "the token reached the API"
}

cannot_be_told() {
    ask_nginx -H "Authorization: Bearer $TOKEN" -H "X-Taskpass-Sub: root" -H "X-Taskpass-Agent: root"
    expect_equal status 200 "$HTTP_STATUS"
    expect_equal subject "$(claim "$TOKEN" sub)" "$(body x-taskpass-sub)"
    expect_equal agent triage "$(body x-taskpass-agent)"
}

nginx_challenges() { # AUTHORIZATION ERROR
    local challenge url
    ask_nginx ${1:+-H "Authorization: $1"}
    expect_equal status 401 "$HTTP_STATUS"
    challenge="$(header www-authenticate)"
    url="$(sed -n 's/.*resource_metadata="\([^"]*\)".*/\1/p' <<< "$challenge")"
    [[ -n "$url" ]] || fail "no resource_metadata in: $challenge"
    expect_equal "error of the challenge" "$2" "$(sed -n 's/.*[ ,]error="\([^"]*\)".*/\1/p' <<< "$challenge")"
    expect_equal resource "$(resource api)" "$(fetch_json "$url" | json resource)"
}

# Traefik's ForwardAuth tells the original request in X-Forwarded-*, and takes over the headers it is told to.
answers_traefik() {
    request GET "$(local_of api)/forward-auth" -H "Authorization: Bearer $TOKEN" -H "X-Forwarded-Method: POST" \
        -H "X-Forwarded-Proto: http" -H "X-Forwarded-Host: ${ADDRESS[nginx]}" -H "X-Forwarded-Uri: /api/tickets/3"
    [[ "$HTTP_STATUS" == 2?? ]] || fail "status $HTTP_STATUS"
    expect_equal agent triage "$(header x-taskpass-agent)"
    request GET "$(local_of api)/forward-auth" -H "X-Forwarded-Method: POST" -H "X-Forwarded-Uri: /api/tickets/3"
    expect_equal "status without a token" 401 "$HTTP_STATUS"
}

refused_within_a_second() {
    local began
    began="$(now_ms)"
    while true; do
        ask_nginx -H "Authorization: Bearer $TOKEN"
        [[ "$HTTP_STATUS" == 200 ]] || break
        (($(now_ms) - began < CUT_MS)) || fail "still let through $(($(now_ms) - began)) ms after the acknowledgement"
    done
    [[ "$HTTP_STATUS" == 401 || "$HTTP_STATUS" == 403 ]] || fail "status $HTTP_STATUS"
}

fails_closed() {
    ask_nginx -H "Authorization: Bearer $TOKEN"
    [[ "$HTTP_STATUS" == 5?? ]] || fail "status $HTTP_STATUS"
}
