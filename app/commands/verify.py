"""`sluice verify`: what a recipient runs, offline and without a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.console import JsonOption, examples, lines_of, progress, show

app = typer.Typer(help="Check a bundle offline.", rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "sluice verify bundle/ --trust hospital-west.trust.json",
        "sluice verify bundle.tar.age --trust hospital-west.trust.json --identity key.txt --json",
    )
)
def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle: a folder, a tar, or an age file.")],
    trust: Annotated[
        Path,
        typer.Option("--trust", help="The sender's trust file, got once and by another way than the bundle."),
    ],
    identity: Annotated[
        Path | None, typer.Option("--identity", help="Your age identity file, where the bundle is encrypted.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether the bundle is what the sender's people approved and signed, and nothing else.

    Every byte is checked. Exit code 0 where it is, 1 where it is not.
    """
    from dataclasses import asdict

    from release.bundle.verify import verify as check

    with progress("verify") as bar:
        bar(0.1, "signatures and digests")
        report = check(bundle, trust, identity=identity)
    claim = report.claim
    show(
        {**asdict(report), "claim": dict(claim), "accepted": True},
        lambda: lines_of(
            [
                ("accepted", f"{report.files} files, {report.bytes:,} bytes, every one as it was signed"),
                ("release", report.release),
                ("from", f"{report.issuer}, signed by {', '.join(report.signers)}"),
                ("for", report.partner),
                ("policy", f"{report.policy} {report.policy_version}"),
                (
                    "claim",
                    ", ".join(
                        f"{key} {value}" for key, value in claim.items() if not isinstance(value, list | dict)
                    ),
                ),
                ("gate", report.gate),
                ("judged", report.time),
                ("may be used until", report.expires),
            ]
        ),
        as_json=as_json,
    )
