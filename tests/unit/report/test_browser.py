# SPDX-License-Identifier: Apache-2.0
"""Pages in a real browser: atoms are drawn, a drag selects, no request leaves."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from protenix_ms.report import write_index, write_page

_SPEC = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
browser_module = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(browser_module)
HOSTILE = "</script><b>x"

pytestmark = pytest.mark.skipif(bool(browser_module.missing()), reason=browser_module.missing())


@pytest.fixture(scope="module")
def pages(tmp_path_factory, result_writer):
    root = tmp_path_factory.mktemp("results")
    folder = result_writer(root, "hostile", "3o5r", 2, job=HOSTILE, notes=[HOSTILE + " ignored"])
    write_page(folder)
    result_writer(root, "second", "1bna", 1)
    write_index(root, [folder, root / "second"])
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = browser_module.Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, pages):
    browser.requests()
    browser.open(pages / "report.html")
    return browser


def test_atoms_are_drawn_names_are_text_and_nothing_leaves(page, pages):
    with np.load(pages / "seed_101/predictions/hostile_full_data_sample_0.npz") as arrays:
        assert page.run("return +document.body.dataset.atoms") == len(arrays["atom_to_token_idx"])
    coloured = page.run("""
        const canvas = document.querySelector('#viewer canvas');
        const copy = document.createElement('canvas');
        [copy.width, copy.height] = [canvas.width, canvas.height];
        const pen = copy.getContext('2d');
        pen.drawImage(canvas, 0, 0);
        const bytes = pen.getImageData(0, 0, copy.width, copy.height).data;
        let count = 0;
        for (let i = 0; i < bytes.length; i += 4)
          count += bytes[i + 3] > 0 && Math.max(bytes[i], bytes[i + 1], bytes[i + 2]) -
            Math.min(bytes[i], bytes[i + 1], bytes[i + 2]) > 60;
        return count / (copy.width * copy.height)""")
    assert coloured > 0.02, "the structure covers hardly any of its canvas"
    assert page.run("return [document.querySelector('h1').textContent, document.title]") == [
        HOSTILE, HOSTILE]
    assert page.run("return document.querySelectorAll('b').length") == 0
    assert page.console() == []
    assert [url for url in page.requests() if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_drag_over_the_map_selects_the_tokens_numpy_says(page, pages):
    box = page.run("""
        document.getElementById('map').scrollIntoView({block: 'center'});
        const b = document.getElementById('map').getBoundingClientRect();
        return [b.left + 1, b.top + 1, b.width - 2, b.height - 2]""")
    with np.load(pages / "seed_101/predictions/hostile_full_data_sample_0.npz") as arrays:
        pae = arrays["token_pair_pae"]
    n = len(pae)
    left, top, width, height = box
    ends = np.array([[0.30, 0.60], [0.50, 0.85]])  # across and down, as shares
    pixels = np.round(np.array([left, top]) + ends * [width, height]).astype(int)
    move = [{"type": "pointerMove", "x": int(x), "y": int(y)} for x, y in pixels]
    page.point(move[0], {"type": "pointerDown", "button": 0}, move[1],
               {"type": "pointerUp", "button": 0})
    tokens = np.floor((pixels - [left, top]) / [width, height] * n).astype(int)
    (c0, r0), (c1, r1) = tokens
    selected = dict(map(tuple, page.run("return window.report.selected()")))
    assert set(selected) == {*range(c0, c1 + 1), *range(r0, r1 + 1)}
    assert selected[c0] == "#1a73e8" and selected[r1] == "#e8710a"
    mean = pae[r0:r1 + 1, c0:c1 + 1].mean()
    status = page.run("return document.getElementById('status').textContent")
    assert abs(float(status.split("mean ")[1].split()[0]) - mean) < 0.1, (status, mean)


def test_samples_switch_and_lists_select(page):
    before = page.run("return window.report.drawn()")
    page.run("document.querySelectorAll('#ranking button')[1].click()")
    page.wait("document.body.dataset.sample == '1'")
    assert page.run("return document.getElementById('sample').value") == "1"
    assert page.run("return window.report.drawn()") != before
    page.run("""const list = document.getElementById('residues');
        list.options[3].selected = list.options[5].selected = true;
        list.dispatchEvent(new Event('change'))""")
    assert [t for t, _ in page.run("return window.report.selected()")] == [3, 5]
    page.run("document.querySelectorAll('#chains button')[1].click()")
    ligand = [t for t, _ in page.run("return window.report.selected()")]
    assert ligand == list(range(ligand[0], ligand[0] + 57))
    page.run("document.getElementById('clear').click()")
    assert page.run("return window.report.selected()") == [] and page.console() == []


def test_keys_move_over_the_map_and_dark_is_dark(page):
    page.run("document.getElementById('map').focus()")
    page.press("\ue014", "\ue015")  # right, down
    page.press("\ue014", shift=True)
    page.press("\ue007")  # enter
    assert [t for t, _ in page.run("return window.report.selected()")] == [1, 2]
    page.press("\ue00c")  # escape
    assert page.run("return window.report.selected()") == []
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(paper)
    page.command("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.run(paper) != light
    page.command("Emulation.setEmulatedMedia", features=[])
    unnamed = page.run("""return [
        ...document.querySelectorAll('button, select, canvas, [tabindex]')]
        .filter(e => e.getAttribute('aria-hidden') !== 'true')
        .filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length))
        .filter(e => !e.closest('#viewer')).map(e => e.outerHTML)""")
    assert unnamed == []


def test_the_table_of_jobs_sorts(browser, pages):
    browser.open(pages.parent / "index.html")
    names = "return [...document.querySelectorAll('#jobs th')].map(th => th.textContent)"
    assert sorted(browser.run(names)) == ["hostile", "second"]
    browser.run("document.querySelectorAll('#head button')[0].click()")
    assert browser.run(names) == ["hostile", "second"]
    browser.run("document.querySelectorAll('#head button')[0].click()")
    assert browser.run(names) == ["second", "hostile"] and browser.console() == []
    assert browser.run("return document.querySelector('#jobs a').getAttribute('href')") == (
        "hostile/report.html")
