"""Starts apertium-apy for the tests, on the loopback address and any free port, and prints its address.

By itself it listens on every interface, and no option changes that.
"""

import sys

import tornado.httpserver
import tornado.netutil


def bind_to_loopback(server, port, *_, **__):
    sockets = tornado.netutil.bind_sockets(port, "127.0.0.1")
    server.add_sockets(sockets)
    print("http://127.0.0.1:%d" % sockets[0].getsockname()[1], flush=True)


tornado.httpserver.HTTPServer.bind = bind_to_loopback

sys.argv = ["apertium-apy", "--port", "0", "/usr/share/apertium"]

from apertium_apy.apy import main  # noqa: E402: it takes both of these as they are when it is imported

main()
