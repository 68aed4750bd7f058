"""Questions about an SOP, made from the team's own policy: what a new engineer must know before an incident."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sevdrill.conditions import SituationWhen
from sevdrill.model import docstrings
from sevdrill.severity import SEVERITIES, Policy

__all__ = ["Question", "questions"]

REMEDIES = {
    "rollback": "roll back",
    "hotfix": "attempt a hotfix",
    "flags": "switch the feature off by a flag",
    "failover": "wait, or fail over",
}
"""What the rules of an SOP can answer, in words."""


@dataclass(frozen=True)
class Question:
    """One question with its answers, of which one is right."""

    about: str
    """What it is about: response times, escalation, rollback rules, communication or review."""
    text: str
    choices: tuple[str, ...]
    right: int
    """Place of the right answer among the choices, from 0."""
    why: str
    """The SOP's own words, with the section they are from."""


def questions(policy: Policy, most: int = 10, seed: int | None = None) -> list[Question]:
    """At most so many questions, some about each thing that the SOP rules; the same ones for the same ``seed``."""
    chance = random.Random(seed)
    kinds = [list(_response(policy, chance)), list(_escalation(policy, chance)), list(_remedies(policy, chance))]
    kinds += [list(_statuses(policy, chance)), list(_review(policy, chance))]
    for kind in kinds:
        chance.shuffle(kind)
    found: list[Question] = []
    # In turn, so that no kind crowds the others out.
    while any(kinds) and len(found) < most:
        found += [kind.pop() for kind in kinds if kind]
    return found[:most]


def _ask(about: str, text: str, right: str, others: Iterable[str], why: str, chance: random.Random) -> Question | None:
    wrong = [other for other in dict.fromkeys(others) if other.casefold() != right.casefold()]
    if not wrong:
        return None  # what has only one answer is no question
    chance.shuffle(wrong)
    choices = [right, *wrong[:3]]
    chance.shuffle(choices)
    return Question(about, text, tuple(choices), choices.index(right), why)


def _response(policy: Policy, chance: random.Random) -> Iterator[Question]:
    times = {severity: level.response.sop for severity, level in policy.severities.items()}
    for severity, level in policy.severities.items():
        text = f"How soon must somebody respond to a {severity} ({level.name})?"
        why = f"{level.response.sop} ({policy.cited(level.response.source)})"
        found = _ask("response times", text, level.response.sop, times.values(), why, chance)
        if found is not None:
            yield found
    for severity, level in policy.severities.items():
        if level.means:
            mean = chance.choice(level.means)
            # The same words may stand at two severities; then they are no question.
            if sum(m.sop == mean.sop for other in policy.severities.values() for m in other.means) == 1:
                why = f"{severity} ({policy.cited(level.source)})"
                found = _ask("response times", f'How severe is this: "{mean.sop}"?', severity, SEVERITIES, why, chance)
                if found is not None:
                    yield found


def _escalation(policy: Policy, chance: random.Random) -> Iterator[Question]:
    everybody = [step.to for level in policy.severities.values() for step in level.escalation]
    for severity, level in policy.severities.items():
        for step in level.escalation:
            if step.level == 1:
                text = f"Who is brought in first in a {severity}?"
            elif step.when:
                case = " or ".join(step.when).replace("_", " ")
                text = f"Who else is brought in, in a {severity}, if it is a case of {case}?"
            elif step.after:
                text = f"A {severity} is unresolved for {step.after}. Who is brought in now?"
            else:
                text = f"Besides the first responder, who is brought in at once in a {severity}?"
            # Whoever is right as well in the same case must not stand among the wrong answers.
            also = {
                other.to
                for other in level.escalation
                if step.level > 1 and (other.when == step.when if other.when else other.after <= step.after)
            }
            why = f"{step.sop} ({policy.cited(step.source)})"
            found = _ask("escalation", text, step.to, [to for to in everybody if to not in also], why, chance)
            if found is not None:
                yield found


def _remedies(policy: Policy, chance: random.Random) -> Iterator[Question]:
    rules = policy.remedy.rules if policy.remedy is not None else ()
    for rule in rules:
        if rule.when is None:
            continue
        text = f"This is all you know: {'; '.join(_situation(rule.when))}. What does the SOP say?"
        why = f'"{rule.sop}" ({policy.cited(rule.source)})'
        found = _ask("rollback rules", text, REMEDIES[rule.then], REMEDIES.values(), why, chance)
        if found is not None:
            yield found


def _situation(when: SituationWhen) -> Iterator[str]:
    for name, wanted in when.asks().items():
        words = docstrings(type(when)).get(name, name).rstrip(".")
        words = words[0].lower() + words[1:]
        if isinstance(wanted, bool):
            yield words if wanted else f"it is not so that {words}"
        else:
            yield f"{words}: {_range(wanted)}"


def _range(wanted: Any) -> str:
    return " and ".join(f"{key.replace('_', ' ')} {value}" for key, value in wanted if value is not None)


def _statuses(policy: Policy, chance: random.Random) -> Iterator[Question]:
    words = [word.word for word in policy.statuses.words] if policy.statuses is not None else []
    for before, after in pairwise(words):
        assert policy.statuses is not None
        why = f"{', '.join(words)} ({policy.cited(policy.statuses.source)})"
        text = f'Which status comes after "{before}"?'
        found = _ask("communication", text, after, [word for word in words if word != before], why, chance)
        if found is not None:
            yield found
    for severity, level in policy.severities.items():
        if level.update_every is not None:
            every = level.update_every
            text = f"How long may it be at most between two messages in a {severity}?"
            why = f"{every.sop} ({policy.cited(every.source)})"
            found = _ask("communication", text, str(every.limit), ("5m", "1h", "4h", "30m", "15m"), why, chance)
            if found is not None:
                yield found


def _review(policy: Policy, chance: random.Random) -> Iterator[Question]:
    for severity, level in policy.severities.items():
        review = level.review
        if review is not None and review.due is not None:
            text = f"By when is the post-mortem of a {severity} due?"
            why = f"{review.sop} ({policy.cited(review.source)})"
            found = _ask(
                "review", text, f"within {review.due}", (f"within {t}" for t in ("1h", "1d", "2d", "1w")), why, chance
            )
            if found is not None:
                yield found
            return
