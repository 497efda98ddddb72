#!/usr/bin/env python3
"""A plain HTTP API behind nginx: whatever is asked, it answers with the headers that reached it.

    api.py PORT
"""

import http.server
import json
import sys


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the request's headers as a JSON object of lower-case names."""

    def do_GET(self):
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
