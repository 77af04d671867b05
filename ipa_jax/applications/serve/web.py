"""The page: photos go in by POST, the order comes out as JSON, and static/serve.js shows it.

Photos leave as small JPEGs without their metadata, under keys that are hashes. No reply is kept by the browser's cache.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from flask import Flask, Response, abort, jsonify, render_template, request
from jinja2 import FileSystemLoader
from werkzeug.exceptions import HTTPException

from ipa_jax import local_page
from ipa_jax.applications import rank_page
from ipa_jax.applications.serve.session import MOST_BYTES, TOO_LARGE, Session

MOST_REQUEST = 64 << 20  # bytes of a POST: one photo of any size that is taken, or several small ones
LARGE = 1280  # pixels of a photo that is compared
SIDES = {"small": rank_page.PHOTO_SIDE, "large": LARGE}
FOLDER = Path(__file__).parent


def create_app(session: Session, *, hosts: Sequence[str] | None = local_page.LOOPBACK, token: str = "") -> Flask:
    """The WSGI application of a session.

    Args:
      session: what the page shows.
      hosts, token: as `local_page.new_app` takes them.
    """
    app = local_page.new_app(__name__, hosts, token=token, most_bytes=MOST_REQUEST)
    app.jinja_env.loader = FileSystemLoader([FOLDER / "templates", rank_page.TEMPLATES])
    app.register_error_handler(HTTPException, _plain_error)
    app.after_request(_not_kept)
    pages = _Pages(session)
    shown: dict[str, Callable] = {
        "": pages.page,
        "ranking.css": pages.style,
        "state": pages.state,
        "photo/<key>/<size>": pages.photo,
        "post/<key>": pages.post,
        "similar/<key>": pages.similar,
    }
    sent: dict[str, Callable] = {"photos": pages.add, "pick": pages.pick}
    for method, rules in (("GET", shown), ("POST", sent)):
        for url, page in rules.items():
            app.add_url_rule(local_page.root(app) + url, view_func=page, methods=[method])
    return app


def _plain_error(error: HTTPException) -> Response:
    return Response(f"{error.name}\n", error.code, mimetype="text/plain")


def _not_kept(response: Response) -> Response:
    if response.mimetype != "text/html" and request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


class _Pages:
    """The pages, each a method: those of GET only show, those of POST change the session."""

    def __init__(self, session: Session):
        self._session, self._account = session, session.account

    def page(self) -> str:
        """GET /: the page, still without photos."""
        account = self._account
        return render_template(
            "page.html",
            account=account.bank.account,
            record=rank_page.record_view(account.record, account.verdict, account.expected),
            left_out=rank_page.left_out_lines(account.bank.left_out, account.bank.as_of_date),
            about=rank_page.about(account.config.extract.profile, account.past.chosen[-1]),
            most_bytes=MOST_BYTES,
        )

    def style(self) -> Response:
        """GET /ranking.css: the look of ranking.html."""
        return Response((rank_page.TEMPLATES / "ranking.css").read_text(), mimetype="text/css")

    def state(self) -> Response:
        """GET /state?known=VERSION: the order so far as `Session.state` gives it; 204 if nothing changed."""
        state = self._session.state(request.args.get("known", ""))
        return Response(status=204) if state is None else jsonify(state)

    def photo(self, key: str, size: str) -> Response:
        """GET /photo/KEY/small and /photo/KEY/large: a photo that is ranked."""
        return _jpeg(self._session.photo(key, SIDES[size]) if size in SIDES else None)

    def post(self, key: str) -> Response:
        """GET /post/KEY: the thumbnail of a post of the history."""
        return _jpeg(self._account.post(key))

    def similar(self, key: str) -> str:
        """GET /similar/KEY: the posts most similar to a photo, as a piece of HTML."""
        photo = self._session.ranked(key)
        if photo is None:
            abort(404)
        posts = [rank_page.post_view(post) | {"key": self._account.post_key(post.path)} for post in photo.similar]
        return render_template("similar.html", posts=posts)

    def add(self) -> Response:
        """POST /photos: files `photo`, and names `too_large` of files that the browser did not send."""
        for file in request.files.getlist("photo"):
            self._session.add(file.filename or "", file.read(MOST_BYTES + 1))
        for name in request.form.getlist("too_large"):
            self._session.refuse(name, TOO_LARGE)
        return Response(status=204)

    def pick(self) -> Response:
        """POST /pick: marks the photo `key` as an own pick if `on` is 1, and takes the mark off otherwise."""
        if not self._session.pick(request.form.get("key", ""), request.form.get("on") == "1"):
            abort(404)
        return Response(status=204)


def _jpeg(content: bytes | None) -> Response:
    if content is None:
        abort(404)
    return Response(content, mimetype="image/jpeg")
