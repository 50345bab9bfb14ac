"""What there is to choose from in a search, a recovery and in sampling: a row for each loss, warm start, estimator of
gradients and sampler. Flags and their help, the app's menus, checks and the training itself read these rows.

To add one, write the function and register it here. Free of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator

from tinylab.registry import Entry, Rows

if TYPE_CHECKING:  # the protocols lie in higher layers, next to the code that the rows point at
    from torch import Tensor

__all__ = [
    "ESTIMATORS",
    "LOSSES",
    "SAMPLERS",
    "WARM_STARTS",
    "EstimatorName",
    "LossName",
    "OneOf",
    "SamplerName",
    "WarmStart",
]


@dataclass(frozen=True)
class LossEntry(Entry):
    """A loss of recovery: `loss(outputs, share, config) -> Terms`, see `tinylab.training.losses`.

    Attributes:
        needs: what it is computed from: `images` alone, also the `teacher`'s output, or also the hidden `states` of
            both models at the layers that `layer_map` pairs.
        settings: fields of `FinetuneConfig` that it reads.
    """

    needs: Literal["images", "teacher", "states"] = "images"
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class WarmStartEntry(Entry):
    """A warm start: `start(given)`, see `tinylab.training.warm_starts`; `settings` are fields that it alone reads."""

    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class EstimatorEntry(Entry):
    """An estimator of the gradient of mask logits: `estimator(logits, noise, tau)`, see `tinylab.pruning.estimators`.

    Attributes:
        sets: dotted path of its rule where one budget holds for all blocks; empty if it has none.
        tau: the temperature it keeps; None for the one that falls from `tau_start` to `tau_end`.
        copies: whether it compares several masks for each image, and is given the score function of each.
    """

    sets: str = ""
    tau: float | None = None
    copies: bool = False


@dataclass(frozen=True)
class SamplerEntry(Entry):
    """A sampler: `sample(sampling)`, an iterator over images; `families` of models are those it can sample from."""

    families: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """The families, and how it works."""
        return f"{'/'.join(self.families)}: {self.summary}"


_WEIGHTS = ("alpha", "beta", "beta_decay", "layer_map")
LOSSES: Rows[Callable[..., Any], LossEntry] = Rows("loss", LossEntry)
for _name, _label, _needs, _settings, _summary in (
    ("diffusion", "Plain", "images", (), "learns from the images alone"),
    ("logit", "Logit KD", "teacher", ("alpha",), "also from the teacher's output"),
    ("feature", "Feature KD", "states", _WEIGHTS, "also from its hidden states"),
    (
        *("masked-kd", "Masked KD", "states", (*_WEIGHTS, "mask_sigma", "mask")),
        "also from its hidden states, without their extremes",
    ),
    ("normalised", "Normalised KD", "states", _WEIGHTS, "also from its hidden states, each layer by its size"),
    ("bksdm", "BK-SDM sum", "states", ("layer_map",), "output and hidden states, all simply added up"),
):
    _target = f"tinylab.training.losses:{_name.replace('-', '_')}"
    LOSSES.register(_name, _target, label=_label, summary=_summary, needs=_needs, settings=_settings)

WARM_STARTS: Rows[Callable[..., None], WarmStartEntry] = Rows("warm start", WarmStartEntry)
for _name, _target, _label, _settings, _summary in (
    ("none", "base:keep_weights", "none", (), "the kept weights as they are"),
    ("mean", "mean:start", "mean", (), "the mean of the merged span"),
    ("linear", "linear:start", "linear map", (), "a linear map that stands for what was removed"),
    ("align", "align:start", "block by block", ("warm_steps",), "each block learns what its span does in the teacher"),
):
    _target = f"tinylab.training.warm_starts.{_target}"
    WARM_STARTS.register(_name, _target, label=_label, summary=_summary, settings=_settings)

ESTIMATORS: Rows[Callable[..., Tensor], EstimatorEntry] = Rows("estimator", EstimatorEntry)
for _name, _label, _facts, _summary in (
    ("gumbel", "Gumbel", {}, "straight-through Gumbel-softmax, as published"),
    ("reinmax", "ReinMax", {"tau": 1.0}, "Heun's rule, exact for quadratic losses at tau 1"),
    ("reinforce", "REINFORCE", {"copies": True}, "the score function, leave-one-out over copies"),
):
    _target = f"tinylab.pruning.estimators:{_name}"
    ESTIMATORS.register(_name, _target, label=_label, summary=_summary, sets=f"{_target}_sets", **_facts)

# The first sampler of a family is its default.
SAMPLERS: Rows[Callable[..., Iterator[Tensor]], SamplerEntry] = Rows("sampler", SamplerEntry)
for _name, _target, _label, _family, _summary in (
    ("ddpm", "gaussian:sample_ddpm", "DDPM", "dit", "ancestral sampling, learned variance"),
    ("ddim", "gaussian:sample_ddim", "DDIM", "dit", "deterministic DDIM, eta 0"),
    ("euler", "flow:sample_euler", "Euler (ODE)", "sit", "the flow's ODE, Euler steps"),
    ("heun", "flow:sample_heun", "Heun (ODE)", "sit", "the flow's ODE, two forward passes a step"),
    ("sde", "flow:sample_sde", "SDE", "sit", "the flow's SDE, Euler-Maruyama"),
    ("masked", "masked:sample", "Masked tokens", "mar", "hidden tokens, a few at a time"),
):
    SAMPLERS.register(_name, f"tinylab.sampling.{_target}", label=_label, summary=_summary, families=(_family,))


@dataclass(frozen=True)
class OneOf:
    """Marks a field of a config whose value is a name in a registry, or one of a few `others`.

    The registry is read at every use: a row that was added after the import of the configs counts, too.
    """

    registry: Rows[Any, Any]
    others: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """All values."""
        return (*self.others, *self.registry.names())

    def help(self) -> str:
        """All values, each with what it stands for."""
        return ", ".join((*self.others, *(f"{row.name} ({row.note})" for row in self.registry.rows())))

    def check(self, value: object) -> object:
        """The value; ValueError with all names if it is none of them, worded as pydantic words it for a `Literal`."""
        names = [repr(name) for name in self.names()]
        if value not in self.names():
            raise ValueError(f"Input should be {', '.join(names[:-1])} or {names[-1]}")
        return value


def _name_in(registry: Rows[Any, Any], *others: str) -> Any:
    choice = OneOf(registry, others)
    return Annotated[str, choice, BeforeValidator(choice.check)]


if TYPE_CHECKING:
    LossName = WarmStart = EstimatorName = SamplerName = str
else:
    LossName, WarmStart, EstimatorName = _name_in(LOSSES), _name_in(WARM_STARTS), _name_in(ESTIMATORS)
    SamplerName = _name_in(SAMPLERS, "auto")
