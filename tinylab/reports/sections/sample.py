"""What a report tells of drawn samples: the grids side by side, from equal noise, and what an image cost."""

from typing import cast

from tinylab.config import SampleConfig
from tinylab.reports.names import model_label
from tinylab.reports.section import Picture, Section, artifact_png
from tinylab.reports.tables import samples_table
from tinylab.runs.run import Run

__all__ = ["sample_section"]

_NAMED = 12  # classes that are listed


def sample_section(run: Run) -> Section:
    """The section of a sample run, finished or not."""
    config = cast(SampleConfig, run.config())
    result = run.result()
    found = result.get("models", [])
    words = [_asked(config)]
    classes = [str(name) for name in result.get("class_names", [])]
    if classes:
        words.append(f"Classes in turn: {', '.join(classes[:_NAMED])}{', …' if len(classes) > _NAMED else ''}.")
    words += sorted({f"Note: {row['note']}." for row in found if "note" in row})
    pictures = []
    for row in found:
        png, name = artifact_png(run.artifacts, str(row["png"])), model_label(str(row["model"]))
        blocks = sum(int(count) for count in row["depth"].values())
        if png is not None:
            pictures.append(Picture(png, f"{name}, {blocks} blocks", f"a grid of samples of {name}"))
    tables = (samples_table(run),) if found else ()
    return Section("Samples from equal noise", tuple(words), tables=tables, pictures=tuple(pictures))


def _asked(config: SampleConfig) -> str:
    names = " and ".join(model_label(model) for model in (config.model, *config.against))
    return (
        f"Draw {config.n:,} images of {names}: the same noise, classes, guidance ({config.guidance:g}) and steps "
        f"({config.steps}), seed {config.seed}, so that pictures can be compared place by place."
    )
