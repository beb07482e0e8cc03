"""The web server's socket."""

import socket

from algowatch.engine.options import Listen
from algowatch.engine.server import bind


def test_connections_are_named_as_tcp_so_that_no_answer_waits_for_an_acknowledgement():
    opened, listen = bind(Listen("127.0.0.1", 0))
    with opened, socket.create_connection((listen.host, listen.port)):
        opened.setblocking(True)
        accepted, _ = opened.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP
