"""The page through the framework's own client."""

import re
import sqlite3

import pytest

from ipa_jax.human_study.photo import plain
from ipa_jax.human_study.web import COOKIE, create_app
from ipa_jax.local_page import HEADERS
from tests.helpers.participants import PAIRS


@pytest.fixture
def app(dataset, answers):
    return create_app(dataset, answers, pace=0)


def begin(app, name="Ada"):
    """A browser whose participant has started."""
    client = app.test_client()
    code = re.search(r'name="code" value="(.{9})"', client.get("/").text)[1]
    reply = client.post("/start", data={"code": code, "name": name, "consent": "yes"})
    assert (reply.status_code, reply.location) == (303, "/study")
    return client


def key(client):
    return re.search(r'name="pair" value="([^"]+)"', client.get("/study").text)[1]


def choose(client, side="left", pair=None):
    return client.post("/answer", data={"pair": pair or key(client), "side": side})


def test_a_study_from_start_to_thanks(app, answers):
    client = begin(app, " Ada \t<b>Lovelace</b>\x1b ")
    for position in range(1, PAIRS + 1):
        page = client.get("/study")
        assert f"Pair {position} of {PAIRS}" in page.text and page.text.count("<img") == 2
        assert page.headers["Cache-Control"] == "no-store"
        choose(client, "left" if position % 2 else "right")
    assert "Thank you, Ada &lt;b&gt;Lovelace&lt;/b&gt;!" in client.get("/study").text
    assert [choice.side for choice in answers.choices()] == ["left", "right", "left", "right", "left"]
    assert client.post("/leave").location == "/" and client.get("/").status_code == 200


def test_reload_back_and_double_sending_change_nothing(app, answers):
    client = begin(app)
    first = key(client)
    assert key(client) == first and client.get("/").location == "/study"
    for side in ("right", "left", "right"):
        assert choose(client, side, first).location == "/study"
    assert [choice.side for choice in answers.choices()] == ["right"]
    assert key(client) != first


def test_a_start_sent_twice_is_one_participant_and_a_taken_code_is_no_way_in(app, answers):
    form = {"code": "k7fq-2m9x", "name": "Ada", "consent": "yes"}
    cookies = []
    for name in ("Ada", "Ada", "Eve"):
        client = app.test_client()
        client.post("/start", data=form | {"name": name})
        cookies.append(client.get_cookie(COOKIE).value)
    assert cookies[0] == cookies[1] == "k7fq-2m9x" != cookies[2]
    assert [person.name for person in answers.participants()] == ["Ada", "Eve"]


def test_a_code_goes_on_in_another_browser(app):
    client = begin(app)
    choose(client)
    left = client.post("/leave").text
    code = re.search(r">([a-z2-9]{4}-[a-z2-9]{4})<", left)[1]
    assert client.get("/study").location == "/"
    other = app.test_client()
    refused = other.post("/resume", data={"code": "aaaa-aaaa"})
    assert refused.status_code == 422 and "<details open>" in refused.text
    assert other.post("/resume", data={"code": code.upper()}).status_code == 303
    assert f"Pair 2 of {PAIRS}" in other.get("/study").text


@pytest.mark.parametrize("lacking", ["name", "consent"])
def test_name_and_consent_are_needed(app, answers, lacking):
    form = {"name": "Ada", "consent": "yes"} | {lacking: ""}
    reply = app.test_client().post("/start", data=form)
    assert reply.status_code == 422 and "Please" in reply.text and not answers.participants()


def test_no_page_url_or_header_tells_what_is_shown(app, dataset):
    client = begin(app)
    names = {str(name) for column in ("account", "image_id", "post_id") for name in dataset.images[column]}
    secrets = re.compile("|".join(map(re.escape, sorted(names))) + "|" + re.escape(str(dataset.folder)))
    likes = {str(n) for n in dataset.images["likes"] if n > 99}
    for _ in range(PAIRS):
        page = client.get("/study")
        told = page.text + str([header for header in page.headers if header[0] != "Content-Length"])
        for url in re.findall(r"/photo/[\w-]+", page.text):
            reply = client.get(url)
            assert reply.mimetype == "image/jpeg" and reply.content_length == len(reply.data)
            assert set(reply.headers.keys()) <= {"Content-Type", "Content-Length", "Cache-Control", "X-Robots-Tag",
                "X-Content-Type-Options", "Referrer-Policy", "Content-Security-Policy", "Vary",
                "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy"}  # fmt: skip
        plain_words = re.sub(r"[\w-]{22}|>[\w-]{9}<", "", told)  # keys and code are random: any digits
        assert not secrets.search(told) and not set(re.findall(r"\b\d+\b", plain_words)) & likes
        choose(client)
    assert not re.search("right|wrong|correct|%", client.get("/study").text)


def test_the_photos_are_the_pair(app, answers, dataset):
    """The left URL gives the image that an answer "left" chooses."""
    client = begin(app)
    urls = re.findall(r'src="(/photo/[^"]+)', client.get("/study").text)
    choose(client, "left")
    choice = answers.choices()[0]
    group = dataset[choice.record]
    assert [client.get(url).data for url in urls] == [plain(group["images"][i]) for i in (choice.chosen, choice.other)]


def test_photos_are_for_their_participant_and_not_ahead_of_time(app, answers):
    client, other = begin(app), begin(app, "Bob")
    db = sqlite3.connect(answers.path)
    keys = [k for (k,) in db.execute("SELECT left_key FROM pairs WHERE participant = 1 ORDER BY position")]
    db.close()
    assert [client.get(f"/photo/{k}").status_code for k in keys] == [200, 200] + [404] * (PAIRS - 2)
    assert {visitor.get(f"/photo/{keys[0]}").status_code for visitor in (other, app.test_client())} == {404}


def test_every_page_has_the_headers_of_a_local_page(app):
    for url, status in (("/", 200), ("/static/study.js", 200), ("/nothing", 404)):
        reply = app.test_client().get(url)
        assert reply.status_code == status and set(HEADERS) <= set(reply.headers.keys())
        reply.close()


def test_pages_hold_nothing_inline_and_nothing_from_elsewhere(app):
    client = begin(app)
    for page in (client.get("/study").text, app.test_client().get("/").text):
        assert not re.search(r"<style|\sstyle=|\son\w+=|//\w|<script>", page)
    cookie = client.post("/resume", data={"code": client.get_cookie(COOKIE).value}).headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie


def test_another_site_cannot_answer(app, answers):
    client = begin(app)
    form = {"pair": key(client), "side": "left"}
    assert client.post("/answer", data=form, headers={"Origin": "http://evil.example"}).status_code == 403
    assert not answers.choices()


def test_another_name_for_this_computer_is_refused(app):
    assert app.test_client().get("/", headers={"Host": "evil.example"}).status_code == 400
