"""The transformers of diffusers whose blocks have been looked at: one row each. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from tinylab.models.block_form import BlockForm

__all__ = ["ARCHITECTURES", "Architecture", "Stack", "Times"]

_H, _ENC = "hidden_states", "encoder_hidden_states"


@dataclass(frozen=True)
class Stack:
    """One list of blocks.

    Attributes:
        depth_key: the config entry that holds its length.
        form: how its blocks pass the hidden state on.
        protect: indices of blocks that must stay, counted from the end if negative.
        borrowed: a part of its first block that the model itself uses; the first block must stay unless all blocks
            hold equal copies of that part.
        index_keys: config entries that list indices of its blocks.
    """

    depth_key: str = "num_layers"
    form: BlockForm = BlockForm()
    protect: tuple[int, ...] = ()
    borrowed: str = ""
    index_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Times:
    """What the model is trained to say, and how it is told the time.

    Attributes:
        target: `noise` of the 1000 linear steps of DDPM, whose number it is told, or the `velocity` noise - data of a
            straight path.
        scale: on a straight path it is told scale * (1 - share of data).
        scale_key: config entry that this is multiplied by.
        reverse: it is told scale * (share of data) and says data - noise.
        x, t: names of the model's arguments.
        lists: it takes and returns a list of samples with an axis of frames, (C, 1, H, W) each.
    """

    target: Literal["noise", "velocity"] = "velocity"
    scale: float = 1000.0
    scale_key: str = ""
    reverse: bool = False
    x: str = _H
    t: str = "timestep"
    lists: bool = False


@dataclass(frozen=True)
class Architecture:
    """One class of transformers.

    Attributes:
        stacks: by attribute name; every block of the model that may be left out is in one of them.
        times: None where it is not known how the model is trained.
    """

    stacks: Mapping[str, Stack]
    times: Times | None = None

    def config_changes(self, config: Mapping[str, Any], kept: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """The config entries that differ in the model that holds only the blocks `kept`."""
        changes: dict[str, Any] = {}
        for stack, indices in kept.items():
            row = self.stacks[stack]
            changes[row.depth_key] = len(indices)
            for key in row.index_keys:
                changes[key] = [indices.index(i) for i in config[key] if i in indices]
        return changes


def _joint(*returns: str, shared: tuple[str, ...] = ()) -> BlockForm:
    return BlockForm(returns, shared)


_ROPE = ("image_rotary_emb",)  # (tokens, channels), the same for all samples
_ONE = Times(scale=1.0)
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "DiTTransformer2DModel": Architecture({"transformer_blocks": Stack(borrowed="norm1.emb")}, Times("noise")),
        "PixArtTransformer2DModel": Architecture({"transformer_blocks": Stack()}, Times("noise")),
        "SD3Transformer2DModel": Architecture(
            {
                "transformer_blocks": Stack(
                    form=_joint(_ENC, _H), protect=(-1,), index_keys=("dual_attention_layers",)
                )  # the last block drops the text stream
            },
            Times(),
        ),
        "FluxTransformer2DModel": Architecture(
            {
                "transformer_blocks": Stack(form=_joint(_ENC, _H, shared=_ROPE)),
                "single_transformer_blocks": Stack("num_single_layers", _joint(_ENC, _H, shared=_ROPE)),
            },
            _ONE,
        ),
        "SanaTransformer2DModel": Architecture({"transformer_blocks": Stack()}, Times(scale_key="timestep_scale")),
        "Lumina2Transformer2DModel": Architecture({"layers": Stack()}, Times(scale=1.0, reverse=True)),
        "ZImageTransformer2DModel": Architecture(
            {"layers": Stack("n_layers")}, Times(scale=1.0, reverse=True, x="x", t="t", lists=True)
        ),
        "WanTransformer3DModel": Architecture({"blocks": Stack(form=_joint(shared=("rotary_emb",)))}, Times()),
        "LTXVideoTransformer3DModel": Architecture({"transformer_blocks": Stack()}, Times()),
        "QwenImageTransformer2DModel": Architecture(
            {"transformer_blocks": Stack(form=_joint(_ENC, _H, shared=_ROPE))}, _ONE
        ),
        "CogVideoXTransformer3DModel": Architecture(
            {"transformer_blocks": Stack(form=_joint(_H, _ENC, shared=_ROPE))}
        ),  # says v of a shifted chain: no objective here
        "CogView4Transformer2DModel": Architecture(
            {"transformer_blocks": Stack(form=_joint(_H, _ENC, shared=_ROPE))}, Times()
        ),
        "AuraFlowTransformer2DModel": Architecture(
            {
                "joint_transformer_blocks": Stack("num_mmdit_layers", _joint(_ENC, _H)),
                "single_transformer_blocks": Stack("num_single_dit_layers"),
            },
            _ONE,
        ),
    }
)
