"""Campaign "pages": requests that no browser sends, to the pages of a study.

Each ends with an answer of the page's own, none reads or changes what is another participant's, and a page never holds
what was sent unescaped. The requests are what the web server hands over (WSGI), so that no client corrects them.
"""

import io
import itertools
import json
import random
import re
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

from flask import Flask
from werkzeug.test import run_wsgi_app

from data_builders.dataset import GroupDataset
from ipa_jax.human_study import pairs
from ipa_jax.human_study.answers import SIDES, Answers, Study
from ipa_jax.human_study.web import COOKIE, create_app
from ipa_jax.local_page import HEADERS
from tests.faults.trials import Hang, Kind, Place, Trial, within
from tests.helpers import participants, shared_world

SECONDS = 10.0
AT_ONCE = 200  # requests to one study
SCRIPT = "<script>alert(1)</script>"
ODD = ("", SCRIPT, '"><img src=x>', "'; DROP TABLE answers", "../../etc/passwd", "\0", "é\ud800", "9" * 5000, "-1",
       "NaN", "{{7*7}}", "a\r\nSet-Cookie: a=b", "\u202e", "%s%n", "yes", "left", "LEFT", "k7fq-2m9x", " ")  # fmt: skip
METHODS = ("POST", "POST", "POST", "GET", "GET", "HEAD", "PUT", "OPTIONS", "DELETE", "X" * 99)
HOSTS = (*["localhost"] * 20, "127.0.0.1:9", "evil.example", "[::1", "", "a b")
PATHS = ("/", "/study", "/start", "/resume", "/answer", "/leave", "/photo/", "/static/study.js", "/static/../web.py",
         "/static/%2e%2e/web.py", "//evil.example/", "/answer/", "/photo/a/b", "/\0")  # fmt: skip
TYPES = ("application/x-www-form-urlencoded", "application/json", "multipart/form-data", "text/xml", "", "\xff",
         "a/" * 999, "multipart/form-data; boundary=", "multipart/form-data; boundary=b")  # fmt: skip


def campaign(place: Place, names: tuple[str, ...] = ()) -> Iterator[Trial]:
    """One request per trial; a new study every AT_ONCE."""
    data = GroupDataset(shared_world.world(place.shared) / "data", "train", depth=False)
    for number in itertools.count():
        answers = Answers(place.scratch / f"pages-{number}.sqlite")
        answers.create(Study(str(data.folder), "train", pairs.digest(data), participants.PAIRS, 0))
        people = [participants.enter(answers, data, name) for name in ("Anna", "Ben")]
        app = create_app(data, answers, pace=0)
        for _ in range(AT_ONCE):
            yield _trial(app, answers, people, place.rng)


def _trial(app: Flask, answers: Answers, people: list[int], rng: random.Random) -> Trial:
    person = rng.choice(answers.participants())
    shown = answers.upcoming(person.id)
    known = [each.key for each in shown] + [key for each in shown for key in (each.left, each.right)]
    environ, sent = _request(rng, person.code, known)
    what = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO'][:60]!r} {sent!r:.200}"
    before = answers.choices()
    try:
        with within(SECONDS):
            body, status, headers = run_wsgi_app(app, environ, buffered=True)
            text = b"".join(body).decode("utf-8", "replace")
    except Hang:
        return Trial(what, Kind.HANG)
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        return Trial(what, Kind.TRACEBACK, f"{type(error).__name__} {at.filename}:{at.lineno}: {error!s:.300}")
    number = int(status.split()[0])
    if number >= 500:
        return Trial(what, Kind.TRACEBACK, f"{status}: {text[-500:]}")
    if missing := [name for name in HEADERS if name not in headers]:
        return Trial(what, Kind.SILENT, f"the answer lacks the headers {missing}")
    if "text/html" in headers.get("Content-Type", "") and re.search(r"<script>alert|<img src=x", text):
        return Trial(what, Kind.SILENT, f"what was sent is on the page unescaped: {text[-500:]}")
    if wrong := _changed(answers, before, shown, environ, sent):
        return Trial(what, Kind.SILENT, wrong)
    return Trial(what, Kind.REFUSED if number >= 400 else Kind.UNCHANGED)


def _changed(answers: Answers, before: list, shown: list, environ: dict[str, Any], sent: Any) -> str:
    """What a request changed that it must not; "": nothing."""
    answers.study()  # every row has its seal
    now = answers.choices()
    if len(now) == len(before):
        return "" if now == before else "an answer was replaced"
    form = dict(reversed(sent)) if isinstance(sent, list) else {}
    asked = (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", "/answer")
    if asked and len(now) == len(before) + 1 and form.get("pair") == shown[0].key and form.get("side") in SIDES:
        return ""
    return f"{len(now) - len(before)} answers more"


def _request(rng: random.Random, code: str, known: list[str]) -> tuple[dict[str, Any], Any]:
    """(the request as the web server hands it over, what its body was made of)."""
    sent, body, kind = _body(rng, known)
    path = rng.choice((*PATHS, "/answer", "/start", f"/photo/{rng.choice([*known, 'x' * 9000, SCRIPT])}"))
    environ: dict[str, Any] = {
        "REQUEST_METHOD": rng.choice(METHODS),
        "PATH_INFO": path, "SCRIPT_NAME": "",
        "QUERY_STRING": rng.choice(("", "", "a=b", "%00" * 99, "=" * 5000, "\xff")),
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": rng.choice(HOSTS),
        "CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http", "wsgi.version": (1, 0), "wsgi.multithread": True,
        "wsgi.multiprocess": False, "wsgi.run_once": False,
        "HTTP_COOKIE": rng.choice((f"{COOKIE}={code}",) * 4 + (f"{COOKIE}={code}; {COOKIE}=x", f"{COOKIE}=", "=;=;",
                                   "\xff" * 99, f'{COOKIE}="\\{code}', f"{COOKIE}={'a' * 9000}")),
    }  # fmt: skip
    if rng.random() < 0.5:  # as a browser, but for the headers below
        environ |= {"REQUEST_METHOD": "POST", "PATH_INFO": rng.choice(("/answer", "/answer", "/start"))}
        environ |= {"HTTP_HOST": "localhost", "HTTP_COOKIE": f"{COOKIE}={code}"}
    for _ in range(rng.choice((0, 0, 1, 2))):
        name, values = rng.choice((
            ("HTTP_ORIGIN", ("null", "http://evil.example", "http://localhost", "\xff")),
            ("HTTP_SEC_FETCH_SITE", ("cross-site", "same-origin", "none", "?")),
            ("CONTENT_LENGTH", ("", "abc", "-1", "0", "99999999999", "1")),
            ("HTTP_TRANSFER_ENCODING", ("chunked",)), ("HTTP_RANGE", ("bytes=0-0", "bytes=9-1", "x")),
            ("HTTP_IF_MODIFIED_SINCE", ("x", "Thu, 01 Jan 99999 00:00:00 GMT")), ("HTTP_IF_NONE_MATCH", ('W/"', "*")),
            ("HTTP_ACCEPT_LANGUAGE", ("q=" * 999,)), ("CONTENT_TYPE", TYPES),
        ))  # fmt: skip
        environ[name] = rng.choice(values)
    return environ, sent


def _body(rng: random.Random, known: list[str]) -> tuple[Any, bytes, str]:
    """(what it is made of: fields of a form as a list, or anything else; the bytes; their type)."""
    form = rng.choice(TYPES[:1] * 5 + TYPES)
    fields = [(name, rng.choice((*ODD, *known, "left", "right"))) for name in
              rng.choices(("pair", "side", "name", "code", "consent", SCRIPT), k=rng.choice((0, 1, 3, 8)))]  # fmt: skip
    if rng.random() < 0.4:  # nearly what a browser sends
        fields = [("pair", rng.choice([*known[:1] * 4, *known, ""])), ("side", rng.choice(("left", "right", "up"))),
                  ("name", rng.choice(ODD)), ("consent", "yes"), ("code", rng.choice(ODD))]  # fmt: skip
        form = TYPES[0]
    kind = rng.randrange(8)
    if kind == 0:
        return "nested", b"[" * 15_000, "application/json"
    if kind == 1:
        return "json", json.dumps(dict(fields)).encode(), "application/json"
    if kind == 2:
        return "large", urlencode({"name": "a" * rng.choice((15_000, 17_000, 10**6))}).encode(), TYPES[0]
    if kind == 3:
        content = rng.randbytes(rng.choice((0, 1, 99, 5000)))
        return "bytes", rng.choice((content, b"name=" + quote_from_bytes(content).encode())), form
    if kind == 4:
        part = b'--b\r\nContent-Disposition: form-data; name="side"; filename="../a"\r\n\r\nleft\r\n'
        return "parts", part * rng.choice((1, 99, 2000)) + rng.choice((b"--b--", b"")), TYPES[-1]
    body = urlencode([(name, value.encode("utf-8", "surrogatepass")) for name, value in fields]).encode()
    return (fields if form == TYPES[0] else "form"), body, form
