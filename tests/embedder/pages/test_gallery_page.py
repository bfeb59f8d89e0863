"""The page of `embedder gallery`, opened, clicked and driven by keys in Chromium."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.embedder.commands import command
from tests.embedder.pages.conftest import HOSTILE, Gathered
from tests.parts.browser import DESKTOP, PHONE, logged, look

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FAILURE = {
    "image_id": HOSTILE[1],
    "stage": "decode",
    "error": "Corrupt",
    "message": "<script>window.hit = 1</script>",
    "etag": None,
}


@pytest.fixture(scope="module")
def page(gathered: Gathered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "failed.jsonl").write_text(json.dumps(FAILURE) + "\n", encoding="utf-8")
    path = folder / "gallery.html"
    words = ("--html", path, "--failures", folder / "failed.jsonl", "--threshold", "0.9999")
    done = command("gallery", gathered.store, *words)
    assert done.returncode == 0, done.stderr
    assert "49 images, 2 without their picture" in done.stderr
    return path


def opened(chrome: Chrome, page: Path, size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> Any:
    """Open the page, wait for its map, and return its data."""
    look(chrome, page, size, dark=dark)
    WebDriverWait(chrome, 30).until(lambda _: chrome.execute_script("return document.body.dataset.ready") == "yes")
    return chrome.execute_script("return JSON.parse(document.getElementById('data').textContent)")


def text(chrome: Chrome, selector: str) -> str:
    return str(chrome.find_element(By.CSS_SELECTOR, selector).get_property("textContent"))


def middle(data: Any, chrome: Chrome, image_id: str) -> tuple[int, int]:
    """Where a picture's middle lies from the map's middle, on a map that shows everything."""
    canvas = chrome.find_element(By.ID, "map").size
    across, down = data["columns"] * data["side"], data["rows"] * data["side"]
    scale = min(canvas["width"] / across, canvas["height"] / down) * 0.97
    row, column = divmod(data["cells"][data["ids"].index(image_id)], data["columns"])
    return (
        round(((column + 0.5) * data["side"] - across / 2) * scale),
        round(((row + 0.5) * data["side"] - down / 2) * scale),
    )


def test_names_and_reasons_stay_text_and_nothing_is_loaded(chrome: Chrome, gathered: Gathered, page: Path) -> None:
    data = opened(chrome, page)
    assert sorted(data["ids"]) == sorted(gathered.ids)
    chrome.find_element(By.ID, "tab-failures").click()
    failure = chrome.find_element(By.CSS_SELECTOR, ".failures li").text
    assert failure == f"{HOSTILE[1]}\ndecode: Corrupt: <script>window.hit = 1</script>"
    for each in HOSTILE:
        find = chrome.find_element(By.ID, "find")
        find.clear()
        chrome.execute_script("arguments[0].value = arguments[1]", find, each.replace("\n", ""))
        chrome.execute_script("arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}))", find)
        if "\n" not in each:
            assert text(chrome, ".picked bdi") == each
    assert chrome.execute_script("return window.hit") is None
    assert chrome.execute_script("return document.scripts.length") == 2
    loaded = chrome.execute_script("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert [each for each in loaded if not each.startswith("data:")] == []
    assert logged(chrome) == []


def test_a_click_on_the_map_shows_the_neighbours(chrome: Chrome, page: Path) -> None:
    data = opened(chrome, page)
    canvas = chrome.find_element(By.ID, "map")
    x, y = middle(data, chrome, "red/00.png")
    ActionChains(chrome).move_to_element_with_offset(canvas, x, y).perform()
    assert text(chrome, "#hover bdi") == "red/00.png"
    ActionChains(chrome).move_to_element_with_offset(canvas, x, y).click().perform()
    assert text(chrome, ".picked bdi") == "red/00.png"
    near = [str(each.get_attribute("title")) for each in chrome.find_elements(By.CSS_SELECTOR, "#near .thumb")]
    assert near[0] == HOSTILE[0], "its copy is the nearest"
    assert len(near) == 12
    numbers = [data["ids"].index(each) for each in near]
    assert {number % 4 for number in map(_colour, data["ids"])} == {0, 1, 2, 3}
    assert sum(data["ids"][number].startswith("red/") for number in numbers) >= 8
    chrome.find_elements(By.CSS_SELECTOR, "#near .thumb")[1].click()
    assert text(chrome, ".picked bdi") == near[1]
    red = chrome.execute_script(
        "return [...document.querySelector('.picked canvas').getContext('2d').getImageData(20, 20, 1, 1).data]"
    )
    assert red[0] > 170
    assert max(red[1:3]) < 80


def _colour(image_id: str) -> int:
    return {"red": 0, "green": 1, "blue": 2, "grey": 3}.get(image_id.split("/")[0], 0)


def test_what_is_alike_lies_together(chrome: Chrome, page: Path) -> None:
    data = opened(chrome, page)
    places = {
        image_id: divmod(cell, data["columns"]) for image_id, cell in zip(data["ids"], data["cells"], strict=True)
    }
    assert len(set(places.values())) == len(places)

    def apart(one: str, other: str) -> int:
        return sum(abs(a - b) for a, b in zip(places[one], places[other], strict=True))

    named = [each for each in places if each.split("/")[0] in ("red", "green", "blue", "grey")]
    same = [apart(a, b) for a in named for b in named if a < b and _colour(a) == _colour(b)]
    different = [apart(a, b) for a in named for b in named if a < b and _colour(a) != _colour(b)]
    assert sum(same) / len(same) < 0.7 * sum(different) / len(different)


def test_keys_walk_over_the_map(chrome: Chrome, page: Path) -> None:
    data = opened(chrome, page)
    canvas = chrome.find_element(By.ID, "map")
    canvas.send_keys(Keys.ARROW_RIGHT)
    first = text(chrome, "#status")
    assert first in data["ids"]
    canvas.send_keys(Keys.ARROW_DOWN)
    second = text(chrome, "#status")
    cells = [data["cells"][data["ids"].index(each)] for each in (first, second)]
    assert cells[1] - cells[0] == data["columns"]
    canvas.send_keys(Keys.ENTER)
    assert text(chrome, ".picked bdi") == second
    canvas.send_keys("+", "+", "-", "0", Keys.ESCAPE)
    assert "Choose a picture" in text(chrome, "#near")
    tab = chrome.find_element(By.ID, "tab-near")
    tab.send_keys(Keys.ARROW_RIGHT)
    assert chrome.switch_to.active_element.get_attribute("id") == "tab-groups"
    assert chrome.find_element(By.ID, "groups").is_displayed()


def test_groups_outliers_failures_and_figures_have_their_place(chrome: Chrome, page: Path) -> None:
    opened(chrome, page)
    chrome.find_element(By.ID, "tab-groups").click()
    group = [str(each.get_attribute("title")) for each in chrome.find_elements(By.CSS_SELECTOR, "#groups .thumb")]
    assert sorted(group) == sorted([HOSTILE[0], "red/00.png"])
    chrome.find_element(By.ID, "tab-outliers").click()
    assert len(chrome.find_elements(By.CSS_SELECTOR, "#outliers .thumb")) == 36
    chrome.find_element(By.ID, "tab-run").click()
    figures = chrome.find_element(By.ID, "run").text
    assert "49 of dimension 512" in figures
    assert "resnet18/random/pre1/float32" in figures
    assert "decode: Corrupt (1)" in figures
    assert "2026-11-05T10:00:00" in figures


def test_an_id_can_be_found(chrome: Chrome, page: Path) -> None:
    opened(chrome, page)
    find = chrome.find_element(By.ID, "find")
    find.send_keys("blue/")
    assert text(chrome, "#status") == "10 found"
    find.send_keys("02", Keys.ENTER)
    assert text(chrome, ".picked bdi") == "blue/02.png"


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_every_screen(chrome: Chrome, page: Path, size: tuple[int, int], *, dark: bool) -> None:
    opened(chrome, page, size, dark=dark)
    seen = chrome.execute_script("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert seen[0] <= size[0]
    assert seen[1] <= size[1]
    canvas = chrome.find_element(By.ID, "map")
    assert canvas.size["width"] >= 380
    assert canvas.size["height"] >= 300
    drawn = chrome.execute_script(
        "const map = document.getElementById('map');"
        "const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height);"
        "let inked = 0; for (let place = 3; place < data.length; place += 4) inked += data[place] > 0;"
        "return inked / (map.width * map.height)"
    )
    assert drawn > 0.3, "the map fills its place"
    ground = chrome.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground.strip("rgb()").split(","))) < 200) == dark
