"""The whole leaderboard: tables for people, programs and papers, and the page."""

from pathlib import Path

from oasis.report.board.rows import Rows
from oasis.report.board.write import write_board
from oasis.report.site.page import write_site


def write_leaderboard(rows: Rows, out: Path, frames: Path) -> list[Path]:
    """Write leaderboard.{md,csv,tex}, comparisons.csv, index.html and what lies beside it; return the paths of all files."""
    return [*write_board(rows, out), *write_site(rows, out, frames)]
