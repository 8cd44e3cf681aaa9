"""Which rules and tells hold for given words, looked through once for the same words. Floor 3: pure.

The stays of a batch have few different sets of words; what was found for one is kept in `given.in_force`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from broker.care.given import Given, Rule, Tell

__all__ = ["person_rules", "result_rules", "stay_rules", "tell_for"]


def stay_rules(words: Mapping[str, str], given: Given) -> tuple[Rule, ...]:
    """The rules about a stay that hold; `words` are those of `stay_words`, in their order."""
    return _rules("stay", words, given)


def result_rules(words: Mapping[str, str], given: Given) -> tuple[Rule, ...]:
    """The rules about a result that hold; `words` are those of its stay and its own."""
    return _rules("result", words, given)


def person_rules(words: Mapping[str, str], given: Given) -> tuple[Rule, ...]:
    """The rules about a person that hold."""
    return _rules("person", words, given)


def tell_for(kind: str, words: Mapping[str, str], given: Given) -> Tell | None:
    """Who is told of a kind of event: the first that holds."""
    key = ("tell", kind, *words.values())
    try:
        found: Tell | None = given.in_force[key]
    except KeyError:
        holding = (tell for tell in given.tells if tell.notification == kind and _holds(tell.when, words))
        found = given.in_force[key] = next(holding, None)
    return found


def _rules(about: str, words: Mapping[str, str], given: Given) -> tuple[Rule, ...]:
    key = (about, *words.values())
    found: tuple[Rule, ...] | None = given.in_force.get(key)
    if found is None:
        found = given.in_force[key] = tuple(_holding(about, words, given))
    return found


def _holding(about: str, words: Mapping[str, str], given: Given) -> Iterator[Rule]:
    deceased = words.get("deceased") == "yes"
    for rule in given.rules:
        when = rule.when
        of = "person" if "person" in when else "result" if "result" in when else "stay"
        if of == about and _holds(when, words) and (not deceased or _is_for_the_dead(when)):
            yield rule


def _holds(when: Mapping[str, tuple[str, ...]], words: Mapping[str, str]) -> bool:
    return all(words.get(key) in right for key, right in when.items())


def _is_for_the_dead(when: Mapping[str, tuple[str, ...]]) -> bool:
    """A rule that says nothing of death is for the living."""
    return "deceased" in when or "expired" in when.get("disposition", ()) or "person" in when
