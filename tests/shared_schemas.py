"""Schemas of the shared benchmark tables, and the tables themselves, in one call: `load_shared("adult")`.

The shared `schema.json` files say columns, roles and domains; where a domain there was read off the rows, wider public
bounds are supplied here by hand (`BOUNDS`), so that private generators may run on them.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from release.data.schema import Schema
from release.data.schema_file import load_schema
from release.data.sources import Loaded, read_table
from release.data.table import Table

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
DEMO = ROOT / "app" / "demo_data"

#: name here -> (folder, table in schema.json, population size)
TABLES = {
    "adult": ("adult", "adult", 50_000),
    "adult-coded": ("adult", "adult_coded", 50_000),
    "credit-default": ("credit-default", "credit_default", 30_000),
    "diabetes130": ("diabetes130", "diabetic_data", 75_000),
    "bank-marketing": ("bank-marketing", "bank", 50_000),
    "german-credit": ("german-credit", "german_credit", 1_000),
    "sipp-401k": ("sipp-401k", "sipp", 20_000),
}
DEMOS = {"meps": "meps-drug-expense.csv.gz", "lending-club": "lending-club.csv.gz"}

#: Public bounds by hand for what schema.json marks as observed or open.
BOUNDS = {
    "adult": {"fnlwgt": (0, 2_000_000), "capital-loss": (0, 5_000)},
    "credit-default": {
        "LIMIT_BAL": (0, 2_000_000),
        "AGE": (18, 100),
        **{f"BILL_AMT{k}": (-500_000, 2_000_000) for k in range(1, 7)},
        **{f"PAY_AMT{k}": (0, 2_000_000) for k in range(1, 7)},
    },
    "diabetes130": {
        "num_lab_procedures": (0, 200),
        "num_medications": (0, 100),
        "number_outpatient": (0, 100),
        "number_emergency": (0, 100),
        "number_inpatient": (0, 50),
    },
    "bank-marketing": {
        "age": (16, 100),
        "duration": (0, 7_200),
        "campaign": (1, 100),
        "pdays": (0, 365),
        "previous": (0, 20),
        "emp.var.rate": (-10, 10),
        "cons.price.idx": (80, 110),
        "cons.conf.idx": (-100, 100),
        "euribor3m": (-1, 10),
        "nr.employed": (4_000, 6_000),
    },
    "german-credit": {
        "duration_in_month": (1, 120),
        "credit_amount": (0, 25_000),
        "age_in_years": (18, 100),
    },
    "sipp-401k": {"family_size": (1, 20), "net_financial_assets_kusd": (-1_000, 3_000)},
}
SPIKES = {
    "adult": {"capital-gain": (0.0, 99_999.0), "capital-loss": (0.0,)},
    "sipp-401k": {"net_financial_assets_kusd": (0.0,)},
}
DECIMALS = {
    "bank-marketing": {
        "emp.var.rate": 1,
        "cons.price.idx": 3,
        "cons.conf.idx": 1,
        "euribor3m": 3,
        "nr.employed": 1,
    },
    "sipp-401k": {"income_kusd": 3, "net_financial_assets_kusd": 3},
}
CODED_NUMBERS = {"age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"}
ROLES = {"qi": "quasi-identifier", "sensitive": "sensitive", "target": "target"}
KINDS = {"integer": "integer", "float": "real", "ordinal": "ordinal", "categorical": "categorical"}
UNIT_BOUND = {"diabetes130": 5}


@functools.cache
def shared_schema(name: str) -> Schema:
    """Our schema of a shared or demo table. Skips the test where the shared data is absent."""
    if name in DEMOS:
        return load_schema(DEMO / name / "schema.yaml")
    folder, key, size = TABLES[name]
    raw = json.loads((_folder(folder) / "schema.json").read_text("utf-8"))
    unit = raw["privacy_unit"]
    column = unit["id_column"]
    return Schema.model_validate_json(
        json.dumps(
            {
                "name": name,
                "title": raw["title"],
                "population": name,
                "population_size": size,
                "unit": {
                    "name": unit["unit"],
                    "column": column,
                    "max_rows": UNIT_BOUND.get(name, 1),
                },
                "provenance": {"kind": "collected", "source": raw["title"], "licence": raw["licence"]},
                "columns": [_column(name, column) for column in raw["tables"][key]["columns"]],
            }
        ),
        strict=True,
    )


def _column(name: str, raw: dict) -> dict:
    column: dict = {"name": raw["name"], "description": raw.get("description", "")}
    parts = [part.strip() for part in raw["role"].split(",")]
    column["roles"] = [ROLES[part] for part in parts if part in ROLES]
    codes = raw.get("missing_codes") or []
    column["missing"] = [{"code": code} for code in codes]
    if raw["role"].startswith("id"):
        return {"name": raw["name"], "kind": "identifier"}
    domain = raw.get("domain") or {}
    kind = raw["type"]
    if "values" in domain:
        values = [str(value) for value in domain["values"] if str(value) not in codes]
        base = kind.split(" ")[0]
        column["kind"] = {"boolean": "boolean", "ordinal": "ordinal"}.get(base, "categorical")
        column |= {"domain": {"values": values}, "domain_source": "codebook"}
    elif kind == "integer (code)" and raw["name"] not in CODED_NUMBERS:
        column["kind"] = "categorical"
        column |= {
            "domain": {"values": [str(code) for code in range(domain["max"] + 1)]},
            "domain_source": "codebook",
        }
    elif domain.get("open"):
        column["kind"] = "code"
    else:
        column["kind"] = KINDS[kind.split(" ")[0]]
        low, high = BOUNDS.get(name, {}).get(raw["name"], (domain["min"], domain["max"]))
        column["domain"] = {"min": low, "max": high}
        if raw["name"] in SPIKES.get(name, {}):
            column["domain"]["spikes"] = SPIKES[name][raw["name"]]
        if raw["name"] in DECIMALS.get(name, {}):
            column["domain"]["decimals"] = DECIMALS[name][raw["name"]]
        column["domain_source"] = "codebook"
    return column


def shared_file(name: str) -> Path:
    """The table's file. Skips the test where the shared data is absent."""
    if name in DEMOS:
        return DEMO / name / DEMOS[name]
    folder, key, _ = TABLES[name]
    raw = json.loads((_folder(folder) / "schema.json").read_text("utf-8"))
    return _folder(folder) / raw["tables"][key]["file"]


@functools.cache
def loaded_shared(name: str) -> Loaded:
    """The table with its load report, parsed once a process."""
    return read_table(shared_file(name), shared_schema(name))


def load_shared(name: str) -> Table:
    """The table. Names: those of `TABLES` and `DEMOS`; the latter need no shared data."""
    return loaded_shared(name).table


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the shared data set {name} does not stand beside the repository")
    return folder
