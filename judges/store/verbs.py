"""What `charter votes` does: open the store, count, copy or erase, say it."""

import argparse

from judges.canonical import text_digest
from judges.jsonl import read_text
from judges.progress import say
from judges.store.exchange import export_votes, merge_votes
from judges.store.upkeep import erase_text, store_stats
from judges.store.vote_store import VoteStore
from judges.verbs import emit


def run_stats(options: argparse.Namespace) -> int:
    """`charter votes stats`"""
    with VoteStore.open(options.store) as store:
        emit(store_stats(store).model_dump_json(indent=2))
    return 0


def run_export(options: argparse.Namespace) -> int:
    """`charter votes export`"""
    with VoteStore.open(options.store) as store:
        say(f"{options.output}: {export_votes(store, options.output)} votes")
    return 0


def run_merge(options: argparse.Namespace) -> int:
    """`charter votes merge`"""
    with VoteStore.open(options.store) as store:
        say(f"{merge_votes(store, options.source)} new votes taken over from {options.source}")
    return 0


def run_erase(options: argparse.Namespace) -> int:
    """`charter votes erase`"""
    text = options.text
    if text is None:
        text = read_text(options.file)
    with VoteStore.open(options.store) as store:
        done = erase_text(store, text)
    emit(done.model_dump_json(indent=2))
    if done.erased:
        say(f"erased the text with digest {text_digest(text)}")
    else:
        say(f"nothing to erase: no text with digest {text_digest(text)} is stored, or not any more")
    return 0
