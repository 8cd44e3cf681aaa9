"""What should stand of a stay and of a person: tasks, notifications, review items. Floor 3: pure.

Every want has a cause, a fact that stands. Rules and tells are read as they are now; what an earlier
version of them called for is left in peace by `changes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from broker.care.clocks import due_at
from broker.care.content import iso, of_patient
from broker.care.in_force import person_rules, result_rules, tell_for
from broker.care.patients import Death
from broker.care.record import Held, Said, instant, micros
from broker.care.stays import Stay
from broker.care.tasks import tasks
from broker.care.telling import named, telling, told
from broker.care.vocabulary import ADMITTED
from broker.care.wants import Because, Context, Want, Wanted, because, site_of
from broker.care.words import reported, stay_words, yes

__all__ = ["asked_of_results", "wanted", "wanted_of_person"]


def wanted(stay: Stay, site_name: str, context: Context) -> Wanted:
    """Everything that should stand because of one stay."""
    found: Wanted = {}
    if not stay.facts and not stay.not_found and stay.taken_back is None:
        return found
    site = site_of(context.given, site_name)
    words = stay_words(stay, site_name, context)
    for want in _reviews(stay, site_name, context):
        found.setdefault(want.key, want)
    results = reported(stay, words, context.given.policy)
    if stay.status != "cancelled":
        for want in told(stay, site, words, results, context):
            found.setdefault(want.key, want)
    for want in tasks(stay, site, words, results, context.given):
        found.setdefault(want.key, want)
    return found


def asked_of_results(stay: Stay, site_name: str, context: Context) -> bool:
    """Whether anything may follow from a stay's results: not where all are as one would have them."""
    if not stay.orders:
        return False
    if stay.is_discharged or any(order.wrong is not None for order in stay.orders.values()):
        return True
    results = reported(stay, stay_words(stay, site_name, context), context.given.policy)
    return any(one.reasons or result_rules(one.words, context.given) for one in results)


def _reviews(stay: Stay, site_name: str, context: Context) -> Iterator[Want]:
    for fact in stay.not_found:
        yield _review("cancel_found_nothing", fact, f"{fact.kind}: nothing that it could take back")
    for fact in stay.unclear:
        yield _review("order_unclear", fact, f"{fact.kind} has the very times of what it takes back")
    if stay.reopened is not None:
        yield _review(
            "opened_after_discharge", stay.reopened, f"{stay.reopened.kind} after the visit's discharge"
        )
    if stay.discharge is not None and stay.disposition == "still_patient" and stay.disposed is not None:
        yield _review("still_patient", stay.disposed, "A discharge whose disposition says: still a patient")
    for order in stay.orders.values():
        if order.wrong is not None:
            yield _review(
                "wrong_result", order.wrong, "A result was posted wrongly, perhaps of another patient"
            )
    if stay.admitted is not None and stay.status == "in_progress":
        for one in context.here:
            if (
                one.site == site_name
                and one.status == "in_progress"
                and one.patient_class in ADMITTED
                and one.started < stay.started
            ):
                yield _review(
                    "admitted_twice", stay.admitted, "Admitted while another stay is open at this site"
                )


def _review(kind: str, fact: Held, text: str) -> Want:
    says: Said = {"text": text}
    return Want("review", kind, fact.meaning, because(fact), "", "", says, (), fact.happened)


def wanted_of_person(
    context: Context,
    death: Death | None,
    site_name: str,
    pcp_changed: Because | None,
    merges: Sequence[Because],
    odd: Sequence[Because],
    deleted: Sequence[Because],
) -> Wanted:
    """What should stand of the person under this number: death, another PCP, merges, links that are odd.

    `death` is what this number's own messages say of it.
    """
    found: Wanted = {}
    site = site_of(context.given, site_name)
    about: Said = {
        "patient": of_patient(context.authority, context.number, context.who),
        "facility": {"name": site.name, "title": site.title} if site_name else {},
        "pcp": named(context.who.get("pcp")),
    }
    happened: list[tuple[str, str, Because, int, Said]] = []
    if death is not None:
        kind, meaning = death.said[6], f"{death.said[6]}@{death.said[0]}"
        cause = Because(death.said[4], death.said[5], kind, death.said[7], meaning, death.died_at, death.mute)
        died: Said = {"deceased": True, "attending": named(death.attending), "disposition": "expired"}
        happened.append(("Death", "died", cause, death.died_at, died))
    if pcp_changed is not None:
        changed: Said = {
            "former_pcp": named(context.former_pcp),
            "pcp_change": named(context.who.get("pcp")),
        }
        happened.append(("PcpChange", "pcp_changed", pcp_changed, pcp_changed.happened, changed))
    happened += [("", "merged", merged, merged.happened, {}) for merged in merges]
    judged = [("odd_link", tie, f"{tie.kind} of a patient with itself, or in a circle") for tie in odd]
    judged += [("record_deleted", fact, "The sender deleted its record; ours is kept") for fact in deleted]
    for kind, cause, text in judged:
        want = Want("review", kind, cause.meaning, cause, "", "", {"text": text}, (), cause.happened)
        found[want.key] = want
    for kind, word, cause, occurred, more in happened:
        if cause.mute:
            continue
        sub = "" if word == "died" else cause.meaning
        words = {"person": word, "deceased": yes(context.death is not None), "plan": yes(context.has_plan)}
        if kind and (tell := tell_for(kind, words, context.given)) is not None:
            says: Said = {"kind": kind, "occurred_at": iso(occurred, site.zone), **about, **more}
            for want in telling(tell, sub, cause, occurred, says, site, context, None, None):
                found.setdefault(want.key, want)
        for rule in person_rules(words, context.given):
            due = due_at(rule.due, instant(occurred), site.zone, site.days_off)
            task: Said = {
                "title": rule.title, "owner": rule.owner, "urgency": rule.urgency, "due": micros(due),
                "verify": False, "note": "",
            }  # fmt: skip
            want = Want("task", rule.kind, sub, cause, rule.key, rule.version, task, (), occurred)
            found.setdefault(want.key, want)
    return found
