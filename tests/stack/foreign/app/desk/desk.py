"""The lending desk: web (lends books), reminders (writes to readers), catalogue (a job), report (a tool)."""

import contextlib
import http.server
import json
import os
import sys
import urllib.request

import redis

database = redis.Redis(os.environ.get("DATABASE", "db"), socket_timeout=1, socket_connect_timeout=1)
# Both or neither, and a loan that is asked for twice is one loan.
LEND = """
if redis.call('sadd', KEYS[1], ARGV[1]) == 1 then
  redis.call('rpush', KEYS[2], ARGV[1])
  redis.call('rpush', KEYS[3], ARGV[1])
end
"""


class Desk(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/metrics":
            self.answer(200, f"desk_database_up {int(up())}\n")
        elif self.path == "/ready":
            self.answer(200, "ready\n")
        elif self.path == "/health":
            self.answer(*(200, "well\n") if up() else (503, "the database does not answer\n"))
        else:
            self.serve(lambda: (200, json.dumps([key.decode() for key in database.lrange("loans", -20, -1)])))

    def do_POST(self):
        key = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.serve(lambda: database.eval(LEND, 3, "lent", "loans", "reminders", key) or (201, "lent\n"))

    def serve(self, work):
        try:
            self.answer(*work())
        except redis.RedisError as error:
            self.answer(503, f"{type(error).__name__}\n")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def up():
    try:
        return database.ping()
    except redis.RedisError:
        return False


def web():
    print(f"{os.environ['DESK_NAME']} lends books", flush=True)
    http.server.ThreadingHTTPServer(("", 8080), Desk).serve_forever()


def reminders():
    # It dies with its database and lives by its restart policy, as many do.
    with redis.Redis(os.environ["DATABASE"]) as queue:
        while True:
            queue.blpop("reminders")


def catalogue():
    database.sadd("catalogue", "Moby Dick", "Emma", "Ulysses")


def report():
    print(database.llen("loans"), "loans")


def ask():
    urllib.request.urlopen(sys.argv[2], timeout=2).read()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        {"web": web, "reminders": reminders, "catalogue": catalogue, "report": report, "ask": ask}[sys.argv[1]]()
