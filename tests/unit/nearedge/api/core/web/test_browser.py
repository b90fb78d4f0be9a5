"""The pages in a real browser: what a person does with them, what it looks like, what a screen reader finds.

Screenshots go to the folder that NEAREDGE_SCREENSHOTS names, or to pytest's.
"""

import base64
import io
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from nearedge.api.access import Access, Caller, Tokens
from nearedge.api.problems import ProblemError
from tests import core_web
from tests.served import served
from tests.unit.nearedge.api.core.web.conftest import MANAGE_TOKEN, FakeEngine

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage",
)  # fmt: skip
AXE = Path(__file__).parent / "axe" / "axe.min.js"
WIDE, NARROW, TALLEST = 1280, 375, 4000
USER = "system:serviceaccount:models-of-the-loading-bay:dashboard-of-the-late-shift"
FORBIDDEN = (
    f'the cluster says: pipelineruns.tekton.dev is forbidden: User "{USER}" cannot list resource "pipelineruns" in API '
    'group "tekton.dev" in the namespace "models-of-the-loading-bay"'
)
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")


class Browser:
    """Chromium on the pages."""

    def __init__(self, driver, site, folder):
        self.driver, self.site, self.folder = driver, site, folder

    def go(self, path):
        self.driver.get(self.site.url + path)

    def one(self, css):
        return self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, css))[0]

    def link(self, text):
        return self.wait(lambda: self.driver.find_elements(By.LINK_TEXT, text))[0]

    def wait(self, found):
        changing = (WebDriverException,)  # what was found may be replaced, or its page left, before it is looked at
        return WebDriverWait(self.driver, core_web.NEVER_S, 0.05, changing).until(lambda _: found())

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def tell(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def look(self, width=WIDE, *, dark=False, height=900):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", features=[scheme])
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 500)  # fmt: skip

    def shoot(self, name):
        """Pictures of the whole page, wide and narrow, in light and dark; nothing may stick out at the side."""
        size = "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        for width in (WIDE, NARROW):
            self.look(width)
            broad, whole = self.run(size)
            assert broad <= width, f"{name} is too wide for {width}"
            for kind, dark in (("light", False), ("dark", True)):
                self.look(width, dark=dark, height=min(max(whole, 500), TALLEST))
                image = self.tell("Page.captureScreenshot", optimizeForSpeed=True)["data"]
                (self.folder / f"{name}-{width}-{kind}.png").write_bytes(base64.b64decode(image))
        self.look()

    def faults(self):
        """What axe finds wrong by WCAG 2.2 A and AA and its best practices."""
        if not self.run("return 'axe' in window"):
            self.run(AXE.read_text())
        found = self.driver.execute_async_script("axe.run(document, {resultTypes: ['violations']}).then(arguments[0])")
        return [(one["id"], node["html"]) for one in found["violations"] for node in one["nodes"]]

    def axe(self, name):
        """Assert that axe finds nothing, wide in light and narrow in dark."""
        self.run("for (const one of document.querySelectorAll('details')) one.open = true")
        for width, dark in ((WIDE, False), (NARROW, True)):
            self.look(width, dark=dark)
            assert self.faults() == [], (name, width, dark)
        self.look()

    def errors(self, allowed=()):
        """What the console shows, which is where a refused script or style would be."""
        found = [one["message"] for one in self.driver.get_log("browser") if one["level"] == "SEVERE"]
        return [one for one in found if not any(words in one for words in allowed)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with core_web.serving(tmp_path_factory.mktemp("site")) as found:
        yield found


@contextmanager
def chromium(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(core_web.NEVER_S)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def browser(driver, site, tmp_path):
    folder = Path(os.environ.get("NEAREDGE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    found = Browser(driver, site, folder)
    found.tell("Emulation.setScriptExecutionDisabled", value=False)
    found.look()
    found.errors()
    return found


def fill(browser, model):
    """The folder of the run's release; while there is a file `hold` in it, the run goes on."""
    browser.one("[id='param.model']").send_keys(model)
    browser.one("[id='workspace.release']").send_keys(browser.site.workspace())
    return Path(browser.one("[id='workspace.release']").get_attribute("value"))


def state(browser):
    return browser.run("return document.querySelector('.facts .state')?.textContent || ''")


def test_from_the_form_to_the_report(browser):
    browser.go("/")
    browser.link("Start measure").click()
    hold = fill(browser, "digits") / "hold"
    hold.touch()
    browser.shoot("start")
    browser.one(".send button").click()
    browser.wait(lambda: "/runs/measure-" in browser.driver.current_url)
    browser.run("window.unbroken = true")
    browser.wait(lambda: "Running" in state(browser))
    browser.wait(lambda: "turn 2: digits" in browser.one("#log").text)
    browser.shoot("run-running")
    browser.wait(lambda: browser.one("[role=status]").text == "Running: 1 of 2 Tasks done; measure running")
    hold.unlink()
    browser.wait(lambda: "Succeeded" in state(browser))
    assert browser.run("return window.unbroken"), "the page was not read again"
    assert "Succeeded: 2 of 2 Tasks done" in browser.one("[role=status]").text
    browser.wait(lambda: "turn 3: digits" in browser.one("#log").text)
    assert browser.one("#log").text.count("turn 1: digits") == 1
    browser.shoot("run-succeeded")
    browser.one("#open-report").click()
    browser.wait(lambda: browser.one("h1").text == "Report of digits")
    heading = browser.one("h1")
    assert heading.value_of_css_property("color") == "rgba(0, 100, 0, 1)"
    browser.driver.save_screenshot(str(browser.folder / "report.png"))
    assert browser.errors() == []


def test_two_releases_side_by_side(browser):
    browser.go("/models")
    browser.shoot("models")
    browser.link("digits").click()
    browser.shoot("model")
    browser.one(".after button").click()
    browser.wait(lambda: browser.one("h1").text == "digits: 1 and 2")
    better = browser.one("td.better")
    assert re.fullmatch(r"3.2 ms\s+▲ better", better.text)
    browser.shoot("compare")
    browser.link("2").click()
    browser.wait(lambda: browser.one("h1").text == "digits 2")
    assert "3.2 ms" in browser.one("main").text
    browser.shoot("release")
    assert browser.errors() == []


def test_promoted_and_set_back_by_keyboard(browser):
    browser.go("/fleet?model=digits")
    browser.link("Promote digits").send_keys(Keys.ENTER)
    browser.wait(lambda: browser.one("h1").text == "Promote digits")
    assert browser.one("[data-count]").text == "0 of 2 ticked"
    browser.one("[data-tick=all]").send_keys(Keys.ENTER)
    browser.wait(lambda: browser.one("[data-count]").text == "2 of 2 ticked")
    browser.one("#site-edge-1").send_keys(Keys.SPACE)
    browser.wait(lambda: browser.one("[data-count]").text == "1 of 2 ticked")
    browser.shoot("move")
    browser.axe("move")
    browser.one(".send button").send_keys(Keys.ENTER)
    browser.wait(lambda: browser.one("h1").text == "What would change")
    browser.shoot("move-preview")
    browser.axe("move-preview")
    browser.run("const one = document.querySelector('.send button'); one.click(); one.click()")
    browser.wait(lambda: browser.one("h1").text == "digits: 1 site was moved")
    browser.shoot("moved")
    browser.axe("moved")
    commit = browser.one(".facts code").text
    browser.driver.refresh()
    assert browser.one(".facts code").text == commit
    browser.go("/models/digits/rollback")
    browser.one(".send button").click()
    browser.wait(lambda: browser.driver.switch_to.active_element.get_attribute("role") == "alert")
    assert "choose at least one site" in browser.one("[role=alert]").text
    browser.shoot("move-wrong")
    browser.one("#site-edge-2").click()
    browser.one(".send button").click()
    browser.wait(lambda: browser.one("h1").text == "What would change")
    assert "2 bbbbbbbbbbbb" in browser.one("main").text
    browser.one(".send button").click()
    browser.wait(lambda: browser.one("h1").text == "digits: 1 site was moved")
    assert browser.errors(allowed=("status of 422",)) == []


def test_forty_sites_with_long_names(browser):
    browser.go(f"/models/{core_web.LONG}/rollback?words=region&tick=all")
    assert browser.one("[data-count]").text == "40 of 40 ticked"
    browser.shoot("move-many")
    browser.axe("move-many")
    browser.go("/fleet")
    browser.shoot("fleet-many")


def test_login_and_what_a_cluster_refuses(browser):
    engine = FakeEngine()
    access = Access(Tokens({Caller(USER, "manage"): MANAGE_TOKEN.encode()}))
    _, app = core_web.application(engine, access)
    app.log = io.StringIO()
    with served(app) as url:
        browser.driver.get(f"{url}/catalog")
        browser.one("#token").send_keys("wrong", Keys.ENTER)
        browser.wait(lambda: browser.run("return document.activeElement.getAttribute('aria-invalid')") == "true")
        browser.shoot("login")
        browser.axe("login")
        browser.one("#token").send_keys(MANAGE_TOKEN, Keys.ENTER)
        browser.wait(lambda: browser.one("h1").text == "Catalog")
        engine.denied = ProblemError(403, FORBIDDEN)
        browser.link("Runs").click()
        browser.wait(lambda: browser.one("h1").text == "Forbidden")
        browser.shoot("forbidden")
        browser.axe("forbidden")
        engine.denied = ProblemError(401, "Unauthorized")
        browser.one("a.brand").click()
        browser.wait(lambda: "is not good any more" in browser.one("main").text)
    assert browser.errors(allowed=("status of 401", "status of 403")) == []


def test_what_is_wrong_is_read_first(browser):
    browser.go("/start/measure")
    browser.one(".send button").click()
    browser.wait(lambda: browser.one("[role=alert] h2").text == "It was not started")
    assert browser.run("return document.activeElement.getAttribute('href')") == "#param.model"
    browser.run("return document.activeElement").send_keys(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "param.model"
    browser.shoot("start-wrong")


def test_a_run_that_fails_and_is_deleted(browser):
    browser.go("/start/measure")
    fill(browser, "broken-model")
    browser.one(".send button").click()
    browser.wait(lambda: "Failed" in state(browser))
    browser.wait(lambda: "broken-model: does not load" in browser.one("#log").text)
    assert browser.run("return document.getElementById('task-measure').open")
    browser.shoot("run-failed")
    browser.link("Delete").click()
    browser.shoot("confirm")
    address = browser.driver.current_url.partition("/confirm")[0].removeprefix(browser.site.url)
    browser.one("main form button").click()
    browser.wait(lambda: browser.one("h1").text == "Runs")
    browser.go(address)
    assert "there is none" in browser.one("main").text


def test_without_javascript(browser):
    browser.tell("Emulation.setScriptExecutionDisabled", value=True)
    browser.go("/start/measure")
    fill(browser, "plain")
    browser.one(".send button").click()
    browser.wait(lambda: "/runs/measure-" in browser.driver.current_url)

    def ended():
        again = browser.driver.find_elements(By.LINK_TEXT, "Read the state again")
        for one in again:
            one.click()
        return not again

    browser.wait(ended)
    assert "Succeeded: 2 of 2 Tasks done" in browser.one("[role=status]").text
    assert "turn 3: plain" in browser.one("#log").text


def test_by_keyboard(browser):
    browser.go("/")
    body = browser.one("body")
    body.send_keys(Keys.TAB)
    skip = browser.run("return document.activeElement")
    assert skip.text == "Skip to the content"
    assert skip.value_of_css_property("outline-style") == "solid"
    assert float(skip.value_of_css_property("outline-width").removesuffix("px")) >= 2
    skip.send_keys(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "main"


PAGES = ["/", "/start/measure", "/catalog", "/catalog/pipeline/measure", "/models", "/models/digits", "/fleet",
         "/models/digits/releases/2", "/models/digits/compare?a=1&b=2", "/runs/none", "/?words=nothing"]  # fmt: skip


def test_axe_finds_nothing(browser):
    browser.go("/")
    runs = browser.run("return [...document.querySelectorAll('tbody th a')].map(one => one.href)")
    for path in [*PAGES, *(one.removeprefix(browser.site.url) for one in runs[:1])]:
        browser.go(path)
        browser.axe(path)
    browser.run("document.querySelector('main').append(document.createElement('textarea'))")
    assert [name for name, _ in browser.faults()] == ["label"], "axe looks"
    browser.go("/fleet?model=digits")
    browser.shoot("fleet")
    browser.go("/")
    browser.shoot("runs")
    browser.go("/catalog")
    browser.shoot("catalog")


def test_a_list_follows_what_happens(browser):
    browser.go("/")
    before = browser.one("[data-live]").text
    browser.run(
        "const form = new URLSearchParams();"
        "fetch('/start/measure').then((one) => one.text()).then((text) => {"
        " const page = new DOMParser().parseFromString(text, 'text/html');"
        " form.set('form-token', page.querySelector('[name=form-token]').value);"
        " form.set('param.model', 'other'); form.set('workspace.release', 'emptyDir');"
        " form.set('name', 'seen-at-once');"
        " return fetch('/start/measure', {method: 'POST', body: form}); });"
    )
    browser.wait(lambda: "seen-at-once" in browser.one("[data-live]").text)
    assert "seen-at-once" not in before
    browser.wait(lambda: "Succeeded" in browser.one("tbody tr").text)
    assert browser.errors() == []
