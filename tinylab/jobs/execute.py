"""From a config to a finished run: check, create, compute, record how it ended."""

import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinylab.config import JobConfig, kind_of
from tinylab.distributed import process_group
from tinylab.errors import BadRequest, Failure, Stopped
from tinylab.files import atomic
from tinylab.jobs.admission import admit, check_process
from tinylab.jobs.context import CompanionContext, JobContext
from tinylab.jobs.facts import Facts
from tinylab.processes import use_threads
from tinylab.registry import load
from tinylab.runs.exit_reasons import out_of_memory
from tinylab.runs.locks import run_lock
from tinylab.runs.run import Run

__all__ = ["execute", "execute_along", "start_run"]


def start_run(config: JobConfig, path: Path | None = None) -> Run:
    """Check the config and create its run folder, a new one of the runs folder unless `path` is given."""
    return admit(config, process_group().size).create_run(path)


def execute(run: Run, *, quiet: bool = False, facts: Facts | None = None) -> dict[str, Any]:
    """Do the job of `run`, from its newest checkpoint if there is one, and return its result.

    Args:
        facts: what its admission has just learned in this process; without, it is checked that this process can do it.

    Raises:
        BadRequest: another process computes it; its status is left alone.
        BadRequest, Failure, Stopped: as the job does; the run's status has the same message.
    """
    advice = f"free some space, then `tinylab resume {run.path}`"
    with atomic.disk_errors(advice), run_lock(run):
        run.sweep()
        stored = run.stored_status()
        if stored.state == "finished":  # by a process that was faster
            return run.result()
        try:
            config = run.config()
            if facts is None:
                check_process(config, process_group().size)
            with atomic.disk_errors(advice):
                context = JobContext(run, quiet=quiet, facts=facts)
        except (BadRequest, Failure) as error:
            run.write_status(replace(stored, state="failed", message=str(error)))
            raise
        process_group().begin(str(run.path.absolute()))
        return _compute(config, context)


def execute_along(run: Run) -> None:
    """Compute a share of the job of `run`, which the main process executes, and write nothing."""
    config, context = run.config(), CompanionContext(run)
    with context.signals():
        use_threads(config.threads)
        load(kind_of(config).run)(config, context)


def _compute(config: JobConfig, context: JobContext) -> dict[str, Any]:
    with context.signals():  # to the end: a launcher that ends all processes must not keep the last status from disk
        try:
            use_threads(config.threads)
            result = load(kind_of(config).run)(config, context)
            context.run.write_result(result)
        except Stopped as stop:
            context.finish("stopped", str(stop))
            raise
        except KeyboardInterrupt:
            context.finish("interrupted", "ended before the next checkpoint; resume it")
            raise Stopped("interrupted") from None
        except (BadRequest, Failure) as error:
            context.finish("failed", str(error))
            raise
        except Exception as error:
            trouble = process_group().trouble(error)
            _finish_unexpected(context, error, trouble)
            if trouble:
                raise Failure(trouble) from error
            raise
        context.finish("finished")
        return result


def _finish_unexpected(context: JobContext, error: Exception, trouble: str) -> None:
    """Write into the status what a person can do, or what is wrong elsewhere; the traceback goes to the run's log."""
    message = trouble or out_of_memory(error) or f"{type(error).__name__}: {error}"
    try:
        with atomic.disk_errors("free some space and resume"):
            raise error
    except Failure as failure:
        message = str(failure)
    except Exception:
        with (context.run.path / "log.txt").open("a") as log:
            traceback.print_exc(file=log)
    context.finish("failed", message)
