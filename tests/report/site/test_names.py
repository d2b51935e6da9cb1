import re

from hypothesis import given
from hypothesis import strategies as st

from oasis.report.site.names import slugs

NAMES = st.lists(st.text(max_size=100) | st.sampled_from(["a", "A", "..", "a/b", "a\\b", "reported", "REPORTED", "", "a-3b9c"]))


@given(NAMES)
def test_no_two_names_share_a_file_and_none_leaves_its_folder(names: list[str]) -> None:
    found = slugs(names, reserved=("reported",))
    assert set(found) == set(names)
    lower = [slug.lower() for slug in found.values()]
    assert len(lower) == len(set(lower)) and "reported" not in lower
    assert all(re.fullmatch(r"[A-Za-z0-9_@+][A-Za-z0-9._@+-]*", slug) and not slug.endswith(".") for slug in found.values())


def test_usual_names_stay() -> None:
    usual = ["tiny-dense", "BasicVSR++", "psnr@rgb", "SeedVR2_3B", "v1.2"]
    assert slugs(usual) == {name: name for name in usual}
    assert slugs(["x" * 300])["x" * 300].startswith("x" * 80 + "-")
