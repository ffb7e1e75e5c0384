"""Judges what was observed of an installation. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from axiom.cluster.resources import Object, name_of

_SHOWN = 5
_REFUSED_WITHOUT_TOKEN = 401

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    passed: bool
    found: str
    cure: str = ""
    """What to do about it, where it did not pass."""

    def __str__(self) -> str:
        line = f"{'ok    ' if self.passed else 'FAILED'}  {self.what}: {self.found}"
        return f"{line}\n        {self.cure}" if self.cure and not self.passed else line


def report(findings: list[Finding]) -> str:
    """What a person reads: a line for each finding, and the outcome."""
    failed = sum(not finding.passed for finding in findings)
    outcome = f"{failed} of {len(findings)} checks failed" if failed else f"all {len(findings)} checks passed"
    return "\n".join([*map(str, findings), "", outcome])


def definition(present: Object, wanted: Object) -> Finding:
    """A CustomResourceDefinition: it is served, and has every field that this version writes."""
    what = f"definition {name_of(wanted)}"
    conditions = {item["type"]: item for item in present.get("status", {}).get("conditions", ())}
    for kind in ("NamesAccepted", "Established"):
        condition = conditions.get(kind, {})
        if condition.get("status") != "True":
            said = condition.get("message") or "the API server has not said so yet"
            return Finding(
                what, False, f"{kind} is not True: {said}", f"kubectl describe crd {name_of(wanted)}"
            )
    missing = list(_missing_of(present, wanted))
    if not missing:
        return Finding(what, True, "established, served, and of this version")
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return Finding(
        what,
        False,
        f"older than this version; it lacks {', '.join(missing[:_SHOWN])}{more}",
        "helm show crds CHART | kubectl apply --server-side --force-conflicts --field-manager=helm -f -",
    )


def _missing_of(present: Object, wanted: Object) -> Iterator[str]:
    served = {version["name"]: version for version in present["spec"]["versions"] if version["served"]}
    for version in wanted["spec"]["versions"]:
        name = version["name"]
        if name not in served:
            yield f"version {name}"
            continue
        schema = version["schema"]["openAPIV3Schema"]
        yield from missing_fields(schema, served[name]["schema"]["openAPIV3Schema"])


def missing_fields(wanted: Schema, present: Schema, path: str = "") -> Iterator[str]:
    """Fields and allowed values of one schema that another lacks, by their paths."""
    there = present.get("properties") or {}
    for name, schema in (wanted.get("properties") or {}).items():
        if name in there:
            yield from missing_fields(schema, there[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}"
    for key in ("items", "additionalProperties"):
        if isinstance(wanted.get(key), Mapping):
            other = present.get(key)
            yield from missing_fields(wanted[key], other if isinstance(other, Mapping) else {}, f"{path}[]")
    if "enum" in present:
        yield from (f"{path}={value}" for value in wanted.get("enum", ()) if value not in present["enum"])


def deployment(found: Object) -> Finding:
    """A Deployment: at least one of its pods is ready, and none of an old version is left."""
    name, status = name_of(found), found.get("status", {})
    wanted, ready = int(found["spec"].get("replicas", 1)), int(status.get("readyReplicas", 0))
    updated = int(status.get("updatedReplicas", 0))
    is_seen = int(status.get("observedGeneration", 0)) >= int(found["metadata"].get("generation", 0))
    passed = is_seen and ready >= max(wanted, 1) and updated >= wanted
    why = f"; {updated} of this version" if updated < wanted else ""
    return Finding(
        f"deployment {name}",
        passed,
        f"{ready} of {wanted} pods ready{why}",
        f"kubectl -n {found['metadata']['namespace']} describe deployment {name}; its log says what it waits for",
    )


def lease(before: Object, after: Object) -> Finding:
    """The operator's Lease, at two moments: somebody holds it, and renewed it in between."""
    holder = str(after.get("spec", {}).get("holderIdentity") or "")
    name, namespace = name_of(after), after["metadata"]["namespace"]
    cure = f"kubectl -n {namespace} logs -l app.kubernetes.io/component=operator says why no operator works"
    if not holder:
        return Finding("operator", False, f"nobody holds the Lease {name}", cure)
    if before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]:
        return Finding("operator", False, f"{holder} holds the Lease {name} and does not renew it", cure)
    return Finding("operator", True, f"{holder} holds the Lease and renews it")


def gateway(url: str, status: int) -> Finding:
    """The gateway's answer to a request without a token: it must answer, and refuse."""
    passed = status == _REFUSED_WITHOUT_TOKEN
    cure = "the Service leads to something else: kubectl get endpointslices -l kubernetes.io/service-name"
    return Finding("gateway", passed, f"{url} answers a request without a token with {status}", cure)


def task(found: Object) -> Finding | None:
    """A task that is to pass; None while it is under way."""
    status, namespace = found.get("status", {}), found["metadata"]["namespace"]
    conditions = {item["type"]: item for item in status.get("conditions", ())}
    if conditions.get("Complete", {}).get("status") != "True":
        return None
    verdict = str(status.get("verdict") or "without a verdict")
    seconds = f", attempt {status.get('attempt', 1)}"
    said = str(status.get("message") or conditions["Complete"].get("message") or "")
    return Finding(
        f"task {name_of(found)}",
        verdict == "Pass",
        f"{verdict}{seconds}: {said}",
        f"kubectl -n {namespace} get events --field-selector involvedObject.name={name_of(found)}",
    )


def unfinished_task(found: Object) -> Finding:
    """A task that did not end in time, with what its conditions say."""
    conditions = found.get("status", {}).get("conditions", ())
    said = "; ".join(
        f"{item['type']} {item['reason']}: {item.get('message', '')}"
        for item in conditions
        if item["status"] != "True" and item["type"] != "Complete"
    )
    return Finding(
        f"task {name_of(found)}",
        False,
        f"not complete in time: {said or 'no operator has taken it up'}",
        "nodes without room, images that cannot be pulled and networks that enforce nothing are the usual causes",
    )
