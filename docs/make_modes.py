"""Write docs/modes.md: what each attention mode is, costs and remembers.

Equations and papers come from the docstrings of the modes, state sizes from the modes themselves,
costs and errors from what the benchmarks measured:

    python benchmarks/throughput.py --json docs/measured/throughput.json
    python benchmarks/memory_tasks.py --json docs/measured/memory_tasks.json
    python docs/make_modes.py
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

from river_attention.modes import NAMED, Mode

HERE = Path(__file__).parent
N_HEADS = D_KEY = D_VALUE = 4

HEAD = """# Attention modes

Every mode is a choice of decay, removal, key, value and query in one recurrence; `mode="name"` picks it in any estimator,
and a mode object (`from river_attention.modes import ...`) sets its options.

On real streams the modes are nearly interchangeable, because the readout decides the error. What they *can remember*
differs a lot, as the second table shows. Gated DeltaNet, the default, or Hawk with the memory bank are safe choices.
"""

COSTS = """
## What they are and cost

State: numbers kept for 4 heads of d_key 4 and d_value 4 (a complex number counts as two). Cost: `predict_one` and
`learn_one` with 10 features, with one RLS, without memory bank and retrieval, as a multiple of river's `StandardScaler | LinearRegression` in the same
run (`benchmarks/throughput.py`), with the compiled core and on NumPy.

| mode | equation | paper | state | cost | NumPy |
| --- | --- | --- | ---: | ---: | ---: |
"""

TASKS = """
## What they remember

Error as a share of the variance of the target, second half of the stream, median over five seeds: 0 is solved, 1 is nothing
learned. `benchmarks/memory_tasks.py` describes the tasks; 16 heads of d_key 32 and d_value 4, no memory bank unless named.

"""

READING = """
How to read it: an exact delay (copy) needs oscillating units, so the memory bank or LRU; multiplying past and present
(NARMA) needs the gate of the bank; recall needs the delta rule with tied keys and queries, reading before writing;
parity needs reflections without decay, and is out of reach for everything that fades.
"""


def equation(mode: Mode) -> str:
    """The equation in the docstring of a mode, on one line."""
    doc = inspect.getdoc(type(mode)) or ""
    match = re.search(r"\.\. math::(.*?)(?=\n\S|\Z)", doc, re.DOTALL)
    if match is None:
        raise ValueError(f"{type(mode).__name__}: no equation in the docstring")
    text = " ".join(match.group(1).split())
    return "$" + text.replace("|", r"\vert ").rstrip(".,") + "$"


def paper(mode: Mode) -> str:
    """The arXiv number of the first reference."""
    match = re.search(r"arXiv:(\d+\.\d+)", inspect.getdoc(type(mode)) or "")
    if match is None:
        raise ValueError(f"{type(mode).__name__}: no arXiv number in the docstring")
    return f"[{match.group(1)}](https://arxiv.org/abs/{match.group(1)})"


def state_size(mode: Mode) -> int:
    """Real numbers in the state."""
    state = mode.init_state(N_HEADS, D_KEY, D_VALUE)
    return state.size * (2 if state.dtype.kind == "c" else 1)


def render(costs: dict[str, Any], errors: dict[str, Any]) -> str:
    """The page."""
    lines = [HEAD + COSTS.rstrip("\n")]
    for name, mode in NAMED.items():
        cost, on_numpy = (
            costs[key]["multiple of the reference"] for key in (name, f"{name}, NumPy")
        )
        lines.append(
            f"| `{name}` | {equation(mode)} | {paper(mode)} | {state_size(mode)} "
            f"| {cost:.2f} | {on_numpy:.1f} |"
        )
    tasks = list(next(iter(errors.values())))
    lines.append(TASKS.rstrip("\n") + f"\n\n| mode | {' | '.join(tasks)} |")
    lines.append("| --- |" + " ---: |" * len(tasks))
    for name, row in errors.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[task]:.2g}" for task in tasks) + " |")
    return "\n".join(lines) + "\n" + READING


def main() -> None:
    """Write the page."""
    costs = json.loads((HERE / "measured" / "throughput.json").read_text())
    errors = json.loads((HERE / "measured" / "memory_tasks.json").read_text())
    (HERE / "modes.md").write_text(render(costs, errors))


if __name__ == "__main__":
    main()
