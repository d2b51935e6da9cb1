"""The house around the package: layout, pins, doors, README, versions."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import oasis
from oasis.cli import main

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (
    "oasis/cost/README.md",
    "README.md",
    "DESIGN.md",
    "CONTRIBUTING.md",
    "THIRD_PARTY.md",
    "CHANGELOG.md",
    "datasets/README.md",
    "reports/README.md",
)
DOORS = sorted(path.relative_to(ROOT) for folder in ("analysis", "benchmarks") for path in (ROOT / folder).glob("*.py"))
SCRIPTS = [door for door in DOORS if not door.name.startswith("test_")]
HELP = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("torch imported:", "torch" in sys.modules)
"""
TORCH_FREE = [
    "cost",
    "decide",
    "files",
    "frontiers",
    "grid",
    "configs",
    "harms",
    "heads",
    "losses",
    "measures",
    "cards",
    "results",
    "weights",
    "report.board.check",
    "report.board.compare",
    "report.board.write",
    "report.page",
    "report.run",
    "routing",
    "rules",
    "scaling",
    "sections",
    "stability",
    "tiling",
    "cli.costing",
]


def _requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(line) for lines in (PROJECT["dependencies"], *extras) for line in lines]


def _python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("folder", ["datasets", "analysis", "benchmarks", "tests"])
def test_folders_around_the_package_are_no_packages(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert not list((ROOT / folder).rglob("__init__.py"))


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)] == []
    names = [canonicalize_name(line.split("==")[0]) for line in lines]
    assert names == sorted(set(names))
    assert [name for name in names if name.startswith(("nvidia-", "cuda-"))] == []


def test_constraints_pin_every_dependency_within_its_bounds() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    misfits = {str(r): pins.get(canonicalize_name(r.name)) for r in _requirements()}
    misfits = {r: pin for r, pin in misfits.items() if pin is None or not Requirement(r).specifier.contains(pin)}
    assert misfits == {}


def test_every_dependency_is_listed_with_its_licence() -> None:
    listed = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
    assert [r.name for r in _requirements() if not re.search(rf"\b{re.escape(r.name)}\b", listed)] == []


@pytest.mark.parametrize("door", SCRIPTS, ids=str)
def test_a_door_prints_help(door: Path) -> None:
    out = _python("-c", HELP, str(door))
    assert out.startswith("usage:")
    if door.parts[0] == "analysis":  # benchmarks are about torch
        assert out.endswith("torch imported: False\n")


def test_no_door_hides_a_standard_module() -> None:
    assert SCRIPTS
    assert [door for door in DOORS if door.stem in sys.stdlib_module_names] == []


def test_deciding_and_reporting_need_no_torch() -> None:
    imports = "; ".join(f"import oasis.{name}" for name in TORCH_FREE)
    heavy = "{'torch', 'torchvision', 'diffusers', 'pyiqa', 'lpips', 'ray'}"
    assert _python("-c", f"import sys; {imports}; print(sorted({heavy} & set(sys.modules)))") == "[]\n"


def test_the_readme_names_every_door_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^ {4}([a-z]+)\b", capsys.readouterr().out, flags=re.MULTILINE)
    assert {"profile", "route", "plot", "upscale", "train", "score", "verify", "doctor"} <= set(commands)
    wanted = [f"`{door.as_posix()}`" for door in DOORS] + [f"`oasis {command}`" for command in commands]
    assert [name for name in wanted if name not in README] == []


@pytest.mark.parametrize("mark", ["main", "tests"])
def test_the_readme_holds_a_command_of_one_line_for_ci(mark: str) -> None:
    found = re.findall(rf"^<!-- ci: {mark} -->\n```bash\n(.*)\n```$", README, flags=re.MULTILINE)
    assert len(found) == 1
    assert found[0].startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt ")


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_the_version_is_the_newest_of_the_changelog() -> None:
    versions = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert versions[0] == oasis.__version__
    assert f"\nversion: {oasis.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
