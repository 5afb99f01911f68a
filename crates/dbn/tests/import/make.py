"""Writes the machines of this folder, and what the libraries that they are from say of them (golden.json).

scikit-learn 1.7+, rbms 0.5, torch, safetensors, h5py:  python make.py
"""
import json, os
import h5py, numpy as np, torch
from rbms.bernoulli_bernoulli.classes import BBRBM
from rbms.potts_bernoulli.classes import PBRBM
from rbms.io import load_params, save_model
from safetensors.torch import save_file
from sklearn.neural_network import BernoulliRBM

torch.manual_seed(0)
rng = np.random.default_rng(0)
golden = {}
cases = rng.integers(0, 2, (40, 6)).astype(float)

# scikit-learn: a machine that it has learned.
rbm = BernoulliRBM(n_components=4, learning_rate=0.5, n_iter=30, random_state=0).fit(cases)
attributes = {n: getattr(rbm, n) for n in ("components_", "intercept_hidden_", "intercept_visible_")}
np.savez("sklearn.npz", **attributes)
np.savez_compressed("sklearn_f32.npz", **{n: np.asfortranarray(a, "f4") for n, a in attributes.items()})
said = {"cases": cases[:5].tolist(), "free_energies": rbm._free_energy(cases[:5]).tolist(),
        "means": rbm.transform(cases[:5]).tolist()}
golden["sklearn.npz"] = golden["sklearn_f32.npz"] = said

# rbms: three updates in a file. Of what it writes only the states of generators are left out, which are most of the bytes.
def write(name, machines):
    for update, machine in machines.items():
        save_model("whole.h5", machine, machine.init_chains(3), update, 1.0, ["ptt"])
    with h5py.File("whole.h5") as whole, h5py.File(name, "w") as file:
        for key in ("model_type", "parallel_chains"):
            whole.copy(key, file)
        for update in machines:
            group = file.create_group(f"update_{update}")
            whole.copy(f"update_{update}/params", group)
            whole.copy(f"update_{update}/flags", group)
            for parameter in group["params"]:
                group[parameter] = group["params"][parameter]
    os.remove("whole.h5")
    for update in machines:
        machine = load_params(name, update, torch.device("cpu"), torch.float64)
        v = torch.tensor(rng.integers(0, 2 if machine.name == "BBRBM" else 3, (5, machine.num_visibles())), dtype=torch.float64)
        means = machine.sample_hiddens({"visible": v})["hidden_mag"]
        rows = v if machine.name == "BBRBM" else torch.nn.functional.one_hot(v.long(), 3).flatten(1)
        golden[f"{name} {update}"] = {"cases": rows.tolist(), "means": means.tolist(),
                                      "free_energies": machine.compute_energy_visibles(v).tolist()}

write("bernoulli.h5", {n: BBRBM(torch.randn(6, 4), torch.randn(6), torch.randn(4)) for n in (1, 12, 300)})
write("potts.h5", {7: PBRBM(torch.randn(4, 3, 2), torch.randn(4, 3), torch.randn(2))})

# PyTorch: the machine that most programs have (W as F.linear wants it), and two of the other layout on top of each other.
class Rbm(torch.nn.Module):
    def __init__(self, visible, hidden):
        super().__init__()
        self.W = torch.nn.Parameter(torch.randn(hidden, visible))
        self.v_bias = torch.nn.Parameter(torch.randn(visible))
        self.h_bias = torch.nn.Parameter(torch.randn(hidden))
    def means(self, v):
        return torch.sigmoid(torch.nn.functional.linear(v, self.W, self.h_bias))
    def free_energy(self, v):
        return -v @ self.v_bias - torch.nn.functional.softplus(torch.nn.functional.linear(v, self.W, self.h_bias)).sum(1)

v = torch.tensor(cases[:5], dtype=torch.float32)
rbm = Rbm(6, 4)
torch.save(rbm.state_dict(), "rbm.pt")
save_file(rbm.state_dict(), "rbm.safetensors")
torch.save(rbm, "module.pt")
golden["rbm"] = {"cases": v.tolist(), "free_energies": rbm.free_energy(v).tolist(), "means": rbm.means(v).tolist()}
stack = torch.nn.ModuleList([rbm, Rbm(4, 3)])
state = {f"rbms.{n}": t.detach().t().contiguous() if t.dim() == 2 else t.detach() for n, t in stack.state_dict().items()}
state["head.weight"] = torch.randn(2, 3)
torch.save({"epoch": 3, "state_dict": {n: t.double() for n, t in state.items()}}, "stack.pt")
golden["stack"] = dict(golden["rbm"], means=stack[1].means(stack[0].means(v)).tolist())
linear = torch.nn.ModuleDict({"fc": torch.nn.Linear(6, 4)})
state = dict(linear.state_dict(), visible=torch.randn(6))
save_file(state, "linear.safetensors")
with torch.no_grad():
    rbm.W[:], rbm.h_bias[:], rbm.v_bias[:] = state["fc.weight"], state["fc.bias"], state["visible"]
golden["linear"] = {"cases": v.tolist(), "free_energies": rbm.free_energy(v).tolist(), "means": rbm.means(v).tolist()}

with open("golden.json", "w") as file:
    json.dump(golden, file)
