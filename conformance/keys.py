#!/usr/bin/env python3
"""Key files and signed assertions for the conformance suites, made without any of Taskpass's code.

    keys.py new FILE CLIENT_ID ISSUER      writes a private key file (P-256) as `taskpass` reads it
    keys.py public FILE                    prints its public JWK Set, which is also valid YAML
    keys.py assertion FILE [AUDIENCE]      prints a private_key_jwt client assertion (RFC 7523, RFC 10070)
    keys.py sign FILE HEADER CLAIMS        prints a JWS over any header and claims, given as JSON

The curve arithmetic is the textbook's and leaks through timing: for test keys only.
"""

import base64
import hashlib
import json
import os
import secrets
import sys
import time

# FIPS 186-4, curve P-256: y² = x³ − 3x + b over the field of P elements, base point (GX, GY) of order N.
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5


def add(p, q):
    """Adds two points; None is the point at infinity."""
    if p is None:
        return q
    if q is None:
        return p
    (x1, y1), (x2, y2) = p, q
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    if p == q:
        slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def multiply(k, point):
    """k times a point, by double and add."""
    total = None
    while k:
        if k & 1:
            total = add(total, point)
        point = add(point, point)
        k >>= 1
    return total


def encode(data):
    """base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(text):
    """The integer in a base64url member of a JWK."""
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def sign(jwk, header, claims):
    """A compact JWS by ES256 (RFC 7518 §3.4)."""
    signed = ".".join(encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    digest = int.from_bytes(hashlib.sha256(signed.encode()).digest(), "big")
    while True:
        k = 1 + secrets.randbelow(N - 1)
        r = multiply(k, (GX, GY))[0] % N
        s = pow(k, -1, N) * (digest + r * number(jwk["d"])) % N
        if r and s:
            return signed + "." + encode(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def new(path, client_id, issuer):
    """Writes a fresh private key file, readable by its owner only."""
    d = 1 + secrets.randbelow(N - 1)
    x, y = multiply(d, (GX, GY))
    jwk = {"kty": "EC", "crv": "P-256", "x": encode(x.to_bytes(32, "big")), "y": encode(y.to_bytes(32, "big"))}
    # RFC 7638: the thumbprint over the required members in lexical order.
    required = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    jwk |= {"d": encode(d.to_bytes(32, "big")), "alg": "ES256", "kid": encode(hashlib.sha256(required.encode()).digest())}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"issuer": issuer, "client_id": client_id, "private_jwk": jwk}, file)


def public(key):
    """The public JWK Set of a key file."""
    return json.dumps({"keys": [{k: v for k, v in key["private_jwk"].items() if k != "d"} | {"use": "sig"}]})


def assertion(key, audience=None):
    """A client assertion: `aud` is the issuer and nothing else (RFC 10070), good for a minute, used once."""
    now = int(time.time())
    client_id = key["client_id"]
    return sign(
        key["private_jwk"],
        {"alg": "ES256", "kid": key["private_jwk"]["kid"], "typ": "client-authentication+jwt"},
        {"iss": client_id, "sub": client_id, "aud": audience or key["issuer"], "jti": secrets.token_urlsafe(16),
         "iat": now, "exp": now + 60},
    )


def main(arguments):
    """Dispatches on the first argument."""
    if len(arguments) < 2:
        sys.exit(__doc__)
    command, path, *rest = arguments
    if command == "new" and len(rest) == 2:
        new(path, *rest)
        return
    with open(path, encoding="utf-8") as file:
        key = json.load(file)
    if command == "public" and not rest:
        print(public(key))
    elif command == "assertion" and len(rest) <= 1:
        print(assertion(key, *rest))
    elif command == "sign" and len(rest) == 2:
        print(sign(key["private_jwk"], json.loads(rest[0]), json.loads(rest[1])))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
