"""`sluice evaluate`: attack and measure any synthetic table, whoever made it, without a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.console import JsonOption, examples, lines_of, progress, show, stdout
from release.records import Purpose

app = typer.Typer(
    help="Attack and measure any synthetic table.", rich_markup_mode="rich", add_completion=False
)


@app.command(
    epilog=examples(
        "sluice evaluate --members train.csv --controls holdout.csv --synthetic vendor.csv --schema schema.yaml",
        "sluice evaluate --members m.csv --controls c.csv --synthetic s.csv --schema schema.yaml"
        " --suite quick --policy partner-healthcare --json",
    )
)
def evaluate(
    members: Annotated[Path, typer.Option("--members", help="Real rows that the generator saw.")],
    controls: Annotated[Path, typer.Option("--controls", help="Real rows, alike, that it never saw.")],
    synthetic: Annotated[Path, typer.Option("--synthetic", help="The synthetic table.")],
    schema: Annotated[Path, typer.Option("--schema", help="The schema of all tables.")],
    reference: Annotated[
        Path | None,
        typer.Option("--reference", help="Further real rows, in neither table, for attacks that use some."),
    ] = None,
    suite: Annotated[
        str, typer.Option("--suite", help="Which attacks: see sluice attack list.")
    ] = "standard",
    policy: Annotated[
        str | None, typer.Option("--policy", help="Judge by this built-in tier, or by this policy file.")
    ] = None,
    purpose: Annotated[Purpose, typer.Option("--purpose", help="What the table is for.")] = Purpose.ANALYSIS,
    target: Annotated[
        str | None, typer.Option("--target", help="The column that its users will predict.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the JSON document to this file; private.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Evidence about a synthetic table, and what each rule of a policy says.

    No claim of ε comes with the table, so a rule that limits the claimed ε cannot be met. Exit code: 0 measured (with
    --policy: met), 1 broken, 3 unproven or invalid.
    """
    import json

    from app.evaluation import evaluate_files, policy_document
    from app.notes import notes
    from app.rendering import (
        EXIT_CODE,
        controls_table,
        evidence_summary,
        evidence_table,
        findings_table,
        verdict_summary,
    )
    from release.data.atomic import write_bytes

    with progress("evaluate") as report:
        outcome = evaluate_files(
            members=members,
            controls=controls,
            reference=reference,
            synthetic=synthetic,
            schema_file=schema,
            suite=suite,
            policy=policy,
            purpose=purpose,
            target=target,
            progress=report,
        )
    if out is not None:
        write_bytes(out, json.dumps(outcome.to_json(), indent=2, ensure_ascii=False).encode())
    if as_json:
        show(outcome.to_json(), lambda: "", as_json=True)
    else:
        screen = stdout()
        screen.print(evidence_summary(outcome.evidence))
        if outcome.verdict is None:
            screen.print(evidence_table(outcome.evidence.evidence))
            screen.print(controls_table(outcome.evidence.controls))
        else:
            document = policy_document(policy) if policy is not None else ""
            screen.print(findings_table(outcome.verdict, notes(outcome.verdict, outcome.evidence, document)))
            screen.print(verdict_summary(outcome.verdict))
        screen.print(
            lines_of([("more", "what each attack found, in which columns and at whom: --json, explanations")])
        )
    if outcome.verdict is not None and (code := EXIT_CODE[outcome.verdict.ruling]):
        raise typer.Exit(code)
