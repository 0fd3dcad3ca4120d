"""The run folder: configuration as run, lock, ledger, and stages that are skipped when they are done.

A run folder holds ``config.yaml``, ``ledger.jsonl`` (one line whenever a stage starts, ends or fails),
one sub-folder a stage, and ``report.html``. Starting again continues where it stopped.
"""

import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from asennp import __version__
from asennp.config import dump_config, load_config
from asennp.errors import InputError, nearest
from asennp.files import (
    append_jsonl,
    hold_folder,
    read_json,
    read_jsonl,
    sha256_file,
    sha256_json,
    write_atomic,
    write_json,
)
from asennp.progress import console
from asennp.stages.graph import STAGES, Stage

_RECORDED = ("asennp", "ase", "numpy", "scipy", "torch", "numba", "torch-pme", "quacc", "chgnet")


class RunFolder:
    """A folder that one run lives in.

    Parameters
    ----------
    path
        An existing run folder (see `create`).

    Raises
    ------
    InputError
        The folder holds no run.
    """

    #: The command that begins such a folder.
    command = "asennp run"
    config: Any

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        if not (self.path / "config.yaml").is_file():
            raise InputError(
                "not a run folder: no config.yaml in it", where=path, do=f"start with: {self.command} PRESET"
            )
        self.config = self.read_config(self.path / "config.yaml")

    @classmethod
    def read_config(cls, path: Path) -> Any:
        """Read the configuration of such a folder."""
        return load_config(path)

    @property
    def stages(self) -> Mapping[str, Stage]:
        """What is done here, in order."""
        return STAGES

    @classmethod
    def create(cls, path: str | Path, config: Any) -> Self:
        """Make the folder, or take up the one that holds the same configuration.

        Raises
        ------
        InputError
            The folder holds something else, or a run of another configuration; it stays as it is.
        """
        path = Path(path)
        if (path / "config.yaml").is_file():
            run = cls(path)
            if run.config != config and not run.adopt(config):
                before, now = (_flatten(c.model_dump(mode="json")) for c in (run.config, config))
                differing = [k for k in sorted({*before, *now}) if before.get(k) != now.get(k)]
                first = differing[0]
                raise InputError(
                    f"the folder holds a run of another configuration ({len(differing)} key(s) differ)",
                    where=path,
                    expected=f"{first} = {before.get(first)!r}",
                    got=f"{first} = {now.get(first)!r}",
                    do=f"choose another folder with --out, or continue the old run with: {cls.command} "
                    f"{path / 'config.yaml'} --out {path}",
                )
            return run
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError("exists and is no run folder", where=path, do="choose another folder with --out")
        path.mkdir(parents=True, exist_ok=True)
        write_atomic(path / "config.yaml", dump_config(config))
        return cls(path)

    def adopt(self, config: Any) -> bool:
        """Take another configuration into the folder, if that spoils nothing; a run takes none."""
        return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one process; a second one is told who has it."""
        with hold_folder(self.path):
            yield

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """All records so far, oldest first."""
        return read_jsonl(self.path / "ledger.jsonl")

    def done(self, name: str) -> dict[str, Any] | None:
        """Return the ledger's last record of a finished stage whose files are all there, or None."""
        records = [r for r in self.ledger if r["stage"] == name and r["status"] == "done"]
        if not records:
            return None
        files = [*records[-1]["outputs"], f"{name}/summary.json"]
        return records[-1] if all((self.path / file).is_file() for file in files) else None

    def _key(self, stage: Stage) -> str:
        """Return the fingerprint of everything that the stage's result depends on."""
        upstream = {}
        for name in stage.after:
            record = self.done(name)
            if record is None:
                raise InputError(f"stage {stage.name!r} needs stage {name!r} first", where=self.path)
            upstream[name] = record["outputs"]
        sections = stage.inputs(self.config.model_dump(mode="json"))
        return sha256_json(
            {"stage": stage.name, "version": __version__, "config": sections, "upstream": upstream}
        )

    def execute(self, name: str) -> dict[str, Any]:
        """Run one stage, or skip it if it is done with the same inputs; return its ledger record."""
        stages = self.stages
        if name not in stages:
            raise InputError(f"no stage {name!r}", do=nearest(name, stages))
        stage = stages[name]
        position = f"[{list(stages).index(name) + 1}/{len(stages)}]"
        key = self._key(stage)
        record = self.done(name)
        if record is not None and record["key"] == key:
            for file, digest in record["outputs"].items():
                if sha256_file(self.path / file) != digest:
                    raise InputError(
                        f"changed after stage {name!r} wrote it",
                        where=self.path / file,
                        expected=f"sha256 {digest[:12]}...",
                        do=f"remove the folder {name} to do the stage again",
                    )
            console.print(f"{position} {stage.title}: done before ({record['seconds']:.0f} s)", style="dim")
            return record
        folder = self.path / name
        marker = folder / "inputs.json"
        if marker.is_file() and read_json(marker)["key"] != key:
            raise InputError(
                f"stage {name!r} was begun with other inputs or another version",
                where=folder,
                do=f"remove the folder {folder} to do the stage again",
            )
        folder.mkdir(exist_ok=True, parents=True)
        write_json(marker, {"key": key, "version": __version__})
        console.print(f"{position} {stage.title} ...", style="bold")
        started = time.time()
        common = {"stage": name, "key": key, "seed": self.config.seed, "time": _now()}
        append_jsonl(self.path / "ledger.jsonl", {**common, "status": "started", "versions": versions()})
        try:
            output = stage.function()(self.config, folder, {n: self.path / n for n in stages})
        except BaseException as error:
            append_jsonl(
                self.path / "ledger.jsonl",
                {**common, "status": "failed", "error": f"{type(error).__name__}: {error}"[:500]},
            )
            raise
        write_json(folder / "summary.json", output.summary)
        record = {
            **common,
            "status": "done",
            "seconds": round(time.time() - started, 2),
            # the summary holds timings: it is shown, never hashed
            "outputs": {str(f.relative_to(self.path)): sha256_file(f) for f in sorted(output.files)},
            "versions": versions(),
        }
        append_jsonl(self.path / "ledger.jsonl", record)
        console.print(f"{position} {stage.title}: {output.headline} ({record['seconds']:.0f} s)")
        return record


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    found = {"python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested keys as dotted ones."""
    if not isinstance(values, dict):
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def stage_summaries(path: str | Path) -> dict[str, Any]:
    """Return the summary of every finished stage of a run folder."""
    return {
        n: read_json(Path(path) / n / "summary.json")
        for n in STAGES
        if (Path(path) / n / "summary.json").is_file()
    }
