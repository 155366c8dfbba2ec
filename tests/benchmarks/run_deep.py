"""One of our generators on codes through its public plan and model, as a process of its own; a subprocess of the benchmark.

usage: run_deep.py IN.npz OUT.npz NAME EPSILON DELTA ROWS_PER_UNIT [OPTIONS as JSON]

IN: names, sizes, ordered, codes, target (and units, where rows share them). OUT: codes, seconds (whole process, imports included), fit_seconds, sample_seconds, peak_mib,
noise_multiplier (where there is one).
"""

import json
import sys
import time
from pathlib import Path

started = time.time()
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402

from generators import get  # noqa: E402
from release.data.schema import Schema  # noqa: E402
from release.data.table import Column, Table  # noqa: E402
from release.privacy.noise import SystemNoise  # noqa: E402
from release.records import Budget, Task  # noqa: E402


def _peak_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return float(line.split()[1]) / 1024
    return float("nan")


def schema_of(stored, rows_per_unit: int) -> Schema:
    """Every attribute is a coded column with the values "0", "1", …; bins of numbers are ordinal."""
    columns = [
        {
            "name": f"c{k}",
            "kind": "ordinal" if ordered else "categorical",
            "domain": {"values": [str(level) for level in range(int(size))]},
            "domain_source": "codebook",
        }
        for k, (size, ordered) in enumerate(zip(stored["sizes"], stored["ordered"], strict=True))
    ]
    unit = "unit" if rows_per_unit > 1 else None
    if unit:
        columns.insert(0, {"name": unit, "kind": "identifier"})
    return Schema.model_validate_json(
        json.dumps(
            {
                "name": "codes",
                "population": "public-codes",
                "population_size": len(stored["codes"]),
                "unit": {"name": unit or "row", "column": unit, "max_rows": rows_per_unit},
                "provenance": {"kind": "collected", "source": "a benchmark", "licence": "none"},
                "columns": columns,
            }
        ),
        strict=True,
    )


def table_of(stored, schema: Schema) -> Table:
    codes = stored["codes"]
    units = stored["units"] if schema.unit.max_rows > 1 else np.arange(len(codes))
    columns = {
        spec.name: Column(codes[:, k].astype(np.int32), np.zeros(len(codes), np.uint8), spec.levels)
        for k, spec in enumerate(schema.released)
    }
    return Table(schema, columns, np.asarray(units, dtype=np.int64))


def main() -> None:
    source, target, name, epsilon, delta, rows_per_unit, *rest = sys.argv[1:]
    with np.load(source, allow_pickle=False) as file:
        stored = dict(file)
    schema = schema_of(stored, int(rows_per_unit))
    table = table_of(stored, schema)
    generator = get(name)
    task = Task(target=f"c{int(stored['target'])}")
    plan = generator.plan(
        schema,
        Budget(epsilon=float(epsilon), delta=float(delta)),
        task,
        json.loads(rest[0]) if rest else None,
    )
    noise = SystemNoise()
    begin = time.time()
    model = plan.run(table, noise)
    fitted = time.time()
    drawn = model.sample(len(table), noise.generator())
    sampled = time.time()
    # A code beyond the last is "outside the declared domain", which these tables do not have.
    codes = np.stack(
        [
            np.minimum(drawn[n].values, size - 1)
            for n, size in zip(drawn.columns, stored["sizes"], strict=True)
        ],
        axis=1,
    )
    recipe = getattr(plan, "recipe", None)
    np.savez(
        target,
        codes=codes.astype(np.int32),
        seconds=time.time() - started,
        fit_seconds=fitted - begin,
        sample_seconds=sampled - fitted,
        peak_mib=_peak_mib(),
        noise_multiplier=float("nan") if recipe is None else recipe.multiplier,
    )


main()
