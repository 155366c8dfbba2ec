"""`deployment-registry.json`: a draft entry for OpenDP's registry of differential privacy deployments.

The keys are those of the registry's own schema (repository opendp/deployments-registry-data, tiers 1 to 3). Rules: from
`Public` alone; it is a draft for the issuer's people, who decide whether to send it, and who have to add what nobody
told us: `data_curator_type`, and the region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from release.bundle.datapackage import slug
from release.bundle.public import gate_words, guarantee_words
from release.records import Mechanism

if TYPE_CHECKING:
    from release.bundle.public import Public

_MECHANISMS: Final = {
    Mechanism.DISCRETE_GAUSSIAN: "discrete Gaussian noise on integer counts",
    Mechanism.GAUSSIAN: "Gaussian noise",
    Mechanism.PURE: "discrete Laplace noise, or another pure ε mechanism",
    Mechanism.EXPONENTIAL: "exponential mechanism",
    Mechanism.POISSON_GAUSSIAN: "DP-SGD: Gaussian noise on clipped gradients of Poisson samples",
    Mechanism.THRESHOLD: "thresholds on counts of unseen keys",
}


def registry_entry(public: Public) -> dict[str, Any]:
    """The entry as plain JSON values."""
    claim = public.claim
    used = dict.fromkeys(_MECHANISMS[event.mechanism] for event in claim.events)
    return {
        "url_slug": slug(f"{public.issuer}-{public.schema.name}-{public.release}"),
        "deployment": {
            "basic": {
                "name": public.title,
                "data_curators": [{"data_curator_name": public.issuer}],
                "description": f"Synthetic table of {len(public.schema.columns)} columns and {public.rows} rows, "
                f"modelled on: {public.schema.provenance.source}.",
                "intended_use": dict(public.answers).get(
                    "Intended task, target and recipient", f"{public.purpose} by {public.partner}"
                ),
                "data_product_type": "Synthetic data",
                "data_product_region": "not stated",
                "publication_date": public.cleared_at.date().isoformat(),
            },
            "dp_variant": {
                "variant_name": "Pure DP" if claim.delta == 0.0 else "Approximate DP",
                "data_domain": f"Tables of these columns over the population {public.schema.population}, of "
                f"public size {public.schema.population_size}.",
                "unprotected_quantities": gate_words(public),
            },
            "privacy_loss": {
                "privacy_unit": claim.unit,
                "privacy_unit_details": guarantee_words(claim)[1]
                + f" At most {claim.max_rows_per_unit} rows of each are used.",
                "privacy_parameters": {"epsilon": claim.epsilon, "delta": claim.delta},
                "privacy_parameters_details": guarantee_words(claim)[0],
            },
            "deployment_model": {
                "model_name": "Central",
                "release_type": "One release",
                "data_source_type": "Static",
                "access_type": "Non-interactive",
            },
            "accounting": {
                "post_processing": "Sampling of rows from the fitted model.",
                "composition": guarantee_words(claim)[2],
            },
            "implementation": {
                "mechanisms": "; ".join(used),
                "justification": f"Policy {public.terms.name}, version {public.terms.version}.",
            },
            "administrative": {
                "status": "Draft",
                "registry_authors": [public.issuer],
                "tier": 3,
            },
        },
    }
