"""schema.yaml ↔ `Schema`. (reading and writing; the rules of a schema stand in `release.data.schema`)"""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from pydantic import ValidationError

from release.data.schema import Schema
from release.errors import SchemaError


def load_schema(path: Path) -> Schema:
    """The schema in a YAML file. Raises SchemaError."""
    try:
        return Schema.model_validate_json(json.dumps(yaml.safe_load(path.read_text("utf-8"))), strict=True)
    except ValidationError as error:
        raise SchemaError(str(error), file=path.name) from None
