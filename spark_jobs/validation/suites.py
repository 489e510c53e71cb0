"""The suites, as code: what every delivery must keep to, built from the catalog's thresholds.

Three kinds of expectation, named in `meta.kind`:

    gate        a share of the delivered rows against its threshold: too many rejects stop the partition
    agreement   an accepted row breaks no rule, and a rejected row breaks the rule it was rejected for: the profile job
                judged each row alone, and a failure here means that its judgement and this one disagree
    table       what holds for every candidate row, whatever is in the delivery
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from spark_jobs.validation.frames import ACCEPTED, DELETED
from spark_jobs.validation.gx import load_great_expectations
from vitrine.contracts.items import Reason
from vitrine.images.decoding import ALLOWED_FORMATS
from vitrine.items.policy import IngestPolicy

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite
    from great_expectations.expectations.expectation import Expectation

GATE, AGREEMENT, TABLE = "gate", "agreement", "table"
_STRING_TYPES = ["str", "string", "object", "StringType"]
_NUMBER_TYPES = ["float64", "float", "DoubleType"]


def items_suite(policy: IngestPolicy, *, rejected_by_reason: Mapping[str, int], rows: int) -> ExpectationSuite:
    """Returns the suite of the items: ids, URIs, verdicts, brought vectors.

    Args:
        policy: thresholds and limits.
        rejected_by_reason: rows in the quarantine.
        rows: delivered rows.
    """
    load_great_expectations()
    import great_expectations.expectations as gxe
    from great_expectations import ExpectationSuite

    quality = policy.quality
    accepted = rows - sum(rejected_by_reason.values())
    expectations: list[Expectation] = [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=quality.min_rows, meta={"kind": GATE, "check": "min_rows", "limit": quality.min_rows}
        ),
        _share("max_reject_share", quality.max_reject_share, reasons=Reason),
        _share("max_duplicate_id_share", quality.max_duplicate_id_share, reasons=[Reason.DUPLICATE_ITEM_ID]),
        gxe.ExpectTableRowCountToEqual(value=rows, meta={"kind": AGREEMENT}),
        gxe.ExpectColumnValuesToBeInSet(
            column="verdict", value_set=[ACCEPTED, DELETED, *map(str, Reason)], meta={"kind": TABLE}
        ),
        *(gxe.ExpectColumnValuesToNotBeNull(column=name, meta={"kind": TABLE}) for name in _NEVER_NULL),
        gxe.ExpectColumnValuesToBeUnique(column="row_number", meta={"kind": TABLE}),
        *_typed({"item_id": _STRING_TYPES, "image_uri": _STRING_TYPES, "verdict": _STRING_TYPES}),
        _not_null("item_id", [ACCEPTED, DELETED]),
        _null("item_id", [Reason.MISSING_ITEM_ID]),
        _null("item_id", [Reason.MALFORMED_ROW]),
        gxe.ExpectColumnValuesToBeUnique(
            column="item_id", row_condition=_verdict_in([ACCEPTED, DELETED]), meta={"kind": AGREEMENT}
        ),
        # A duplicate has the id of an accepted row.
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="item_id",
            min_value=accepted,
            max_value=accepted,
            row_condition=_verdict_in([ACCEPTED, DELETED, Reason.DUPLICATE_ITEM_ID]),
            meta={"kind": AGREEMENT},
        ),
        _not_null("image_uri", [ACCEPTED]),
        _null("image_uri", [Reason.MISSING_IMAGE_URI]),
        *_vector_expectations(policy),
    ]
    return ExpectationSuite(name="items_suite", expectations=expectations)


def images_suite(policy: IngestPolicy) -> ExpectationSuite:
    """Returns the suite of the image profiles: bytes, pixels, sides, hashes and places."""
    load_great_expectations()
    import great_expectations.expectations as gxe
    from great_expectations import ExpectationSuite

    quality = policy.quality
    missing, undecodable = [Reason.IMAGE_MISSING], [Reason.IMAGE_UNDECODABLE]
    patterns = {"image_sha256": "^[0-9a-f]{64}$", "perceptual_hash": "^[0-9a-f]{16}$"}
    numbers = ("image_size_bytes", "image_pixels", "image_shorter_side", "image_aspect_ratio")
    expectations: list[Expectation] = [
        _share("max_missing_image_share", quality.max_missing_image_share, reasons=missing),
        _share("max_undecodable_share", quality.max_undecodable_share, reasons=undecodable),
        *_typed({"image_sha256": _STRING_TYPES, **dict.fromkeys(numbers, _NUMBER_TYPES)}),
        *(_not_null(name, [ACCEPTED]) for name in (*patterns, *numbers, "source_id", "row_group", "embedding_key")),
        *(
            gxe.ExpectColumnValuesToMatchRegex(
                column=name, regex=regex, row_condition=_verdict_in([ACCEPTED]), meta={"kind": AGREEMENT}
            )
            for name, regex in patterns.items()
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="image_format",
            value_set=list(ALLOWED_FORMATS),
            row_condition=_verdict_in([ACCEPTED]),
            meta={"kind": AGREEMENT},
        ),
        _null("image_sha256", missing),
        _null("image_sha256", [Reason.IMAGE_CHANGED]),
        _null("image_sha256", [Reason.IMAGE_NOT_ALLOWED]),
        _null("perceptual_hash", undecodable),
        *_limit("image_size_bytes", Reason.IMAGE_TOO_MANY_BYTES, at_most=policy.image_max_bytes),
        *_limit("image_pixels", Reason.IMAGE_TOO_MANY_PIXELS, at_most=policy.image_max_pixels),
        *_limit("image_shorter_side", Reason.IMAGE_TOO_SMALL, at_least=quality.image_min_side),
        *_limit("image_aspect_ratio", Reason.IMAGE_EXTREME_ASPECT, at_most=quality.image_max_aspect_ratio),
    ]
    return ExpectationSuite(name="images_suite", expectations=expectations)


_NEVER_NULL = ("row_number", "deleted", "attributes", "verdict")


def _vector_expectations(policy: IngestPolicy) -> list[Expectation]:
    import great_expectations.expectations as gxe

    if policy.space == "encoder":
        return [
            _null("embedding_dimension", [ACCEPTED]),
            _not_null("embedding_dimension", [Reason.UNEXPECTED_EMBEDDING]),
        ]
    return [
        _not_null("embedding_dimension", [ACCEPTED]),
        _null("embedding_dimension", [Reason.MISSING_EMBEDDING]),
        gxe.ExpectColumnValuesToBeBetween(
            column="embedding_dimension",
            min_value=policy.dimension,
            max_value=policy.dimension,
            row_condition=_verdict_in([ACCEPTED, Reason.EMBEDDING_NOT_FINITE, Reason.EMBEDDING_ZERO]),
            meta={"kind": AGREEMENT},
        ),
        gxe.ExpectColumnValuesToNotBeInSet(
            column="embedding_dimension",
            value_set=[policy.dimension],
            row_condition=_verdict_in([Reason.EMBEDDING_DIMENSION]),
            meta={"kind": AGREEMENT, "reason": str(Reason.EMBEDDING_DIMENSION)},
        ),
    ]


def _share(check: str, limit: float, *, reasons: Iterable[Reason]) -> Expectation:
    """At most `limit` of the delivered rows have one of the reasons."""
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToNotBeInSet(
        column="verdict",
        value_set=[str(reason) for reason in reasons],
        # Rounded: 1 - 0.42 is a little above 0.58, and a share of exactly 42 % would be refused.
        mostly=round(1.0 - limit, 12),
        meta={"kind": GATE, "check": check, "limit": limit},
    )


def _not_null(column: str, verdicts: Iterable[str]) -> Expectation:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToNotBeNull(column=column, row_condition=_verdict_in(verdicts), meta=_meta(verdicts))


def _null(column: str, verdicts: Iterable[str]) -> Expectation:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToBeNull(column=column, row_condition=_verdict_in(verdicts), meta=_meta(verdicts))


def _limit(
    column: str, reason: Reason, *, at_least: float | None = None, at_most: float | None = None
) -> list[Expectation]:
    """Accepted rows keep to a limit, and the rows rejected for it do not."""
    import great_expectations.expectations as gxe

    kept: dict[str, Any] = {"min_value": at_least, "max_value": at_most}
    broken: dict[str, Any] = (
        {"min_value": at_most, "strict_min": True}
        if at_most is not None
        else {"max_value": at_least, "strict_max": True}
    )
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=column, row_condition=_verdict_in([ACCEPTED]), meta=_meta([ACCEPTED]), **kept
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column=column, row_condition=_verdict_in([reason]), meta=_meta([reason]), **broken
        ),
    ]


def _typed(types: Mapping[str, list[str]]) -> list[Expectation]:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeInTypeList(column=name, type_list=accepted, meta={"kind": TABLE})
        for name, accepted in types.items()
    ]


def _meta(verdicts: Iterable[str]) -> dict[str, Any]:
    """Names the reason that an expectation speaks of, when it speaks of one."""
    names = [str(verdict) for verdict in verdicts]
    reasons = [name for name in names if name not in {ACCEPTED, DELETED}]
    return {"kind": AGREEMENT, "reason": reasons[0]} if len(names) == len(reasons) == 1 else {"kind": AGREEMENT}


def _verdict_in(verdicts: Iterable[str]) -> Any:
    from great_expectations.expectations.row_conditions import Column

    return Column("verdict").is_in([str(verdict) for verdict in verdicts])
