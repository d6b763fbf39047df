"""A bestseller recommender as an HTTP service, in 40 lines. Start: python examples/http_server.py [PORT]"""

import json
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RUNS = {}
"""The state of each run: items taken, number of items, items that are not live, and the bestsellers."""


class Service(BaseHTTPRequestHandler):
    def do_GET(self):  # /version: another one wherever the ranking changes
        self.reply(200, {"version": "1"})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/reset":
            RUNS[request["run"]] = {"log": [], "n_items": 0, "not_live": [], "order": []}
        if request["run"] not in RUNS:
            return self.reply(409, {"error": "unknown run"})
        calls = {"/observe": self.observe, "/fit": self.fit, "/recommend": self.recommend}
        self.reply(200, calls.get(self.path, lambda run, request: {})(RUNS[request["run"]], request))

    def observe(self, run, request):
        run["n_items"], run["not_live"] = request["n_items"], request["not_live"]
        # A repeated call writes the same entries to the same positions.
        run["log"][request["first"] :] = request["interactions"]["item"]

    def fit(self, run, request):
        run["order"] = [item for item, _ in Counter(run["log"]).most_common()]

    def recommend(self, run, request):
        ranking, not_live = [*run["order"], *range(run["n_items"])], set(run["not_live"])
        live = [item for item in dict.fromkeys(ranking) if item not in not_live]
        blocked = map(set, request["blocked"])
        items = [[item for item in live if item not in own][: request["n"]] for own in blocked]
        return {"users": request["users"], "items": items}

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 8000), Service)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
