"""The architecture, read from the imports: every arrow points down, heavy packages stay in their rooms."""

import ast
from pathlib import Path

import pytest

import asennp
import asennp.recipes

PACKAGE = Path(asennp.__file__).parent
RECIPES = Path(asennp.recipes.__file__).parent

LAYERS: list[set[str]] = [
    {
        *("errors", "units", "results", "files", "processes", "progress", "threads"),
        *("kernels_order", "kernels_neighbors"),
    },
    {"models", "electrostatics", "dataset", "order", "neighbors", "phases", "structures"},
    {"md", "train", "calculators"},
    {"evaluate"},
    {"qeff", "distill", "labelling", "report", "lammps"},
    {"stages", "run", "config", "evaluations", "simulation"},
    {"cli", "recipes"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

#: siblings that may be imported on the same layer: stages read the schema, the run folder executes stages,
#: models and electrostatics stand on the neighbour lists, the command line on the recipes
SIBLINGS = {
    ("stages", "config"),
    ("run", "config"),
    ("run", "stages"),
    ("evaluations", "config"),
    ("evaluations", "run"),
    ("evaluations", "stages"),
    ("models", "neighbors"),
    ("electrostatics", "neighbors"),
    ("phases", "neighbors"),
    ("cli", "recipes"),
    ("results", "files"),
    ("files", "errors"),
    ("threads", "errors"),
    ("dataset", "structures"),
    ("progress", "files"),
}
ROOMS = {
    "torch": {"models", "electrostatics", "train", "calculators", "distill", "lammps"},
    "quacc": {"recipes", "cli"},
    "matplotlib": {"report"},
    "numba": {"kernels"},
}


def imports(path: Path) -> list[str]:
    """List the absolute names a file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.append(node.module or "")
            if node.module == "asennp":
                names += [f"asennp.{alias.name}" for alias in node.names]
    return names


def room(path: Path) -> str:
    """Name the first-level module or package a file belongs to."""
    if path.is_relative_to(RECIPES):
        return "recipes"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(p for p in [*PACKAGE.rglob("*.py"), *RECIPES.glob("*.py")] if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{room(p)}/{p.name}")
def test_arrows_point_down(path: Path) -> None:
    here = room(path)
    assert here in LEVEL, f"{path} is on no layer: add it to LAYERS"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "asennp" or len(parts) == 1 or parts[1] in (here, "data", "__version__"):
            continue
        there = parts[1]
        down = LEVEL[there] < LEVEL[here]
        assert down or (here, there) in SIBLINGS, f"{path}: {here} must not import {there}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{room(p)}/{p.name}")
def test_heavy_packages_stay_in_their_rooms(path: Path) -> None:
    for name in imports(path):
        top = name.split(".")[0]
        if top == "numba":
            assert path.stem.startswith("kernels"), f"{path}: numba belongs to kernels modules"
        elif top in ROOMS:
            assert room(path) in ROOMS[top], f"{path}: {top} belongs to {sorted(ROOMS[top])}"


def test_matplotlib_is_imported_inside_functions() -> None:
    for path in (PACKAGE / "report").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                text = ast.unparse(node)
                assert "matplotlib" not in text, f"{path}: {text}"


def test_no_cycles() -> None:
    """Modules, not only layers, import each other in one direction."""
    module = {
        "asennp." + str(p.relative_to(PACKAGE).with_suffix("")).replace("/", ".").removesuffix(".__init__"): p
        for p in PACKAGE.rglob("*.py")
        if p != PACKAGE / "__init__.py"
    }
    arrows = {
        name: {m for i in imports(p) for m in module if i == m or i.startswith(m + ".")} - {name}
        for name, p in module.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "cycle: " + " -> ".join([*trail, name])
        if name not in done:
            for target in sorted(arrows[name]):
                if not name.startswith(target + "."):  # a package's own __init__ may gather its modules
                    visit(target, (*trail, name))
            done.add(name)

    for name in sorted(module):
        if module[name].name != "__init__.py":
            visit(name, ())
