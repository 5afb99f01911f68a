"""The features of a network of candle-dbn in PyTorch: `features("runs/mnist", x)[-1]` is what its top layer says of `x`."""
import json
import torch
from safetensors.torch import load_file

def features(folder, x):
    """A list of the hidden layers' mean activities, (cases, hidden) each, for x (cases, width) in the values of the data."""
    config, state = json.load(open(f"{folder}/config.json")), load_file(f"{folder}/model.safetensors")
    kinds = [units["kind"] for units in config["hidden"]]
    if set(kinds) - {"bernoulli"} or config.get("labels"):
        raise NotImplementedError(f"hidden units {kinds}, labels {config.get('labels')}: only Bernoulli units are done here; "
                                  "`dbn embed` does them all")
    if config["standardise"]:
        x = (x - state["standardise.mean"]) / state["standardise.deviation"]
    layers = []
    for i in range(len(kinds)):
        x = torch.sigmoid(torch.nn.functional.linear(x, state[f"rbms.{i}.weight"], state[f"rbms.{i}.hidden_bias"]))
        layers.append(x)
    return layers
