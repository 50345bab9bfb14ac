"""Who computes which images of a step: all processes alike, each in equal micro-batches. Free of torch."""

from tinylab.errors import BadRequest

__all__ = ["check_shares", "rows_of"]


def check_shares(batch_size: int, *, processes: int, accumulation: int, copies: int = 1) -> None:
    """BadRequest unless the batch falls into equal parts.

    Args:
        copies: how often each image is in the batch; the copies of one stay together.
    """
    parts = processes * accumulation * copies
    if batch_size % parts:
        several = [(processes, "processes"), (accumulation, "micro-batches"), (copies, "copies of an image")]
        product = " x ".join(f"{count} {what}" for count, what in several if count > 1)
        nearest = max(1, round(batch_size / parts)) * parts
        raise BadRequest(f"batch-size {batch_size} is no multiple of {product}; take {nearest}")


def rows_of(images: int, *, process: int, processes: int, accumulation: int) -> list[slice]:
    """The micro-batches of one process, as rows of a step's images."""
    size = images // (processes * accumulation)
    first = process * accumulation
    return [slice(at * size, (at + 1) * size) for at in range(first, first + accumulation)]
