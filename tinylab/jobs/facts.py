"""What is known of the models, the data and the plan that a job names, each read once. Free of torch."""

from dataclasses import replace

from tinylab.config.recovery import CutConfig
from tinylab.data.catalog import DIGITS, describe_data
from tinylab.errors import BadRequest
from tinylab.models.catalog import ModelInfo, built_in_models, describe_model, locate_model
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.store import find_plan

__all__ = ["Facts", "blocks_to_keep"]


class Facts:
    """Descriptions of what one job names, kept from its check until it is computed, as far as that happens in the same
    process. They belong to one job: whatever is asked later, or elsewhere, is read again."""

    def __init__(self) -> None:
        self._models: dict[str, ModelInfo] = {}

    def model(self, reference: str) -> ModelInfo:
        """What the header of a model says; BadRequest where there is none, or it is damaged."""
        if reference not in self._models:
            self._models[reference] = describe_model(reference)
        return self._models[reference]

    def pin(self, reference: str, pinned: str) -> None:
        """What is known of the model `reference` holds for `pinned`, the same in another name."""
        if reference in self._models:
            self._models[pinned] = replace(self._models[reference], name=pinned)

    def data_if_any(self, reference: str, model: str) -> str | None:
        """The data that a job on `model` uses: `reference`, or for `auto` the digits if the model draws them."""
        info = self.model(model)
        if reference == "auto":
            return DIGITS if info.draws_digits else None
        describe_data(reference).check_fits(info.sample_shape, info.num_classes, model)
        return reference

    def data_for(self, reference: str, model: str) -> str:
        """The same for a job that needs some; BadRequest where nothing is named that the model can learn from."""
        found = self.data_if_any(reference, model)
        if found is None:
            shape = " x ".join(map(str, self.model(model).sample_shape))
            raise BadRequest(
                f"{model} takes samples of {shape}: name some with --data (`tinylab encode` makes latents)"
            )
        return found

    def cut(self, config: CutConfig) -> DepthPlan:
        """The plan that a fine-tuning starts from; it names the full model."""
        if [config.run, config.plan, config.indices].count(None) != 2:
            raise BadRequest(
                "name what to keep, one way: --run RUN (a finished search or prune), --plan FILE or --indices A,B,…"
            )
        if config.indices is not None:
            model = config.model or next(iter(built_in_models()), "")
            return DepthPlan.of(config.indices, self.model(model).depth, "indices", model=model)
        plan = find_plan(config.run or config.plan or "")
        model = config.model or plan.model
        if not model:
            raise BadRequest("the plan does not say which model it is for; add --model")
        plan.check_fits(self.model(model).depth)
        return replace(plan, model=model)

    def check_made_for(self, plan: DepthPlan, model: str) -> None:
        """BadRequest unless the plan fits the model and, where it names one, was made for it."""
        plan.check_fits(self.model(model).depth)
        if plan.model and locate_model(plan.model) != self.model(model).path:
            raise BadRequest(f"the plan was made for {plan.model}, not for {model}; add --model {plan.model}")


def blocks_to_keep(keep: int, depth: dict[str, int]) -> int:
    """The number of blocks that stay: `keep`, or half of all for 0. BadRequest if that many cannot."""
    total = sum(depth.values())
    number = keep or total // 2
    least = len(depth)  # no stack can be empty
    if not least <= number < total:
        raise BadRequest(f"--keep {keep}: the model has {total} blocks, keep {least} to {total - 1} of them")
    return number
