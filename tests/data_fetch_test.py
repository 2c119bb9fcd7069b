#!/usr/bin/env python3
"""elbo data and elbo data fetch, against a web server on this machine. The sizes and checksums that the program knows are
those of the real files, so that what is made up here must be refused, and each time nothing may be left that is wrong.

usage: data_fetch_test.py ELBO_BINARY. Prints one line for each check and closes with 'N passed, N failed'.
"""

import gzip
import http.server
import json
import os
import re
import signal
import struct
import subprocess
import threading
import time

from program import BINARY, check, elbo, finish, rejects, work_in_a_folder_of_its_own, write

work_in_a_folder_of_its_own("elbo-fetch-")
os.environ["no_proxy"] = "127.0.0.1"
SIZES = {"train-images-idx3-ubyte.gz": 9912422, "train-labels-idx1-ubyte.gz": 28881, "t10k-images-idx3-ubyte.gz": 1648877,
         "t10k-labels-idx1-ubyte.gz": 4542}
FIRST = "train-images-idx3-ubyte.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    """The first folder of an address says what the server does."""

    def do_GET(self):
        behaviour, name = self.path.strip("/").split("/")[0], self.path.split("/")[-1]
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(asked[1]) if asked else 0
        self.server.seen.append((behaviour, name, begin))
        if behaviour == "missing":
            return self.send_error(404)
        if behaviour == "moved":
            self.send_response(302)
            self.send_header("Location", f"/half/{name}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        size = SIZES[name] + (behaviour == "long")
        body = bytes(size - begin)
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behaviour in ("half", "stalls"):
            body = b"" if begin else body[:5000]
        try:
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:
            pass  # the program has heard enough
        if behaviour == "stalls":
            self.server.ended.wait(60)

    def log_message(self, *_):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen, server.ended = [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


def files():
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk("data") for name in names)


def idx(count):
    return gzip.compress(struct.pack(">4i", 2051, count, 2, 2) + bytes(7 * i % 11 for i in range(4 * count)))


server, base = serve()
part = f"data/mnist/{FIRST}.part"

# ---- what there is
run = elbo("data")
check("data lists what is missing and how to get it", run.returncode == 0 and all(
    re.search(rf"^{name} +not found .* elbo data fetch {name}$", run.stdout, re.M)
    for name in ("mnist", "fashion-mnist", "kmnist", "cifar10")), run.stdout)
check("and what needs no fetching", all(re.search(rf"^{name} .*--data {name}", run.stdout, re.M)
                                        for name in ("images", "npy", "digits", "sprites", "faces", "ppca")), run.stdout)
os.makedirs("data/fashion-mnist")
write(f"data/fashion-mnist/{FIRST}", idx(7))
os.makedirs("data/cifar10")
write("data/cifar10/test_batch.bin", b"damaged")
write("data/cifar10/data_batch_1.bin", bytes(3073 * 2))
run = elbo("data", "--json")
rows = {row["name"]: row for row in json.loads(run.stdout)["data"]} if run.returncode == 0 else {}
check("with --json as well", run.returncode == 0 and set(rows) >= {"mnist", "fashion-mnist", "kmnist", "cifar10", "digits"},
      run.stdout + run.stderr)
check("what is there is counted", rows["fashion-mnist"]["folder"] == "data/fashion-mnist" and
      rows["fashion-mnist"]["points"] == {"train": 7, "test": 0} and not rows["fashion-mnist"]["complete"], rows)
check("what cannot be read is said", "whole number of records" in rows["cifar10"]["fault"] and
      rows["cifar10"]["folder"] == "data/cifar10" and rows["cifar10"]["how_to_get_it"] == "elbo data fetch cifar10", rows)
check("what is missing has no folder", rows["kmnist"]["folder"] is None and
      rows["kmnist"]["published"] == {"train": 60000, "test": 10000}, rows)
run = elbo("data")
check("the list says so, too", "7 of 60000" in run.stdout and "whole number of records" in run.stdout, run.stdout)
run = elbo("ppca", "--data", "fashion-mnist", "--latent", 1)
check("data of these names are used", run.returncode == 0, run.stderr)
rejects("data that are missing, saying how to get them", "ppca", "--data", "kmnist", mentions=["elbo data fetch kmnist"])
os.remove("data/cifar10/test_batch.bin")
os.remove("data/cifar10/data_batch_1.bin")
os.remove(f"data/fashion-mnist/{FIRST}")
check("nothing was fetched so far", not server.seen and not files(), server.seen)

# ---- command lines
rejects("a fetch of nothing", "data", "fetch", mentions=["name the data set"])
rejects("a fetch of what there is not", "data", "fetch", "minst", mentions=["minst", "kmnist"])
rejects("a mirror for no fetch", "data", "--mirror", base)
rejects("a timeout of 0", "data", "fetch", "mnist", "--timeout", 0)
for mirror in ("ftp://127.0.0.1/x", "file:///etc", "127.0.0.1", "http://"):
    rejects(f"the mirror {mirror}", "data", "fetch", "mnist", "--mirror", mirror, mentions=["is no mirror", mirror])
check("and none of it left anything", not os.path.exists("data/mnist") and not files(), files())
if "built without libcurl" in elbo("data", "fetch", "mnist", "--mirror", base).stderr:
    print("the program was built without libcurl: what follows is skipped")
    finish()


def fails(what, *arguments, mentions=()):
    """Exit status 2, no results, and a last line on standard error that says why."""
    run = elbo("data", "fetch", *arguments)
    last = run.stderr.strip().split("\n")[-1]
    check(what, run.returncode == 2 and not run.stdout and last.startswith("elbo: ") and all(word in last for word in mentions),
          f"status {run.returncode}, stderr {run.stderr!r}")


# ---- servers that fail
fails("a server without the file", "mnist", "--mirror", f"{base}/missing", mentions=["answered 404", f"/missing/{FIRST}"])
fails("a server with another file", "mnist", "--mirror", f"{base}/long/", mentions=["has 9912423 bytes, not 9912422"])
fails("a file of the right size with wrong bytes", "mnist", "--mirror", f"{base}/wrong", mentions=["has the SHA-256", "440fcabf"])
closed = http.server.HTTPServer(("127.0.0.1", 0), Handler)
closed.server_close()
fails("a server that is not there", "mnist", "--mirror", f"http://127.0.0.1:{closed.server_port}/", mentions=["failed: "])
check("none of them left anything", not os.path.exists("data/mnist") and not files(), files())

server.seen.clear()
fails("mirrors are tried in turn, those between commas and those given again", "mnist", "--mirror",
      f"{base}/missing,{base}/long", "--mirror", f"{base}/wrong", mentions=["404", "9912423", "SHA-256"])
check("in their order", [behaviour for behaviour, _, _ in server.seen] == ["missing", "long", "wrong"], server.seen)

server.seen.clear()
fails("a server that breaks off", "mnist", "--mirror", f"{base}/half", mentions=["5000 of its 9912422 bytes are kept", part])
check("what it brought is kept, under no other name", files() == [part] and os.path.getsize(part) == 5000, files())
check("and it was asked to go on", [begin for _, _, begin in server.seen] == [0, 5000], server.seen)
server.seen.clear()
fails("the next attempt", "mnist", "--mirror", f"{base}/moved", mentions=["5000 of its 9912422 bytes are kept"])
check("goes on from there, through a redirect", ("half", FIRST, 5000) in server.seen and
      not [seen for seen in server.seen if seen[2] != 5000], server.seen)
fails("one that ends with wrong bytes", "mnist", "--mirror", f"{base}/wrong", mentions=["SHA-256"])
check("leaves nothing", not files(), files())
os.makedirs("data/else")
write(f"data/else/{FIRST}.part", bytes(5000))
fails("a server that falls silent", "mnist", "--mirror", f"{base}/stalls", "--timeout", 0.5, "--out", "data/else",
      mentions=["sent nothing for 0.50 s", f"5000 of its 9912422 bytes are kept in 'data/else/{FIRST}.part"])
check("what was there is kept where it was to go", files() == [f"data/else/{FIRST}.part"], files())
os.remove(files()[0])

# ---- files of one's own
os.makedirs("data/mnist", exist_ok=True)
write("data/mnist/t10k-labels-idx1-ubyte.gz", b"mine")
server.seen.clear()
rejects("a folder with another file of that name", "data", "fetch", "mnist", "--mirror", f"{base}/half",
        mentions=["t10k-labels-idx1-ubyte.gz' has 4 bytes, not 4542", "--out"])
check("which stays, and no server is asked", open("data/mnist/t10k-labels-idx1-ubyte.gz", "rb").read() == b"mine" and
      not server.seen and len(files()) == 1, files())
os.remove("data/mnist/t10k-labels-idx1-ubyte.gz")
write("data/file", b"")
rejects("a folder that cannot be made", "data", "fetch", "mnist", "--mirror", base, "--out", "data/file/mnist", mentions=["data/file"])
rejects("a folder that is a file", "data", "fetch", "mnist", "--mirror", base, "--out", "data/file", mentions=["data/file"])
os.remove("data/file")

# ---- Ctrl-C
server.seen.clear()
run = subprocess.Popen([BINARY, "data", "fetch", "mnist", "--mirror", f"{base}/stalls", "--timeout", "300"],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
while run.poll() is None and not (os.path.exists(part) and os.path.getsize(part) == 5000):
    time.sleep(0.02)
run.send_signal(signal.SIGINT)
_, errors = run.communicate(timeout=120)
check("Ctrl-C ends a fetch, with its own status", run.returncode == 130 and "stopped; 5000 of its" in errors,
      f"status {run.returncode}, stderr {errors!r}")
check("and keeps what has come", files() == [part] and os.path.getsize(part) == 5000, files())

server.ended.set()
finish()
