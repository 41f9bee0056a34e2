"""Rewards for RL frameworks: their own addresses, and one for everything else."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from judges.items import parse_item
from judges.jsonl import dump_line
from judges.records import Message, Record
from service.access import Access, needs
from service.context import Running, Service
from service.judging.requests import RankRequest
from service.rewards import llama_factory, nemo_gym, openrlhf, slime
from service.rewards.addresses import Address, AtAddress
from service.rewards.connected import ClientGone, while_connected
from service.rewards.from_lines import rewards_from_ranking
from service.rewards.reward_desk import RewardDesk
from service.rewards.samples import Reward, Sample
from service.routing import OrjsonRoute

router = APIRouter(tags=["rewards"], route_class=OrjsonRoute)
Labeller = Annotated[Access, needs("label")]
GONE = Response(status_code=499)
STOP_HEADER = "X-Charter-Stop"
"""Names the signals for which the run should stop; not there while all is well."""


class SampleRow(Record):
    """A sample as `/v1/rewards` takes it."""

    prompt: str | tuple[Message, ...]
    """What the policy answered: a text, or messages."""
    completion: str
    """What it wrote."""
    answer: str | None = None
    """The right answer, for rules that compare with one."""
    id: str | None = None
    """Names the sample within its group, so that a repeated call is known as one."""


class RewardsRequest(Record):
    """Samples to be rewarded."""

    samples: Annotated[list[SampleRow], Field(max_length=10_000)]
    """All of them, also none."""


class RewardsAnswer(Record):
    """Rewards in the samples' order, and what the watch says of the run."""

    rewards: list[Reward]
    """One for each sample; null with a reason where there is none."""
    stop: list[str]
    """The signals for which the run should stop; empty while all is well."""
    run_mean: float | None
    """Mean reward of the run so far."""


@router.post("/v1/rewards", response_model=RewardsAnswer)
async def rewards(
    asked: RewardsRequest, request: Request, at: AtAddress, service: Running, access: Labeller
) -> Response:
    """Rewards for samples of a policy, each alone or within the group of its prompt."""
    samples = [
        Sample(
            prompt=_prompt(row.prompt), completion=row.completion, answer=row.answer,
            identity=row.id,
        )
        for row in asked.samples
    ]  # fmt: skip
    made = await _make(request, samples, at, service, access)
    if made is None:
        return GONE
    found, stop, mean = made
    return _answer(RewardsAnswer(rewards=found, stop=stop, run_mean=mean).model_dump(), stop)


@router.post("/adapters/openrlhf/get_reward", response_model=openrlhf.OpenRlhfAnswer)
async def openrlhf_get_reward(
    asked: openrlhf.OpenRlhfRequest,
    request: Request,
    at: AtAddress,
    service: Running,
    access: Labeller,
) -> Response:
    """OpenRLHF's `--reward.remote_url`. An unscored sample is answered 503: no reward, never 0."""
    samples = openrlhf.read_request(asked, at.separator, at.ends)
    made = await _make(request, samples, at, service, access)
    if made is None:
        return GONE
    found, stop, mean = made
    values = at.scored(found, ("fail", "mean"), mean)
    return _answer(openrlhf.write_reply(values, bool(stop)), stop)


@router.post("/adapters/slime", response_model=float | slime.SlimeAnswer | None)
async def slime_reward(
    asked: slime.SlimeRequest,
    request: Request,
    at: AtAddress,
    service: Running,
    access: Labeller,
    reply: Annotated[str, Query(pattern="^(number|object)$")] = "number",
) -> Response:
    """slime's `--rm-type remote_rm --rm-url`: a number, or an object for `--reward-key score`."""
    made = await _make(request, [slime.read_request(asked)], at, service, access)
    if made is None:
        return GONE
    found, stop, mean = made
    (value,) = at.numbers(found, "fail", ("fail", "null", "mean"), mean)
    return _answer(slime.write_reply(value, bool(stop), reply == "object"), stop)


@router.post(
    "/adapters/llamafactory/v1/score/evaluation",
    response_model=llama_factory.LlamaFactoryAnswer,
)
async def llamafactory_score(
    asked: llama_factory.LlamaFactoryRequest,
    request: Request,
    at: AtAddress,
    service: Running,
    access: Labeller,
) -> Response:
    """LLaMA-Factory's `reward_model_type: api`. Its client stops at an error, which is meant."""
    samples = llama_factory.read_request(asked, at.separator, at.ends)
    made = await _make(request, samples, at, service, access)
    if made is None:
        return GONE
    found, stop, mean = made
    values = at.scored(found, ("fail", "mean"), mean)
    return _answer(llama_factory.write_reply(asked, values), stop)


@router.post("/adapters/nemo-gym/verify", response_model=dict[str, Any])
async def nemo_gym_verify(
    body: dict[str, Any], request: Request, at: AtAddress, service: Running, access: Labeller
) -> Response:
    """NeMo-Gym's `/verify`: the body with a reward, or with Gym's mark of a failed rollout."""
    made = await _make(request, [nemo_gym.read_verify(body)], at, service, access)
    if made is None:
        return GONE
    (found,), stop, mean = made
    at.numbers([found], "mark", ("mark", "fail"), mean)
    return _answer(nemo_gym.write_verify(body, found, bool(stop)), stop)


@router.post("/adapters/nemo-gym/compare", response_model=dict[str, Any])
async def nemo_gym_compare(
    asked: nemo_gym.GroupComparison, at: AtAddress, service: Running, access: Labeller
) -> Response:
    """NeMo-Gym's group comparison, by the constitution's principles, or by the one it sends."""
    prompt, texts = nemo_gym.read_compare(asked)
    row = {"prompt": [turn.model_dump() for turn in prompt], "completions": texts}
    constitution = service.library.load(at.asked.constitution, access.tenant)
    if asked.principle:
        constitution = nemo_gym.with_principle(constitution, asked.principle)
    task = service.task_under(
        RankRequest(constitution=at.asked.constitution, judge=at.asked.judge or None), constitution
    )
    item = parse_item(row, "compare")
    task.check(item)
    wait = service.deadline(at.asked.deadline_s, service.settings.deadline_s)
    line = await service.desk.judge(task, item, service.turn(access), wait)
    values = at.scored(rewards_from_ranking(line, len(texts)), ("fail", "mean"), None)
    return _answer(nemo_gym.write_compare(values, line["p"]), [])


@router.post("/adapters/nemo-gym/seed_session", name="nemo_gym_seed_session")
@router.post("/adapters/nemo-gym/close_session", name="nemo_gym_close_session")
async def nemo_gym_session(_: Labeller) -> dict[str, Any]:
    """NeMo-Gym opens and closes a session around each rollout; there is nothing to keep."""
    return {}


async def _make(
    request: Request, samples: Sequence[Sample], at: Address, service: Service, access: Access
) -> tuple[list[Reward], list[str], float | None] | None:
    """Rewards, the signals to stop for, and the run's mean; None when the client hung up."""
    desk: RewardDesk = service.rewards
    try:
        found = await while_connected(request, desk.rewards(samples, at.asked, access))
    except ClientGone:
        return None
    if not at.asked.run:
        return found, [], None
    run = await desk.watch.look((access.tenant, at.asked.run))
    return found, list(run.stop), run.mean


def _answer(content: Any, stop: Sequence[str]) -> Response:
    headers = {STOP_HEADER: ",".join(stop)} if stop else {}
    return Response(dump_line(content), media_type="application/json", headers=headers)


def _prompt(prompt: str | tuple[Message, ...]) -> tuple[Message, ...]:
    return (Message(role="user", content=prompt),) if isinstance(prompt, str) else prompt
