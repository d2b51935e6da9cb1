"""Dataset cards: what a test set consists of and how it is used, by name or from a user's own file; data only."""

from pathlib import Path

from oasis.cards.card import Anchor, Clips, DatasetCard, Layout, Size
from oasis.cards.reading import read
from oasis.cards.text import describe, row

__all__ = ["Anchor", "Clips", "DatasetCard", "Layout", "Size", "describe", "load", "names", "table"]


def names() -> list[str]:
    """Return the names of the cards that come with the package, sorted."""
    found = sorted(path.stem for path in _folder().glob("*.yaml"))
    if not found:
        raise FileNotFoundError(f"{_folder()}: there are no dataset cards (*.yaml) here, the installation is not complete")
    return found


def load(name_or_path: str | Path) -> DatasetCard:
    """Return a card by its name or alias, in any case, or from the path of a YAML file.

    FileNotFoundError if there is no such file; ValueError for an unknown name, or, in one sentence, for the first field
    that does not fit.
    """
    if isinstance(name_or_path, Path) or name_or_path.endswith((".yaml", ".yml")):
        return read(Path(name_or_path))
    wanted, known = name_or_path.lower(), names()
    if wanted in known:
        return read(_folder() / f"{wanted}.yaml")
    for card in map(load, known):
        if wanted in (alias.lower() for alias in card.aliases):
            return card
    raise ValueError(f"there is no data set {name_or_path!r}; allowed: {', '.join(known)}, or the path of a .yaml file")


def table() -> list[dict[str, str]]:
    """Return a row for each card, by column; "?" marks what is not confirmed."""
    return [row(load(name)) for name in names()]


def _folder() -> Path:
    """Return the folder of cards: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    packed = package / "assets" / "cards"
    return packed if packed.is_dir() else package.parent / "datasets"
