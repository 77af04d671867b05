"""What every local web page of the project shares: who may ask, the headers of each answer, and how it is served.

A page listens on this computer alone unless it is told otherwise. Its answers forbid anything from elsewhere, and
another site's page can neither read it nor send it a form.
"""

import errno
import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from flask import Flask, Response, abort, current_app, request
from waitress.server import create_server

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
MOST_BYTES = 16_384  # of a request
THREADS = 8
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # not no-referrer, which would make a form's Origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}


def new_app(
    module: str, hosts: Sequence[str] | None = LOOPBACK, *, token: str = "", most_bytes: int = MOST_BYTES
) -> Flask:
    """A Flask application without pages, which refuses what a local page should refuse.

    Args:
      module: `__name__` of the page's module; templates/ and static/ lie beside it.
      hosts: names that the page may be asked for by, so that another site cannot borrow its address; None: any.
      token: what every address must begin with, as /TOKEN/..., to be answered; "": nothing. The pages' rules begin with
        `root(app)`.
      most_bytes: of a request.
    """
    app = Flask(module, static_url_path=f"/{token}/static" if token else None)
    app.config |= {"HOSTS": hosts, "TOKEN": token, "MAX_CONTENT_LENGTH": most_bytes}
    app.before_request(_known_host_only)
    app.before_request(_token_only)
    app.before_request(_same_site_only)
    app.after_request(_closed)
    return app


def _known_host_only() -> None:
    """Refuses a request under another name. (Flask's TRUSTED_HOSTS takes no IPv6 addresses.)"""
    hosts = current_app.config["HOSTS"]
    if hosts is not None and re.sub(r":\d+$", "", request.host) not in hosts:
        abort(400)


def new_token(host: str) -> str:
    """A token for a page that listens on --host: random, or "" if only this computer can reach it."""
    return "" if is_loopback(host) else secrets.token_urlsafe(18)


def root(app: Flask) -> str:
    """The path of the first page: "/", or "/TOKEN/"."""
    token = app.config["TOKEN"]
    return f"/{token}/" if token else "/"


def _token_only() -> None:
    """Refuses whoever was not given the address."""
    token = current_app.config["TOKEN"]
    given = request.path.split("/", 2)[1]
    if token and not hmac.compare_digest(given.encode(errors="replace"), token.encode()):
        abort(403)


def _same_site_only() -> None:
    """Refuses a form that another site's page sends."""
    if request.method == "POST":
        here = request.host_url.rstrip("/")
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if request.headers.get("Origin", here) != here or site not in ("same-origin", "none"):
            abort(403)


def _closed(response: Response) -> Response:
    response.headers.update(HEADERS)
    if response.mimetype == "text/html":  # the back button must ask again
        response.headers["Cache-Control"] = "no-store"
    return response


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach an address or name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def trusted_hosts(host: str) -> Sequence[str] | None:
    """`hosts` of `new_app` for a page that listens on --host: the names of this computer, or any name."""
    return LOOPBACK if is_loopback(host) else None


@contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Sockets that hold the port, on every address of the host.

    Raises:
      ValueError: they cannot be had; names --host or --port.
    """
    with ExitStack() as held:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            places = dict.fromkeys((family, address) for family, *_, address in found)
            sockets = [held.enter_context(socket.create_server(address, family=family)) for family, address in places]
        except (socket.gaierror, UnicodeError) as error:
            raise ValueError(f"--host {host}: no such host; give a name or an address of this computer") from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise ValueError(f"--host {host}: not an address of this computer; 0.0.0.0 is all of them") from error
            wrong = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
            raise ValueError(f"--port {port}: {wrong}; give another port, or 0 for any free one") from error
        yield sockets


def addresses(sockets: Sequence[socket.socket]) -> list[str]:
    """The URLs of the page that these sockets serve."""
    names = [held.getsockname()[:2] for held in sockets]
    return [f"http://{f'[{host}]' if ':' in host else host}:{port}/" for host, port in names]


def serve(app: Flask, sockets: Sequence[socket.socket]) -> None:
    """Serves the page until Ctrl-C. Warns first if other computers can reach it."""
    if app.config["HOSTS"] is None:
        who = "who has its address" if app.config["TOKEN"] else "on the network"
        print(f"warning: anyone {who} can reach this page, and nothing is encrypted (--host)", flush=True)
    most = app.config["MAX_CONTENT_LENGTH"] + 1  # waitress refuses what reaches it
    with closing(create_server(app, sockets=sockets, threads=THREADS, ident="", max_request_body_size=most)) as server:
        server.run()
