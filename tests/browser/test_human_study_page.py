"""The study page in a real browser: whatever people and servers do wrong, no answer is lost or counted twice."""

import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers import built, tiny_world
from tests.helpers.paths import ROOT

PAIRS = 4
PACE = 450  # ms between two answers, a little more than the page requires


@pytest.fixture(scope="module")
def data(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    tiny_world.write(folder)
    built.build_quietly(folder, folder / "data")
    return folder / "data"


class Server:
    """The command in its own process, which can be killed and started again at the same address."""

    def __init__(self, data: Path, db: Path):
        self.db, self._data, self._port, self.before = db, data, 0, 0
        self.start()

    def start(self) -> None:
        flags = [
            f"--data_dir={self._data}",
            "--split=train",
            f"--pairs={PAIRS}",
            f"--db={self.db}",
            f"--port={self._port}",
        ]
        command = [sys.executable, "-m", "ipa_jax", "human-study", "serve", *flags]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.url = re.search(r"http://\S+", self._process.stdout.readline())[0]
        self._port = int(re.search(r":(\d+)/", self.url)[1])

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()

    def answers(self) -> dict[str, str]:
        """Name -> sides in order, as LRL..., of those who started after number `before`."""
        with closing(sqlite3.connect(self.db)) as db:
            rows = db.execute(
                "SELECT name, group_concat(substr(upper(side), 1, 1), '') FROM "
                "(SELECT id, name, side FROM participants LEFT JOIN answers ON participant = id "
                "WHERE id > ? ORDER BY id, position) GROUP BY id",
                (self.before,),
            ).fetchall()
        return {name: sides or "" for name, sides in rows}


@pytest.fixture(scope="module")
def one_server(data, tmp_path_factory):
    server = Server(data, tmp_path_factory.mktemp("answers") / "answers.sqlite")
    yield server
    server.kill()


@pytest.fixture
def server(one_server):
    with closing(sqlite3.connect(one_server.db)) as db:
        one_server.before = db.execute("SELECT ifnull(max(id), 0) FROM participants").fetchone()[0]
    return one_server


@pytest.fixture
def visit(browser, server):
    """Opens the study in a new browser, and starts under a name unless that is None."""
    contexts = []

    def visit(name="Ada", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(server.url)
        if name is not None:
            page.get_by_label("Your name or nickname").fill(name)
            page.get_by_label("I have read this").check()
            page.get_by_role("button", name="Start").click()
            on_pair(page, 1)
        return page

    yield visit
    for context in contexts:
        context.close()


def on_pair(page, position):
    expect(page.get_by_text(f"Pair {position} of {PAIRS}").last).to_be_visible(timeout=20_000)


def choose(page, side, how="key"):
    """Answers at the speed of a person, without waiting for the next pair."""
    page.wait_for_timeout(PACE)
    if how == "key":
        page.keyboard.press({"L": "ArrowLeft", "R": "ArrowRight"}[side])
    else:
        photo = page.get_by_role("button", name={"L": "Photo A", "R": "Photo B"}[side])
        photo.click() if how == "click" else photo.tap()


def finish(page, sides, first=1, how="key"):
    for position, side in enumerate(sides, start=first):
        on_pair(page, position)
        choose(page, side, how)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()


@pytest.mark.parametrize("how", ["key", "click"])
def test_a_whole_study_by_keyboard_and_by_mouse(server, visit, how):
    page = visit("Ada")
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    finish(page, "LRRL", how=how)
    assert server.answers() == {"Ada": "LRRL"}
    assert requests and all(url.startswith(server.url) for url in requests)
    assert not complaints  # where the browser reports a broken content policy
    page.get_by_role("button", name="Next person").click()
    expect(page.get_by_role("heading", name="Which photo")).to_be_visible()


def test_reload_and_back_change_nothing(server, visit):
    page = visit()
    choose(page, "R")
    on_pair(page, 2)
    photos = [image.get_attribute("src") for image in page.locator("img").all()]
    page.reload()
    on_pair(page, 2)
    page.go_back()
    on_pair(page, 2)
    assert [image.get_attribute("src") for image in page.locator("img").all()] == photos
    assert server.answers() == {"Ada": "R"}
    finish(page, "LLL", first=2)
    page.reload()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert server.answers() == {"Ada": "RLLL"}


@pytest.mark.parametrize("between", [0, 150])  # ms; after 150 the next pair is already shown
@pytest.mark.parametrize("script", [True, False])
def test_a_double_click_is_one_answer(server, visit, script, between):
    page = visit(java_script_enabled=script)
    page.wait_for_timeout(PACE)
    box = page.get_by_role("button", name="Photo B").bounding_box()
    for click in (1, 2):
        page.mouse.click(box["x"] + 50, box["y"] + 50, click_count=click)
        page.wait_for_timeout(between)
    on_pair(page, 2)
    page.wait_for_timeout(2 * PACE)
    assert server.answers() == {"Ada": "R"}


def test_without_the_script_the_page_works_too(server, visit):
    finish(visit(java_script_enabled=False), "RRLL", how="click")
    assert server.answers() == {"Ada": "RRLL"}


def test_a_key_held_down_and_a_shortcut_are_no_answers(server, visit):
    page = visit()
    page.wait_for_timeout(PACE)
    page.keyboard.down("ArrowLeft")
    on_pair(page, 2)
    for _ in range(4):
        page.wait_for_timeout(PACE)
        page.keyboard.down("ArrowLeft")  # the key's own repeat
    page.keyboard.up("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(PACE)
    on_pair(page, 2)
    assert server.answers() == {"Ada": "L"}


def test_two_tabs_of_one_person_are_one_person(server, visit):
    page = visit()
    other = page.context.new_page()
    other.goto(server.url)
    on_pair(other, 1)
    choose(page, "L")
    on_pair(page, 2)
    choose(other, "R")  # still shows the first pair
    on_pair(other, 2)
    assert server.answers() == {"Ada": "L"}


def test_two_people_at_once(server, visit):
    ada, bob = visit("Ada"), visit("Bob")
    seen = {name: set() for name in ("Ada", "Bob")}
    for position, (left, right) in enumerate(zip("LLRR", "RLRL", strict=True), start=1):
        for name, page in (("Ada", ada), ("Bob", bob)):
            on_pair(page, position)
            seen[name] |= {image.get_attribute("src") for image in page.locator("img").all()}
        ada.wait_for_timeout(PACE)
        for page, side in ((ada, left), (bob, right)):
            page.keyboard.press({"L": "ArrowLeft", "R": "ArrowRight"}[side])
    for page in (ada, bob):
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert server.answers() == {"Ada": "LLRR", "Bob": "RLRL"}
    assert len(seen["Ada"]) == len(seen["Bob"]) == 2 * PAIRS and not seen["Ada"] & seen["Bob"]


def test_a_killed_server_loses_nothing_and_counts_nothing_twice(server, visit):
    """Killed while the page waits, and killed right after an answer was sent: the page continues by itself."""
    page = visit()
    choose(page, "R")
    on_pair(page, 2)
    server.kill()
    choose(page, "L")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.keyboard.press("ArrowRight")  # another answer while the first is being sent
    server.start()
    on_pair(page, 3)
    assert server.answers() == {"Ada": "RL"}
    choose(page, "R")
    server.kill()  # as the answer arrives
    server.start()
    finish(page, "R", first=4)
    assert server.answers() == {"Ada": "RLRR"}


def test_a_killed_server_and_a_reload(server, visit):
    page = visit()
    choose(page, "L")
    on_pair(page, 2)
    server.kill()
    server.start()
    page.reload()
    finish(page, "RRR", first=2)
    assert server.answers() == {"Ada": "LRRR"}


@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 640)])
def test_a_phone_shows_both_photos_one_above_the_other_and_scrolls_nowhere_sideways(server, visit, width, height):
    phone = {"viewport": {"width": width, "height": height}, "is_mobile": True, "has_touch": True}

    def narrow(page):
        return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth && scrollX === 0")

    start = visit(None, **phone)
    assert narrow(start)
    page = visit("A name as long as people have them and one more for luck", **phone)
    first, second = (photo.bounding_box() for photo in page.get_by_role("button", name="Photo").all())
    assert first["x"] == second["x"] and first["y"] + first["height"] <= second["y"]
    assert second["y"] + second["height"] <= height and min(first["height"], second["height"]) > 150
    assert narrow(page)
    finish(page, "LRLR", how="tap")
    assert narrow(page) and list(server.answers().values()) == ["LRLR"]


def test_a_desktop_shows_both_side_by_side_without_scrolling(visit):
    page = visit()
    first, second = (photo.bounding_box() for photo in page.get_by_role("button", name="Photo").all())
    assert first["y"] == second["y"] and first["x"] + first["width"] <= second["x"]
    assert first["width"] == second["width"] > 500
    assert page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")


def test_a_screen_reader_says_where_you_are(visit):
    """The new pair is announced, the focus is above it, Tab and Enter answer, and the names give nothing away."""
    page = visit()
    page.wait_for_timeout(PACE)
    page.get_by_role("button", name="Photo A").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#live[aria-live=polite]")).to_have_text(f"Pair 2 of {PAIRS}")
    expect(page.get_by_role("heading", name="Which photo")).to_be_focused()
    expect(page).to_have_title(re.compile(f"^Pair 2 of {PAIRS}"))
    expect(page.get_by_role("progressbar", name="Pairs answered")).to_have_attribute("value", "1")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Photo A")).to_be_focused()
    assert [image.get_attribute("alt") for image in page.locator("img").all()] == ["Photo A", "Photo B"]


def test_dark_and_calm_where_wanted(visit):
    paper = "getComputedStyle(document.body).backgroundColor"
    motion = "getComputedStyle(document.querySelector('.choice')).animationName"
    light, dark = visit("Ada", color_scheme="light"), visit("Bob", color_scheme="dark", reduced_motion="reduce")
    assert light.evaluate(paper) == "rgb(251, 250, 247)" and dark.evaluate(paper) == "rgb(20, 20, 22)"
    assert light.evaluate(motion) == "appear" and dark.evaluate(motion) == "none"
