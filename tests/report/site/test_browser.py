"""The page in a real Chromium, from disk; the `page` fixture fails a test that fetched, failed or complained of anything."""

import re

import pytest

TABLE = "section.open .block:not(.block-reported) table"


def column(page, name: str) -> list[str]:
    index = page.evaluate(f"[...document.querySelectorAll('{TABLE} thead th')].findIndex(h => h.textContent.startsWith('{name}'))")
    return page.locator(f"{TABLE} tbody tr:not([hidden]) > :nth-child({index + 1}) > a").all_inner_texts()


@pytest.mark.parametrize(("measure", "first"), [("psnr@rgb", "descending"), ("lpips@alex", "ascending")])
def test_a_heading_sorts_the_best_first_then_the_worst_and_says_so(page, measure: str, first: str) -> None:
    head = page.locator(f"{TABLE} th[data-measure='{measure}']")
    before = column(page, measure)
    head.get_by_role("button").click()
    best = column(page, measure)
    assert best != before and best == sorted(before, key=float, reverse=first == "descending")
    assert head.get_attribute("aria-sort") == first
    head.get_by_role("button").press("Enter")  # the keyboard does the same
    assert column(page, measure) == best[::-1]
    assert head.get_attribute("aria-sort") == {"ascending": "descending", "descending": "ascending"}[first]
    assert page.locator(f"{TABLE} th[aria-sort]").count() == 1


def test_what_has_no_mean_is_last_in_both_directions(page) -> None:
    button = page.locator(f"{TABLE} th[data-measure='ssim@rgb'] button")
    for _ in range(2):
        button.click()
        assert column(page, "ssim@rgb")[-1] == "5/6"


def test_filters_hide_rows_columns_and_data_sets(page) -> None:
    rows = page.locator(f"{TABLE} tbody tr:visible")
    assert rows.count() == 5
    page.fill("#pick-text", "TINY")
    assert rows.locator(".method").all_inner_texts() == ["Tiny-Routed\n● measured here", "Tiny-Dense\n◆ measured by others"]
    page.uncheck("[name=kind][value=others]")
    assert rows.count() == 1 and page.inner_text("#status") == "1 row shown."
    page.select_option("#pick-measure", "ssim@rgb")
    assert page.locator(f"{TABLE} thead th:visible").count() == 2
    page.fill("#pick-text", "nothing is called this")
    assert rows.count() == 0 and "No row fits" in page.inner_text("#status")
    page.fill("#pick-text", "")
    page.select_option("#pick-dataset", "udm10")
    assert page.locator("section.dataset:visible").get_attribute("id") == "dataset-udm10"
    assert page.locator(".block-reported:visible").count() > 1
    page.uncheck("[name=kind][value=reported]")
    assert page.locator(".block-reported:visible").count() == 0


def test_kinds_differ_by_word_shape_and_edge(page) -> None:
    page.select_option("#pick-dataset", "udm10")
    style = "getComputedStyle(document.querySelector('section.open tr.{} .method')).borderLeftStyle"
    assert [page.evaluate(style.format(kind)) for kind in ("here", "others", "reported")] == ["solid", "double", "dashed"]
    badges = {page.locator(f"section.open .kind.{kind}").first.inner_text() for kind in ("here", "others", "reported")}
    assert badges == {"● measured here", "◆ measured by others", "□ reported"}


def test_a_protocol_is_read_by_pointer_and_by_keyboard(page) -> None:
    button = page.locator(f"{TABLE} th[data-measure='psnr@rgb'] button")
    button.focus()
    assert "all channels in one error" in page.inner_text("#tip") and "Licence" in page.inner_text("#tip")
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.locator(f"{TABLE} th[data-measure='lpips@alex'] button").hover()
    assert "AlexNet" in page.inner_text("#tip")


def test_every_number_leads_to_its_rows(page) -> None:
    page.locator(f"{TABLE} a", has_text="5/6").click()
    assert "<script>window.hacked=2</script> is broken" in page.inner_text("main")
    page.get_by_role("link", name="results/measured/1-1.csv").click()
    page.wait_for_url("**/results/measured/1-1.csv")


def test_two_methods_are_compared_from_disk(page) -> None:
    assert page.locator("#pair-table tbody tr").count() == 3
    page.select_option("#pair-a", label="bicubic")
    page.select_option("#pair-b", label="tiny-dense")
    texts = page.locator("#pair-table tbody tr", has_text="psnr@rgb").locator("td").all_inner_texts()
    page.select_option("#pair-a", label="tiny-dense")
    page.select_option("#pair-b", label="bicubic")
    turned = page.locator("#pair-table tbody tr", has_text="psnr@rgb").locator("td").all_inner_texts()
    assert texts[:2] == ["6", "−3.00000"] and turned[:2] == ["6", "3.00000"]
    assert texts[3:5] == turned[3:5]
    page.select_option("#pick-dataset", "udm10")
    page.wait_for_function("document.querySelector('#pair-table td')?.textContent === '10'")


def test_the_divider_moves_by_pointer_and_by_keyboard(page) -> None:
    divider, stage = page.locator("#divider"), page.locator("#stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60, steps=4)
    page.mouse.up()
    assert divider.get_attribute("aria-valuenow") == "25"
    assert re.search(r"inset\(0(px)? 0(px)? 0(px)? 25", page.evaluate("getComputedStyle(document.querySelector('#pane-b')).clipPath"))
    divider.press("ArrowRight")
    assert divider.get_attribute("aria-valuenow") == "27"
    divider.press("End")
    assert divider.get_attribute("aria-valuenow") == "100"


@pytest.mark.parametrize("mode", ["divided", "beside"])
def test_zoom_and_pan_move_both_frames_alike(page, mode: str) -> None:
    page.select_option("#view-mode", mode)
    both = "[...document.querySelectorAll('.pane img')].map(image => getComputedStyle(image).transform)"
    still = page.evaluate(both)
    page.click("#zoom-in")
    page.locator("#stage").press("+")
    zoomed = page.evaluate(both)
    page.locator("#stage").press("ArrowRight")
    panned = page.evaluate(both)
    assert len({still[0], zoomed[0], panned[0]}) == 3
    assert all(first == second for first, second in (still, zoomed, panned))
    assert page.inner_text("#zoom-text") == "2.3x"
    page.click("#zoom-reset")
    assert page.evaluate(both) == still


def test_frames_and_slices_of_hostile_names_are_shown(page) -> None:
    page.select_option("#view-a", label='<b>x"&#')
    page.select_option("#view-clip", label="udm10: b <i>")
    page.wait_for_function("[...document.querySelectorAll('.pane img')].every(image => image.complete && image.naturalWidth === 160)")
    assert page.inner_text("#pane-a .tag") == '<b>x"&#'
    page.locator("#slices").scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('#slices img')].filter(image => image.naturalWidth === 160).length === 3")


def test_a_phone_needs_no_sideways_scrolling(page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for key in ("udm10", page.locator("#pick-dataset option").first.get_attribute("value")):
        page.select_option("#pick-dataset", key)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_dark_mode_and_contrast(page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    assert _lowest_contrast(page) >= 4.5  # WCAG AA
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) != light
    assert _lowest_contrast(page) >= 4.5


def _lowest_contrast(page) -> float:
    colors = page.evaluate(
        """[['body', 'body'], ['body', '.soft'], ['body', 'a'], ['.facts .here', '.kind.here'], ['.facts .others', '.kind.others'],
        ['.facts .reported', '.kind.reported'], ['.controls', '#status'], ['body', '.flag']].map(([ground, ink]) =>
        [getComputedStyle(document.querySelector(ground)).backgroundColor, getComputedStyle(document.querySelector(ink)).color])"""
    )
    found = []
    for pair in colors:
        dark, light = sorted(_luminance(text) for text in pair)
        found.append((light + 0.05) / (dark + 0.05))
    return min(found)


def _luminance(text: str) -> float:
    linear = [(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4) for value in
              (int(number) / 255 for number in re.findall(r"\d+", text)[:3])]  # fmt: skip
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_everything_that_is_pressed_has_a_name(page) -> None:
    nameless = """[...document.querySelectorAll('button, select, input, a, [role=slider], img')].filter(one =>
        !(one.labels?.length || one.textContent.trim() || one.alt || one.ariaLabel)).map(one => one.outerHTML)"""
    assert page.evaluate(nameless) == []


def test_print_shows_whole_tables_without_controls(page) -> None:
    page.emulate_media(media="print")
    assert page.locator("#controls").is_hidden()
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflow") == "visible"
