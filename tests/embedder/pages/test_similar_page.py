"""The page of `embedder similar`, opened, clicked and driven by keys in Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.embedder.commands import command
from tests.embedder.pages.conftest import HOSTILE, Gathered
from tests.parts.browser import DESKTOP, PHONE, inaccessible, logged, look

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture
def page(gathered: Gathered, tmp_path: Path) -> Path:
    path = tmp_path / "similar.html"
    done = command("similar", gathered.store, HOSTILE[0], "-k", "49", "--html", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return path


def active(chrome: Chrome) -> str:
    return str(chrome.execute_script("return document.activeElement.querySelector('.name')?.textContent ?? ''"))


def press(chrome: Chrome, key: str) -> None:
    chrome.switch_to.active_element.send_keys(key)


def test_every_name_stays_text_and_nothing_is_loaded(chrome: Chrome, gathered: Gathered, page: Path) -> None:
    look(chrome, page)
    names = [each.get_property("textContent") for each in chrome.find_elements(By.CSS_SELECTOR, ".card .name")]
    assert sorted(map(str, names)) == sorted(set(gathered.ids) - {HOSTILE[0]}), "the image itself stands above"
    assert HOSTILE[0] in str(chrome.find_element(By.CSS_SELECTOR, "h1").get_property("textContent"))
    assert "The 48 nearest images" in chrome.find_element(By.CSS_SELECTOR, "header p").text
    assert "mean nothing" in chrome.find_element(By.CSS_SELECTOR, ".warning").text, "the weights were random"
    assert chrome.execute_script("return window.hit") is None
    assert chrome.execute_script("return document.scripts.length") == 2
    loaded = chrome.execute_script("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert [each for each in loaded if not each.startswith("data:")] == []
    assert logged(chrome) == []
    assert {chrome.find_element(By.CSS_SELECTOR, "bdi").value_of_css_property("unicode-bidi")} == {"isolate"}


def test_pictures_are_shown_and_what_is_missing_says_why(chrome: Chrome, page: Path) -> None:
    look(chrome, page)
    drawn = chrome.execute_script("return [...document.images].every((each) => each.complete && each.naturalWidth > 0)")
    assert drawn
    reasons = {
        str(card.find_element(By.CSS_SELECTOR, ".name").get_property("textContent")): card.find_element(
            By.CSS_SELECTOR, ".none"
        ).text
        for card in chrome.find_elements(By.CSS_SELECTOR, ".card:has(.none)")
    }
    assert set(reasons) == {"gone.png", "broken.png"}
    assert "No such file" in reasons["gone.png"]
    assert "HTML page" in reasons["broken.png"]


def test_keys_go_through_the_pictures(chrome: Chrome, gathered: Gathered, page: Path) -> None:
    look(chrome, page)
    names = [str(each.get_property("textContent")) for each in chrome.find_elements(By.CSS_SELECTOR, ".card .name")]
    press(chrome, Keys.ARROW_RIGHT)
    assert active(chrome) == names[0]
    press(chrome, Keys.ARROW_RIGHT)
    assert active(chrome) == names[1]
    press(chrome, Keys.ARROW_DOWN)
    below = names.index(active(chrome))
    assert below > 3
    press(chrome, Keys.ARROW_UP)
    press(chrome, Keys.ENTER)
    dialog = chrome.find_element(By.CSS_SELECTOR, "dialog")
    assert dialog.get_property("open")
    shown = dialog.find_element(By.ID, "dialog-name")
    assert shown.get_property("textContent") == names[1]
    press(chrome, Keys.ARROW_RIGHT)
    assert shown.get_property("textContent") == names[2]
    number = gathered.ids.index(names[2])
    terms, values = (dialog.find_elements(By.CSS_SELECTOR, f"#facts {each}") for each in ("dt", "dd"))
    told = {term.text: value.text for term, value in zip(terms, values, strict=True)}
    path = gathered.folder / f"{number}.png"
    assert told["Path"] == str(path)
    assert (told["Pixels"], told["Format"], told["Size"]) == ("60 × 40", "PNG", f"{path.stat().st_size} bytes")
    assert dialog.find_element(By.LINK_TEXT, "Open original").get_property("href") == path.as_uri()
    assert "60 × 40 · " in chrome.find_element(By.ID, "query-facts").text
    size = "const one = document.querySelector('.large img'); return [one.naturalWidth, one.naturalHeight]"
    WebDriverWait(chrome, 20).until(lambda _: chrome.execute_script(size) == [60, 40], "the original, uncropped")
    press(chrome, Keys.ESCAPE)
    WebDriverWait(chrome, 20).until(lambda _: not dialog.get_property("open"))
    # The page hears of the closing a moment later than the property says it.
    WebDriverWait(chrome, 20).until(lambda _: active(chrome) == names[2], "the focus is where one left off")


def test_a_click_shows_a_picture_and_closes_it(chrome: Chrome, page: Path) -> None:
    look(chrome, page)
    chrome.find_elements(By.CSS_SELECTOR, ".card")[4].click()
    dialog = chrome.find_element(By.CSS_SELECTOR, "dialog")
    assert dialog.is_displayed()
    dialog.find_element(By.CSS_SELECTOR, "[data-step='1']").click()
    assert dialog.find_element(By.CSS_SELECTOR, ".score").text.startswith("6 of 48, cosine ")
    dialog.find_element(By.CSS_SELECTOR, "[data-close]").click()
    assert not dialog.is_displayed()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_every_screen(chrome: Chrome, page: Path, size: tuple[int, int], *, dark: bool) -> None:
    look(chrome, page, size, dark=dark)
    width = chrome.execute_script("return document.documentElement.scrollWidth")
    assert width <= size[0], "nothing has to be scrolled sideways"
    ground = chrome.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground.strip("rgb()").split(","))) < 200) == dark
    assert inaccessible(chrome) == []
    tops = [each.rect["y"] for each in chrome.find_elements(By.CSS_SELECTOR, ".card")]
    assert tops.count(tops[0]) >= 2
