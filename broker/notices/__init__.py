"""The typed facts, one file a family. Floor 2: no I/O, no clock.

`NOTICES` is the registry: a mapping's `produces:` names one of its keys.
"""

from broker.notices import identity, results, visits
from broker.notices.identity import *  # noqa: F403
from broker.notices.parts import *  # noqa: F403
from broker.notices.results import *  # noqa: F403
from broker.notices.visits import *  # noqa: F403
from broker.notices.visits import Notice

_NOT_MADE = {"Notice", "VisitNotice", "CancelNotice", "IdentityNotice"}

NOTICES: dict[str, type[Notice]] = {
    name: made
    for family in (visits, identity, results)
    for name in family.__all__
    if isinstance(made := getattr(family, name), type) and issubclass(made, Notice) and name not in _NOT_MADE
}
