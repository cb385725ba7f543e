import numpy as np
import pytest

from assets.errors import InputError
from perception.budget import Budgeted
from scenarios.truth import nothing_seen


def test_late_looks_are_counted_and_still_answered():
    now = iter([0.0, 0.010, 1.0, 1.030, 2.0, 2.020])
    timed = Budgeted(lambda said: said, 25.0, clock=lambda: next(now))
    said = nothing_seen((4, 4), np.array([0.0, 0.0, 1.0]))
    assert np.isnan(timed.quantile_ms(0.5))
    assert all(timed(said) is said for _ in range(3))
    assert timed.calls == 3
    assert timed.over == 1
    assert timed.quantile_ms(1.0) == pytest.approx(30)


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_a_senseless_budget_is_refused(budget):
    with pytest.raises(InputError, match="budget"):
        Budgeted(lambda said: said, budget)
