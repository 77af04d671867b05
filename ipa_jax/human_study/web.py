"""The pages of the study: start, pairs, thanks. Plain forms that work without a script; static/study.js adds the keys.

No page says anything about an account, an id, a file name or a number of likes. Photos are served under random keys,
and only to the participant who sees them.
"""

import time
from collections.abc import Callable, Sequence

from flask import Flask, Response, abort, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from data_builders.dataset import GroupDataset
from ipa_jax import local_page
from ipa_jax.human_study import answers as store
from ipa_jax.human_study import pairs
from ipa_jax.human_study.photo import plain
from ipa_jax.metrics.display import days

COOKIE = "participant"
MONTH = 30 * 86_400  # s
SECONDS_PER_PAIR = 8  # for the estimate on the start page


def create_app(
    dataset: GroupDataset,
    answers: store.Answers,
    *,
    hosts: Sequence[str] | None = local_page.LOOPBACK,
    pace: float = store.PACE,
) -> Flask:
    """The WSGI application of a study.

    Args:
      dataset: the split that the study was made for.
      answers: the file of the study.
      hosts: as `local_page.new_app` takes it.
      pace: seconds, as `Answers.answer` takes it.
    """
    app = local_page.new_app(__name__, hosts)
    app.register_error_handler(HTTPException, _error_page)
    pages = _Pages(dataset, answers, pace)
    shown: dict[str, Callable] = {"/": pages.start, "/study": pages.study_page, "/photo/<key>": pages.photo}
    sent: dict[str, Callable] = {
        "/start": pages.enter,
        "/resume": pages.resume,
        "/answer": pages.answer,
        "/leave": pages.leave,
    }
    for url, page in shown.items():
        app.add_url_rule(url, view_func=page, methods=["GET"])
    for url, page in sent.items():
        app.add_url_rule(url, view_func=page, methods=["POST"])
    return app


def _error_page(error: HTTPException) -> tuple[str, int]:
    text = "There is nothing to see here."
    return render_template("message.html", title=error.name, text=text), error.code or 500


class _Pages:
    """The pages, each a method: those of GET only show, those of POST change the study."""

    def __init__(self, dataset: GroupDataset, answers: store.Answers, pace: float):
        self._dataset = dataset
        self._answers = answers
        self._pace = pace
        self._study = answers.study()
        self._days = days(dataset.options["groups"]["window_days"])

    def start(self) -> AnyResponse | tuple[str, int]:
        """GET /: the form to take part."""
        return redirect(url_for("study_page"), 303) if self._participant() else self._start_page()

    def enter(self) -> AnyResponse | tuple[str, int]:
        """POST /start: adds a participant."""
        typed = "".join(c if c.isprintable() else " " for c in request.form.get("name", ""))
        name = " ".join(typed.split())[: store.NAME_LENGTH]
        code = store.read_code(request.form.get("code", "")) or store.new_code()
        if not name:
            return self._start_page("Please give a name; a nickname will do.")
        if request.form.get("consent") != "yes":
            return self._start_page("Please tick the box if you want to take part.", name)

        def draw(participant: int) -> list[pairs.Pair]:
            return pairs.draw(self._dataset, self._study.pairs, self._study.seed, participant)

        return _to_study(self._answers.enter(code, name, draw, time.time()))

    def resume(self) -> AnyResponse | tuple[str, int]:
        """POST /resume: lets a participant continue, by their code."""
        code = store.read_code(request.form.get("code", ""))
        if code is None or self._answers.participant(code) is None:
            return self._start_page("Nobody has this code. Please check it and try again.", resuming=True)
        return _to_study(code)

    def study_page(self) -> AnyResponse | str:
        """GET /study: the participant's next pair, or thanks after the last."""
        participant = self._participant()
        if participant is None:
            return redirect(url_for("start"), 303)
        upcoming = self._answers.upcoming(participant.id)
        if not upcoming:
            return render_template("thanks.html", name=participant.name, pairs=self._study.pairs)
        pair, *later = upcoming
        return render_template(
            "study.html",
            pair=pair,
            later=[url_for("photo", key=key) for next_pair in later for key in (next_pair.left, next_pair.right)],
            pairs=self._study.pairs,
            days=self._days,
            code=participant.code,
        )

    def answer(self) -> AnyResponse:
        """POST /answer: keeps an answer to the pair that is next."""
        participant = self._participant()
        if participant is not None:
            key, side = request.form.get("pair", ""), request.form.get("side", "")
            self._answers.answer(participant.id, key, side, time.time(), pace=self._pace)
        return redirect(url_for("study_page"), 303)  # kept or not: the page shows what is next

    def leave(self) -> AnyResponse:
        """POST /leave: makes room for another participant in this browser."""
        participant = self._participant()
        if participant is None or participant.answered == self._study.pairs:
            response = redirect(url_for("start"), 303)
        else:
            text = "Your answers so far are saved. To continue at any time, enter this code on the first page."
            page = render_template("message.html", title="See you later", text=text, code=participant.code)
            response = make_response(page)
        response.delete_cookie(COOKIE, httponly=True, samesite="Lax")
        return response

    def photo(self, key: str) -> Response:
        """GET /photo/KEY: a photo of the participant's current or next pair; 404 for any other."""
        participant = self._participant()
        place = participant and self._answers.photo(participant.id, key)
        if not place:
            abort(404)
        record, position = place
        picture = plain(self._dataset[record]["images"][position])
        return Response(picture, mimetype="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    def _participant(self) -> store.Participant | None:
        """Whose browser this is, by its cookie."""
        code = store.read_code(request.cookies.get(COOKIE, ""))
        return self._answers.participant(code) if code else None

    def _start_page(self, error: str = "", name: str = "", *, resuming: bool = False) -> tuple[str, int]:
        page = render_template(
            "start.html",
            pairs=self._study.pairs,
            days=self._days,
            minutes=max(1, round(self._study.pairs * SECONDS_PER_PAIR / 60)),
            code=store.new_code(),
            name=name,
            length=store.NAME_LENGTH,
            error=error,
            resuming=resuming,
        )
        return page, 422 if error else 200


def _to_study(code: str) -> AnyResponse:
    response = redirect(url_for("study_page"), 303)
    response.set_cookie(COOKIE, code, max_age=MONTH, httponly=True, samesite="Lax")
    return response
