"""gunicorn's gthread, less two ways to hold it up from outside, and with one connection a page's POST."""

import socket
import struct

from gunicorn.workers.gthread import ThreadWorker

READ = struct.pack("ll", 30, 0)  # seconds, microseconds: a client that stops in the middle of its request


class Worker(ThreadWorker):
    def handle(self, conn):
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, READ)
        again = super().handle(conn)
        if again is False:  # gunicorn would linger, up to 2 s, on the one thread that accepts and beats
            conn.close(graceful=True)
            conn.close = lambda graceful=False: None
        return again

    def handle_request(self, req, conn):
        if req.method == "POST" and not req.path.startswith(("/v1/", "/api/")):
            req.force_close()  # the answer to a page goes on behind its redirect: the browser must not wait for this connection
        return super().handle_request(req, conn)
