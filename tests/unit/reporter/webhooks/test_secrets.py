"""Secrets of endpoints: derived, rotated with an overlap in which old and new sign, gone with their key."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from reporter.secret_formats import check_secret, split_keys
from reporter.state.secrets import SecretSeed
from reporter.webhooks.secrets import UnknownKeyError, new_seed, reveal_secret
from support.reporter_service import Subscriber, World
from support.webhook_subscriptions import endpoint, log_of, opens, reason, subscribe

KEY = "k" * 32
DAY_S = 86400
VECTOR_KEY_ID = "d9408dd848dba5f0"
VECTOR_SECRET = "whsec_TCPKNuiG2n6xLg7WelUCf3/iqTwJuqWwTkTI2dfs69U="


def rotate(world: World, endpoint_id: str, **body: int) -> str:
    answer = world.client.post(f"/webhooks/{endpoint_id}/rotate_secret", json=body or None)
    assert answer.status_code == 200, answer.text
    secret: str = answer.get_json()["secret"]
    return secret


def send(world: World, subscriber: Subscriber, *secrets: str) -> list[bool]:
    """Deliver an event and say for each secret whether the public library verifies the request with it."""
    world.notify()
    world.deliver(world.queue.last[0])
    return [opens(secret, subscriber.received[-1]) for secret in secrets]


def test_a_derived_secret_is_a_standard_webhooks_secret() -> None:
    """32 bytes in base64 behind whsec_, as the library's users expect."""
    secret = reveal_secret([KEY], uuid4(), new_seed([KEY]))

    check_secret(secret)
    assert len(secret) == len("whsec_") + 44


def test_a_secret_is_always_derived_alike() -> None:
    """A fixed vector: another way of deriving would silently change the secret of every subscriber."""
    seed = SecretSeed(new_seed([KEY]).key_id, bytes(16))

    revealed = reveal_secret([KEY], UUID(int=1), seed)

    assert (seed.key_id, revealed) == (VECTOR_KEY_ID, VECTOR_SECRET)


def test_key_endpoint_and_salt_all_count() -> None:
    """A change of any of them is another secret."""
    endpoint_id = uuid4()
    one, other = [KEY], ["j" * 32]
    seed = new_seed(one)
    revealed = {
        reveal_secret(one, endpoint_id, seed),
        reveal_secret(one, uuid4(), seed),
        reveal_secret(one, endpoint_id, new_seed(one)),
        reveal_secret(other, endpoint_id, SecretSeed(new_seed(other).key_id, seed.salt)),
    }

    assert len(revealed) == 4


def test_a_secret_without_its_key_is_refused() -> None:
    """A wrong secret would be worse than none; the message names the key's id, not the key."""
    seed = new_seed([KEY])

    with pytest.raises(UnknownKeyError, match=seed.key_id) as refused:
        reveal_secret(["j" * 32], uuid4(), seed)
    assert refused.value.key_id == seed.key_id
    assert KEY not in str(refused.value)


def test_keys_are_split_at_commas() -> None:
    """Blanks around them are none of theirs."""
    assert split_keys(f" {KEY} , {'j' * 32},") == (KEY, "j" * 32)


@pytest.mark.feature("59")
@pytest.mark.fault("H12")
@pytest.mark.threat("T13")
def test_old_and_new_secret_sign_for_a_day(world: World, subscriber: Subscriber) -> None:
    """Two signatures in one header; the library accepts it with either secret, then with the new one only."""
    created = subscribe(world, subscriber.url)
    old = created["secret"]
    before = send(world, subscriber, old)
    new = rotate(world, created["id"])
    during = send(world, subscriber, old, new)
    count_during = len(subscriber.received[-1].headers["webhook-signature"].split(" "))
    # The library accepts no timestamp of tomorrow, so tomorrow's header is looked at, not opened.
    world.clock.advance(DAY_S - 1)
    send(world, subscriber)
    count_last = len(subscriber.received[-1].headers["webhook-signature"].split(" "))
    world.clock.advance(1)
    send(world, subscriber)
    count_after = len(subscriber.received[-1].headers["webhook-signature"].split(" "))

    assert (before, during) == ([True], [True, True])
    assert (count_during, count_last, count_after) == (2, 2, 1)


@pytest.mark.fault("H12")
def test_the_new_secret_alone_signs_after_the_overlap(world: World, subscriber: Subscriber) -> None:
    """The old one opens nothing any more."""
    created = subscribe(world, subscriber.url)
    world.clock.advance(-DAY_S)
    new = rotate(world, created["id"])
    world.clock.advance(DAY_S)

    assert send(world, subscriber, created["secret"], new) == [False, True]


def test_a_leaked_secret_can_be_ended_at_once(world: World, subscriber: Subscriber) -> None:
    """overlap_s 0, also for those that had a day left."""
    created = subscribe(world, subscriber.url)
    second = rotate(world, created["id"])
    third = rotate(world, created["id"], overlap_s=0)

    assert send(world, subscriber, created["secret"], second, third) == [False, False, True]


def test_a_second_rotation_does_not_cut_the_first_ones_overlap(world: World, subscriber: Subscriber) -> None:
    """Three signatures: a receiver that still has the first secret keeps its day."""
    created = subscribe(world, subscriber.url)
    second = rotate(world, created["id"])
    third = rotate(world, created["id"])

    assert send(world, subscriber, created["secret"], second, third) == [True, True, True]


def test_a_later_rotation_does_not_lengthen_an_overlap(world: World, subscriber: Subscriber) -> None:
    """The first secret ends a day after it was replaced, whatever was replaced since."""
    created = subscribe(world, subscriber.url)
    world.clock.advance(-DAY_S)
    second = rotate(world, created["id"])
    world.clock.advance(DAY_S / 2)
    third = rotate(world, created["id"])
    world.clock.advance(DAY_S / 2)

    assert send(world, subscriber, created["secret"], second, third) == [False, True, True]


def test_five_secrets_at_once_are_the_limit(world: World, subscriber: Subscriber) -> None:
    """The sixth is refused and changes nothing; an overlap of 0 makes room."""
    created = subscribe(world, subscriber.url)
    secrets = [created["secret"], *(rotate(world, created["id"]) for _ in range(4))]

    refused = world.client.post(f"/webhooks/{created['id']}/rotate_secret")

    assert reason(refused) == (400, "SECRET_LIMIT")
    assert send(world, subscriber, *secrets) == [True] * 5
    assert send(world, subscriber, rotate(world, created["id"], overlap_s=0)) == [True]


@pytest.mark.parametrize("overlap_s", [-1, 604_801, "1"])
def test_a_bad_overlap_is_refused(world: World, subscriber: Subscriber, overlap_s: object) -> None:
    """Seven days at most."""
    created = subscribe(world, subscriber.url)

    answer = world.client.post(f"/webhooks/{created['id']}/rotate_secret", json={"overlap_s": overlap_s})

    assert reason(answer) == (400, "FIELD_INVALID")


def test_a_new_key_keeps_old_secrets_working(make_world: Callable[..., World], subscriber: Subscriber) -> None:
    """Behind a comma; what is rotated then is made with the new key and needs the old one no more."""
    created = subscribe(make_world(WEBHOOK_ENDPOINT_KEYS=KEY), subscriber.url)
    both = make_world(WEBHOOK_ENDPOINT_KEYS=f"{'j' * 32},{KEY}")
    kept = send(both, subscriber, created["secret"])
    rotated = rotate(both, created["id"], overlap_s=0)
    alone = make_world(WEBHOOK_ENDPOINT_KEYS="j" * 32)

    assert kept == [True]
    assert send(alone, subscriber, rotated) == [True]


def test_without_its_key_an_event_waits(make_world: Callable[..., World], subscriber: Subscriber) -> None:
    """Nothing is sent unsigned or wrongly signed, the log says why, and it is none of the receiver's failures."""
    created = subscribe(make_world(WEBHOOK_ENDPOINT_KEYS=KEY), subscriber.url)
    world = make_world(WEBHOOK_ENDPOINT_KEYS="j" * 32)
    world.notify()

    answer = world.deliver(world.queue.last[0])

    assert (answer["state"], subscriber.received) == ("PENDING", [])
    assert log_of(world, created["id"])[0]["attempts"][0]["failure"] == "SECRET_UNAVAILABLE"
    assert endpoint(world, created["id"])["failing_since"] is None
