"""Names from files as names of files: safe in a path, in an address and on file systems that ignore case."""

import re
from collections import Counter
from collections.abc import Iterable
from urllib.parse import quote

from oasis import files

LONGEST = 80


def slugs(names: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """Return a file name for each name: itself where that is safe and unique, else with eight digits of its hash.

    No two are equal when case is ignored, none is in `reserved`, and none begins or ends with a dot.
    """
    every = sorted(set(names))
    plain = {name: re.sub(r"[^A-Za-z0-9._@+-]+", "-", name).strip(".-")[:LONGEST] for name in every}
    uses = Counter([slug.lower() for slug in plain.values()] + [word.lower() for word in reserved])
    return {
        name: slug if slug == name and uses[slug.lower()] == 1 else f"{slug}-{files.sha256_of_text(name)[:8]}".lstrip("-")
        for name, slug in plain.items()
    }


def address(*parts: str) -> str:
    """Return the parts of a path as a relative address, each escaped for use in a link."""
    return "/".join(quote(part, safe="@+") for part in parts)
