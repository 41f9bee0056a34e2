"""Reviews of a running service: from rankings to labels, and labels into cards and precedents."""

import json
from pathlib import Path
from typing import Any

import httpx

from judges.cards.labelled import read_labelled
from judges.precedents import read_precedents
from tests.service.conftest import Open
from tests.service.reviews.made_rankings import ranking

RANKINGS = [
    ranking("sure", 0.9, principles={"a": 0.9, "b": 0.9}),
    ranking("torn", 0.6, principles={"a": 0.95, "b": 0.1}),
]


async def label(
    client: httpx.AsyncClient, reviewer: str, better: str, **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    shown = (await client.get("/v1/reviews/next", params={"reviewer": reviewer})).json()
    choice = "left" if better in shown["left"] else "right"
    body = {"reviewer": reviewer, "choice": choice, "seconds": 2.0, **more}
    answer = await client.post(f"/v1/reviews/{shown['id']}/labels", json=body)
    assert answer.status_code == 200, answer.text
    return shown, answer.json()


async def test_disagreement_goes_to_people_blind_and_comes_back_as_data(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    asked = {"rankings": RANKINGS, "limit": 10, "random_share": 0}
    assert (await client.post("/v1/reviews", json=asked)).json() == {"added": 2, "known": 0}
    assert (await client.post("/v1/reviews", json=asked)).json() == {"added": 0, "known": 2}
    listed = (await client.get("/v1/reviews")).json()["data"]
    assert [row["p"] for row in listed] == [None, None], "hidden until labelled"
    shown, told = await label(client, "ada", "good")
    assert shown.keys() == {"id", "prompt", "left", "right", "left_over"}
    assert "torn" in shown["left"], "what is disagreed on comes first"
    side = "left" if "good" in shown["left"] else "right"
    assert (told["preferred"], told["agrees"]) == (side, True)
    assert set(told["principles"]) == {"a", "b"}
    await label(client, "ada", "bad")
    await label(client, "bo", "good")
    done = await client.get("/v1/reviews/next", params={"reviewer": "ada"})
    assert (done.status_code, done.content) == (204, b"")
    agreement = (await client.get("/v1/reviews")).json()["agreement"]
    judged = {one["drawn"]: one for one in agreement["judge"]}["disagreement"]
    assert (judged["reviews"], judged["labels"]) == (2, 3)
    assert judged["agrees"]["n"] == 2 and judged["agrees"]["value"] == 0.5
    for form in ("labelled", "precedents"):
        text = (await client.get("/v1/reviews/export", params={"form": form})).text
        (tmp_path / f"{form}.jsonl").write_text(text)
    pairs = read_labelled(tmp_path / "labelled.jsonl")
    assert {len(pair.annotations) for pair in pairs} == {1, 2}
    by_source = {pair.item.metadata["source"]: pair for pair in pairs}
    preferred = by_source["sure"].item.completions[0 if by_source["sure"].preferred else 1]
    assert preferred.text == "sure is bad."
    pool = read_precedents(tmp_path / "precedents.jsonl").pool
    assert {one.better for one in pool} == {"torn is good.", "sure is bad."}


async def test_a_batchs_output_can_be_queued(client: httpx.AsyncClient) -> None:
    lines = "".join(json.dumps(line) + "\n" for line in RANKINGS)
    uploaded = await client.post(
        "/v1/files", data={"purpose": "batch"}, files={"file": ("r.jsonl", lines)}
    )
    asked = {"file_id": uploaded.json()["id"], "limit": 1, "random_share": 0}
    assert (await client.post("/v1/reviews", json=asked)).json() == {"added": 1, "known": 0}
    wrong = await client.post("/v1/reviews", json={"file_id": "file-none"})
    assert wrong.status_code == 404


async def test_what_cannot_be_reviewed_is_refused(client: httpx.AsyncClient) -> None:
    for body, status in (
        ({}, 422),
        ({"rankings": [], "file_id": "x"}, 422),
        ({"rankings": [{"id": "x", "status": "scored"}]}, 422),
        ({"rankings": RANKINGS, "limit": 0}, 422),
    ):
        answer = await client.post("/v1/reviews", json=body)
        assert answer.status_code == status, body
    unknown = await client.post(
        "/v1/reviews/review-x/labels", json={"reviewer": "a", "choice": "left"}
    )
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_review")


async def test_the_page_tells_nothing_and_runs_no_script_but_its_own(opened: Open) -> None:
    async with opened(keys_required=True) as client:
        page = await client.get("/reviews")
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
        assert "unsafe-inline'; script" in policy and "script-src 'unsafe" not in policy
        assert (await client.get("/v1/reviews")).status_code == 401
