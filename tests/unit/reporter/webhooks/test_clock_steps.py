"""The service's clock steps by five minutes while it tells a subscriber; the database's clock alone decides."""

from __future__ import annotations

import pytest

from support.reporter_service import SCHEDULER, Answer, Got, Subscriber, World


@pytest.mark.fault("J3")
@pytest.mark.parametrize("step_s", [300, -300])
def test_a_step_during_an_attempt_changes_nothing(world: World, subscriber: Subscriber, step_s: int) -> None:
    """A sweep in the middle of it finds no lost worker and no lost task; the event is sent once."""
    swept: list[dict[str, int]] = []

    def answer(_got: Got) -> Answer:
        world.service_clock.step_s = step_s
        swept.append(world.internal("/internal/sweep", account=SCHEDULER).get_json()["swept"])
        return Answer(204)

    subscriber.answer = answer
    request_id = world.notify(webhook_url=subscriber.url)
    world.deliver(world.queue.hints[0])

    (delivery,) = world.deliveries(request_id)
    assert (swept[0]["expired_leases"], swept[0]["lost_deliveries"]) == (0, 0)
    assert (delivery["state"], len(subscriber.received), len(world.queue.hints)) == ("DELIVERED", 1, 1)


@pytest.mark.parametrize("step_s", [300, -300])
def test_a_step_between_attempts_moves_no_due_time(world: World, subscriber: Subscriber, step_s: int) -> None:
    """The next attempt is due five seconds after the failed one, as the database counts them."""
    subscriber.answer = lambda _got: Answer(500)
    world.notify(webhook_url=subscriber.url)
    world.service_clock.step_s = step_s
    world.deliver(world.queue.hints[0])

    due_at = world.queue.last[1]

    assert due_at is not None
    assert (due_at - world.clock.now()).total_seconds() == 5
