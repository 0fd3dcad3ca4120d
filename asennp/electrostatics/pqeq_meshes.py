"""The meshes of PQEq in large cells: chosen for each cell, or held through a run."""

from dataclasses import asdict
from typing import Any

from asennp.electrostatics.gaussian_mesh import MeshSettings, MeshSum
from asennp.electrostatics.splitting import refuse_foreign

#: Accuracy of the sum by which Newton's steps are found, and the orders of its splines.
ROUGH = 1e-2, (6,)


class Meshes:
    """The sum over meshes, and a rough one for Newton's steps.

    Left alone, both are a function of the cell, the number of atoms and the accuracy. Once `hold` was called,
    they stay for systems of as many atoms, as `asennp.electrostatics.splitting.Splitting` says.

    Parameters
    ----------
    accuracy, threads
        See `asennp.electrostatics.gaussian_mesh.MeshSum`.
    """

    def __init__(self, accuracy: float, threads: int) -> None:
        self.accuracy, self.threads = accuracy, threads
        self._free = self._make()
        self._held: tuple[MeshSum, MeshSum] | None = None
        self._held_atoms = 0

    def _make(self) -> tuple[MeshSum, MeshSum]:
        return MeshSum(self.accuracy, threads=self.threads), MeshSum(*ROUGH, threads=self.threads)

    def of(self, n_atoms: int) -> tuple[MeshSum, MeshSum]:
        """Return the sum and the rough sum for so many atoms."""
        return self._held if self._held is not None and n_atoms == self._held_atoms else self._free

    def hold(self, n_atoms: int) -> None:
        """Keep the last meshes for cells of so many atoms."""
        used = self.of(n_atoms)
        self._hold(n_atoms, [mesh.settings for mesh in used])

    def _hold(self, n_atoms: int, settings: list[MeshSettings | None]) -> None:
        self._held, self._held_atoms = self._make(), n_atoms
        for mesh, chosen in zip(self._held, settings):
            mesh.held = chosen

    def release(self) -> None:
        """Choose for each cell again."""
        self._held = None

    def state(self) -> dict[str, Any] | None:
        """Return what is held, as plain values; None if nothing is."""
        if self._held is None:
            return None
        settings = [asdict(mesh.held) for mesh in self._held if mesh.held is not None]
        return {
            "method": "pqeq",
            "accuracy": self.accuracy,
            "n_atoms": self._held_atoms,
            "settings": [{**values, "mesh": list(values["mesh"])} for values in settings],
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """Hold what `state` returned, perhaps in another process.

        Raises
        ------
        InputError
            If it was made by another method, or for another accuracy.
        """
        self.release()
        if state is None:
            return
        refuse_foreign(state, "pqeq", self.accuracy)
        self._hold(
            int(state["n_atoms"]),
            [MeshSettings(int(values["order"]), tuple(values["mesh"])) for values in state["settings"]],
        )
