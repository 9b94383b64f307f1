"""A page in a real browser, driven through selenium; without the browser the tests that need it are skipped."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="the page is tested in a browser through the package selenium")
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
IN_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs the programs chromium and chromedriver"),
]
"""Marks of tests that open pages."""
PATIENCE = 30.0
"""Seconds that the browser is given for one thing."""


@contextmanager
def browser(folder: Path) -> Iterator[webdriver.Chrome]:
    """Start a browser without a screen that keeps its own files in a folder, and end it."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("no-sandbox", "disable-gpu", "headless=new", f"user-data-dir={folder}", "window-size=1600,1000"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Window:
    """A page in the browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        """Take over a browser."""
        self.driver = driver

    def open(self, page: Path, address: str = "") -> None:
        """Open a page anew."""
        self.driver.get("about:blank")
        self.driver.get(page.as_uri() + address)

    def one(self, selector: str) -> Any:  # noqa: ANN401 - selenium's element
        """Return the first element that fits."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element that fits, also of those out of view."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        return list(self.driver.execute_script(script, selector))

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until something holds."""
        WebDriverWait(self.driver, PATIENCE, 0.02).until(lambda _: condition())

    def wait_for_sample(self, sample_id: str) -> None:
        """Wait until a sample is read."""
        self.wait(lambda: self.texts("#sample h2") == [sample_id])

    def search(self, text: str) -> None:
        """Search and wait until the search has ended."""
        box = self.one("#query")
        box.clear()
        box.send_keys(text, Keys.ENTER)
        self.wait(lambda: self.texts("#status")[0].endswith("found"))

    def choose(self, field: str, text: str) -> None:
        """Choose an option whose text begins so."""
        options = self.one(f"#{field}").find_elements(By.TAG_NAME, "option")
        next(option for option in options if option.text.startswith(text)).click()

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """Return what the browser complained of since last asked, the policy's refusals too."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
