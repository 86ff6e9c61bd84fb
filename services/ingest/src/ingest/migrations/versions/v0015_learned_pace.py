"""Learn the pace of each host from its answers (docs/adr/0021)."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_COLUMNS = """
ALTER TABLE hosts
    ADD COLUMN rate float8 NOT NULL DEFAULT 5,
    ADD COLUMN judged_from timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN sampled integer NOT NULL DEFAULT 0,
    ADD COLUMN sample_log_s float8 NOT NULL DEFAULT 0,
    ADD COLUMN floor_log_s float8,
    ADD COLUMN ceiling float8,
    ADD COLUMN trouble float8 NOT NULL DEFAULT 0,
    ADD COLUMN calm_until timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN refuses boolean NOT NULL DEFAULT false,
    SET (fillfactor = 50)
"""
PACE_AFTER = """
CREATE FUNCTION pace_after(h hosts, moment timestamptz, started timestamptz, kind text, latency_s float8,
                           retry_after_s float8, weight integer, max_rate float8) RETURNS hosts
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    floor_s float8 := coalesce(exp(h.floor_log_s), 0.5);
    longer_s float8;
    pause_s float8;
    new_rate float8;
    ramping boolean := h.ceiling IS NULL;
BEGIN
    IF kind = 'good' THEN
        h.trouble := h.trouble * 0.98 ^ weight;
        IF started < h.judged_from THEN RETURN h; END IF;
        IF h.opened_at IS NOT NULL THEN
            -- One image has tried the host and was answered. After long refusals the pace begins anew, and stays.
            new_rate := h.rate;
            IF h.refuses THEN
                h.calm_until := moment + 10 * (moment - h.opened_at);
                IF moment - h.opened_at > interval '30 s' THEN
                    new_rate := least(h.rate, 5);
                    h.ceiling := new_rate;
                END IF;
            END IF;
            h.failures := 0; h.opened_at := NULL; h.refuses := false;
            h.blocked_until := moment; h.next_start_at := moment;
        ELSE
            h.failures := 0;
            h.sampled := h.sampled + weight;
            h.sample_log_s := h.sample_log_s
                + (ln(greatest(latency_s, 0.02)) - h.sample_log_s) * weight / h.sampled;
            IF h.sampled < greatest(4, h.rate * CASE WHEN ramping THEN 0.4
                                                     WHEN h.rate < 0.8 * h.ceiling THEN 0.75 ELSE 1.5 END) THEN
                RETURN h;
            END IF;
            h.floor_log_s := coalesce(
                h.floor_log_s + (h.sample_log_s - h.floor_log_s)
                    * CASE WHEN ramping OR h.sample_log_s < h.floor_log_s THEN 0.25 ELSE 0.02 END,
                h.sample_log_s);
            longer_s := exp(h.sample_log_s) - exp(h.floor_log_s);
            IF h.sample_log_s > h.floor_log_s + ln(1.25) + 1 / sqrt(h.sampled) AND h.rate * longer_s > 2 THEN
                pause_s := 3 * longer_s + 1;
                h.calm_until := moment + make_interval(secs => pause_s + 3);
            ELSIF ramping THEN
                new_rate := h.rate * 2;
                h.next_start_at := least(h.next_start_at, moment + interval '0.2 s');
            ELSIF moment < h.calm_until THEN
                new_rate := h.rate;
            ELSE
                IF h.rate > 0.95 * h.ceiling THEN h.ceiling := h.rate * 1.03; END IF;
                new_rate := least(h.rate * 2, (h.rate + h.ceiling) / 2);
            END IF;
        END IF;
    ELSE
        h.trouble := h.trouble * 0.98 + CASE kind WHEN 'refused' THEN 0.071 ELSE 0.02 END;
        IF h.trouble < 0.07 OR started < h.judged_from THEN RETURN h; END IF;
        -- Fast failures come before slow successes.
        IF h.failures = 1 AND h.sampled = 0 AND kind = 'trouble'
           AND moment - h.judged_from < make_interval(secs => 2 * floor_s + 0.5) THEN
            RETURN h;
        END IF;
        h.failures := greatest(h.failures + 1, CASE kind WHEN 'dead' THEN 2 ELSE 0 END);
        IF h.failures >= 2 THEN
            IF h.opened_at IS NULL THEN
                h.opened_at := moment;
                h.rate := greatest(h.rate * 0.5, least(h.rate, 2.5));
                IF kind <> 'dead' THEN h.refuses := true; h.ceiling := h.rate; END IF;
            END IF;
            h.blocked_until := moment + make_interval(secs => greatest(
                coalesce(retry_after_s, 0),
                least(CASE WHEN h.refuses THEN 60 ELSE 10 END, 1.5::float8 ^ least(h.failures - 2, 30))));
            h.next_start_at := h.blocked_until; h.judged_from := h.blocked_until;
            h.sampled := 0; h.sample_log_s := 0;
            RETURN h;
        END IF;
        pause_s := coalesce(retry_after_s, 1);
        h.blocked_until := moment + make_interval(secs => pause_s);
        h.calm_until := h.blocked_until + CASE WHEN ramping THEN interval '3 s' ELSE interval '10 s' END;
    END IF;
    IF pause_s IS NOT NULL THEN
        h.ceiling := h.rate;
        new_rate := h.rate * CASE WHEN ramping THEN 0.5 ELSE 0.9 END;
        h.next_start_at := greatest(h.next_start_at, moment + make_interval(secs => pause_s));
    END IF;
    h.next_start_at := greatest(h.next_start_at, moment);
    h.judged_from := h.next_start_at;
    h.rate := greatest(0.2, least(max_rate, new_rate));
    h.sampled := 0; h.sample_log_s := 0; h.trouble := 0;
    RETURN h;
END
$$;
"""


def upgrade() -> None:
    op.execute(_COLUMNS)
    op.execute(PACE_AFTER)


def downgrade() -> None:
    op.execute("DROP FUNCTION pace_after")
    op.execute(
        """
        ALTER TABLE hosts
            DROP COLUMN rate, DROP COLUMN judged_from, DROP COLUMN sampled, DROP COLUMN sample_log_s,
            DROP COLUMN floor_log_s, DROP COLUMN ceiling, DROP COLUMN trouble, DROP COLUMN calm_until,
            DROP COLUMN refuses, RESET (fillfactor)
        """
    )
