"""The package as users get it: quick to import, whole in a wheel."""

import os
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import pytest

import asennp

ROOT = Path(__file__).parent.parent


def test_import_is_quick() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import asennp"], check=True)
        bare = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        seconds.append((bare - start) - (time.perf_counter() - bare))
    assert min(seconds) < 0.3


def test_every_public_name_resolves() -> None:
    for name in asennp.__all__:
        assert getattr(asennp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = asennp.Nothing


def test_recipes_exist_only_inside_the_package() -> None:
    """Two copies of one module (recipes and asennp.recipes) would be two sets of classes."""
    code = "import asennp.recipes, importlib.util as u, sys; sys.exit(u.find_spec('recipes') is not None)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


def test_wheel_is_whole(tmp_path: Path) -> None:
    """A built wheel holds code, recipes and data, and reads them back when installed elsewhere."""
    copy = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{ROOT}", str(copy)], check=True)
    # what is not committed yet belongs to the wheel under test, too
    subprocess.run(
        f"git ls-files -zco --exclude-standard | xargs -0 -I@ cp -P --parents @ {copy} || true",
        shell=True, check=True, cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, copy],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wheel = next(tmp_path.glob("asennp-*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "asennp/md/momt.py",
        "asennp/recipes/__init__.py",
        "asennp/data/potentials/zno-lewis-catlow.yaml",
        "asennp/data/presets/zno-quick.yaml",
        "asennp/data/models/mgo-demo/model.asennp",
        "asennp/data/models/zno-demo/model.asennp",
        "asennp/py.typed",
    ):
        assert needed in names, needed
    assert not [name for name in names if name.startswith(("recipes/", "tests/", "data/"))]

    target = tmp_path / "environment"
    venv.create(target, with_pip=False, system_site_packages=False)
    site = next(target.glob("lib/python3*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    # the dependencies come from this environment, but asennp only from the wheel
    here = [p for p in sys.path if p.endswith("site-packages")]
    code = (
        "import asennp; from ase.build import bulk; from asennp import BuckinghamCoulomb\n"
        "import asennp.recipes, sys\n"
        f"assert asennp.__file__.startswith({str(target)!r}), asennp.__file__\n"
        "atoms = bulk('ZnO', 'rocksalt', a=4.267, cubic=True)\n"
        "atoms.calc = BuckinghamCoulomb('zno-lewis-catlow')\n"
        "assert -41 < atoms.get_potential_energy() / 4 < -39"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *here])}
    subprocess.run([target / "bin" / "python", "-c", code], check=True, env=environment, cwd=tmp_path)
