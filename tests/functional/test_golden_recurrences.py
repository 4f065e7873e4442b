"""Every recurrence against the reference vectors: outputs and final states in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from river_attention import functional as F

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"

# operation -> (function, arguments by the names of the files, initial state, final state)
PLAIN = {"initial": ("initial_state",), "final": ("final_state",)}
OPERATIONS = {
    "retention": (F.retention, ("q", "k", "v", "gamma"), PLAIN),
    "simple_gla": (F.gated_linear_attention, ("q", "k", "v", "g"), PLAIN),
    "gla": (F.gated_linear_attention, ("q", "k", "v", "gk"), PLAIN),
    "delta_rule": (F.delta_rule, ("q", "k", "v", "beta"), PLAIN),
    "gated_delta_rule": (F.gated_delta_rule, ("q", "k", "v", "beta", "g"), PLAIN),
    "gated_delta_product_n2": (F.gated_delta_product, ("q", "k", "v", "beta", "g"), PLAIN),
    "gated_delta_product_n3": (F.gated_delta_product, ("q", "k", "v", "beta", "g"), PLAIN),
    "delta_product_n2_nogate": (F.gated_delta_product, ("q", "k", "v", "beta"), PLAIN),
    "rwkv6": (F.rwkv6, ("q", "k", "v", "w", "u"), PLAIN),
    "rwkv7": (F.rwkv7, ("q", "k", "v", "w", "kk", "a"), PLAIN),
    "dplr": (F.dplr, ("q", "k", "v", "w", "alpha", "beta"), PLAIN),
    "hgrn2": (F.hgrn2, ("q", "v", "f"), PLAIN),
    "hgrn": (F.hgrn, ("x", "g"), PLAIN),
    "rg_lru": (
        F.rg_lru,
        ("x", "rec_gate_pre", "input_gate_pre", "recurrent_param", "position_ids"),
        PLAIN,
    ),
    "mlstm": (
        F.mlstm,
        ("q", "k", "v", "i_pre", "f_pre"),
        {
            "initial": ("initial_C", "initial_n", "initial_m"),
            "final": ("final_C", "final_n", "final_m"),
        },
    ),
    "kernel_linear_attn": (
        F.kernel_linear_attention,
        ("q", "k", "v"),
        {"initial": ("initial_state", "initial_z"), "final": ("final_state", "final_z")},
    ),
    "kernel_linear_attn_decay": (F.kernel_linear_attention, ("q", "k", "v"), PLAIN),
    "log_linear_attn": (
        F.log_linear_attention,
        ("q", "k", "v", "level_weights"),
        {"initial": ("initial_levels", "t0"), "final": ("final_levels",)},
    ),
}
OPERATIONS["mlstm_expf"] = OPERATIONS["mlstm"]
OPERATIONS["log_linear_gated"] = (
    F.log_linear_attention,
    ("q", "k", "v", "level_weights", "g"),
    OPERATIONS["log_linear_attn"][2],
)
OPERATIONS["log_linear_gated_delta"] = (
    F.log_linear_attention,
    ("q", "k", "v", "level_weights", "g", "beta"),
    OPERATIONS["log_linear_attn"][2],
)
KEYWORDS = {
    "mlstm_expf": lambda z: {"forget": "exp"},
    "kernel_linear_attn_decay": lambda z: {"normalize": False, "decay": z["lam"]},
}
FILES = sorted(path for name in OPERATIONS for path in GOLDEN.glob(f"{name}__*.npz"))

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="reference vectors not there")


def relative_error(actual, expected):
    return np.abs(np.asarray(actual) - expected).max() / max(np.abs(expected).max(), 1e-300)


def run(name, z, **more):
    function, names, states = OPERATIONS[name]
    keywords = KEYWORDS.get(name, lambda z: {})(z) | more
    if "scale" in z and name != "mlstm":
        keywords["scale"] = float(z["scale"])
    initial = [z[key] for key in states["initial"] if key in z]
    if initial:
        keywords["initial_state"] = initial[0] if len(initial) == 1 else tuple(initial)
    output, final = function(*(z[key] for key in names), **keywords)
    finals = final if isinstance(final, tuple) else (final,)
    return output, dict(zip(states["final"], finals, strict=False))


@needs_golden
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outputs_and_final_states_equal_the_reference(path):
    name = path.stem.split("__")[0]
    with np.load(path) as archive:
        z = dict(archive)
    # the reference of RG-LRU evaluates 1 - a² in another order
    tolerance = 1e-9 if name == "rg_lru" else 1e-10
    output, finals = run(name, z)
    assert relative_error(output, z["output"]) < tolerance
    for key, value in finals.items():
        assert relative_error(value, z[key]) < tolerance, key


@needs_golden
def test_every_operation_has_a_reference_file():
    assert {path.stem.split("__")[0] for path in FILES} == set(OPERATIONS)


@needs_golden
@pytest.mark.parametrize("case", ["t12", "t64"])
def test_kernel_attention_with_epsilon_equals_the_reference(case):
    with np.load(GOLDEN / f"kernel_linear_attn__{case}.npz") as archive:
        z = dict(archive)
    output, _ = run("kernel_linear_attn", z, eps=1e-6)
    assert relative_error(output, z["output_eps"]) < 1e-10
