"""The names and shapes of a whole published state dict, worked out from a config. Free of torch."""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["expected_shapes", "plain_names"]

Table = dict[str, tuple[int, ...]]


def expected_shapes(family: str, config: Mapping[str, Any]) -> Table:
    """Shape by name of every tensor in the state dict of a `dit`, `sit` or `mar` with this config."""
    return _mar(config) if family == "mar" else _dit(config)


def _dit(config: Mapping[str, Any]) -> Table:
    width, patch, channels = config["hidden_size"], config["patch_size"], config["in_channels"]
    outputs = patch * patch * channels * (2 if config["learn_sigma"] else 1)
    table: Table = {
        "pos_embed": (1, (config["input_size"] // patch) ** 2, width),
        "x_embedder.proj.weight": (width, channels, patch, patch),
        "x_embedder.proj.bias": (width,),
        "y_embedder.embedding_table.weight": (config["num_classes"] + 1, width),
        **_time("t_embedder", width),
    }
    for index in range(config["depth"]):
        block = f"blocks.{index}"
        table |= _attention_and_mlp(block, width, int(width * config["mlp_ratio"]))
        table |= _linear(f"{block}.adaLN_modulation.1", width, 6 * width)
    return table | _last(width, outputs, "final_layer")


def _mar(config: Mapping[str, Any]) -> Table:
    width, wide = config["encoder_embed_dim"], config["decoder_embed_dim"]
    values = config["vae_embed_dim"] * config["patch_size"] ** 2
    tokens = (config["img_size"] // config["vae_stride"] // config["patch_size"]) ** 2
    positions = tokens + config["buffer_size"]
    table: Table = {
        "class_emb.weight": (config["class_num"], width),
        "fake_latent": (1, width),
        "encoder_pos_embed_learned": (1, positions, width),
        "mask_token": (1, 1, wide),
        "decoder_pos_embed_learned": (1, positions, wide),
        "diffusion_pos_embed_learned": (1, tokens, wide),
        **_linear("z_proj", values, width),
        **_norm("z_proj_ln", width),
        **_linear("decoder_embed", width, wide),
    }
    for part, size in (("encoder", width), ("decoder", wide)):
        table |= _norm(f"{part}_norm", size)
        for index in range(config[f"{part}_depth"]):
            block = f"{part}_blocks.{index}"
            table |= _attention_and_mlp(block, size, int(size * config["mlp_ratio"]))
            table |= _norm(f"{block}.norm1", size) | _norm(f"{block}.norm2", size)
    return table | _head(config, values, wide)


def _head(config: Mapping[str, Any], values: int, condition: int) -> Table:
    net, width = "diffloss.net", config["diffloss_w"]
    table = _time(f"{net}.time_embed", width) | _linear(f"{net}.cond_embed", condition, width)
    table |= _linear(f"{net}.input_proj", values, width)
    for index in range(config["diffloss_d"]):
        block = f"{net}.res_blocks.{index}"
        table |= _norm(f"{block}.in_ln", width)
        table |= _linear(f"{block}.mlp.0", width, width) | _linear(f"{block}.mlp.2", width, width)
        table |= _linear(f"{block}.adaLN_modulation.1", width, 3 * width)
    return table | _last(width, 2 * values, f"{net}.final_layer")


def _attention_and_mlp(block: str, width: int, inner: int) -> Table:
    table = _linear(f"{block}.attn.qkv", width, 3 * width) | _linear(f"{block}.attn.proj", width, width)
    return table | _linear(f"{block}.mlp.fc1", width, inner) | _linear(f"{block}.mlp.fc2", inner, width)


def _last(width: int, outputs: int, name: str) -> Table:
    return _linear(f"{name}.linear", width, outputs) | _linear(f"{name}.adaLN_modulation.1", width, 2 * width)


def _time(name: str, width: int) -> Table:
    return _linear(f"{name}.mlp.0", 256, width) | _linear(f"{name}.mlp.2", width, width)


def _linear(name: str, inputs: int, outputs: int) -> Table:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Table:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


_WRAPPERS = ("module.", "_orig_mod.", "model.", "ema_model.", "ema.")
_GATES = "gumbel_gates."  # the logits of the published depth search, saved along with the whole model


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Name in the published layout -> name in the file; the logits of a depth search are left out.

    A prefix goes only when every tensor has it, as with DistributedDataParallel or torch.compile.
    """
    plain = {name: name for name in names}
    while plain:
        common = next((w for w in _WRAPPERS if all(name.startswith(w) for name in plain)), None)
        if common is None:
            break
        plain = {name.removeprefix(common): old for name, old in plain.items()}
    return {name: old for name, old in plain.items() if not name.startswith(_GATES)}
