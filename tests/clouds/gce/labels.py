"""Labels: what they may be, and their change under the eyes of others."""

from __future__ import annotations

import unicodedata
from typing import Any

from gce import errors, names
from gce.operations import Error, Plan, begin
from gce.request import Request
from gce.world import world

_MOST, _LONGEST = 64, 63


def checked(labels: dict[str, str], field: str) -> None:
    """Refuses labels that are not lowercase, too long or too many."""
    if len(labels) > _MOST:
        raise errors.invalid(field, "", f"The number of labels is over the limit of {_MOST}.")
    for key, value in labels.items():
        if not key or len(key) > _LONGEST or not _plain(key) or not _starts(key):
            raise errors.invalid(
                field,
                "",
                f"Label key '{key}' violates format constraints. The key must start with a"
                " lowercase character, can only contain lowercase letters, numeric characters,"
                " underscores and dashes. The key can be at most 63 characters long."
                " International characters are allowed.",
            )
        if len(value) > _LONGEST or not _plain(value):
            raise errors.invalid(
                field,
                "",
                f"Label value '{value}' violates format constraints. The value can only contain"
                " lowercase letters, numeric characters, underscores and dashes. The value can be"
                " at most 63 characters long. International characters are allowed.",
            )


def _plain(text: str) -> bool:
    return all(one in "-_" or _category(one) in {"Ll", "Lo"} or one.isnumeric() for one in text)


def _starts(text: str) -> bool:
    return _category(text[0]) in {"Ll", "Lo"}


def _category(one: str) -> str:
    return unicodedata.category(one)


def set_labels(request: Request) -> dict[str, Any]:
    """Other labels in place of all that a resource has."""
    resource, new = request.found(), dict(request.body.get("labels") or {})
    checked(new, "labels")
    if request.body.get("labelFingerprint") != resource.body["labelFingerprint"]:
        raise errors.Refused(
            412,
            "conditionNotMet",
            "Labels fingerprint either invalid or resource labels have changed",
            where={"location": "If-Match", "locationType": "header"},
        )

    def ended(error: Error | None) -> None:
        if error is None:
            with resource.changing() as body:
                body["labels"] = new
                body["labelFingerprint"] = names.fingerprint([new, world.now()])

    vm = resource.kind == "instances"
    seconds = world.settings.labels if vm else world.settings.others
    plan = Plan("setLabels", resource.path, resource.body["id"], seconds, ended=ended)
    return begin(plan, request.place, request)
