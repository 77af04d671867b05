"""The page: start, pairs, thanks. Plain forms that work without a script; static/study.js adds keys and calm.

Nothing that leaves here tells an account, an id, a file name or a number of likes: photos go by random keys, to the
participant whose pairs they belong to alone.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flask import Flask, Response, abort, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from ipa_jax.human_study import answers as store
from ipa_jax.human_study import pairs
from ipa_jax.human_study.photo import plain

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset

COOKIE = "participant"
MONTH = 30 * 86_400  # s
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
SECONDS_A_PAIR = 8
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # not no-referrer, which would make a form's Origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}


def create_app(
    dataset: "GroupDataset", answers: store.Answers, *, hosts: Sequence[str] | None = LOOPBACK, pace: float = store.PACE
) -> Flask:
    """The WSGI application of the study that `answers` holds, on the split that it was made for.

    Args:
      hosts: names that the page may be asked for by (another site cannot borrow the address); None: any.
      pace: of Answers.answer.
    """
    app = Flask(__name__)
    app.config |= {"TRUSTED_HOSTS": hosts and list(hosts), "MAX_CONTENT_LENGTH": 16_384}
    study = answers.study()

    def taking_part() -> store.Participant | None:
        code = store.read_code(request.cookies.get(COOKIE, ""))
        return answers.participant(code) if code else None

    def start_page(error: str = "", name: str = "", *, resuming: bool = False) -> tuple[str, int]:
        page = render_template(
            "start.html",
            pairs=study.pairs,
            days=_days(dataset),
            minutes=max(1, round(study.pairs * SECONDS_A_PAIR / 60)),
            code=store.new_code(),
            name=name,
            length=store.NAME_LENGTH,
            error=error,
            resuming=resuming,
        )
        return page, 422 if error else 200

    def to_study(code: str) -> Response:
        response = redirect(url_for("study_page"), 303)
        response.set_cookie(COOKIE, code, max_age=MONTH, httponly=True, samesite="Lax")
        return response

    @app.before_request
    def same_site_only() -> None:
        """Another site's page may not answer for a participant."""
        if request.method == "POST":
            origin = request.headers.get("Origin", request.host_url.rstrip("/"))
            site = request.headers.get("Sec-Fetch-Site", "same-origin")
            if origin != request.host_url.rstrip("/") or site not in ("same-origin", "none"):
                abort(403)

    @app.after_request
    def closed(response: Response) -> Response:
        response.headers.update(HEADERS)
        if response.mimetype == "text/html":  # the back button must ask again
            response.headers["Cache-Control"] = "no-store"
        return response

    @app.errorhandler(HTTPException)
    def error_page(error: HTTPException) -> tuple[str, int]:
        return render_template("message.html", title=error.name, text="There is nothing to see here."), error.code

    @app.get("/")
    def start():
        return redirect(url_for("study_page"), 303) if taking_part() else start_page()

    @app.post("/start")
    def enter():
        typed = "".join(c if c.isprintable() else " " for c in request.form.get("name", ""))
        name = " ".join(typed.split())[: store.NAME_LENGTH]
        code = store.read_code(request.form.get("code", "")) or store.new_code()
        if not name:
            return start_page("Please give a name; a nickname will do.")
        if request.form.get("consent") != "yes":
            return start_page("Please tick the box if you want to take part.", name)
        seen = lambda number: pairs.draw(dataset, study.pairs, study.seed, number)  # noqa: E731
        return to_study(answers.enter(code, name, seen, time.time()))

    @app.post("/resume")
    def resume():
        code = store.read_code(request.form.get("code", ""))
        if code is None or answers.participant(code) is None:
            return start_page("Nobody has this code. Please look at it again.", resuming=True)
        return to_study(code)

    @app.get("/study")
    def study_page():
        participant = taking_part()
        if participant is None:
            return redirect(url_for("start"), 303)
        upcoming = answers.upcoming(participant.id)
        if not upcoming:
            return render_template("thanks.html", name=participant.name, pairs=study.pairs)
        pair, *later = upcoming
        return render_template(
            "study.html",
            pair=pair,
            later=[url_for("photo", key=key) for next_pair in later for key in (next_pair.left, next_pair.right)],
            pairs=study.pairs,
            days=_days(dataset),
            code=participant.code,
        )

    @app.post("/answer")
    def answer():
        participant = taking_part()
        if participant is not None:
            key, side = request.form.get("pair", ""), request.form.get("side", "")
            answers.answer(participant.id, key, side, time.time(), pace=pace)
        return redirect(url_for("study_page"), 303)  # kept or not: the page shows what is next

    @app.post("/leave")
    def leave():
        participant = taking_part()
        if participant is None or participant.answered == study.pairs:
            response = redirect(url_for("start"), 303)
        else:
            text = "Your answers so far are saved. To go on at any time, give this code on the first page."
            page = render_template("message.html", title="See you later", text=text, code=participant.code)
            response = app.make_response(page)
        response.delete_cookie(COOKIE, httponly=True, samesite="Lax")
        return response

    @app.get("/photo/<key>")
    def photo(key: str):
        participant = taking_part()
        place = participant and answers.photo(participant.id, key)
        if not place:
            abort(404)
        record, position = place
        picture = plain(dataset[record]["images"][position])
        return Response(picture, mimetype="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    return app


def _days(dataset: "GroupDataset") -> str:
    days = dataset.options["groups"]["window_days"]
    return f"{days:g} day" + "s" * (days != 1)
