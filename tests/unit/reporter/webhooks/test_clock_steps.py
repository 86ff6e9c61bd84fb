"""The reporter's clock steps by five minutes while it tells a subscriber; the event is neither lost nor new."""

from __future__ import annotations

import pytest

from support.reporter_service import SCHEDULER, Answer, Got, Subscriber, World


@pytest.mark.fault("J3")
@pytest.mark.parametrize("step_s", [300, -300])
def test_a_step_during_an_attempt_loses_nothing(world: World, subscriber: Subscriber, step_s: int) -> None:
    """Even swept meanwhile, the delivery ends DELIVERED, told under one message id."""

    def answer(_got: Got) -> Answer:
        world.clock.advance(step_s)
        assert world.internal("/internal/sweep", account=SCHEDULER).status_code == 200
        world.clock.advance(-step_s)
        return Answer(204)

    subscriber.answer = answer
    request_id = world.notify(webhook_url=subscriber.url)
    world.deliver(world.queue.hints[0])
    subscriber.answer = lambda _got: Answer(204)
    # What the step made the sweeper believe to be lost is tried again in its time.
    for hint in world.queue.hints[1:]:
        world.clock.advance(300)
        world.deliver(hint)

    (delivery,) = world.deliveries(request_id)
    assert delivery["state"] == "DELIVERED"
    assert 1 <= len(subscriber.received) <= 2
    assert len({dict(got.headers)["webhook-id"] for got in subscriber.received}) == 1
    assert all(subscriber.verified)


@pytest.mark.parametrize("step_s", [300, -300])
def test_a_step_between_attempts_only_shifts_the_next_one(world: World, subscriber: Subscriber, step_s: int) -> None:
    """A failed attempt is followed by another, sooner or later, and by no second one at once."""
    subscriber.answer = lambda _got: Answer(500)
    request_id = world.notify(webhook_url=subscriber.url)
    world.deliver(world.queue.hints[0])
    world.clock.advance(step_s)
    subscriber.answer = lambda _got: Answer(204)

    world.deliver(world.queue.hints[-1])
    world.deliver(world.queue.hints[-1])

    (delivery,) = world.deliveries(request_id)
    assert (delivery["state"], len(subscriber.received)) == ("DELIVERED", 2)
