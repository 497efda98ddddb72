# shellcheck shell=bash
# What the suites share in which people sign in: Node and its packages, certificates, a registry's parts, a report from a program.

PEOPLE="$CONFORMANCE_DIR/people"
NODE=""          # the Node that the packages need
NODE_MODULES=""  # where they are

# --- Node and packages ------------------------------------------------------------------------------------------

# install_packages: sets NODE and NODE_MODULES, or skips the suite. The packages are pinned, with hashes, by package-lock.json.
install_packages() {
    local lock="$PEOPLE/package-lock.json" cache="$ROOT_DIR/.cache/people" folder
    folder="$cache/$(sha256sum "$lock" | cut -c 1-12)"
    mkdir -p "$cache"
    # Two runs at once would install into the same folder.
    exec 9> "$cache/lock"
    flock 9
    if [[ ! -e "$folder/complete" ]]; then
        note "installing the packages of npm, once"
        rm -rf -- "$folder"
        mkdir -p "$folder"
        cp -- "$PEOPLE/package.json" "$lock" "$folder/"
        if ! (cd -- "$folder" && npm ci --ignore-scripts --no-audit --no-fund) > "$cache/install.log" 2>&1; then
            skip "$SUITE" "the packages can't be installed: $(tail -n 2 "$cache/install.log")"
            exit 0
        fi
        touch "$folder/complete"
    fi
    exec 9>&-
    NODE_MODULES="$folder/node_modules"
    choose_node
}

# The packages want Node 22, which Debian 12 doesn't have. One of them is such a Node.
choose_node() {
    local candidate
    for candidate in node "$NODE_MODULES"/node-linux-*/bin/node; do
        if "$candidate" -e 'process.exit(Number(process.versions.node.split(".")[0]) < 22 ? 1 : 0)' 2> /dev/null; then
            NODE="$candidate"
            return
        fi
    done
    skip "$SUITE" "'node' 22 or newer is not installed, and there is none for this machine among the packages"
    exit 0
}

# copy_programs FOLDER…: the suite's programs, in $SUITE_DIR/programs beside the packages, where Node looks for them.
copy_programs() {
    local folder
    mkdir -p "$SUITE_DIR/programs"
    for folder in "$PEOPLE" "$@"; do
        mkdir -p "$SUITE_DIR/programs/$(basename "$folder")"
        cp -- "$folder"/*.mjs "$SUITE_DIR/programs/$(basename "$folder")/"
    done
    ln -s "$NODE_MODULES" "$SUITE_DIR/programs/node_modules"
}

# run_node PROGRAM [ARGUMENT…]: a program of copy_programs; it trusts the suite's own certificates, and nothing else is set for it.
run_node() {
    env -i PATH="$PATH" HOME="$SUITE_DIR" NODE_NO_WARNINGS=1 \
        ${CERTIFICATES:+NODE_EXTRA_CA_CERTS="$CERTIFICATES/ca.pem"} "$NODE" "$SUITE_DIR/programs/$1" "${@:2}"
}

# reported NAME COMMAND…: a program that prints the report's lines itself; its failures count, and so does its end.
reported() {
    local name="$1" status=0 line
    shift
    "$@" > "$SUITE_DIR/$name.report" 2> >(tee -a "$SUITE_DIR/$name.log" | grep --line-buffered '^  # ' >&2) || status=$?
    while IFS= read -r line; do
        printf '%s\n' "$line"
        [[ "$line" != "not ok "* ]] || FAILED=$((FAILED + 1))
    done < "$SUITE_DIR/$name.report"
    if ((status != 0)); then
        not_ok "$name" "the program ended with exit code $status: $(tail -n 3 "$SUITE_DIR/$name.log")"
    elif ! grep -q '^ok ' "$SUITE_DIR/$name.report"; then
        not_ok "$name" "the program reported no test"
    fi
}

# --- Certificates -----------------------------------------------------------------------------------------------

CERTIFICATES=""

# make_certificates: a CA of the suite's own in $CERTIFICATES/ca.pem, and what a server on loopback shows, in server.pem and server.key.
make_certificates() {
    CERTIFICATES="$SUITE_DIR/certificates"
    mkdir -p "$CERTIFICATES"
    (
        cd -- "$CERTIFICATES"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=Conformance CA" \
            -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem \
            -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n')
    ) > "$SUITE_DIR/certificates.log" 2>&1
}
