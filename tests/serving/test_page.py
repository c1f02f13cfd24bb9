"""The page in a real browser. Needs Chromium (Debian: chromium) and Playwright's Python package."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import polars as pl
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from shortlist.serving import ServiceSettings

from ..bundle.parts import Parts
from .conftest import Running, running
from .test_paths import AWKWARD, AwkwardParts

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


class PageParts(Parts):
    """Sixty films, one with a hostile title."""

    def __init__(self) -> None:
        super().__init__(seed=4, items=60)
        titles = [f"Film {n}" for n in range(60)]
        titles[7] = HOSTILE
        titles[9] = "https://example.org/a/title/without/a/space/" + "x" * 60
        self.items = self.items.with_columns(title=pl.Series(titles))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("site")
    PageParts().save(folder / "1")
    with running(folder, ServiceSettings()) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Watched:
    """A page whose console errors and foreign requests are remembered."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "request", lambda r: None if r.url.startswith(url) else self.foreign.append(r.url)
        )


@pytest.fixture
def watched(browser: Browser, site: Running) -> Iterator[Watched]:
    context = browser.new_context(base_url=site.url, viewport={"width": 1280, "height": 900})
    watched = Watched(context, site.url)
    yield watched
    context.close()
    assert watched.errors == []
    assert watched.foreign == []


def _ranked(page: Page, within: str = "#recommendations") -> list[str]:
    expect(page.locator(f"{within} .ranked li").first).to_be_visible()
    return page.locator(f"{within} .ranked .name").evaluate_all(
        "names => names.map(name => name.firstChild.textContent)"
    )


def _expected(query: list[str] | int, leave_out: set[int], k: int = 10) -> list[str]:
    parts = PageParts()
    if isinstance(query, int):
        vector = parts.user_embeddings[query + 1]
    else:
        vector = parts.item_embeddings[[int(i[1:]) for i in query]].mean(axis=0)
    order = (-(parts.item_embeddings @ vector)).argsort(kind="stable")
    titles = parts.items["title"].to_list()
    return [titles[row] for row in order if row not in leave_out][:k]


def test_without_a_user_the_page_offers_some(watched: Watched):
    page = watched.page
    page.goto("/")
    expect(page.get_by_text("Pick a user")).to_be_visible()
    page.get_by_role("button", name="u2", exact=True).click()
    assert _ranked(page) == _expected(2, {0})
    assert page.url.endswith("/?user=u2")
    expect(page).to_have_title("User u2 · Shortlist")


def test_a_user_is_searched_by_keyboard_and_shown_beside_their_history(watched: Watched):
    page = watched.page
    page.goto("/")
    page.get_by_role("combobox", name="User").fill("u")
    expect(page.get_by_role("option")).to_have_count(5)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("option", name="u1")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    assert _ranked(page) == _expected(1, {1})
    expect(page.locator("#history .name")).to_have_text(["Film 1id f1"])
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()


def test_seen_items_come_and_go_with_the_switch(watched: Watched):
    page = watched.page
    page.goto("/?user=u0&k=60")
    assert len(_ranked(page)) == 58
    page.get_by_role("switch").focus()
    page.keyboard.press("Space")
    expect(page.locator("#recommendations .ranked li")).to_have_count(60)
    assert "seen=keep" in page.url


def test_the_number_of_recommendations_can_be_chosen(watched: Watched):
    page = watched.page
    page.goto("/?user=u0")
    page.get_by_label("How many").fill("3")
    page.keyboard.press("Enter")
    expect(page.locator("#recommendations .ranked li")).to_have_count(3)
    page.get_by_label("How many").fill("999999")
    page.keyboard.press("Enter")
    expect(page.get_by_label("How many")).to_have_value("1000")
    expect(page.locator("#recommendations .ranked li")).to_have_count(58)


def test_exact_and_tuned_search_are_compared_with_both_latencies(watched: Watched):
    page = watched.page
    page.goto("/?user=u3")
    expect(page.locator("#compare")).to_contain_text("10 of 10 the same")
    assert page.locator("#compare b").count() == 2
    for latency in page.locator("#compare b").all_inner_texts():
        assert latency.endswith(("µs", "ms"))
    page.get_by_role("button", name="Exact").click()
    expect(page.get_by_role("button", name="Exact")).to_have_attribute("aria-pressed", "true")
    assert _ranked(page) == _expected(3, set())
    assert "exact=yes" in page.url


def test_what_only_one_search_finds_is_marked(watched: Watched):
    page = watched.page

    def lose_one(route: Route) -> None:
        answer = route.fetch()
        document = answer.json()
        if document["exact"]:
            document["items"][0] = {"id": "other", "title": "Other", "score": 9.0}
        route.fulfill(response=answer, json=document)

    page.route("**/api/v1/recommend", lose_one)
    page.goto("/?user=u3")
    expect(page.locator("#compare")).to_contain_text("9 of 10 the same")
    expect(page.locator(".only")).to_have_count(1)


def test_the_drawer_shows_an_item_and_leads_on_to_similar_ones(watched: Watched):
    page = watched.page
    page.goto("/?user=u0")
    first = _ranked(page)[0]
    page.locator("#recommendations .ranked .item").first.click()
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_role("heading", name=first)).to_be_visible()
    expect(drawer.get_by_text("year")).to_be_visible()
    similar = _ranked(page, "#drawer-similar")
    assert len(similar) == 10
    assert first not in similar
    drawer.locator(".ranked .item").first.click()
    expect(drawer.get_by_role("heading", name=similar[0], exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    page.go_back()
    expect(drawer.get_by_role("heading", name=similar[0], exact=True)).to_be_visible()
    drawer.get_by_role("button", name="Close").click()
    expect(drawer).to_be_hidden()


def test_somebody_new_is_known_by_three_films(watched: Watched):
    page = watched.page
    page.goto("/")
    page.get_by_role("button", name="Somebody new").click()
    expect(page.get_by_text("Who is new?")).to_be_visible()
    for title in ("Film 5", "Film 22", "Film 41"):
        page.get_by_role("combobox", name="Three they liked").fill(title)
        page.get_by_role("option").first.click()
        expect(page.locator("#history")).to_contain_text(title)
    expect(page.locator("#compare")).to_contain_text("of 10 the same")
    assert _ranked(page) == _expected(["f5", "f22", "f41"], {5, 22, 41})
    assert page.url.count("film=") == 3
    page.get_by_role("button", name="Remove Film 22").click()
    expect(page.locator("#history li")).to_have_count(2)


def test_a_shared_address_shows_the_same(watched: Watched):
    page = watched.page
    page.goto("/?film=f5&film=f22&k=4&exact=yes&item=f9")
    expect(
        page.get_by_role("dialog").get_by_role("heading", name="https://example.org")
    ).to_be_visible()
    page.keyboard.press("Escape")
    assert _ranked(page) == _expected(["f5", "f22"], {5, 22}, 4)
    expect(page.get_by_label("How many")).to_have_value("4")


def test_a_hostile_title_is_text(watched: Watched):
    page = watched.page
    page.goto("/?user=u0&k=60&item=f7")
    expect(page.get_by_role("dialog").get_by_role("heading", name=HOSTILE)).to_be_visible()
    page.keyboard.press("Escape")
    assert HOSTILE in _ranked(page)
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "User u0 · Shortlist"


def test_while_it_loads_the_page_says_so(watched: Watched):
    page = watched.page
    held: list[Route] = []
    page.route("**/api/v1/recommend", lambda route: held.append(route))
    page.goto("/?user=u0")
    expect(page.locator("#recommendations").get_by_role("status", name="Loading")).to_be_visible()
    while len(held) < 2:
        page.wait_for_timeout(20)
    for route in held:
        route.continue_()
    assert len(_ranked(page)) == 10
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)


def test_an_unknown_user_is_explained_and_can_be_mended(watched: Watched):
    page = watched.page
    page.goto("/?user=u9")
    expect(page.get_by_role("alert")).to_contain_text("unknown user 'u9'; 5 users")
    page.get_by_role("combobox", name="User").fill("u4")
    page.get_by_role("option").first.click()
    assert len(_ranked(page)) == 10
    expect(page.get_by_role("alert")).to_be_hidden()
    _only_failed_loads(watched)


def test_a_service_that_does_not_answer_is_said_and_tried_again(watched: Watched):
    page = watched.page
    page.goto("/?user=u0")
    _ranked(page)
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("button", name="Exact").click()
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try again").click()
    assert len(_ranked(page)) == 10
    _only_failed_loads(watched)


def test_a_user_without_history_and_a_user_with_nothing_left(watched: Watched):
    page = watched.page
    page.goto("/?user=u4")
    expect(page.get_by_text("Nothing is recorded for this user.")).to_be_visible()
    page.route("**/api/v1/recommend", lambda route: _emptied(route))
    page.goto("/?user=u0")
    expect(page.get_by_text("Nothing left to recommend")).to_be_visible()


def test_a_key_is_asked_for_and_kept_for_the_tab(browser: Browser, tmp_path: Path):
    PageParts().save(tmp_path / "1")
    with running(tmp_path, ServiceSettings(keys=("secret",))) as site:
        context = browser.new_context(base_url=site.url)
        watched = Watched(context, site.url)
        page = watched.page
        page.goto("/?user=u0")
        expect(page.get_by_role("alert")).to_contain_text("A key is needed")
        page.get_by_label("Key").fill("secret")
        page.get_by_role("button", name="Use this key").click()
        assert len(_ranked(page)) == 10
        page.reload()
        assert len(_ranked(page)) == 10
        context.close()
        _only_failed_loads(watched)


FONTS = {
    "the system's": "* { }",
    "DejaVu Sans": "* { font-family: 'DejaVu Sans' !important }",
    "a wide one": "* { font-family: 'DejaVu Sans Mono' !important; letter-spacing: .05em }",
    "large": "html { font-size: 150% }",
}
PAGES = [
    "/",
    "/?user=u0&k=60",
    "/?film=f5&film=f7&film=f9",
    "/?user=u0&item=f9",
    "/?user=nobody-whose-name-is-so-long-that-it-would-not-fit-into-any-line-of-the-page",
    "/docs",
]
OUTSIDE = """width => [...document.querySelectorAll("body *:not(.skip, pre *)")].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 0.5 || box.left < -0.5);
}).map(e => e.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize(
    ("font", "width"), [*((font, 320) for font in FONTS), ("a wide one", 768), ("a wide one", 1280)]
)
def test_nothing_overflows_in_any_font(browser: Browser, site: Running, font: str, width: int):
    context = browser.new_context(
        base_url=site.url, viewport={"width": width, "height": 700}, bypass_csp=True
    )
    page = context.new_page()
    for path in PAGES:
        page.goto(path)
        page.add_style_tag(content=FONTS[font])
        expect(page.locator(".skeleton")).to_have_count(0)
        if path == "/docs":
            expect(page.locator("#operations section")).to_have_count(28)
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(OUTSIDE, width) == [], path
    context.close()


def test_ids_of_any_characters_are_shown_shared_and_followed(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.mktemp("awkward")
    AwkwardParts().save(folder / "1")
    names = [
        "https://example.org//a/b/",
        "/",
        ".",
        "..",
        "%2F",
        "a?b=c&d#e",
        "a+b",
        " a ",
        "=a",
        "👩‍👩‍👧",
    ]
    with running(folder, ServiceSettings()) as served:
        context = browser.new_context(base_url=served.url)
        watched = Watched(context, served.url)
        page = watched.page
        for name in names:
            title = f"Title {AWKWARD.index(name)}"
            had = f"Title {len(AWKWARD) - 1 - AWKWARD.index(name)}"
            page.goto("/?" + urlencode({"user": name, "item": name}))
            heading = page.get_by_role("dialog").get_by_role("heading", name=title, exact=True)
            expect(heading).to_be_visible()
            expect(page.locator("#history .name")).to_contain_text(had)
            page.keyboard.press("Escape")
            page.locator("#history .item").click()
            expect(page.get_by_role("dialog").get_by_role("heading", name=had)).to_be_visible()
            shared = parse_qs(urlsplit(page.url).query)
            assert shared["user"] == [name]
            assert shared["item"] == [AWKWARD[-1 - AWKWARD.index(name)]]
            page.reload()
            expect(page.get_by_role("dialog").get_by_role("heading", name=had)).to_be_visible()
            page.goto("/?" + urlencode({"film": name}))
            expect(page.locator("#history .name")).to_contain_text(title)
            _ranked(page)
        context.close()
        assert watched.errors == []
        assert watched.foreign == []


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone_recommendations_come_first(browser: Browser, site: Running, width: int):
    context = browser.new_context(base_url=site.url, viewport={"width": width, "height": 700})
    watched = Watched(context, site.url)
    page = watched.page
    page.goto("/?user=u0&k=60")
    _ranked(page)
    recommendations = page.locator("#recommendations").bounding_box()
    history = page.locator("#history").bounding_box()
    assert recommendations["y"] < history["y"]
    page.locator("#recommendations .ranked .item").first.click()
    assert page.get_by_role("dialog").bounding_box()["width"] <= width
    context.close()
    assert watched.errors == []


def test_focus_is_visible_and_reaches_every_control(watched: Watched):
    page = watched.page
    page.goto("/?user=u0&k=1")
    _ranked(page)
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.className")
        )
        assert page.evaluate(
            "(() => { const e = document.activeElement.id === 'seen'"
            " ? document.activeElement.nextElementSibling : document.activeElement;"
            " return getComputedStyle(e).outlineStyle !== 'none' })()"
        ), reached
    assert {"mode-user", "user", "k", "seen", "approximate", "exact"} <= set(reached)


def test_the_documentation_lists_every_operation(watched: Watched):
    page = watched.page
    page.goto("/docs")
    expect(page.locator("#operations h2")).to_have_text(
        ["Shortlist", "TensorFlow Serving", "KServe v2"]
    )
    expect(page.locator("#operations section")).to_have_count(28)
    page.locator("summary").first.click()
    expect(page.get_by_text("exclude_seen").first).to_be_visible()


def _emptied(route: Route) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, json={**answer.json(), "items": []})


def _only_failed_loads(watched: Watched) -> None:
    """The browser itself reports each answer that is an error; nothing else may be reported."""
    assert all(error.startswith("Failed to load resource") for error in watched.errors)
    watched.errors.clear()
