"""The page of `embedder gallery`, opened, clicked and driven by keys in Chromium."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from embedder.results.gallery import Gallery
from embedder.sources.folder import file_uri
from tests.embedder.commands import command
from tests.embedder.pages.conftest import HOSTILE, Gathered
from tests.embedder.stored import fill, stored
from tests.parts.browser import DESKTOP, PHONE, downloading, inaccessible, logged, look
from tests.photographs import variation

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
    assert "49 images, 2 without a picture" in done.stderr
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
        chrome.execute_script("arguments[0].dispatchEvent(new Event('input'))", find)
        chrome.execute_script("arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}))", find)
        if "\n" not in each:
            assert text(chrome, ".picked-name") == each
    assert chrome.execute_script("return window.hit") is None
    assert chrome.execute_script("return document.scripts.length") == 2
    loaded = chrome.execute_script("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert [each for each in loaded if not each.startswith("data:")] == []
    assert logged(chrome) == []


def hovered(chrome: Chrome, data: Any, image_id: str) -> str:
    """What the page shows where `image_id` lies on a map that shows everything."""
    x, y = middle(data, chrome, image_id)
    canvas = chrome.find_element(By.ID, "map")
    ActionChains(chrome).move_to_element_with_offset(canvas, 3, 3).perform()
    ActionChains(chrome).move_to_element_with_offset(canvas, x, y).perform()
    return text(chrome, "#hover bdi")


def click_on(chrome: Chrome, data: Any, image_id: str) -> None:
    x, y = middle(data, chrome, image_id)
    canvas = chrome.find_element(By.ID, "map")
    ActionChains(chrome).move_to_element_with_offset(canvas, x, y).click().perform()


def press(chrome: Chrome, selector: str) -> None:
    """Click on an element, wherever in its panel it is."""
    chrome.execute_script("arguments[0].click()", chrome.find_element(By.CSS_SELECTOR, selector))


def titles(chrome: Chrome, selector: str) -> list[str]:
    return [str(each.get_attribute("title")) for each in chrome.find_elements(By.CSS_SELECTOR, selector)]


def test_a_click_on_the_map_shows_the_neighbours_and_moves_nothing(chrome: Chrome, page: Path) -> None:
    data = opened(chrome, page)
    assert hovered(chrome, data, "red/00.png") == "red/00.png"
    click_on(chrome, data, "red/00.png")
    assert text(chrome, ".picked-name") == "red/00.png"
    near = titles(chrome, "#near .thumb")
    assert near[0] == HOSTILE[0], "its copy is the nearest"
    assert len(near) == 12
    assert sum(_colour(each) == 0 for each in near) >= 8
    assert hovered(chrome, data, "blue/02.png") == "blue/02.png", "the map lies where it lay"
    press(chrome, "#near .thumb:nth-child(2)")
    assert text(chrome, ".picked-name") == near[1]
    assert hovered(chrome, data, "blue/02.png") == "blue/02.png"
    red = chrome.execute_script(
        "return [...document.querySelector('#near .thumb canvas').getContext('2d').getImageData(20, 20, 1, 1).data]"
    )
    assert red[0] > 170
    assert max(red[1:3]) < 80


def _colour(image_id: str) -> int:
    return {"red": 0, "green": 1, "blue": 2, "grey": 3}.get(image_id.split("/")[0], 0)


def test_keys_walk_over_the_map(chrome: Chrome, page: Path) -> None:
    data = opened(chrome, page)
    canvas = chrome.find_element(By.ID, "map")
    canvas.send_keys(Keys.ARROW_RIGHT)
    first = text(chrome, "#status")
    assert first in data["ids"]
    assert hovered(chrome, data, "red/00.png") == "red/00.png", "the first key keeps the overview"
    ActionChains(chrome).move_to_element_with_offset(chrome.find_element(By.ID, "side"), 0, 0).perform()
    canvas.send_keys(Keys.ARROW_RIGHT)
    first = text(chrome, "#status")
    canvas.send_keys(Keys.ARROW_DOWN)
    second = text(chrome, "#status")
    cells = [data["cells"][data["ids"].index(each)] for each in (first, second)]
    assert cells[1] - cells[0] == data["columns"]
    canvas.send_keys(Keys.ENTER)
    assert text(chrome, ".picked-name") == second
    canvas.send_keys("+", "+", "-", "0", Keys.ESCAPE)
    assert "Choose a picture" in text(chrome, "#near")
    tab = chrome.find_element(By.ID, "tab-overview")
    tab.send_keys(Keys.ARROW_RIGHT)
    assert chrome.switch_to.active_element.get_attribute("id") == "tab-finding"
    assert chrome.find_element(By.ID, "finding").is_displayed()


def test_the_map_fits_again_when_the_window_changes(chrome: Chrome, page: Path) -> None:
    data = opened(chrome, page)
    for width, height in ((900, 700), (844, 390), DESKTOP):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        WebDriverWait(chrome, 10).until(lambda _: hovered(chrome, data, "red/00.png") == "red/00.png")


def test_the_address_names_the_picture_and_back_leads_back(chrome: Chrome, page: Path) -> None:
    data = opened(chrome, page)
    click_on(chrome, data, "red/00.png")
    first = chrome.current_url
    press(chrome, "#near .thumb:nth-child(3)")
    second = text(chrome, ".picked-name")
    chrome.back()
    WebDriverWait(chrome, 10).until(lambda _: text(chrome, ".picked-name") == "red/00.png")
    chrome.forward()
    WebDriverWait(chrome, 10).until(lambda _: text(chrome, ".picked-name") == second)
    chrome.get("about:blank")
    chrome.get(first)
    assert text(chrome, ".picked-name") == "red/00.png", "the address can be shared"
    chrome.find_element(By.ID, "tab-groups").click()
    press(chrome, "#groups .thumb")
    press(chrome, "#near .back")
    WebDriverWait(chrome, 10).until(lambda _: chrome.find_element(By.ID, "groups").is_displayed())


def enlarged(chrome: Chrome) -> list[Any]:
    """Where the picture that is looked at comes from, its width and its height."""
    found = chrome.execute_script(
        "const { src, naturalWidth, naturalHeight } = document.querySelector('#look-picture img');"
        "return [src, naturalWidth, naturalHeight]"
    )
    return list(found)


def test_a_picture_is_shown_large_and_whole(chrome: Chrome, page: Path, gathered: Gathered) -> None:
    opened(chrome, page)
    chrome.get(f"{page.as_uri()}#/look/{quote('green/01.png', safe='')}")
    dialog = chrome.find_element(By.ID, "look")
    assert dialog.is_displayed()
    WebDriverWait(chrome, 10).until(lambda _: text(chrome, "#look-note") == "")
    WebDriverWait(chrome, 10).until(lambda _: enlarged(chrome)[0].startswith("file:"))
    assert enlarged(chrome) == [file_uri(gathered.folder / "1.png"), 60, 40], "the original, uncropped"
    about = chrome.find_element(By.ID, "look-about").text
    bytes_ = (gathered.folder / "1.png").stat().st_size
    for fact in ("green/01.png", "60 × 40", f"{bytes_} bytes", "PNG", "resnet18/random/pre1/float32", "Open original"):
        assert fact in about
    dialog.find_element(By.ID, "look-next").click()
    assert text(chrome, "#look-name") != "green/01.png"
    dialog.find_element(By.ID, "look-close").click()
    assert not dialog.is_displayed()
    assert chrome.find_element(By.ID, "near").is_displayed()


def test_without_the_original_the_page_has_its_own_copy(chrome: Chrome, page: Path, gathered: Gathered) -> None:
    opened(chrome, page)
    (gathered.folder / "2.png").rename(gathered.folder / "away.png")
    try:
        chrome.get(f"{page.as_uri()}#/look/{quote('blue/02.png', safe='')}")
        WebDriverWait(chrome, 10).until(lambda _: "cannot be shown" in text(chrome, "#look-note"))
    finally:
        (gathered.folder / "away.png").rename(gathered.folder / "2.png")
    source, width, height = enlarged(chrome)
    assert source.startswith("data:")
    assert width / height == 1.5, "uncropped too"
    logged(chrome)


def test_overview_outliers_and_failures_have_their_place(chrome: Chrome, page: Path) -> None:
    opened(chrome, page)
    overview = chrome.find_element(By.ID, "overview").text
    for fact in ("49 of dimension 512", "resnet18/random/pre1/float32", "decode: Corrupt (1)", "2026-11-05T10:00:00"):
        assert fact in overview
    assert "2 near-duplicates in 1 group" in overview
    assert "36 outliers" in overview
    assert "1 failure" in overview
    assert "2 images without a picture here" in overview
    assert sum(int(each.split()[0]) for each in overview.split("\n") if re.fullmatch(r"\d+ images?", each)) == 49
    assert "mean nothing" in chrome.find_element(By.CSS_SELECTOR, ".warning").text, "the weights were random"
    tab = chrome.find_element(By.ID, "tab-outliers")
    tab.click()
    assert len(titles(chrome, "#outliers .thumb")) == 36
    colour = "return getComputedStyle(arguments[0]).borderBottomColor"
    line = chrome.execute_script(colour, tab)
    assert line != chrome.execute_script(colour, chrome.find_element(By.ID, "tab-near")), "the chosen tab is underlined"


def test_images_are_found_counted_and_reached_one_by_one(chrome: Chrome, page: Path) -> None:
    opened(chrome, page)
    find = chrome.find_element(By.ID, "find")
    find.send_keys("blue/")
    assert chrome.find_element(By.ID, "count").text == "10 found"
    assert chrome.find_element(By.ID, "found").text == "10 found"
    hits = [each.text.split("\n")[0] for each in chrome.find_elements(By.CSS_SELECTOR, "#hits .hit")]
    assert len(hits) == 10
    find.send_keys(Keys.ENTER, Keys.ENTER)
    assert text(chrome, ".picked-name") == f"blue/{hits[1]}"
    assert chrome.find_element(By.ID, "count").text == "2 of 10"
    chrome.find_element(By.CSS_SELECTOR, ".tools [data-hit='-1']").click()
    assert text(chrome, ".picked-name") == f"blue/{hits[0]}"
    find.clear()
    find.send_keys("nowhere")
    assert chrome.find_element(By.ID, "count").text == "0 found"


def test_a_filter_is_chosen_and_the_map_is_coloured(chrome: Chrome, page: Path, gathered: Gathered) -> None:
    opened(chrome, page)
    chrome.find_element(By.ID, "tab-finding").click()
    Select(chrome.find_element(By.ID, "folder")).select_by_value("grey/")
    assert chrome.find_element(By.ID, "found").text == "10 found"
    Select(chrome.find_element(By.ID, "folder")).select_by_value("")
    Select(chrome.find_element(By.ID, "type")).select_by_visible_text("PNG (47)")
    assert chrome.find_element(By.ID, "found").text == "47 found"
    day = datetime.fromtimestamp((gathered.folder / "0.png").stat().st_mtime, UTC).date()
    for end, offset, count in (("from", 1, 0), ("from", 0, 47), ("to", -1, 0), ("to", 0, 47)):
        chrome.execute_script(
            "const one = document.getElementById(arguments[0]); one.value = arguments[1];"
            "one.dispatchEvent(new Event('change'))",
            end,
            (day + timedelta(days=offset)).isoformat(),
        )
        assert chrome.find_element(By.ID, "found").text == f"{count} found"
    before = pixel_sum(chrome)
    Select(chrome.find_element(By.ID, "colour")).select_by_value("folder")
    assert "red/ (10)" in chrome.find_element(By.ID, "legend").text
    WebDriverWait(chrome, 10).until(lambda _: pixel_sum(chrome) != before)


def pixel_sum(chrome: Chrome) -> int:
    return int(
        chrome.execute_script(
            "const map = document.getElementById('map');"
            "const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height);"
            "let sum = 0; for (let at = 0; at < data.length; at += 4) sum += data[at] + 2 * data[at + 1]; return sum"
        )
    )


def test_everything_is_sorted_by_likeness(chrome: Chrome, page: Path) -> None:
    data = opened(chrome, page)
    click_on(chrome, data, "green/01.png")
    near = titles(chrome, "#near .thumb")
    press(chrome, "#near .actions button:last-child")
    assert "by likeness to 01.png" in chrome.find_element(By.ID, "found").text
    order = [str(each.get_property("textContent")) for each in chrome.find_elements(By.CSS_SELECTOR, "#hits .hit")]
    assert len(order) == 49
    assert order[0].startswith("01.pnggreen/")
    assert all(row.startswith(each.split("/")[-1]) for row, each in zip(order[1:5], near, strict=False))
    greens = [place for place, each in enumerate(order) if "green/" in each]
    assert sum(greens) / len(greens) < 12, "the green ones come first"


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photographs, some of them twice with names that a shell must not believe, and their page."""
    folder = tmp_path_factory.mktemp("doubled")
    vectors = []
    copies = ("it's $(rm -rf x).jpg", "two\nlines.jpg", "-rf.jpg")
    for number, name in enumerate([*(f"photos/{number}.jpg" for number in range(6)), *copies]):
        seed = number if number < 6 else number - 6
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        photo = variation(seed)
        (photo if number < 6 else photo.reduce(2)).save(path)
        vectors.append(stored(name, seed, source=file_uri(path)))
    fill(str(folder / "vectors.db"), vectors)
    assert command("gallery", folder / "vectors.db", "--html", folder / "gallery.html").returncode == 0
    return folder


def test_duplicates_say_which_to_keep_and_a_shell_deletes_the_others(
    chrome: Chrome, doubled: Path, tmp_path: Path
) -> None:
    opened(chrome, doubled / "gallery.html")
    downloading(chrome, tmp_path)
    chrome.find_element(By.ID, "tab-groups").click()
    assert chrome.find_element(By.ID, "grouped").text == "6 images in 3 groups"
    unmarked = pixel_sum(chrome)
    ActionChains(chrome).move_to_element(chrome.find_element(By.CSS_SELECTOR, ".group h2")).perform()
    WebDriverWait(chrome, 10).until(
        lambda _: pixel_sum(chrome) != unmarked, "the map marks the group that is pointed at"
    )
    kept, gone = (each.text for each in chrome.find_elements(By.CSS_SELECTOR, ".copy")[:2])
    assert kept.split("\n")[:2] == ["photos/0.jpg", "0.jpg"], "the name, which the picture has too"
    assert "photos/" in kept
    assert "Keep" in kept
    with Image.open(doubled / "photos" / "0.jpg") as photo:
        assert f"{photo.width} × {photo.height}" in kept
    assert "1.0000" in gone
    assert "kB" in gone
    assert "Keep" not in gone
    assert chrome.find_element(By.ID, "tally").text.startswith("3 marked to go")
    press(chrome, ".group:nth-child(3) .copy:nth-of-type(2) input")
    assert chrome.find_element(By.ID, "tally").text.startswith("2 marked to go")
    for name in ("save-table", "save-script"):
        chrome.find_element(By.ID, name).click()
    WebDriverWait(chrome, 20).until(
        lambda _: {each.name for each in tmp_path.iterdir()} == {"duplicates.csv", "delete.sh"}
    )
    with (tmp_path / "duplicates.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    left = {row["image_id"] for row in table if row["keep"] == "yes"}
    assert len(table) == 6
    assert {"photos/0.jpg", "photos/1.jpg", "photos/2.jpg"} < left
    before = {path.name for path in doubled.rglob("*.jpg")}
    subprocess.run(["sh", tmp_path / "delete.sh"], check=True, cwd=tmp_path)
    assert before - {path.name for path in doubled.rglob("*.jpg")} == {
        row["image_id"] for row in table if row["keep"] == "no"
    }


def test_a_threshold_that_is_dragged_groups_as_the_command_does(chrome: Chrome, page: Path, gathered: Gathered) -> None:
    opened(chrome, page)
    chrome.find_element(By.ID, "tab-groups").click()
    for threshold in (0.99, 0.9, 0.85):
        chrome.execute_script(
            "const one = document.getElementById('threshold'); one.value = arguments[0];"
            "one.dispatchEvent(new Event('input'))",
            threshold * 10_000,
        )
        answer = command("duplicates", gathered.store, "--threshold", str(threshold), "--json").report
        assert chrome.find_element(By.ID, "at").text == f"{threshold:.4f}"
        held = sum(map(len, answer["groups"]))
        assert chrome.find_element(By.ID, "grouped").text.split(" in ")[0] == f"{held} images"


STATES = ("", "#/finding", "#/near/red%2F00.png", "#/groups", "#/outliers", "#/failures", "#/look/red%2F00.png")


@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (DESKTOP, True), (PHONE, False)])
def test_everybody_can_use_it(chrome: Chrome, page: Path, size: tuple[int, int], *, dark: bool) -> None:
    opened(chrome, page, size, dark=dark)
    for state in STATES:
        chrome.execute_script("location.hash = arguments[0]", state)
        assert inaccessible(chrome) == [], state


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


def test_the_page_works_in_the_frame_of_a_notebook(chrome: Chrome, page: Path, tmp_path: Path) -> None:
    """Such a frame has no address of its own, and the notebook's must not be changed."""
    notebook = tmp_path / "notebook.html"
    shown = Gallery(path=page, images=49, without_picture=2)._repr_html_()
    notebook.write_text(f"<!doctype html><meta charset=utf-8><title>Notebook</title>{shown}", encoding="utf-8")
    look(chrome, notebook)
    chrome.switch_to.frame(chrome.find_element(By.TAG_NAME, "iframe"))
    ready = "return document.body.dataset.ready"
    WebDriverWait(chrome, 30).until(lambda _: chrome.execute_script(ready) == "yes")
    chrome.find_element(By.XPATH, "//*[normalize-space()='Outliers' and (self::button or @role='tab')]").click()
    assert chrome.execute_script("return location.hash") == "#/outliers"
    chrome.switch_to.default_content()
    assert chrome.current_url == notebook.as_uri()
    assert not logged(chrome)


def test_metadata_say_when_a_picture_was_taken_and_what_a_lost_one_was(tmp_path: Path) -> None:
    store, page = str(tmp_path / "vectors.db"), tmp_path / "gallery.html"
    full = {"width": 6000, "height": 4000, "size": 12_345_678, "format": "JPEG", "taken": "2024-05-01T12:30:00+02:00"}
    fill(store, [stored("gone.jpg", 1, **full), stored("plain.jpg", 2)])
    assert command("gallery", store, "--html", page).returncode == 0
    (found,) = re.findall(r'<script[^>]*id="data"[^>]*>(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    data = json.loads(found)
    assert (data["taken"], data["sizes"], data["bytes"]) == ([full["taken"], ""], [6000, 4000, 0, 0], [12_345_678, 0])
    assert [data["formats"][place] for place in data["format"]] == ["JPEG", ""]
    assert len(data["missing"]) == 2
