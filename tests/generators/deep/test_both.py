"""What both deep generators keep: room and devices are checked when planned, and files that are not a model's are not loaded."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from generators import get
from generators.deep import calibration, room
from generators.deep.adversary import Refiner, discriminator
from generators.deep.autoregressive import ArOptions, unit_losses
from generators.deep.device import Device
from generators.deep.network import Network
from generators.deep.randomness import SystemRandomness
from generators.deep.recipe import SgdRecipe
from generators.deep.room import rows_at_once
from generators.deep.stepper import PrivateStepper
from generators.deep.units import UnitRows
from release.errors import IntegrityError, PlanError
from release.records import Budget, Task
from tests.builders import make_schema, random_table
from tests.seeded_noise import SeededNoise

BOTH = ("dp_autoregressive", "dp_ctgan")
BUDGET = Budget(epsilon=5.0, delta=1e-7)
QUICK = {"steps": 2, "hidden": 6, "sampling_rate": 1.0}
SCHEMA = make_schema(a=["x", "y", "z"], b=["u", "v"], c=(0, 5))
WIDE = make_schema(**{f"c{k}": [f"v{i}" for i in range(5_000)] for k in range(5)})
ALL = {"encoding": {"max_levels": 10_000}}
"""No pooling of levels."""


@pytest.fixture(scope="module")
def models():
    before, calibration.ROWS = calibration.ROWS, 200
    table = random_table(SCHEMA, 200, np.random.default_rng(0))
    plans = {name: get(name).plan(SCHEMA, BUDGET, Task(target="b"), QUICK) for name in BOTH}
    yield {name: plan.run(table, SeededNoise(1)) for name, plan in plans.items()}
    calibration.ROWS = before


@pytest.fixture(params=BOTH)
def fitted(request, models):
    return models[request.param]


# ---------------------------------------------------------------------------------------------- room


@pytest.mark.parametrize("name", [*BOTH, "auto", "mst"])
def test_a_table_that_may_not_fit_is_refused_when_planned(name):
    """25,000 levels need more cells than 1 MiB holds: the same check, and the same words, for all of the families."""
    with pytest.raises(PlanError, match=r"may need 25,0\d\d cells.*memory_mib = 1 holds") as refused:
        get(name).plan(WIDE, BUDGET, options=ALL | {"memory_mib": 1})
    assert "raise memory_mib" in refused.value.mend
    assert "declare smaller domains" in refused.value.mend


@pytest.mark.parametrize("name", BOTH)
def test_a_network_that_may_not_fit_is_refused_when_planned(name):
    """25,000 levels × 3 layers × 256 hidden × 56 bytes are a gibibyte; the base alone would fit."""
    get("auto").plan(WIDE, BUDGET, options=ALL | {"memory_mib": 64})
    with pytest.raises(
        PlanError, match=r"hidden = 256, 25,0\d\d levels of all columns.*memory_mib is 64"
    ) as refused:
        get(name).plan(WIDE, BUDGET, options=ALL | {"memory_mib": 64, "hidden": 256})
    assert "lower hidden" in refused.value.mend
    get(name).plan(
        WIDE, BUDGET, options=ALL | {"memory_mib": 2_048, "hidden": 256, "steps": 5, "sampling_rate": 1.0}
    )


def test_the_bytes_of_a_weight_are_not_counted_too_few():
    """What a step holds for each weight, counted from its tensors: parameter, gradient, mask, Adam's two, average, and four in float64."""
    net = torch.nn.Linear(40, 30, bias=False)
    optimizer = torch.optim.Adam(net.parameters())
    stepper = PrivateStepper(
        net,
        optimizer,
        SgdRecipe(rate=1.0, steps=1, clip=1.0, multiplier=1.0),
        UnitRows(np.arange(3), 1),
        expected_units=3,
        randomness=SystemRandomness(),
    )
    stepper.step(lambda batch: net(torch.ones(len(batch), 40)).sum(dim=1))
    state = [v for v in optimizer.state[net.weight].values() if v.numel() == 1_200]
    held = [net.weight, net.weight.grad, *state, *stepper._clipped.sums.values()]
    kept = sum(tensor.numel() * tensor.element_size() for tensor in held) / 1_200
    average, mask, noise_noised_and_mean = 4, 4, 3 * 8
    assert kept + average + mask + noise_noised_and_mean <= room.BYTES_PER_WEIGHT


def test_passes_hold_as_many_rows_as_fit():
    assert rows_at_once(100, 8_192) == 8_192
    assert rows_at_once(1 << 20, 8_192) == 16
    assert rows_at_once(1 << 30, 8_192) == 1
    assert rows_at_once(0, 5) == 5


# ---------------------------------------------------------------------------------------------- devices


@pytest.mark.parametrize("name", BOTH)
def test_the_device_is_checked_when_planned(name, monkeypatch):
    def planned(**options):
        return get(name).plan(SCHEMA, BUDGET, options=QUICK | options)

    assert planned().describe()["training"]["device"] == "cpu"
    assert planned(device="cpu").describe()["training"]["device"] == "cpu"
    for wrong in ("tpu", "CUDA", "cuda:0", 0, None, True):
        with pytest.raises(PlanError, match="device"):
            planned(device=wrong)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PlanError, match="torch sees none here") as refused:
        planned(device="cuda")
    assert "device: cpu" in refused.value.mend
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert json.loads(json.dumps(planned(device="cuda").describe()))["training"]["device"] == "cuda"


@pytest.mark.parametrize("name", BOTH)
def test_reduced_precision_on_cuda_is_refused(name, monkeypatch):
    """The noise has headroom for float32's rounding of others, not for that of bfloat16 or TF32."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    options = QUICK | {"device": "cuda"}
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    with pytest.raises(PlanError, match="reduced precision"):
        get(name).plan(SCHEMA, BUDGET, options=options)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "highest")
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: device == "cuda")
    with pytest.raises(PlanError, match="reduced precision"):
        get(name).plan(SCHEMA, BUDGET, options=options)


def on_meta(network, losses):
    """A whole step on torch's "meta" device: shapes and devices without numbers. Any tensor left on the processor raises."""
    parameters = list(network.parameters())
    stepper = PrivateStepper(
        network,
        torch.optim.Adam(parameters),
        SgdRecipe(rate=1.0, steps=1, clip=1.0, multiplier=1.0),
        UnitRows(np.arange(20), 1),
        expected_units=20,
        randomness=SystemRandomness(),
        most_rows=8,
    )
    stepper.step(losses)
    assert {p.grad.device.type for p in parameters} == {"meta"}
    assert {p.grad.dtype for p in parameters} == {torch.float32}


def test_a_step_of_the_autoregressive_network_leaves_nothing_on_the_processor(models):
    trained = models["dp_autoregressive"].network
    network = Network(trained.backbone, 6, trained.target)
    network.module.to("meta")
    codes = np.zeros((20, len(network.sizes)), dtype=np.int64)
    options = ArOptions(
        hidden=6,
        steps=1,
        sampling_rate=1.0,
        clip=1.0,
        learning_rate=1e-3,
        target_weight=1.0,
        device=Device.CUDA,
    )
    on_meta(network.module, lambda batch: unit_losses(network, codes, batch, options))


def test_a_step_of_the_discriminator_leaves_nothing_on_the_processor():
    rng = np.random.default_rng(0)
    refiner = Refiner((3, 2), 6, 0.05)
    refiner.module.to("meta")
    critic = discriminator(5, 6, 2, rng).to("meta")
    rows = torch.zeros(20, 2, dtype=torch.int64, device="meta")
    on_meta(critic, lambda batch: critic(refiner.onehot(rows[: len(batch)]))[:, 0])
    logits = refiner.logits(rows, None)
    assert refiner.draw(logits, None, [np.ones(3), None]).device.type == "meta"
    assert refiner.relaxed(logits, None).device.type == "meta"


# ---------------------------------------------------------------------------------------------- files


def _edited(folder, **values):
    document = json.loads((folder / "model.json").read_text())
    kept = {key: value for key, value in {**document, **values}.items() if value is not None}
    (folder / "model.json").write_text(json.dumps(kept))


def _weights(folder, change):
    (path,) = folder.glob("*.safetensors")
    state = load_file(path)
    save_file(change(state), path)


def _first_is(value):
    def change(state):
        name = next(iter(sorted(state)))
        return {**state, name: torch.full_like(state[name], value)}

    return change


DAMAGE = {
    "no network": lambda folder: next(folder.glob("*.safetensors")).unlink(),
    "another file": lambda folder: next(folder.glob("*.safetensors")).write_bytes(b"no"),
    "a weight less": lambda folder: _weights(folder, lambda s: dict(list(s.items())[1:])),
    "a weight more": lambda folder: _weights(folder, lambda s: {**s, "first.mask": torch.ones(1)}),
    "not a number": lambda folder: _weights(folder, _first_is(float("nan"))),
    "infinite": lambda folder: _weights(folder, _first_is(float("inf"))),
    "another width": lambda folder: _edited(folder, hidden=7),
    "no width": lambda folder: _edited(folder, hidden=0),
    "a negative width": lambda folder: _edited(folder, hidden=-6),
    "a width that no machine holds": lambda folder: _edited(folder, hidden=10**12),
    "a width in words": lambda folder: _edited(folder, hidden="six"),
    "another format": lambda folder: _edited(folder, format="sluicegate/other-model@1"),
    "no name": lambda folder: _edited(folder, generator=None),
    "no version": lambda folder: _edited(folder, version=None),
    "no description": lambda folder: (folder / "model.json").unlink(),
    "no base": lambda folder: (folder / "base" / "arrays.npz").unlink(),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_model_is_not_loaded(fitted, tmp_path, case):
    fitted.save(tmp_path / "model")
    DAMAGE[case](tmp_path / "model")
    with pytest.raises(IntegrityError):
        get(fitted.generator).load(tmp_path / "model")


def test_a_saved_model_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").rglob("*.*")} == {".json", ".npz", ".safetensors"}
    loaded = get(fitted.generator).load(tmp_path / "model")
    rows = [m.sample(200, np.random.default_rng(0)) for m in (fitted, loaded)]
    assert all(np.array_equal(rows[0][c].values, rows[1][c].values) for c in rows[0].columns)
