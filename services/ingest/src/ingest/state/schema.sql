-- The tables of ingest as they are now. The migrations make them; a test compares the two.
--
-- Every rule that the code keeps is kept by the database too: statuses, counters, one slot per image, one key per
-- effect. What moves a row from one status to another is a function of this package.

CREATE TABLE batches (
    request_id uuid PRIMARY KEY,
    owner text,                                        -- of the API key that made it; NULL without keys
    status text NOT NULL CHECK (status IN ('IMPORTING', 'PENDING', 'PROCESSING', 'SEALING', 'COMPLETED',
                                           'COMPLETED_WITH_ERRORS', 'FAILED', 'CANCELLED')),
    generation integer NOT NULL DEFAULT 1 CHECK (generation >= 1),    -- rises with each retry
    cancel_requested boolean NOT NULL DEFAULT false,

    options jsonb NOT NULL,                            -- of images that have none of their own
    header jsonb NOT NULL,
    columns jsonb NOT NULL,                            -- which column is which
    dialect jsonb NOT NULL,
    source_name text NOT NULL,
    source_sha256 text NOT NULL CHECK (length(source_sha256) = 64),
    webhook_url text CHECK (length(webhook_url) <= 2083),
    import_key text UNIQUE,                            -- the execution that imported it

    row_count integer NOT NULL CHECK (row_count >= 0),
    invalid_rows integer NOT NULL DEFAULT 0 CHECK (invalid_rows >= 0),
    deduplicated integer NOT NULL DEFAULT 0 CHECK (deduplicated >= 0),
    total integer NOT NULL CHECK (total >= 0),         -- images
    pending integer NOT NULL CHECK (pending >= 0),
    succeeded integer NOT NULL DEFAULT 0 CHECK (succeeded >= 0),
    failed integer NOT NULL DEFAULT 0 CHECK (failed >= 0),            -- cancelled ones too
    bytes_in bigint NOT NULL DEFAULT 0 CHECK (bytes_in >= 0),
    bytes_out bigint NOT NULL DEFAULT 0 CHECK (bytes_out >= 0),
    larger_images integer NOT NULL DEFAULT 0 CHECK (larger_images >= 0),  -- outputs larger than their source
    larger_bytes bigint NOT NULL DEFAULT 0 CHECK (larger_bytes >= 0),     -- by so many bytes together

    reused integer NOT NULL DEFAULT 0 CHECK (reused >= 0),            -- images whose source an earlier batch had
    fresh boolean NOT NULL DEFAULT false,              -- nothing that is known of a URL may be used

    execution text,                                    -- the owner that supervises it
    callback_url text,
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),        -- of executions
    error jsonb,
    report_uri text,

    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    sealed_at timestamptz,
    finished_at timestamptz,
    deadline_at timestamptz NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT now(),    -- when its rate was measured last
    measured_ended integer NOT NULL DEFAULT 0,         -- images that had ended then
    images_per_s float8 NOT NULL DEFAULT 0,            -- that ended in the time before
    image_cost_s float8 NOT NULL DEFAULT 0,            -- mean of what the last twenty or so took in the codec
    costed integer NOT NULL DEFAULT 0,                 -- images that told what they took
    estimate jsonb,                                    -- what it would take, when it was read; NULL before
    ended_row integer NOT NULL DEFAULT 0,              -- the last row whose images were ended without an outcome
    deleted_row integer,                               -- likewise of its deletion; then nobody sees the batch any more

    CONSTRAINT counts_add_up CHECK (pending + succeeded + failed = total),
    CONSTRAINT sealed_means_settled CHECK (sealed_at IS NULL OR pending = 0),
    CONSTRAINT sealing_is_sealed CHECK (status <> 'SEALING' OR sealed_at IS NOT NULL),
    CONSTRAINT ended_is_sealed CHECK (
        (status IN ('IMPORTING', 'PENDING', 'PROCESSING', 'SEALING')) = (finished_at IS NULL)
        AND (finished_at IS NULL OR sealed_at IS NOT NULL))
);
CREATE INDEX batches_newest ON batches (created_at DESC, request_id DESC);
-- An index on `owner` itself would not serve `IS NOT DISTINCT FROM`; no owner is the empty text.
CREATE INDEX batches_by_owner ON batches ((coalesce(owner, '')), created_at DESC, request_id DESC);
CREATE INDEX batches_open ON batches (heartbeat_at) WHERE finished_at IS NULL;
CREATE INDEX batches_ended ON batches (finished_at) WHERE finished_at IS NOT NULL;

-- How far the import of a large sheet is. What is stored, is stored in row order and with its images.
CREATE TABLE imports (
    batch uuid PRIMARY KEY REFERENCES batches (request_id) ON DELETE CASCADE,
    csv_uri text NOT NULL,
    object_generation bigint NOT NULL,                 -- the object that was named, whatever lies there now
    asked jsonb NOT NULL,                              -- what the sender says of the sheet
    way jsonb,                                         -- how the sheet is read; NULL before it was checked
    rows_checked integer NOT NULL DEFAULT 0 CHECK (rows_checked >= 0),
    rows_stored integer NOT NULL DEFAULT 0 CHECK (rows_stored >= 0),
    images_stored integer NOT NULL DEFAULT 0 CHECK (images_stored >= 0),
    failed_stored integer NOT NULL DEFAULT 0 CHECK (failed_stored >= 0),      -- images whose link cannot be used
    invalid_stored integer NOT NULL DEFAULT 0 CHECK (invalid_stored >= 0),    -- rows that were skipped
    warnings jsonb NOT NULL DEFAULT '[]',              -- the first ones
    warning_count integer NOT NULL DEFAULT 0 CHECK (warning_count >= 0),
    finished_at timestamptz
);

CREATE TABLE rows (
    batch uuid NOT NULL REFERENCES batches (request_id) ON DELETE CASCADE,
    row_number integer NOT NULL CHECK (row_number >= 1),
    serial text NOT NULL,
    product_name text NOT NULL,
    cells jsonb NOT NULL,
    problems jsonb,                                    -- why the row was skipped
    PRIMARY KEY (batch, row_number)
);

-- No foreign key to `rows`: it took 6 of the 10 seconds of inserting 100,000 rows with an image each, and both are
-- written by one function in one transaction and never moved.
CREATE TABLE images (
    id uuid PRIMARY KEY,
    batch uuid NOT NULL,
    row_number integer NOT NULL,
    slot integer NOT NULL CHECK (slot >= 0),
    input_url text NOT NULL CHECK (length(input_url) BETWEEN 1 AND 2083),
    sheet_column integer CHECK (sheet_column >= 0),    -- index of the column that the link stands in
    host text NOT NULL DEFAULT '',
    same_as uuid CHECK (same_as <> id),                -- the first image with this URL and these options
    options jsonb,                                     -- only if they differ from the batch's
    status text NOT NULL DEFAULT 'PENDING'
        CHECK (status IN ('PENDING', 'DISPATCHED', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    attempt_limit integer NOT NULL CHECK (attempt_limit >= 1),
    lease_until timestamptz,
    next_at timestamptz NOT NULL DEFAULT now(),        -- the transaction's time, so new images are due in row order

    output_url text,
    code text,
    detail text,
    bytes_in bigint CHECK (bytes_in >= 0),
    bytes_out bigint CHECK (bytes_out >= 0),
    width integer CHECK (width >= 0),
    height integer CHECK (height >= 0),
    format text,
    sha256 text,
    duration_ms bigint CHECK (duration_ms >= 0),
    finished_at timestamptz,

    UNIQUE (batch, row_number, slot),
    CONSTRAINT attempts_have_a_budget CHECK (attempt <= attempt_limit),
    CONSTRAINT a_lease_means_dispatched CHECK ((status = 'DISPATCHED') = (lease_until IS NOT NULL)),
    CONSTRAINT success_has_an_output CHECK (status <> 'SUCCEEDED' OR output_url IS NOT NULL),
    CONSTRAINT duplicates_are_never_dispatched CHECK (same_as IS NULL OR status <> 'DISPATCHED')
-- Each image leaves two dead rows. What is leased is looked up in indexes that have them until a vacuum.
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 50000);
-- It begins with the host because claims take a few images of each host.
CREATE INDEX images_due ON images (host, batch, next_at, row_number, slot)
    WHERE status = 'PENDING' AND same_as IS NULL;
CREATE INDEX images_leased_of_batch ON images (batch, lease_until) WHERE status = 'DISPATCHED';
CREATE INDEX images_in_flight ON images (host) WHERE status = 'DISPATCHED';
-- For the pages of failed images: in the order of rows, however many of the batch succeeded.
CREATE INDEX images_without_output ON images (batch, row_number, slot) WHERE status IN ('FAILED', 'CANCELLED');
CREATE INDEX images_duplicates ON images (same_as) WHERE same_as IS NOT NULL;

CREATE TABLE hosts (
    host text PRIMARY KEY,
    next_start_at timestamptz NOT NULL DEFAULT now(),
    blocked_until timestamptz NOT NULL DEFAULT now(),  -- no image starts before
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),        -- cuts of the rate without a good answer between
    opened_at timestamptz,                             -- since when it is shut: one image has to try it first
    waiting boolean NOT NULL DEFAULT false,            -- not used since 0015; the release before reads it
    rate float8 NOT NULL DEFAULT 5,                    -- images that start in a second
    judged_from timestamptz NOT NULL DEFAULT now(),    -- images that started before say nothing of this rate
    sampled integer NOT NULL DEFAULT 0,                -- answers at this rate
    sample_log_s float8 NOT NULL DEFAULT 0,            -- mean of the logarithms of their seconds to the first byte
    floor_log_s float8,                                -- the same while the host is not busy
    ceiling float8,                                    -- the rate that failed last
    trouble float8 NOT NULL DEFAULT 0,                 -- share of trouble in the last fifty answers or so
    calm_until timestamptz NOT NULL DEFAULT now(),     -- not faster before
    refuses boolean NOT NULL DEFAULT false,            -- shut, and it answers: by 429 and the like
    sample_square float8 NOT NULL DEFAULT 0            -- sum of the squares by which the sample is off its mean
) WITH (fillfactor = 50);                              -- updated many times a second

-- What an answer changes in a host's pace (docs/adr/0021; simulated in bench/pace, whose rule.py a test compares with it).
-- Kinds: good, refused (429, or 503 that says when to come back), trouble (may pass), dead (no answer at all). An answer
-- counts `weight` times, so that of a fast host not every answer has to update the row.
CREATE FUNCTION pace_after(h hosts, moment timestamptz, started timestamptz, kind text, latency_s float8,
                           retry_after_s float8, weight integer, max_rate float8) RETURNS hosts
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    floor_s float8 := coalesce(exp(h.floor_log_s), 0.5);
    off float8;
    longer_s float8;
    slow boolean;
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
            off := ln(greatest(latency_s, 0.02)) - h.sample_log_s;
            h.sample_log_s := h.sample_log_s + off * weight / h.sampled;
            h.sample_square := h.sample_square + weight * off * (off - off * weight / h.sampled);
            IF h.sampled < greatest(4, h.rate * CASE WHEN ramping THEN 0.25
                                                     WHEN h.rate < 0.8 * h.ceiling THEN 0.75 ELSE 1.5 END) THEN
                RETURN h;
            END IF;
            h.floor_log_s := coalesce(h.floor_log_s, h.sample_log_s);
            longer_s := exp(h.sample_log_s) - exp(h.floor_log_s);
            -- By more than three standard errors of the mean.
            slow := h.sample_log_s > h.floor_log_s + ln(1.25) + 3 * sqrt(h.sample_square * weight) / h.sampled
                    AND h.rate * longer_s > 2;
            h.floor_log_s := h.floor_log_s + (h.sample_log_s - h.floor_log_s)
                * CASE WHEN h.sample_log_s < h.floor_log_s OR (ramping AND NOT slow) THEN 0.25 ELSE 0.02 END;
            IF slow THEN
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
            h.sampled := 0; h.sample_log_s := 0; h.sample_square := 0;
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
    h.sampled := 0; h.sample_log_s := 0; h.sample_square := 0; h.trouble := 0;
    RETURN h;
END
$$;

CREATE TABLE batch_hosts (
    batch uuid NOT NULL REFERENCES batches (request_id) ON DELETE CASCADE,
    host text NOT NULL,
    images integer NOT NULL CHECK (images >= 0),
    requests bigint NOT NULL DEFAULT 0 CHECK (requests >= 0),
    failures bigint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    succeeded integer NOT NULL DEFAULT 0,
    bytes_in bigint NOT NULL DEFAULT 0,                -- of those that succeeded
    bytes_out bigint NOT NULL DEFAULT 0,
    -- No image that waits comes before: where claims begin to look. Before it the index has what vacuum has not removed.
    due_from timestamptz NOT NULL DEFAULT '-infinity', -- its `next_at`
    due_row integer NOT NULL DEFAULT 0,                -- and, of several, its row
    PRIMARY KEY (batch, host)
);
CREATE INDEX batch_hosts_by_host ON batch_hosts (host);

-- Statistics of `batch` would list the batches there were when they were made, and expect one row of any later one: then
-- every index seems as good as another. Without them each batch is expected to be the same share of its table, and the
-- index that was made for a statement is taken, a second after the upload as well as later.
ALTER TABLE images ALTER batch SET STATISTICS 0;
ALTER TABLE rows ALTER batch SET STATISTICS 0;
ALTER TABLE batch_hosts ALTER batch SET STATISTICS 0;

-- What was found behind a URL with some options, by owner: the key is the SHA-256 of the three (state.known_sources).
CREATE TABLE known_sources (
    key bytea PRIMARY KEY CHECK (length(key) = 32),
    owner text NOT NULL,                               -- the empty text without keys
    etag text CHECK (length(etag) <= 200),
    last_modified text CHECK (length(last_modified) <= 40),
    source_sha256 text NOT NULL CHECK (length(source_sha256) = 64),
    bytes_in bigint NOT NULL CHECK (bytes_in >= 0),
    format text NOT NULL,                              -- of the output
    seen_at timestamptz NOT NULL DEFAULT now()         -- to a day
);
CREATE INDEX known_sources_by_age ON known_sources (seen_at);

CREATE TABLE idempotency_keys (
    owner text NOT NULL,
    endpoint text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint text NOT NULL,                         -- of the sheet and the fields beside it
    response jsonb NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (owner, endpoint, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- One row an owner ('' is nobody): pictures that it looked at in its last minute.
CREATE TABLE previews (
    owner text PRIMARY KEY,
    minute timestamptz NOT NULL,
    used integer NOT NULL
);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('start', 'notify', 'accepted', 'started')),
    batch uuid NOT NULL REFERENCES batches (request_id) ON DELETE CASCADE,
    generation integer NOT NULL,
    payload jsonb NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, batch, generation)
);
CREATE INDEX outbox_due ON outbox (next_at);
