"""Labels by quacc's own recipe for pw.x, a frame a job: beside the stage ``label`` with `EspressoLabeler`."""

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ase import Atoms
from quacc import flow, job
from quacc.recipes.espresso.core import static_job

from asennp.calculators.pw_output import PwOutput, read_pw_output
from asennp.dataset import attach_labels, read_frames, write_frames
from asennp.errors import InputError
from asennp.files import write_json
from asennp.recipes.jobs import Summary


@flow
def espresso_label_flow(frames: str, target: str, espresso_job: Any = static_job, **settings: Any) -> Summary:
    """Label the frames of a file by pw.x, each a job of its own, and write them in their order.

    Parameters
    ----------
    frames
        File of frames (extended XYZ).
    target
        File to write, labelled, where all workers see it; quacc's RESULTS_DIR must be there too.
    espresso_job
        Takes a frame's atoms and `settings`, runs pw.x and returns quacc's summary.
    settings
        Of the job: ``preset``, ``input_data``, ``kpts``, ``pseudopotentials``... Forces and stress are asked
        for in any case.
    """
    control = {"tprnfor": True, "tstress": True}
    data = settings.pop("input_data", {})
    data = {**data, "control": {**data.get("control", {}), **control}}
    # bare copies: labels of before would be taken for results
    bare = [Atoms(f.numbers, f.positions, cell=f.cell, pbc=f.pbc) for f in read_frames(frames)]
    summaries = [espresso_job(atoms, input_data=data, **settings) for atoms in bare]
    return gather_job(frames, target, *summaries)


@job
def gather_job(frames: str, target: str, *summaries: dict[str, Any]) -> Summary:
    """Write the frames with the labels of their jobs; energies without the smearing term, as everywhere here.

    Raises
    ------
    InputError
        No frame has a label. Frames without one are left out and listed in ``target``.failed.json.
    """
    labelled, failed = [], []
    for number, (frame, summary) in enumerate(zip(read_frames(frames), summaries, strict=True)):
        found = _read_output(Path(summary["dir_name"]))
        if found.status != "done" or found.forces is None or found.stress is None:
            failed.append({"frame": number, "folder": summary["dir_name"], "status": found.status})
            continue
        results = {name: getattr(found, name) for name in ("energy", "free_energy", "forces", "stress")}
        labelled.append(attach_labels(frame, results))
        labelled[-1].info["frame"] = number
    if failed:
        write_json(f"{target}.failed.json", failed)
    if not labelled:
        raise InputError("pw.x labelled no frame", where=frames, do=f"see {target}.failed.json")
    write_frames(target, labelled)
    return {
        "name": "asennp label by quacc's espresso recipe",
        "dir_name": str(Path(target).parent),
        "outputs": [target],
        "n_labelled": len(labelled),
        "n_failed": len(failed),
    }


def _read_output(folder: Path) -> PwOutput:
    """Read what pw.x printed; quacc compresses it unless told otherwise."""
    plain, packed = folder / "pw.out", folder / "pw.out.gz"
    if not packed.is_file():
        return read_pw_output(plain)
    with TemporaryDirectory() as temporary:
        unpacked = Path(temporary, "pw.out")
        unpacked.write_bytes(gzip.decompress(packed.read_bytes()))
        return read_pw_output(unpacked)
