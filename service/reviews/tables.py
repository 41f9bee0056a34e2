"""The tables of reviews: pairs, and who said what of them."""

from sqlalchemy import Column, Double, Index, Integer, String, Table

from service.storage.tables import metadata

reviews = Table(
    "reviews",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    # A ReviewPair, as JSON.
    Column("pair", String, nullable=False),
    Column("disagreement", Double, nullable=False),
    # Labels that are no skips, so that the queue asks first of what nobody has labelled.
    Column("labels", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("reviews_to_label", "tenant", "labels", "disagreement"),
)

review_labels = Table(
    "review_labels",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("review_id", String(64), primary_key=True),
    Column("reviewer", String(200), primary_key=True),
    Column("shown_at", Double, nullable=False),
    # first, second, tie or skip; none while it is only shown.
    Column("choice", String(8)),
    # As the page measured it, while it was in sight.
    Column("seconds", Double),
    # From being handed out to being answered, by the service's clock.
    Column("waited_s", Double),
    Column("note", String(2000), nullable=False),
    Column("key_id", String(16)),
    Column("labelled_at", Double),
)
