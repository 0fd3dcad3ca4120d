"""A run on a workflow engine's two workers, as a user's script: python on_engine.py ENGINE HOW FOLDER UNTIL.

HOW is "flow" (a job a stage), "fan-out" (a task a walker, member, frame), "killed" (the same, a worker killed
in the middle of sampling and of labelling) or "kill" (a task ends its worker). Prints what the engine gave,
as JSON, in the last line.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

#: As small as every stage still works.
SMALL = {
    "sample.steps": 400, "sample.frame_interval": 4, "sample.checkpoint_interval": 100, "tensile.steps": 200,
    "tensile.frame_interval": 20, "distill.initial": 20, "distill.chunk": 60, "distill.train.epochs": 2,
    "distill.block_steps": 40, "pretrain.epochs": 2, "label.crystals": 2, "sample.wang_landau.interval": 10,
}  # fmt: skip


def end_the_worker_once(marker: str, number: int) -> int:
    """Square a number; the first to come to number 3 takes its process with it."""
    if number == 3 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number * number


#: Stage -> file that appears once it is at work.
MIDDLE = {"sample": "sample/*/frames.extxyz", "label": "label/labels.jsonl"}


def kill_workers(engine: str, run: Path, killed: list[str]) -> None:
    """Kill the worker that has worked most, once in the middle of each stage of `MIDDLE`."""
    import psutil

    def workers() -> list[Any]:
        if engine == "dask":
            return list(psutil.Process().children(recursive=True))
        # Parsl's pool leaves its starter's family
        lines = {one: " ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])}
        pools = [
            one for one, line in lines.items() if "process_worker_pool" in line and str(run.parent) in line
        ]
        return [worker for pool in pools for worker in pool.children(recursive=True)]

    def cpu_seconds(process: Any) -> float:
        try:
            return -1.0 if process.children() else sum(process.cpu_times()[:2])
        except psutil.Error:
            return -1.0

    for stage, file in MIDDLE.items():
        while not any(path.stat().st_size for path in run.glob(file)):
            time.sleep(0.01)
        if not (run / stage / "summary.json").exists():
            max(workers(), key=cpu_seconds).kill()
            killed.append(stage)


def start(engine: str, folder: Path) -> None:
    """Start two workers on this machine; a task that is lost with its worker is tried again."""
    if engine == "parsl":
        import parsl
        from parsl.executors import HighThroughputExecutor
        from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
        from parsl.providers import LocalProvider

        module = f"{sys.executable} -m parsl.executors.high_throughput."
        executor = HighThroughputExecutor(
            label="two",
            max_workers_per_node=2,
            address="127.0.0.1",
            encrypted=False,
            interchange_launch_cmd=f"{module}interchange".split(),
            launch_cmd=DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", f"{module}process_worker_pool"),
            provider=LocalProvider(
                init_blocks=1, max_blocks=1, worker_init=f"export PYTHONPATH={Path(__file__).parent}"
            ),
        )
        parsl.load(
            parsl.Config([executor], retries=2, run_dir=str(folder / "parsl"), initialize_logging=False)
        )
    elif engine == "dask":
        import dask
        from distributed import Client, LocalCluster

        dask.config.set({"distributed.worker.daemon": False})  # stages start processes of their own
        Client(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None))


def stop(engine: str) -> None:
    """End the workers."""
    if engine == "parsl":
        import parsl

        parsl.dfk().cleanup()
    elif engine == "dask":
        from distributed import get_client

        client = get_client()
        client.cluster.close()
        client.close()


def work(engine: str, how: str, folder: Path, until: str) -> Any:
    """Do what was asked."""
    from asennp import recipes
    from asennp.config import load_config
    from asennp.run import RunFolder

    run = RunFolder.create(folder / "run", load_config("zno-tiny", SMALL))
    if how == "kill":
        from on_engine import end_the_worker_once as task  # by the name the workers know it by

        from asennp.processes import run_processes
        from asennp.recipes.engines import fan_out

        begun = time.perf_counter()
        recipes.check_workers(run.path)
        ready = time.perf_counter()
        with fan_out(run, "label"):
            found = dict(run_processes(task, [(str(folder / "killed"), k) for k in range(12)]))
        return {"results": [found[k] for k in range(12)], "start": ready - begun}
    if how == "killed":
        killed: list[str] = []
        threading.Thread(target=kill_workers, args=(engine, run.path, killed), daemon=True).start()
        return {**recipes.fan_out_flow(str(run.path), until), "killed": killed}
    if how == "fan-out":
        return recipes.fan_out_flow(str(run.path), until)
    summary = recipes.zno_flow(str(run.path), until)
    if engine == "jobflow":
        from jobflow import run_locally

        responses = run_locally(summary, log=False, ensure_success=True)
        outputs = [one.output for many in responses.values() for one in many.values()]
        return next(one for one in outputs if one and one["stage"] == until)
    return recipes.wait(summary)


if __name__ == "__main__":
    engine, how, folder, until = sys.argv[1:]
    os.environ["QUACC_WORKFLOW_ENGINE"] = "None" if engine == "none" else engine
    Path(folder).mkdir(parents=True, exist_ok=True)
    start(engine, Path(folder))
    try:
        answer = work(engine, how, Path(folder), until)
    finally:
        stop(engine)
    print(json.dumps(answer))
