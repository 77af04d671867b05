"""The page of `ipa-jax serve` in a real browser: photos go in, their order appears, and every window shows the same."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.helpers import red_and_blue
from tests.helpers.paths import ROOT

PHOTOS = 80


@pytest.fixture(scope="module")
def folder(browser, tmp_path_factory):
    """history/ of ann; photos/ of PHOTOS new ones, with a page that claims to be a photo among them."""
    folder, rng = tmp_path_factory.mktemp("serve_page"), np.random.default_rng(2)
    red_and_blue.write_history(folder / "history", rng, posts=50)
    (folder / "photos/more").mkdir(parents=True)
    for number in range(PHOTOS):
        name = f"{'more/' if number % 3 else ''}{['blue', 'red'][number % 2]} {number:03}.jpg"
        hue = red_and_blue.RED if number % 2 else red_and_blue.BLUE
        (folder / "photos" / name).write_bytes(red_and_blue.photo(hue, rng))
    (folder / "photos/<b onclick=alert(1)>.jpg").write_bytes(b"<script>alert(1)</script>")
    (folder / "photos/.hidden").write_bytes(b"not sent")
    return folder


@pytest.fixture
def url(folder, tmp_path):
    """The address of the page, whose temporary folder is below tmp_path."""
    command = [sys.executable, "-m", "ipa_jax", "serve", f"--history={folder}/history"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield next(found[1] for line in process.stdout if (found := re.match(r"page: (\S+)", line)))
        assert list(tmp_path.glob("ipa-jax-serve-*/photos/*.jpg"))
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(60) == 0
    assert not list(tmp_path.glob("ipa-jax-serve-*"))


def wide_and_narrow(page):
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_folder_is_ranked_and_two_windows_show_the_same(browser, folder, url):
    page, other = (browser.new_context().new_page() for _ in range(2))
    complaints, elsewhere = [], []
    for window in (page, other):
        window.set_default_timeout(60_000)
        window.on("console", lambda message: complaints.append(message.text))
        window.on("pageerror", lambda error: complaints.append(str(error)))
        window.on("request", lambda asked: asked.url.startswith(url) or elsewhere.append(asked.url))
        window.goto(url)
    page.set_input_files("#folder", folder / "photos")
    expect(page.locator(".card").first).to_be_visible(timeout=60_000)  # while others still arrive
    title = f"{PHOTOS} photos of ann, best first"
    for window in (page, other):
        expect(window.locator("h1")).to_have_text(title, timeout=180_000)
        expect(window.locator("#progress")).to_be_hidden()
    named = page.locator(".card .name").all_text_contents()
    assert sum("red" in name for name in named[: PHOTOS // 4]) == PHOTOS // 4 and "photos/more/red 001.jpg" in named
    assert other.locator(".card .name").all_text_contents() == named

    page.locator("#refused summary").click()  # a hostile name is text
    expect(page.locator("#refused li")).to_have_text(re.compile(r"<b onclick=alert\(1\)>\.jpg: .*web page"))
    first, second = page.locator(".card").nth(0), page.locator(".card").nth(1)
    second.get_by_role("button", name="My pick").click()
    expect(other.locator(".card").nth(1)).to_have_class(re.compile("picked"))
    first.locator("summary").click()
    expect(first.locator(".posts li")).to_have_count(5)

    first.get_by_role("button", name="Compare").click()
    second.get_by_role("button", name="Compare").click()
    sides = page.locator("#compare figure")
    expect(sides).to_have_count(2)
    assert sides.locator(".name span").all_text_contents() == named[:2]
    expect(sides.nth(1).get_by_role("button", name="My pick")).to_have_attribute("aria-pressed", "true")
    wide_and_narrow(page)
    page.keyboard.press("Escape")
    expect(sides.first).to_be_hidden()

    page.reload()
    expect(page.locator("h1")).to_have_text(title)
    assert page.locator(".card .name").all_text_contents() == named
    expect(page.locator(".card.picked")).to_have_count(1)
    wide_and_narrow(page)
    assert not complaints and not elsewhere
